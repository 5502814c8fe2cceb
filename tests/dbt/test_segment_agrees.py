"""A call means the same whether it comes live or in an export.

Live calls are mapped in Python (`nearline.collector.segment`) and pass the door, exports
are mapped in SQL (`calls_as_events`). The oracle of each is the other: they share no line
that says what a call means.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from nearline.collector.config import CollectorConfig, Source
from nearline.collector.door import Accepted, Arrival, Door
from nearline.collector.segment import EVENT_NAMES, to_event
from nearline.landing.formats import MASK
from nearline.landing.landings import land_file
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings
from tests.dbt.warehouse import PROVENANCE, Warehouse

Payload = dict[str, Any]

SPEC = Path(__file__).parents[2].parent / "shared" / "data" / "segment"
RECEIVED_AT = "2026-03-02T12:00:00.000Z"
SOURCE = "segment"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
# Of the vendor's clock in one, of the collector's in the other.
TIMES = ("occurred_at", "sent_at", "received_at", "clock_skew_seconds")
# Which key it was is kept of live events alone, and what was taken out of them.
ONLY_LIVE = (*TIMES, "pseudonym_key_id")


def _track(event: Any, context: Any = None, **properties: Any) -> Payload:
    call = {"type": "track", "event": event, "properties": properties}
    return call if context is None else {**call, "context": context}


def _page(*, context: Any = None, **properties: Any) -> Payload:
    call = {"type": "page", "properties": properties}
    return call if context is None else {**call, "context": context}


CHAIR = {"product_id": "p1", "name": "Chair", "price": 19, "quantity": 1}
LAMP = {"sku": "46-1", "price": "3.005", "quantity": 2.0, "category": "Light"}
PAGE = {
    "url": "https://www.shop.example/games/7?utm_source=mail&utm_term=a&x=1#top",
    "title": "Games",
    "referrer": "https://search.example/?q=games",
}
OWN_PAYLOADS: list[Payload] = [
    *(
        _track(
            name.replace("_", " ").title(),
            # Of who did not agree the door keeps less; an exposure says of what.
            {"consent": {"categoryPreferences": {"Analytics": True}}},
            experiment_id="e1",
            variation_id="v1",
            **CHAIR,
        )
        for name in EVENT_NAMES
    ),
    *(
        _track(name)
        for name in (
            "order_completed",
            "sizeGuideOpened",
            "3D view",
            "  Spaced -- out!  ",
            "Ünïcode naming",
            "x" * 90,
            f"{'y' * 63} z",
            "日本",
            "anna@example.org",
            "",
            5,
            None,
        )
    ),
    _track("Product Viewed", {"page": PAGE}, **CHAIR, currency="eur", url="/p1"),
    _track("Product Viewed", products=[CHAIR]),
    _track("Product Viewed", product_id="p 1/ü", price=2, category="anna@example.org"),
    _track("Product Viewed", product_id=17, price="1e1", brand=""),
    _track("Product List Viewed", list_id="new", products=[CHAIR, LAMP]),
    _track("Product List Viewed", products=[CHAIR]),
    _track("Product List Viewed", products=[{"name": "no id"}]),
    _track("Product List Viewed", products=[5]),
    _track("Product List Viewed", products=[{**CHAIR, "price": "cheap"}]),
    _track("Product List Viewed", products=[{**CHAIR, "quantity": 0}]),
    _track("Order Completed", order_id="o-1", revenue=25, total=27.5, currency="USD"),
    _track("Order Completed", order_id=4711, total="27.505", products=[CHAIR, LAMP]),
    _track("Order Completed", order_id="o-2", value=0.29, coupon="spring"),
    _track("Order Completed", order_id="o-3", revenue="much"),
    _track("Order Completed", order_id="o-4", revenue=5, currency="Euro"),
    _track("Order Refunded", order_id="o-1", revenue=25, currency="USD"),
    _track("Products Searched", query="red lamp"),
    _track("Products Searched", query="mail anna@example.org"),
    _track("Experiment Viewed", experiment_id="e1", variation_id="blue"),
    _track("Subscribed", email="anna@example.org", first_name="Anna", plan="gold"),
    _track("Subscribed", nested={"customerNo": "4711", "level": 2}, value="blue"),
    _page(**PAGE, name="Home", category="Landing Pages", colour="blue"),
    _page(context={"page": PAGE, "campaign": {"name": "spring", "source": "news"}}),
    _page(context={"page": PAGE}, url="https://shop.example/other", path="/ignored"),
    _page(path="/only", referrer="https://www.shop.example/", search="?a=b"),
    _page(url="https://shop.example/a", referrer="https://www.shop.example/b"),
    _page(
        url="https://shop.example/u/anna@example.org/x", title="For anna@example.org"
    ),
    _page(url="file:///home/anna/a.html", path="/home/anna/a.html"),
    _page(title="", category="3 D"),
    {"type": "page", "name": "Start", "category": "anna@example.org"},
    {"type": "screen", "name": "Order History", "properties": {"category": "app"}},
    {"type": "screen", "name": "anna@example.org"},
    {"type": "screen", "properties": {"name": "日本"}},
    {"type": "screen", "context": {"device": {"type": "iOS"}}, "name": "A"},
    {"type": "identify", "traits": {"email": " Anna@Example.org", "name": "Anna"}},
    {"type": "identify", "userId": "u-1", "traits": {"email": "unknown", "plan": 5}},
    {"type": "identify", "userId": "u-1", "context": {"traits": {"email": "b@c.de"}}},
    {"type": "alias", "userId": "u-2", "previousId": "u-1"},
    {"type": "alias", "userId": 97, "previousId": "jen@example.org", "anonymousId": ""},
    {"type": "group", "groupId": "g-1", "traits": {"email": "office@example.org"}},
    {"type": "track", "event": "Refunded", "userId": 97, "anonymousId": None},
    {"type": "track", "event": "Seen", "context": {"userAgent": FIREFOX}},
    {"type": "track", "event": "Seen", "context": {"userAgent": "Googlebot/2.1"}},
    *(
        {
            "type": "track",
            "event": "Seen",
            "context": {"consent": {"categoryPreferences": categories}},
        }
        for categories in (
            {"Analytics": True, "Advertising": False},
            {"C0002": False, "C0003": True, "C0004": True},
            {"Analytics": True, "Performance": False},
            {"Analytics": "yes", "Other": True},
        )
    ),
    {
        **_page(
            context={"page": {"url": "https://shop.example/a/acc-4711/b"}},
            title="Orders of ACC-4711",
            owner="acc-4711",
            nested={"of": "acc-4711 and more", "level": 2},
            near="acc-47110",
        ),
        "userId": "acc-4711",
    },
    {"type": "nonsense"},
    {"event": "No Type"},
]


def _spec_payloads() -> list[Payload]:
    path = SPEC / "payloads.jsonl"
    if not path.exists():
        return []
    return [json.loads(line)["payload"] for line in path.read_text().splitlines()]


def _sent(number: int, payload: Payload) -> Payload:
    """A payload with what the vendor adds to each."""
    added = {"timestamp": RECEIVED_AT, "receivedAt": RECEIVED_AT}
    if "anonymousId" not in payload and "userId" not in payload:
        added["anonymousId"] = "cookie-0001"
    return {**added, **payload, "messageId": f"message-{number}"}


PAYLOADS = [
    _sent(number, payload)
    for number, payload in enumerate([*OWN_PAYLOADS, *_spec_payloads()])
]

TRACK_ROW = {
    "id": "message-of-two-tables",
    "anonymous_id": "cookie-0001",
    "event": "order_completed",
    "event_text": "Order Completed",
    "received_at": RECEIVED_AT,
    "timestamp": RECEIVED_AT,
}
UNSAID = _sent(len(PAYLOADS), _track("Experiment Viewed", experiment_id="e1"))


@pytest.fixture(scope="module")
def warehouse(homes: Path, target: Path) -> Warehouse:
    warehouse = Warehouse(homes / "segment", target)
    settings = Settings(home=warehouse.home, max_rejected_share=1)
    warehouse.home.mkdir()
    path = warehouse.home / "payloads.jsonl"
    payloads = [*PAYLOADS, UNSAID]
    path.write_text("".join(json.dumps(payload) + "\n" for payload in payloads))
    land_file(settings, path, "segment")
    # A warehouse's table of all tracks first: it has the properties of none.
    tables = {"tracks": {}, "order_completed": {"order_id": "o-9", "total": "5"}}
    for name, properties in tables.items():
        row = {**TRACK_ROW, **properties}
        table = warehouse.home / f"{name}.csv"
        table.write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
        land_file(settings, table, "segment")
    warehouse.dbt("run", "--select", "+int_events__deduplicated")
    return warehouse


@pytest.fixture(scope="module")
def imported(warehouse: Warehouse) -> dict[str, Payload]:
    """Staged events of the payloads by id."""
    rows = warehouse.rows(
        "from stg_segment__events where source_file = 'payloads.jsonl'"
    )
    return {row["event_id"]: _as_event(row) for row in rows}


def _as_event(row: Payload) -> Payload:
    left = {*PROVENANCE, "source_format", *TIMES}
    event = {
        name: row[name] for name in row if name not in left and row[name] is not None
    }
    for name in ("items", "properties"):
        if name in event:
            event[name] = json.loads(event[name])
    return event


@pytest.fixture(scope="module")
def collected(imported: dict[str, Payload], homes: Path) -> dict[str, Payload]:
    """Events that the collector accepted, by id."""
    settings = Settings(home=homes / "segment")
    source = Source(
        write_key="key", source=SOURCE, trust="server", requires_consent=False
    )
    door = Door(CollectorConfig(sources=(source,)), load_pseudonymizer(settings))
    received_at = datetime.fromisoformat(RECEIVED_AT).astimezone(UTC)
    accepted = {}
    for payload in [*PAYLOADS, UNSAID]:
        event = to_event(None, payload, {})
        outcome = door.admit(event, source, Arrival(received_at, form="segment"))
        if isinstance(outcome, Accepted):
            accepted[outcome.event_id] = orjson.loads(outcome.value)
    return accepted


def _meaning(event: Payload | None) -> Payload | None:
    """An event without what differs between a live one and an export by design."""
    if event is None:
        return None
    meaning = {name: event[name] for name in event if name not in ONLY_LIVE}
    return {**meaning, "properties": _unmasked(meaning.pop("properties", {}))}


def _unmasked(value: Any) -> Any:
    """Properties without texts of identifiers: dropped live, masked in an export."""
    if isinstance(value, dict):
        return {
            name: _unmasked(inner)
            for name, inner in value.items()
            if name != "nearline_dropped" and inner != MASK
        }
    return value


@pytest.mark.parametrize(
    "payload", PAYLOADS, ids=lambda payload: str(payload["messageId"])
)
def test_a_call_means_the_same_live_and_in_an_export(
    imported: dict[str, Payload], collected: dict[str, Payload], payload: Payload
) -> None:
    event_id = payload["messageId"]
    assert _meaning(imported.get(event_id)) == _meaning(collected.get(event_id))


def test_an_event_that_two_tables_hold_is_counted_once_and_whole(
    warehouse: Warehouse,
) -> None:
    [event] = warehouse.rows(
        f"from int_events__deduplicated where event_id = '{TRACK_ROW['id']}'"
    )
    assert (event["order_id"], event["revenue_cents"]) == ("o-9", 500)


def test_an_exposure_that_does_not_say_of_what_is_no_exposure(
    imported: dict[str, Payload], collected: dict[str, Payload]
) -> None:
    # Its sender is told so; an export cannot be sent again.
    assert UNSAID["messageId"] not in collected
    assert imported[UNSAID["messageId"]]["event_name"] == "custom_exposure"


def test_the_payloads_of_segments_own_spec_were_among_them() -> None:
    if not _spec_payloads():
        pytest.skip("shared/data/segment is not beside the project")
    assert len(PAYLOADS) > len(OWN_PAYLOADS)
