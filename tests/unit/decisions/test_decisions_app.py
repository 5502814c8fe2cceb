"""Requests and their answers: a real log and model behind, and each of them away."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nearline.decisions.answers import (
    DecideAnswer,
    RecommendAnswer,
    ScoreAnswer,
    SegmentsAnswer,
)
from nearline.decisions.applications import Application, Applications
from nearline.events import Event
from nearline.models.registry import version_folder
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.recommend.training import MODEL_NAME, train
from tests.unit.decisions.asking import CONSENT, SHOP_PAGE, Asking, settings_of
from tests.unit.decisions.small_page import ANNA, NOON, LiteralFeatures, features
from tests.unit.recommend.small_shop import small_shop

CAROUSEL = """
version: 1
slots:
  banner: { kind: block, policies: [hello], default: { block: plain } }
  carousel: { kind: items, count: 3, policies: [own] }
blocks:
  plain: { kind: message, content: { text: Hello } }
  back: { kind: message, content: { text: "Welcome back" }, reason: seen before }
policies:
  hello: { when: page_view_count_30d > 0, blocks: [back] }
  own: { list: { exploration_share: 0.1 } }
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the fashion shop published and a recommender in service."""
    shop = small_shop(tmp_path_factory.mktemp("shop") / "home")
    train(shop.settings, seed=0, now=NOON, code_version="test")
    return shop.settings.home


def home_of(folder: Path, trained: Path | None) -> Path:
    home = folder / "home"
    if trained is not None:
        shutil.copytree(trained, home, symlinks=True)
        shutil.rmtree(home / "log")
    (home / "policies").mkdir(parents=True)
    (home / "policies" / "shop.yml").write_text(CAROUSEL)
    return home


@pytest.fixture
def store() -> LiteralFeatures:
    seen = ["jacket-red", "socks"]
    return LiteralFeatures(
        features(page_view_count_30d=3, last_viewed_items=seen), features("v_bert00001")
    )


@pytest.fixture
def shop(tmp_path: Path, trained: Path, store: LiteralFeatures) -> Iterator[Asking]:
    with Asking(settings_of(home_of(tmp_path, trained)), store) as asking:
        asking.wait_for(lambda: "recommender" not in without(asking))
        yield asking


def without(asking: Asking) -> list[str]:
    found: list[str] = asking.request("GET", "/readyz").json()["without"]
    return found


class TestDecide:
    def test_each_slot_is_answered_with_reason_odds_and_versions(
        self, shop: Asking
    ) -> None:
        body = {
            "visitor": ANNA,
            "slots": ["banner", "carousel"],
            "context": {"consent": CONSENT},
        }
        response = shop.post("/v1/decide", body)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        answer = response.json()
        DecideAnswer.model_validate(answer, strict=True)
        banner, carousel = answer["slots"]["banner"], answer["slots"]["carousel"]
        assert banner["content"]["content"] == {"text": "Welcome back"}
        assert (banner["reason"], banner["answer"]) == ("seen before", "personal")
        assert (carousel["policy"], carousel["models"]) == ("own", {"recommender": 1})
        assert len(carousel["content"]["items"]) == 3
        assert all(item["reason"] for item in carousel["content"]["items"])
        assert answer["versions"] == {
            "features": "visitor_features_v1",
            "recommender": 1,
        }
        assert answer["freshness"]["feature_age_seconds"] == 2.5

    def test_every_decision_is_in_the_log_as_the_contract_has_it(
        self, shop: Asking
    ) -> None:
        shown = shop.decide(ANNA, "banner", "carousel", consent=CONSENT)
        banner, carousel = shop.events()
        for event in (banner, carousel):
            Event.model_validate(event)
        assert [banner["event_id"], carousel["event_id"]] == [
            shown["banner"]["decision_id"],
            shown["carousel"]["decision_id"],
        ]
        assert (carousel["event_name"], carousel["visitor_id"]) == ("decision", ANNA)
        said = carousel["properties"]
        ids = [item["item_id"] for item in shown["carousel"]["content"]["items"]]
        assert said["chosen"] == ids
        assert [name for name, *_ in said["candidates"]][:3] == ids
        assert len(said["candidates"]) <= 50
        # Of twelve items two were seen; seven may take one of the three places.
        assert said["probability"] in (0.9, round(0.1 / 7, 6))
        assert said["place_probabilities"][0] == said["probability"]
        assert said | {"latency_ms": 0} == {
            "slot": "carousel",
            "policy": "own",
            "policy_version": shown["carousel"]["policy_version"],
            "candidates": said["candidates"],
            "chosen": ids,
            "probability": said["probability"],
            "place_probabilities": said["place_probabilities"],
            "is_explored": shown["carousel"]["is_explored"],
            "arms": {},
            "hold_out": False,
            "trigger": None,
            "models": {"recommender": 1},
            "segment": None,
            "feature_age_seconds": 2.5,
            "latency_ms": 0,
            "fallback": None,
            "answer": "personal",
        }
        assert (carousel["consent_analytics"], carousel["source"]) == (True, "web")

    def test_what_is_not_known_is_answered_and_counted(self, shop: Asking) -> None:
        slots = shop.decide(
            "v_nobody0001", "nowhere", "carousel", item="no-such", consent=CONSENT
        )
        assert slots["nowhere"]["content"]["kind"] == "none"
        assert slots["nowhere"]["fallback"] == "unknown_slot"
        assert slots["nowhere"]["decision_id"] is None
        assert slots["carousel"]["answer"] == "general"
        assert len(slots["carousel"]["content"]["items"]) == 3
        for what in ("visitor", "slot", "item"):
            assert shop.number("nearline_decision_unknown", what=what) == 1

    def test_policies_are_taken_up_when_they_change_and_broken_ones_are_not(
        self, shop: Asking
    ) -> None:
        file = shop.settings.policy_folder / "shop.yml"
        file.write_text(CAROUSEL.replace("Welcome back", "There you are"))

        def text() -> str:
            banner = shop.decide(ANNA, "banner", consent=CONSENT)["banner"]
            found: str = banner["content"]["content"]["text"]
            return found

        shop.wait_for(lambda: text() == "There you are")
        file.write_text("version: 7")
        other = shop.settings.policy_folder / "zoo.yml"
        other.write_text("version: 1")
        other.unlink()
        assert text() == "There you are"


class TestConsent:
    def test_without_personalization_no_feature_is_read(
        self, shop: Asking, store: LiteralFeatures
    ) -> None:
        before = list(store.reads)
        slots = shop.decide(ANNA, "banner", "carousel", consent={"analytics": True})
        assert store.reads == before
        assert slots["banner"]["content"]["block"] == "plain"
        assert (slots["carousel"]["answer"], slots["carousel"]["fallback"]) == (
            "general",
            None,
        )

    def test_without_analytics_nothing_is_on_record(self, shop: Asking) -> None:
        for consent in ({"personalization": True}, {}):
            slots = shop.decide(ANNA, "carousel", consent=consent)
            assert slots["carousel"]["decision_id"] is None
        assert shop.number("nearline_decision_records", status="no_consent") == 2
        assert shop.events() == []


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "status", "field"),
        [(None, 401, "X-Nearline-Key"), ("other", 401, "X-Nearline-Key")],
    )
    def test_a_key_is_needed(
        self, shop: Asking, key: str | None, status: int, field: str
    ) -> None:
        response = shop.post("/v1/decide", {"visitor": ANNA, "slots": ["banner"]}, key)
        assert (response.status_code, response.json()["field"]) == (status, field)

    def test_a_pseudonym_opens_nothing_to_a_browser(self, shop: Asking) -> None:
        slots = shop.decide(ANNA, "banner", "carousel", key="web_key", consent=CONSENT)
        assert slots["banner"]["content"]["block"] == "plain"
        assert slots["carousel"]["answer"] == "general"
        for path, body in (("/v1/score", {"visitor": ANNA}),):
            assert shop.post(path, body, "web_key").status_code == 403
        segments = f"/v1/segments/{ANNA}?key=web_key"
        assert shop.request("GET", segments).status_code == 403
        logged = {event["visitor_id"] for event in shop.events()}
        assert ANNA not in logged

    def test_a_raw_id_is_the_visitor_that_the_collector_took(
        self, tmp_path: Path, trained: Path
    ) -> None:
        settings = settings_of(home_of(tmp_path, trained))
        pseudonym = load_pseudonymizer(settings).visitor("web", "cookie-0001")
        store = LiteralFeatures(features(pseudonym, page_view_count_30d=1))
        with Asking(settings, store) as asking:
            for key in ("web_key", "server_key"):
                slots = asking.decide("cookie-0001", "banner", key=key, consent=CONSENT)
                assert slots["banner"]["content"]["block"] == "back"
            (first, _) = asking.events()
        assert first["visitor_id"] == pseudonym
        assert first["pseudonym_key_id"] == "k1"
        assert "cookie-0001" not in json.dumps(first)

    def test_a_page_of_another_origin_is_refused(self, shop: Asking) -> None:
        body = {"visitor": "cookie-0001", "slots": ["banner"]}
        allowed = shop.post("/v1/decide", body, "web_key", Origin=SHOP_PAGE)
        assert allowed.headers["Access-Control-Allow-Origin"] == SHOP_PAGE
        refused = shop.post(
            "/v1/decide", body, "web_key", Origin="https://evil.example"
        )
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
        preflight = shop.request("OPTIONS", "/v1/decide", headers={"Origin": SHOP_PAGE})
        assert preflight.status_code == 204

    def test_who_asks_too_often_is_told_when_to_ask_again(
        self, tmp_path: Path, store: LiteralFeatures
    ) -> None:
        slow = Application(
            key="slow", source="web", requests_per_second=0.001, burst_requests=1
        )
        applications = Applications(applications=(slow,))
        with Asking(
            settings_of(home_of(tmp_path, None)), store, applications
        ) as asking:
            body = {"visitor": ANNA, "slots": ["banner"]}
            assert asking.post("/v1/decide", body, "slow").status_code == 200
            refused = asking.post("/v1/decide", body, "slow")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 900


class TestFaults:
    def test_a_store_that_is_away_costs_personality_and_nothing_else(
        self, tmp_path: Path, trained: Path
    ) -> None:
        settings = settings_of(home_of(tmp_path, trained))
        with Asking(settings, LiteralFeatures(opens=False)) as asking:
            asking.wait_for(lambda: "recommender" not in without(asking))
            assert without(asking) == ["features"]
            slots = asking.decide(ANNA, "banner", "carousel", consent=CONSENT)
            assert slots["banner"]["content"]["block"] == "plain"
            assert slots["carousel"]["answer"] == "general"
            assert {one["fallback"] for one in slots.values()} == {"store_unavailable"}
            counted = asking.number(
                "nearline_decision_fallbacks", reason="store_unavailable"
            )
            assert counted == 2

    def test_a_store_that_breaks_while_serving_is_gone_without(
        self, shop: Asking, store: LiteralFeatures
    ) -> None:
        store.is_broken = True
        slots = shop.decide(ANNA, "carousel", consent=CONSENT)
        assert slots["carousel"]["fallback"] == "store_unavailable"
        assert len(slots["carousel"]["content"]["items"]) == 3
        store.is_broken = False
        assert shop.decide(ANNA, "carousel", consent=CONSENT)["carousel"]["answer"] == (
            "personal"
        )

    def test_a_store_that_hangs_is_waited_for_no_longer_than_its_budget(
        self, tmp_path: Path, store: LiteralFeatures
    ) -> None:
        settings = settings_of(home_of(tmp_path, None), decision_features_seconds=0.01)
        with Asking(settings, store) as asking:
            store.hang()
            # More than there are threads: they all hang, and are all answered.
            for _ in range(12):
                slots = asking.decide(ANNA, "banner", consent=CONSENT)
                assert slots["banner"]["fallback"] == "store_slow"
                assert slots["banner"]["content"]["block"] == "plain"
            store.free()

    def test_without_anything_learnt_or_published_the_answer_says_so(
        self, tmp_path: Path, store: LiteralFeatures
    ) -> None:
        with Asking(settings_of(home_of(tmp_path, None)), store) as asking:
            slots = asking.decide(ANNA, "banner", "carousel", consent=CONSENT)
            assert slots["banner"]["answer"] == "personal"
            assert slots["carousel"]["fallback"] == "model_unavailable"
            assert slots["carousel"]["content"]["kind"] == "none"

    def test_a_model_that_is_corrupt_leaves_what_is_bought_most(
        self, tmp_path: Path, trained: Path, store: LiteralFeatures
    ) -> None:
        home = home_of(tmp_path, trained)
        broken = version_folder(home / "models", MODEL_NAME, 1) / "arrays.npz"
        broken.write_bytes(b"no arrays")
        with Asking(settings_of(home), store) as asking:
            asking.wait_for(
                lambda: (
                    asking.decide(ANNA, "carousel")["carousel"]["answer"] == "popular"
                )
            )
            carousel = asking.decide(ANNA, "carousel", consent=CONSENT)["carousel"]
            assert carousel["fallback"] == "model_unavailable"
            assert len(carousel["content"]["items"]) == 3

    def test_a_log_that_is_away_costs_records_and_no_answer(
        self, tmp_path: Path, trained: Path, store: LiteralFeatures
    ) -> None:
        home = home_of(tmp_path, trained)
        (home / "log").write_text("a file where the log's folder should be")
        with Asking(settings_of(home), store) as asking:
            slots = asking.decide(ANNA, "banner", consent=CONSENT)
            assert slots["banner"]["content"]["block"] == "back"
            response = asking.post("/v1/outcomes", OUTCOMES)
            assert response.status_code == 503
            assert "Retry-After" in response.headers
            assert "log" in without(asking)
            # The log is back: what waited is written.
            (home / "log").unlink()
            (decision,) = asking.events()
        assert decision["event_id"] == slots["banner"]["decision_id"]


OUTCOMES = {
    "visitor": ANNA,
    "context": {"consent": {"analytics": True}},
    "outcomes": [
        {
            "decision_id": "d_1",
            "kind": "click",
            "content": "jacket-red",
            "reward": 2,
            "event_id": "r_1",
        },
        {"decision_id": "d_1", "kind": "dismiss"},
    ],
}


class TestOutcomes:
    def test_outcomes_are_in_the_log_before_they_are_acknowledged(
        self, shop: Asking
    ) -> None:
        answer = shop.post("/v1/outcomes", OUTCOMES).json()
        assert answer == {"accepted": 2, "not_kept": 0}
        first, second = shop.events()
        for event in (first, second):
            Event.model_validate(event)
        assert (first["event_name"], first["event_id"]) == ("response", "r_1")
        assert first["properties"] == {
            "decision_id": "d_1",
            "kind": "click",
            "content": "jacket-red",
            "reward": 2.0,
        }
        assert second["event_id"].startswith("r_")

    def test_without_analytics_none_is_kept(self, shop: Asking) -> None:
        body = {**OUTCOMES, "context": {}}
        assert shop.post("/v1/outcomes", body).json() == {"accepted": 0, "not_kept": 2}
        assert shop.events() == []

    def test_an_id_that_is_an_address_or_number_is_refused(self, shop: Asking) -> None:
        body = {**OUTCOMES, "outcomes": [{"decision_id": "192.0.2.7", "kind": "a"}]}
        refused = shop.post("/v1/outcomes", body)
        assert refused.status_code == 400
        assert refused.json()["field"] == "outcomes.0.decision_id"
        assert "192" not in refused.text


class TestOtherQuestions:
    def test_a_list_by_no_policy(self, shop: Asking) -> None:
        body = {
            "visitor": ANNA,
            "count": 2,
            "unavailable": ["kettle"],
            "context": {"consent": CONSENT},
        }
        answer = shop.post("/v1/recommend", body).json()
        RecommendAnswer.model_validate(answer, strict=True)
        assert len(answer["list"]["content"]["items"]) == 2
        (event,) = shop.events()
        assert event["properties"]["slot"] == "recommend"
        assert event["event_id"] == answer["list"]["decision_id"]

    def test_a_score_says_why_there_is_none(self, shop: Asking) -> None:
        def reasons(**body: Any) -> set[str]:
            answer = shop.post("/v1/score", {"visitor": ANNA, **body}).json()
            ScoreAnswer.model_validate(answer, strict=True)
            return {one["reason"] for one in answer["scores"].values()}

        assert reasons() == {"no_consent"}
        yes = {"consent": CONSENT}
        assert reasons(context=yes, targets=["session"]) == {
            "no version of propensity_session was promoted yet"
        }
        assert reasons(context=yes, visitor="v_nobody0001") == {"unknown_visitor"}

    def test_segments_without_any_published(self, shop: Asking) -> None:
        answer = shop.request("GET", f"/v1/segments/{ANNA}?key=server_key").json()
        SegmentsAnswer.model_validate(answer, strict=True)
        assert answer["reason"] == "nothing_published"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """A service that nothing was published or learnt for."""
    home = home_of(tmp_path_factory.mktemp("bare"), None)
    with Asking(settings_of(home), LiteralFeatures()) as asking:
        yield asking


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, "(body)"),
        ([], 400, "(body)"),
        ({"slots": ["banner"]}, 400, "visitor"),
        ({"visitor": " ", "slots": ["banner"]}, 400, "visitor"),
        ({"visitor": ANNA, "slots": []}, 400, "slots"),
        ({"visitor": ANNA, "slots": ["Bad Name"]}, 400, "slots.0"),
        ({"visitor": ANNA, "slots": ["banner"], "jane@mail.example": 1}, 400, "(body)"),
        (
            {"visitor": ANNA, "slots": ["b"], "context": {"item": "a b"}},
            400,
            "context.item",
        ),
        (
            {"visitor": ANNA, "slots": [f"s{n}" for n in range(21)]},
            400,
            "slots",
        ),
        (b" " * 64_001, 413, "(body)"),
    ],
    ids=range(10),
)
def test_a_wrong_request_is_told_its_field_and_never_its_value(
    bare: Asking, body: Any, status: int, field: str
) -> None:
    response = bare.post("/v1/decide", body)
    assert (response.status_code, response.json()["field"]) == (status, field)
    assert set(response.json()) == {"error", "field", "fix"}
    assert "jane" not in response.text
    assert "Bad" not in response.text
