"""What the door keeps of an event, literal rows in and values derived by hand out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from nearline.collector.door import Accepted, Refused
from nearline.events.contract import Event
from tests.unit.collector.sent_events import (
    BROWSER,
    DOOR,
    FIREFOX,
    NOON,
    PSEUDONYMIZER,
    SERVER,
    arrival,
    kept,
    refused,
    sent_event,
)


def test_a_page_view_is_kept_in_the_contracts_fields_alone() -> None:
    event = kept(
        user_id="ACC-4711",
        sent_at="2026-03-02T12:00:00Z",
        page_url="https://shop.example/p/7?utm_source=news&session=abc&ref=home#top",
        page_title="A chair",
        referrer="https://www.google.com/search?q=chair",
        page_type="product",
    )
    assert event == {
        "event_id": "e_1",
        "event_name": "page_view",
        "schema_version": "1.1",
        "occurred_at": "2026-03-02T11:59:59.000Z",
        "sent_at": "2026-03-02T12:00:00.000Z",
        "received_at": "2026-03-02T12:00:00.000Z",
        "source": "web",
        "visitor_id": PSEUDONYMIZER.visitor("web", "cookie-0001"),
        "user_id": PSEUDONYMIZER.user("ACC-4711"),
        "pseudonym_key_id": "k7",
        "page_path": "/p/7",
        "page_title": "A chair",
        "page_type": "product",
        "referrer_host": "www.google.com",
        "utm_source": "news",
        "device_class": "desktop",
        "consent_analytics": True,
        "properties": {"page_query": {"ref": "home"}},
    }


def test_what_is_kept_is_an_event_of_the_contract() -> None:
    event = kept(event_name="view_item", items=[{"item_id": "s1", "price": 1.5}])
    Event.model_validate(event)


def test_one_account_is_the_same_person_for_every_source_and_a_cookie_is_not() -> None:
    web = kept(user_id="ACC-4711")
    backend = kept(SERVER, user_id="ACC-4711")
    assert web["user_id"] == backend["user_id"]
    assert web["visitor_id"] != backend["visitor_id"]


def test_an_id_that_is_a_number_is_hashed_as_its_text() -> None:
    assert kept(user_id=4711)["user_id"] == PSEUDONYMIZER.user("4711")


def test_source_and_arrival_are_the_doors_and_not_the_senders() -> None:
    event = kept(
        source="admin",
        received_at="2001-01-01T00:00:00Z",
        pseudonym_key_id="mine",
        clock_skew_seconds=9,
    )
    assert event["source"] == "web"
    assert event["received_at"] == "2026-03-02T12:00:00.000Z"
    assert event["pseudonym_key_id"] == "k7"
    assert "clock_skew_seconds" not in event


class TestClock:
    def test_a_clock_that_runs_ahead_is_set_back_by_its_lead(self) -> None:
        # Sent at "13:00:00" and received at 12:00:00: an hour ahead.
        event = kept(
            occurred_at="2026-03-02T12:59:50.000Z", sent_at="2026-03-02T13:00:00.000Z"
        )
        assert event["occurred_at"] == "2026-03-02T11:59:50.000Z"
        assert event["sent_at"] == "2026-03-02T12:00:00.000Z"
        assert event["clock_skew_seconds"] == 3600

    def test_a_clock_that_is_years_behind_is_set_forward(self) -> None:
        event = kept(
            occurred_at="2001-01-01T00:00:00.000Z", sent_at="2001-01-01T00:00:30.000Z"
        )
        assert event["occurred_at"] == "2026-03-02T11:59:30.000Z"

    @pytest.mark.parametrize("seconds", [-5, 0, 5])
    def test_what_the_network_may_take_is_no_skew(self, seconds: int) -> None:
        sent_at = (NOON + timedelta(seconds=seconds)).isoformat()
        event = kept(sent_at=sent_at)
        assert event["occurred_at"] == "2026-03-02T11:59:59.000Z"
        assert "clock_skew_seconds" not in event

    def test_the_batchs_time_of_sending_counts_where_the_event_has_none(self) -> None:
        event = kept(
            BROWSER,
            arrival(sent_at="2026-03-02T12:01:00Z"),
            occurred_at="2026-03-02T12:00:59Z",
        )
        assert event["clock_skew_seconds"] == 60
        assert event["occurred_at"] == "2026-03-02T11:59:59.000Z"

    def test_an_hour_is_the_same_in_every_zone(self) -> None:
        event = kept(occurred_at="2026-03-02T12:59:59.000+01:00")
        assert event["occurred_at"] == "2026-03-02T11:59:59.000Z"

    def test_a_server_that_sends_old_events_again_has_no_wrong_clock(self) -> None:
        event = kept(
            SERVER,
            occurred_at="2026-01-01T00:00:00Z",
            sent_at="2026-01-01T00:00:01Z",
        )
        assert event["occurred_at"] == "2026-01-01T00:00:00.000Z"

    def test_an_event_of_the_future_is_refused_where_nothing_corrects_it(self) -> None:
        assert refused(occurred_at="2026-03-02T12:06:00Z").field == "occurred_at"

    @pytest.mark.parametrize("sent_at", ["yesterday", 1772452800, [], {"a": 1}, True])
    def test_a_time_of_sending_that_is_none_is_refused(self, sent_at: Any) -> None:
        assert refused(sent_at=sent_at).field == "sent_at"

    @pytest.mark.parametrize(
        "occurred_at",
        ["1970-01-01T00:00:00Z", "2026-03-02T11:59:59", "0001-01-01T00:00:00+23:59"],
    )
    @pytest.mark.parametrize(
        "sent_at", ["2000-01-01T00:00:00Z", "2099-12-31T23:59:59Z"]
    )
    def test_times_at_the_edge_of_the_calendar_are_refused(
        self, occurred_at: str, sent_at: str
    ) -> None:
        assert refused(occurred_at=occurred_at, sent_at=sent_at).field == "occurred_at"


class TestAge:
    def test_a_browsers_event_of_31_days_is_refused_and_kept_as_a_dead_letter(
        self,
    ) -> None:
        refusal = refused(occurred_at="2026-01-30T11:00:00Z")
        assert refusal.field == "occurred_at"
        assert "30 days" in refusal.reason
        assert orjson.loads(refusal.value)["fields"]["event_name"] == "page_view"

    def test_a_browsers_event_of_29_days_is_kept(self) -> None:
        assert kept(occurred_at="2026-02-01T12:00:00Z")

    def test_a_servers_event_may_be_of_any_age(self) -> None:
        assert kept(SERVER, occurred_at="2019-01-30T11:00:00Z")


class TestConsent:
    @pytest.mark.parametrize("answer", [None, False, "true", 1, "yes", []])
    def test_without_consent_nothing_of_the_event_is_kept(self, answer: Any) -> None:
        refusal = refused(
            consent_analytics=answer, page_title="A secret", user_id="ACC-4711"
        )
        letter = orjson.loads(refusal.value)
        assert refusal.field == "consent_analytics"
        assert refusal.has_no_consent
        assert letter["fields"] == {}
        assert b"secret" not in refusal.value
        assert b"cookie" not in refusal.value

    def test_a_withdrawal_is_kept_with_who_and_what_and_no_more(self) -> None:
        event = kept(
            event_name="consent",
            consent_analytics=False,
            consent_marketing=False,
            consent_notice_version="2026-01",
            page_url="https://shop.example/account",
            page_title="Account",
            referrer="https://elsewhere.example/",
            properties={"screen": "wide"},
        )
        assert set(event) == {
            "event_id",
            "event_name",
            "schema_version",
            "occurred_at",
            "received_at",
            "source",
            "visitor_id",
            "pseudonym_key_id",
            "consent_analytics",
            "consent_marketing",
            "consent_notice_version",
        }

    def test_a_source_that_needs_no_consent_keeps_what_is_not_known(self) -> None:
        assert "consent_analytics" not in kept(SERVER, consent_analytics=None)


class TestBots:
    @pytest.mark.parametrize(
        ("user_agent", "reason"),
        [
            (FIREFOX, None),
            ("Mozilla/5.0 (compatible; Googlebot/2.1)", "declared_user_agent"),
            ("curl/8.5.0", "declared_user_agent"),
            (f"{FIREFOX} HeadlessChrome/120", "headless_browser"),
            ("", "no_user_agent"),
            (None, "no_user_agent"),
        ],
    )
    def test_a_browser_is_marked_by_its_header(
        self, user_agent: str | None, reason: str | None
    ) -> None:
        assert kept(BROWSER, arrival(user_agent=user_agent)).get("bot_reason") == reason

    def test_a_browsers_own_word_on_being_a_bot_counts_for_nothing(self) -> None:
        assert "bot_reason" not in kept(bot_reason="known_datacenter")

    def test_a_server_says_who_it_speaks_for(self) -> None:
        event = kept(SERVER, arrival(user_agent="python-requests/2"))
        assert "bot_reason" not in event
        event = kept(SERVER, user_agent="Mozilla/5.0 (compatible; bingbot/2.0)")
        assert event["bot_reason"] == "declared_user_agent"
        event = kept(SERVER, bot_reason="known_datacenter")
        assert event["bot_reason"] == "known_datacenter"

    def test_the_header_itself_is_nowhere(self) -> None:
        event = kept(user_agent="Mozilla/5.0 SECRET-BUILD", event_name="click")
        assert "SECRET" not in str(event)

    @pytest.mark.parametrize(
        ("user_agent", "device_class"),
        [
            (FIREFOX, "desktop"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Mobile/15E148", "mobile"),
            ("Mozilla/5.0 (Linux; Android 15; Pixel 9) Mobile Safari/537", "mobile"),
            ("Mozilla/5.0 (Linux; Android 15; SM-X900) Safari/537", "tablet"),
            ("Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X)", "tablet"),
            ("Mozilla/5.0 (SMART-TV; Linux; Tizen 8.0)", "tv"),
            ("Dalvik", None),
        ],
    )
    def test_the_device_is_told_by_the_header(
        self, user_agent: str, device_class: str | None
    ) -> None:
        event = kept(BROWSER, arrival(user_agent=user_agent))
        assert event.get("device_class") == device_class

    def test_the_senders_word_on_the_device_stands(self) -> None:
        assert kept(device_class="tv")["device_class"] == "tv"


class TestRefusals:
    def test_a_dead_letter_says_what_when_and_why(self) -> None:
        refusal = refused(event_name="Page View", user_id="ACC-4711", page_title="Hi")
        letter = orjson.loads(refusal.value)
        assert letter["deadletter_id"] == refusal.deadletter_id
        assert letter["received_at"] == "2026-03-02T12:00:00.000Z"
        assert (letter["source"], letter["input"]) == ("web", "event")
        assert (letter["schema_version"], letter["event_name"]) == ("1.1", None)
        assert letter["field"] == "event_name"
        assert letter["fields"]["event_name"] == "***"
        assert letter["fields"]["page_title"] == "Hi"
        assert letter["fields"]["user_id"] == PSEUDONYMIZER.user("ACC-4711")
        assert letter["fields"]["visitor_id"] == PSEUDONYMIZER.visitor(
            "web", "cookie-0001"
        )

    def test_a_field_of_the_senders_own_is_refused_and_its_value_masked(self) -> None:
        refusal = refused(favourite_colour="blue")
        assert refusal.field == "favourite_colour"
        assert "properties" in refusal.reason
        assert orjson.loads(refusal.value)["fields"]["favourite_colour"] == "***"

    @pytest.mark.parametrize(
        "name", ["anna@example.org", "x" * 100_000, "\\" * 50_000, "", "a b", "é"]
    )
    def test_a_field_name_that_may_be_anything_is_not_repeated(self, name: str) -> None:
        refusal = refused(**{name: 1})
        assert refusal.field == "(unknown field)"
        assert name == "" or name.encode() not in refusal.value

    def test_an_account_id_in_a_refused_event_is_masked_wherever_it_stands(
        self,
    ) -> None:
        refusal = refused(
            event_name="Bad",
            user_id="ACC-4711",
            page_title="Orders of ACC-4711",
            properties={"note": "acc-4711", "n": [{"x": "ACC-4711!"}], "ACC-4711": 1},
        )
        assert b"acc-4711" not in refusal.value.lower()

    def test_the_same_event_sent_again_is_the_same_dead_letter(self) -> None:
        later = replace(arrival(), received_at=NOON + timedelta(seconds=30))
        first = refused(event_name="Bad", sent_at="2026-03-02T12:00:00Z")
        again = refused(
            BROWSER, later, event_name="Bad", sent_at="2026-03-02T12:00:31Z"
        )
        other = refused(event_name="Bad", event_id="e_2")
        assert first.deadletter_id == again.deadletter_id != other.deadletter_id

    @pytest.mark.parametrize("sent", [None, 5, "text", [], [[]], True, 1.5])
    def test_what_is_no_object_is_refused(self, sent: Any) -> None:
        outcome = DOOR.admit(sent, BROWSER, arrival())
        assert isinstance(outcome, Refused)
        assert outcome.field == "(event)"

    @pytest.mark.parametrize("visitor_id", ["", "  ", "x" * 513, 1.5, True, ["a"], {}])
    def test_a_visitor_id_that_is_none_is_refused_and_not_kept(
        self, visitor_id: Any
    ) -> None:
        refusal = refused(visitor_id=visitor_id)
        assert refusal.field == "visitor_id"
        assert orjson.loads(refusal.value)["fields"]["visitor_id"] == "***"

    @pytest.mark.parametrize("field", ["properties", "items"])
    def test_json_inside_a_text_is_not_read_past_the_screening(
        self, field: str
    ) -> None:
        refusal = refused(**{field: '{"note": "anna@example.org"}'})
        assert refusal.field == field
        assert b"anna" not in refusal.value

    def test_an_event_that_is_too_large_is_refused_without_what_makes_it_so(
        self,
    ) -> None:
        refusal = refused(properties={f"key_{n}": "x" * 400 for n in range(400)})
        assert refusal.field == "(event)"
        assert len(refusal.value) < 2_000

    def test_properties_that_are_nested_too_deeply_are_refused(self) -> None:
        nested: Any = 1
        for _ in range(900):
            nested = {"x": [nested]}
        for source in (BROWSER, SERVER):
            refusal = refused(source, event_id=None, properties=nested)
            assert refusal.field in ("properties", "event_id")

    def test_two_major_versions_on_is_refused(self) -> None:
        assert refused(schema_version="3.0").field == "schema_version"

    @pytest.mark.parametrize("version", [1.1, 1, None, [], "1.1.1", "", "x" * 999])
    def test_a_version_that_is_none_is_refused(self, version: Any) -> None:
        assert refused(schema_version=version).field == "schema_version"


class TestIds:
    def test_a_browser_has_to_give_an_id(self) -> None:
        assert refused(event_id=None).field == "event_id"

    def test_a_servers_event_without_id_has_the_same_one_when_sent_again(self) -> None:
        later = replace(arrival(), received_at=NOON + timedelta(seconds=30))
        first = kept(SERVER, event_id=None, sent_at="2026-03-02T12:00:00Z")
        again = kept(SERVER, later, event_id=None, sent_at="2026-03-02T12:00:30Z")
        other = kept(SERVER, event_id=None, event_name="click")
        assert first["event_id"] == again["event_id"] != other["event_id"]

    def test_a_servers_event_without_time_happened_when_it_came(self) -> None:
        event = kept(SERVER, occurred_at=None)
        assert event["occurred_at"] == "2026-03-02T12:00:00.000Z"

    def test_an_id_that_is_an_address_is_hashed_and_not_answered(self) -> None:
        outcome = DOOR.admit(sent_event(event_id="10.20.30.40"), BROWSER, arrival())
        assert isinstance(outcome, Accepted)
        assert outcome.sent_id is None
        assert b"10.20.30.40" not in outcome.value

    def test_the_event_that_was_sent_is_left_as_it_is(self) -> None:
        sent = sent_event(
            page_url="https://shop.example/x", items=[{"item_id": 7, "price": 1}]
        )
        before = orjson.dumps(sent)
        DOOR.admit(sent, BROWSER, arrival())
        assert orjson.dumps(sent) == before


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("https://shop.example", "/"),
            ("https://shop.example/a/b/", "/a/b/"),
            ("https://shop.example/u/anna%40example.org/orders", "/u/redacted/orders"),
            ("https://shop.example/u/anna@example.org", "/u/redacted"),
            ("https://shop.example/x;jsessionid=AB12/y", "/x/y"),
            ("https://shop.example/a b", "/a%20b"),
            ("https://shop.example/ip/10.0.0.1", "/ip/redacted"),
            ("/relative?x=1", "/relative"),
            ("capacitor://localhost/home", "/home"),
        ],
    )
    def test_a_page_is_its_path(self, url: str, path: str) -> None:
        assert kept(page_url=url)["page_path"] == path

    @pytest.mark.parametrize(
        "url", ["mailto:a@b.example", "file:///home/anna/x", "http://[::1", "x", 7, []]
    )
    def test_what_is_no_page_is_dropped_and_named(self, url: Any) -> None:
        event = kept(page_url=url)
        assert "page_path" not in event
        assert event["properties"]["nearline_dropped"] == ["page_url"]

    def test_a_page_of_the_same_site_refers_nobody(self) -> None:
        event = kept(
            page_url="https://shop.example/b", referrer="https://www.shop.example/a"
        )
        assert "referrer_host" not in event

    def test_a_referrer_that_is_an_ip_address_is_dropped(self) -> None:
        event = kept(referrer="http://192.168.1.20/x")
        assert "referrer_host" not in event
        assert event["properties"]["nearline_dropped"] == ["referrer"]

    def test_a_link_is_its_host_and_path(self) -> None:
        event = kept(event_name="click", link_url="https://Other.example/x?token=1")
        assert (event["link_host"], event["link_path"]) == ("other.example", "/x")

    def test_the_campaign_that_is_said_stands_before_the_addresses(self) -> None:
        event = kept(
            page_url="https://shop.example/?utm_source=a&utm_medium=b", utm_source="c"
        )
        assert (event["utm_source"], event["utm_medium"]) == ("c", "b")

    def test_a_search_without_term_finds_it_in_the_address(self) -> None:
        url = "https://shop.example/find?q=red+chair"
        assert kept(event_name="search", page_url=url)["search_term"] == "red chair"
        assert "search_term" not in kept(page_url=url)


class TestIdentifiers:
    @pytest.mark.parametrize(
        "field",
        ["page_title", "utm_term", "search_term", "item_category", "item_brand"],
    )
    @pytest.mark.parametrize(
        "text",
        [
            "write to anna@example.org",
            "anna%2540example.org",
            "call +49 170 1234567",
            "from 10.20.30.40",
            "x" * 200 + " anna@example.org " + "x" * 200,
            "x" * 245 + " anna@example.org",
        ],
    )
    def test_a_text_that_holds_one_is_dropped_and_the_event_kept(
        self, field: str, text: str
    ) -> None:
        event = kept(**{field: text})
        assert field not in event
        assert event["properties"] == {"nearline_dropped": [field]}

    def test_a_long_text_is_cut(self) -> None:
        assert kept(page_title="x" * 300)["page_title"] == "x" * 256

    def test_properties_lose_texts_and_keys_that_say_who_it_was(self) -> None:
        event = kept(
            properties={
                "colour": "blue",
                "Email": "kept by nobody",
                "note": "anna@example.org",
                "deep": {"phone_number": 1, "list": ["10.20.30.40", "ok", 3]},
                "anna@example.org": 1,
                "customerId": 4711,
            }
        )
        assert event["properties"] == {
            "colour": "blue",
            "deep": {"list": ["ok", 3]},
            "nearline_dropped": [
                "properties.(unnamed)",
                "properties.Email",
                "properties.customerId",
                "properties.deep.list",
                "properties.deep.phone_number",
                "properties.note",
            ],
        }

    def test_an_address_in_a_text_loses_its_query(self) -> None:
        event = kept(properties={"image": "https://cdn.example/x.png?token=abc#d"})
        assert event["properties"] == {"image": "https://cdn.example/x.png"}

    def test_an_item_loses_a_text_that_holds_one(self) -> None:
        event = kept(
            event_name="purchase",
            items=[{"item_id": "s1", "item_brand": "anna@example.org"}],
        )
        assert event["items"] == [{"item_id": "s1", "quantity": 1}]
        assert event["properties"] == {"nearline_dropped": ["items"]}

    @pytest.mark.parametrize("field", ["order_id", "content_id", "page_view_id"])
    @pytest.mark.parametrize("value", ["555-123-4567", "10.20.30.40", "fe80::1:2:3"])
    def test_an_id_that_is_one_is_replaced_by_a_keyed_hash(
        self, field: str, value: str
    ) -> None:
        event = kept(**{field: value})
        assert event[field] == PSEUDONYMIZER.visitor("web", value)

    def test_ids_that_only_look_odd_are_left(self) -> None:
        ids = {"order_id": "A-2026.03.1", "page_view_id": "0" * 32, "item_id": "12.5"}
        event = kept(**ids)
        assert {name: event[name] for name in ids} == ids

    def test_the_account_id_is_in_no_other_field(self) -> None:
        event = kept(
            event_name="purchase",
            user_id="4711",
            page_url="https://shop.example/account/4711/orders",
            page_title="Orders of 4711",
            order_id="4711-3",
            currency="EUR",
            value=4711,
            items=[{"item_id": "4711"}, {"item_id": "s47110"}],
            properties={"who": "4711", "n": 4711, "list": [4711, 5], "year": 47112},
        )
        assert event["page_path"] == "/account/redacted/orders"
        assert "page_title" not in event
        assert event["order_id"].startswith("v_")
        assert event["items"][0]["item_id"].startswith("v_")
        assert event["items"][1]["item_id"] == "s47110"
        assert event["revenue_cents"] == 471_100
        assert event["properties"] == {
            "list": [5],
            "year": 47112,
            "nearline_dropped": [
                "items",
                "order_id",
                "page_title",
                "properties.list",
                "properties.n",
                "properties.who",
            ],
        }


class TestShop:
    def test_an_event_about_one_item_has_its_facts_itself(self) -> None:
        event = kept(
            event_name="add_to_cart",
            items=[
                {
                    "item_id": 154,
                    "item_name": "Chair",
                    "item_category": "chairs",
                    "item_brand": "Oak",
                    "price": 19.99,
                    "quantity": 2.0,
                    "index": 3,
                }
            ],
            currency="eur",
            value=39.98,
        )
        assert "items" not in event
        assert event["item_id"] == "154"
        assert event["item_category"] == "chairs"
        assert event["price_cents"] == 1999
        assert event["quantity"] == 2
        assert event["currency"] == "EUR"
        assert event["properties"] == {"value": 39.98}
        assert "Chair" not in str(event)

    def test_a_purchase_keeps_its_lines_and_its_revenue(self) -> None:
        event = kept(
            event_name="purchase",
            transaction_id=99,
            value="39.98",
            currency="EUR",
            items=[{"item_id": "s1", "price": "19.99", "quantity": "2"}],
        )
        assert event["order_id"] == "99"
        assert event["revenue_cents"] == 3998
        assert event["items"] == [{"item_id": "s1", "price_cents": 1999, "quantity": 2}]

    @pytest.mark.parametrize(
        ("price", "price_cents"),
        [
            (19.99, 1999),
            (0.29, 29),
            (1.005, 101),
            (4.35, 435),
            (1e-30, 0),
            (0, 0),
            (1000, 100_000),
            (1.234, 123),
            ("8.115", 812),
            (1e10, 10**12),
        ],
    )
    def test_money_becomes_cents_exactly(self, price: Any, price_cents: int) -> None:
        assert kept(price=price)["price_cents"] == price_cents

    @pytest.mark.parametrize(
        "price", [-1, "free", "NaN", "Infinity", 1e300, "1" * 1_000, True, [], {}]
    )
    def test_what_is_no_price_is_refused(self, price: Any) -> None:
        assert refused(price=price).field == "price_cents"

    @pytest.mark.parametrize("items", [5, [5], [[]], [{}], [{"item_id": None}], {}])
    def test_what_are_no_items_is_refused(self, items: Any) -> None:
        assert refused(items=items).field == "items"
