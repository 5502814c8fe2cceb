"""Answers that many share: their key, their headers, and that they are nobody's."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nearline.decisions.answers import VariantAnswer, VariantsAnswer
from nearline.decisions.applications import Application, Applications
from nearline.settings import Settings
from tests.unit.decisions.asking import CONSENT, SHOP_PAGE, Asking
from tests.unit.decisions.small_page import ANNA, LiteralFeatures, features

PAGE = """
version: 1
slots:
  banner:
    kind: block
    policies: [carts, loyal, words]
    default: { block: plain }
    shared:
      segments: [loyal_customer]
      browser_seconds: 20
      edge_seconds: 60
      stale_seconds: 600
  picks:
    kind: items
    count: 3
    policies: [own]
    default: { items: [kettle, socks, gloves, scarf-red] }
    shared: {}
  alone: { kind: block, default: { block: plain } }
blocks:
  plain: { kind: message, content: { text: Hello } }
  cart: { kind: banner, content: { title: Your cart } }
  thanks: { kind: message, content: { text: Thank you }, reason: loyal }
  long: { kind: message, content: { text: Free delivery from 50 } }
  short: { kind: message, content: { text: Free delivery } }
policies:
  carts: { when: cart_item_count > 0, hold_out: 0.5, blocks: [cart] }
  loyal: { when: primary_segment = 'loyal_customer', blocks: [thanks] }
  words:
    when: context.page_type = 'home'
    hold_out: 0.2
    experiment:
      key: banner_words
      arms:
        as_is: { share: 0.5 }
        brief: { share: 0.5, blocks: [short] }
    blocks: [long, short]
  own: { hold_out: 0.3 }
"""
LOYAL = "v_loyal00001"
CART = "v_carts00001"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    home = tmp_path_factory.mktemp("variants") / "home"
    (home / "policies").mkdir(parents=True)
    (home / "policies" / "page.yml").write_text(PAGE)
    settings = Settings(
        home=home,
        pseudonym_key="0123456789abcdef0123456789abcdef",  # type: ignore[arg-type]
        # Patient: a busy machine must not make a fallback of what is whole.
        decision_features_seconds=20,
        decision_ranking_seconds=20,
    )
    store = LiteralFeatures(
        features(LOYAL, primary_segment="loyal_customer"),
        features(CART, primary_segment="cart_abandoner", cart_item_count=2),
    )
    with Asking(settings, store) as asking:
        yield asking


def get(shop: Asking, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return shop.request("GET", path, headers=named)


def block_of(shop: Asking, path: str, **headers: str) -> str:
    response = get(shop, path, **headers)
    assert response.status_code == 200, response.text
    found: str = response.json()["content"]["block"]
    return found


class TestContent:
    def test_a_segment_sees_what_its_policy_shows(self, shop: Asking) -> None:
        banner = "/v1/variants/banner"
        assert block_of(shop, banner) == "plain"
        assert block_of(shop, f"{banner}?segment=loyal_customer") == "thanks"
        assert block_of(shop, f"{banner}?page_type=home") == "long"
        assert (
            block_of(shop, f"{banner}?segment=loyal_customer&page_type=home")
            == "thanks"
        )

    def test_it_holds_nothing_of_one_person(self, shop: Asking) -> None:
        response = get(shop, "/v1/variants/picks?item=kettle")
        answer = response.json()
        VariantAnswer.model_validate(answer, strict=True)
        assert [one["item_id"] for one in answer["content"]["items"]] == [
            "socks",
            "gloves",
            "scarf-red",
        ]
        assert answer | {"content": None, "policy_version": None} == {
            "slot": "picks",
            "segment": None,
            "groups": {},
            "content": None,
            "reason": "default content",
            "answer": "default",
            "fallback": "model_unavailable",
            "policy": "own",
            "policy_version": None,
            "arms": {},
            "hold_out": False,
            "models": {},
        }
        for word in ("decision_id", "probability", "score", "visitor", "latency"):
            assert word not in response.text
        assert "set-cookie" not in response.headers

    def test_a_condition_on_what_a_person_did_is_never_met(self, shop: Asking) -> None:
        # Of the segment `cart_abandoner` no policy of the slot speaks.
        path = "/v1/variants/banner?segment=cart_abandoner&groups=carts:hold-out"
        answer = get(shop, path).json()
        assert (answer["content"]["block"], answer["segment"]) == ("plain", None)
        assert answer["groups"] == {}


class TestKey:
    @pytest.mark.parametrize(
        "query",
        [
            "segment=other",
            "channel=paid",
            "device_class=mobile&item=kettle",
            "groups=own:hold-out",
            "groups=words:of_last_year~ended:a",
        ],
    )
    def test_what_a_slot_does_not_differ_by_is_no_part_of_its_key(
        self, shop: Asking, query: str
    ) -> None:
        plain = get(shop, "/v1/variants/banner?page_type=home")
        other = get(shop, f"/v1/variants/banner?page_type=home&{query}")
        assert other.headers["ETag"] == plain.headers["ETag"]
        assert other.content == plain.content

    @pytest.mark.parametrize(
        "query",
        [
            f"visitor={ANNA}",
            f"user_id={ANNA}",
            f"key={ANNA}",
            f"campaign={ANNA}",
            f"page_path=/orders/{ANNA}",
            f"segment={ANNA}%20",
            f"page_type=home&page_type={ANNA}",
            f"device_class={ANNA}",
            f"groups={ANNA}",
            "item=",
        ],
    )
    def test_nothing_of_a_person_is_taken_for_a_key(
        self, shop: Asking, query: str
    ) -> None:
        refused = get(shop, f"/v1/variants/banner?{query}")
        assert refused.status_code == 400
        assert refused.headers["Cache-Control"] == "no-store"
        assert ANNA not in refused.text

    @pytest.mark.parametrize("slot", ["alone", "nowhere"])
    def test_only_slots_that_are_said_to_be_shared_are(
        self, shop: Asking, slot: str
    ) -> None:
        refused = get(shop, f"/v1/variants/{slot}")
        assert refused.status_code == 404
        assert refused.headers["Cache-Control"] == "no-store"

    def test_keys_and_cookies_change_nothing(self, shop: Asking) -> None:
        path = "/v1/variants/banner?segment=loyal_customer"
        plain = get(shop, path)
        for headers in (
            {"X_Nearline_Key": "no_such_key"},
            {"Cookie": "nl_segment=other"},
            {"Origin": "https://anywhere.example"},
            {"X_Nearline_Segment": "other"},
        ):
            other = get(shop, path, **headers)
            assert dict(other.headers) == dict(plain.headers)
            assert other.content == plain.content


class TestHeaders:
    def test_who_may_keep_an_answer_and_for_how_long(self, shop: Asking) -> None:
        response = get(shop, "/v1/variants/banner?segment=loyal_customer")
        assert response.headers["Cache-Control"] == (
            "public, max-age=20, s-maxage=60, stale-while-revalidate=60, "
            "stale-if-error=600"
        )
        assert "Vary" not in response.headers
        assert response.headers["Access-Control-Allow-Origin"] == "*"

    def test_where_an_edge_names_the_segment_a_browser_asks_again(
        self, shop: Asking
    ) -> None:
        by_header = get(
            shop, "/v1/variants/banner", X_Nearline_Segment="loyal_customer"
        )
        assert by_header.headers["Vary"] == "X-Nearline-Segment, X-Nearline-Groups"
        assert by_header.headers["Cache-Control"].startswith(
            "public, max-age=0, s-maxage=60,"
        )
        by_url = get(shop, "/v1/variants/banner?segment=loyal_customer")
        assert by_header.content == by_url.content
        # Without the headers it depends on them all the same.
        nobody = get(shop, "/v1/variants/banner")
        assert nobody.headers["Vary"] == by_header.headers["Vary"]

    @pytest.mark.parametrize("told", ["loyal customer", "'", "x" * 65, ""])
    def test_a_header_that_is_not_understood_names_nobody(
        self, shop: Asking, told: str
    ) -> None:
        path = "/v1/variants/banner"
        headers = {"X_Nearline_Segment": told, "X_Nearline_Groups": told}
        assert block_of(shop, path, **headers) == "plain"

    def test_who_has_it_already_is_told_so(self, shop: Asking) -> None:
        path = "/v1/variants/banner?segment=loyal_customer"
        whole = get(shop, path)
        tag = whole.headers["ETag"]
        assert tag.startswith('"')
        for told in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            same = get(shop, path, If_None_Match=told)
            assert (same.status_code, same.content) == (304, b"")
            for name in ("ETag", "Cache-Control", "Access-Control-Allow-Origin"):
                assert same.headers[name] == whole.headers[name]
        assert get(shop, path, If_None_Match='"other"').status_code == 200

    def test_head_is_get_without_the_body(self, shop: Asking) -> None:
        path = "/v1/variants/banner?segment=loyal_customer"
        head = shop.request("HEAD", path)
        assert dict(head.headers) == dict(get(shop, path).headers)

    def test_what_is_less_than_asked_for_is_soon_asked_for_again(
        self, shop: Asking
    ) -> None:
        # No recommender was trained here.
        response = get(shop, "/v1/variants/picks?segment=any")
        assert response.headers["Cache-Control"] == "public, max-age=0, s-maxage=5"


class TestGroups:
    def test_a_hold_out_and_the_arms_have_variants_of_their_own(
        self, shop: Asking
    ) -> None:
        path = "/v1/variants/banner?page_type=home&groups=words:"
        held_out = get(shop, f"{path}hold-out").json()
        assert held_out["content"]["block"] == "plain"
        assert (held_out["hold_out"], held_out["policy"]) == (True, "words")
        assert held_out["groups"] == {"words": "hold-out"}
        brief = get(shop, f"{path}brief").json()
        assert brief["content"]["block"] == "short"
        assert (brief["hold_out"], brief["arms"]) == (False, {"banner_words": "brief"})
        assert block_of(shop, f"{path}as_is") == "long"

    def test_a_visitors_variants_show_what_deciding_for_them_would(
        self, shop: Asking
    ) -> None:
        seen = set()
        for number in range(60):
            visitor = f"v_anybody{number:04d}"
            context = {"consent": CONSENT, "page_type": "home"}
            body = {"visitor": visitor, "slots": ["banner"], "context": context}
            answer = shop.post("/v1/variants", body).json()
            shared = get(shop, answer["slots"]["banner"]["path"]).json()
            alone = shop.decide(visitor, "banner", **context)["banner"]
            for name in ("reason", "policy", "policy_version", "arms", "hold_out"):
                assert shared[name] == alone[name]
            assert shared["content"]["block"] == alone["content"]["block"]
            assert "segment=everybody" in answer["slots"]["banner"]["path"]
            told = get(
                shop,
                "/v1/variants/banner?page_type=home",
                X_Nearline_Segment=answer["segment"],
                X_Nearline_Groups=answer["groups"],
            )
            assert told.json() == shared
            seen.add((shared["content"]["block"], shared["hold_out"]))
        assert seen == {("plain", True), ("long", False), ("short", False)}


class TestVariantsOfAVisitor:
    def variants(self, shop: Asking, visitor: str, **options: Any) -> Any:
        context = {"consent": CONSENT, **options.pop("context", {})}
        body = {"visitor": visitor, "slots": ["banner", "alone"], "context": context}
        response = shop.post("/v1/variants", body, **options)
        assert response.headers["Cache-Control"] == "no-store"
        answer = response.json()
        VariantsAnswer.model_validate(answer, strict=True)
        return answer

    def test_a_segment_that_a_slot_differs_by_is_named(self, shop: Asking) -> None:
        answer = self.variants(shop, LOYAL)
        groups = answer["groups"]
        assert groups in ("words:as_is", "words:brief", "words:hold-out")
        path = f"/v1/variants/banner?segment=loyal_customer&groups={groups}"
        assert answer == {
            "slots": {"banner": {"path": path}, "alone": {"path": None}},
            "segment": "loyal_customer",
            "groups": groups,
            "valid_seconds": 900,
            "fallback": None,
        }

    def test_a_segment_that_none_differs_by_is_told_to_nobody(
        self, shop: Asking
    ) -> None:
        assert self.variants(shop, CART)["segment"] == ""

    @pytest.mark.parametrize("consent", [{}, {"analytics": True}, {"marketing": True}])
    def test_without_consent_no_segment_is_looked_up(
        self, shop: Asking, consent: dict[str, bool]
    ) -> None:
        answer = self.variants(shop, LOYAL, context={"consent": consent})
        assert answer["segment"] == ""
        assert bool(answer["groups"]) == bool(consent.get("analytics"))

    def test_another_persons_pseudonym_tells_a_browser_nothing(
        self, shop: Asking
    ) -> None:
        assert self.variants(shop, LOYAL, key="web_key")["segment"] == ""

    def test_a_store_that_breaks_leaves_what_everybody_sees(
        self, shop: Asking, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: Any, visitor_id: str) -> None:
            raise OSError

        monkeypatch.setattr(LiteralFeatures, "read", fail)
        answer = self.variants(shop, LOYAL)
        assert (answer["segment"], answer["fallback"]) == ("", "store_unavailable")
        assert answer["slots"]["banner"]["path"].startswith("/v1/variants/banner")

    def test_nothing_is_on_record(self, shop: Asking) -> None:
        before = shop.number("nearline_decision_records", status="written")
        self.variants(shop, LOYAL)
        get(shop, "/v1/variants/banner?segment=loyal_customer")
        assert shop.number("nearline_decision_records", status="written") == before


ASKED = {"visitor": ANNA, "slots": ["banner"], "context": {"consent": CONSENT}}
FEW = Application(key="few", source="web", requests_per_second=0.001, burst_requests=1)


class TestPrivate:
    """Whatever is answered of a visitor, or refused, is kept by nobody."""

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "/v1/decide", ASKED, 200),
            ("POST", "/v1/recommend", {"visitor": ANNA}, 200),
            ("POST", "/v1/score", {"visitor": ANNA}, 200),
            ("POST", "/v1/variants", ASKED, 200),
            ("GET", f"/v1/segments/{ANNA}", None, 200),
            ("GET", f"/v1/segments/{ANNA}?purpose=none", None, 400),
            (
                "POST",
                "/v1/outcomes",
                {"visitor": ANNA, "outcomes": [{"decision_id": "d", "kind": "click"}]},
                200,
            ),
            ("GET", "/v1/decide", None, 405),
            ("GET", "/v1/variants", None, 405),
            ("POST", "/v1/variants/banner", {}, 405),
            ("GET", "/v1/nothing", None, 404),
            ("OPTIONS", "/v1/decide", None, 403),
            ("GET", "/", None, 200),
            ("GET", "/healthz", None, 200),
            ("HEAD", "/readyz", None, 200),
            ("GET", "/metrics", None, 200),
            ("GET", "/openapi.json", None, 200),
        ],
    )
    def test_an_answer_is_never_stored(
        self, shop: Asking, method: str, path: str, body: Any, status: int
    ) -> None:
        headers = {"X-Nearline-Key": "server_key"}
        answer = shop.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        "path",
        ["/v1/decide", "/v1/recommend", "/v1/score", "/v1/outcomes", "/v1/variants"],
    )
    def test_a_refusal_is_never_stored(self, shop: Asking, path: str) -> None:
        answers = {
            400: shop.post(path, b"{"),
            401: shop.post(path, {}, key=None),
            403: shop.post(path, {}, "web_key", Origin="https://evil.example"),
            413: shop.post(path, b" " * 64_001),
            415: shop.post(path, b"", **{"Content-Type": "text/csv"}),
        }
        preflight = shop.request("OPTIONS", path, headers={"Origin": SHOP_PAGE})
        for status, answer in {**answers, 204: preflight}.items():
            assert answer.status_code == status, answer.text
            assert answer.headers["Cache-Control"] == "no-store"

    def test_who_asks_too_often_and_a_log_that_is_away_are_told_to_nobody_else(
        self, shop: Asking, tmp_path: Path
    ) -> None:
        home = tmp_path / "home"
        shutil.copytree(shop.settings.policy_folder, home / "policies")
        (home / "log").write_text("a file where the log's folder should be")
        settings = Settings(home=home, log_timeout_seconds=0.1)
        outcomes = {
            "visitor": ANNA,
            "outcomes": [{"decision_id": "d", "kind": "click"}],
            "context": {"consent": CONSENT},
        }
        applications = Applications(applications=(FEW,))
        with Asking(settings, LiteralFeatures(), applications) as asking:
            for status in (503, 429):
                answer = asking.post("/v1/outcomes", outcomes, "few")
                assert answer.status_code == status
                assert answer.headers["Cache-Control"] == "no-store"
