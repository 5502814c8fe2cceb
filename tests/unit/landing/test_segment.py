"""Calls of Segment and RudderStack at the door: what is kept, what is refused and why."""

import csv
import gzip
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.deadletters.letters import find_letters
from nearline.deadletters.patching import Changes, parse_fix, parse_path
from nearline.deadletters.replay import replay
from nearline.errors import InputError
from nearline.landing.formats import FILE_NAME, Rejection
from nearline.landing.landings import land_file
from nearline.landing.registry import find_format
from nearline.privacy.pseudonyms import Pseudonymizer, load_pseudonymizer
from nearline.settings import Settings
from tests.unit.landing.event_files import Record, all_bytes, landed_rows

COOKIE = "cookie-of-anna"
ACCOUNT = "account-541312140"
MAIL = "anna@shop.example"
PSEUDONYMIZER = Pseudonymizer(b"0123456789abcdef")
both_vendors = pytest.mark.parametrize("vendor", ["segment", "rudderstack"])


def call(event: str = "Order Completed", **fields: Any) -> Record:
    """A payload as an archive holds it; `properties` adds to the order's own."""
    properties = {
        "order_id": "o-1",
        "revenue": 19.99,
        "currency": "EUR",
        "email": MAIL,
        "note": f"mail {MAIL}",
        "products": [{"product_id": "sku_1", "price": 19.99, "quantity": 1}],
        **fields.pop("properties", {}),
    }
    return {
        "type": "track",
        "event": event,
        "messageId": "ajs-next-1",
        "anonymousId": COOKIE,
        "userId": ACCOUNT,
        "timestamp": "2026-09-01T10:00:00.250Z",
        "receivedAt": "2026-09-01T10:00:01Z",
        "context": {"ip": "10.20.30.40", "locale": "de"},
        "properties": properties,
        **fields,
    }


# The same order as its event's table has it.
ROW: Record = {
    "id": "ajs-next-1",
    "anonymous_id": COOKIE,
    "user_id": ACCOUNT,
    "event": "order_completed",
    "event_text": "Order Completed",
    "timestamp": "2026-09-01 10:00:00.250 UTC",
    "received_at": "2026-09-01 10:00:01 UTC",
    "uuid_ts": "2026-09-01 11:00:00 UTC",
    "context_ip": "10.20.30.40",
    "context_locale": "de",
    "order_id": "o-1",
    "revenue": "19.99",
    "currency": "EUR",
    "email": MAIL,
    "note": f"mail {MAIL}",
    "products": '[{"product_id": "sku_1", "price": 19.99, "quantity": 1}]',
}


def write_payloads(path: Path, payloads: list[Record]) -> Path:
    path.write_text("".join(json.dumps(payload) + "\n" for payload in payloads))
    return path


def write_table(path: Path, rows: list[Record]) -> Path:
    columns = list({name: None for row in rows for name in row})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def taken(record: Record, settings: Settings, vendor: str = "segment") -> Record:
    row = find_format(settings, vendor).to_row(dict(record), PSEUDONYMIZER)
    assert isinstance(row, dict), row
    return {name: value for name, value in row.items() if value is not None}


def refusal(record: Record, settings: Settings) -> Rejection:
    row = find_format(settings, "segment").to_row(dict(record), PSEUDONYMIZER)
    assert isinstance(row, Rejection), row
    return row


@both_vendors
def test_a_payload_and_a_row_of_a_table_are_one_raw_row(
    settings: Settings, vendor: str
) -> None:
    row = taken(ROW, settings, vendor)
    assert row == taken(call(), settings, vendor) | {
        "content_id": row["content_id"],
        # Columns of text are amounts only where something reads them.
        "properties": '{"note":"***","revenue":"19.99"}',
    }
    del row["content_id"]
    assert row == {
        "type": "track",
        "event_id": "ajs-next-1",
        "event": "Order Completed",
        "timestamp": datetime(2026, 9, 1, 10, 0, 0, 250_000),
        "received_at": datetime(2026, 9, 1, 10, 0, 1),
        "visitor_id": PSEUDONYMIZER.visitor(vendor, COOKIE),
        "user_id": PSEUDONYMIZER.user(ACCOUNT),
        "order_id": "o-1",
        "revenue_cents": 1999,
        "currency": "EUR",
        "products": '[{"price_cents":1999,"product_id":"sku_1","quantity":1}]',
        "properties": '{"note":"***","revenue":"19.99"}',
    }


TRAITS = {"name": "Anna Beispiel", "email": MAIL, "title": "Queen", "plan": "gold"}


@pytest.mark.parametrize(
    ("file", "fields", "kind"),
    [
        ("identifies.csv", TRAITS, "identify"),
        ("PROD.IDENTIFIES_000.csv.gz", TRAITS, "identify"),
        ("part-0.csv", {"type": "identify", **TRAITS}, "identify"),
        ("groups.parquet", {"group_id": "g-1", **TRAITS}, "group"),
        ("aliases-2026-09.csv", {"previous_id": "old-id"}, "alias"),
        ("part-0.csv", {"previous_id": "old-id"}, "alias"),
        ("screens.csv", {"name": "Start"}, "screen"),
        ("pages_2026.csv", {"name": "Home"}, "page"),
        ("part-0.csv", {"path": "/", "url": "https://shop.example/"}, "page"),
        ("video_ad_started.csv", {"event": "video_ad_started", "type": "pre"}, "track"),
    ],
)
def test_the_call_of_a_row_is_told_by_its_columns_or_its_file(
    settings: Settings, file: str, fields: Record, kind: str
) -> None:
    common = ("id", "anonymous_id", "user_id", "timestamp")
    row = taken(
        {name: ROW[name] for name in common} | fields | {FILE_NAME: file}, settings
    )
    assert row["type"] == kind
    text = json.dumps(row, default=str)
    for trait in ("Anna", MAIL, "Queen", "gold", "g-1", "old-id"):
        assert trait not in text
    assert ("contact_id" in row) is (kind == "identify")


@pytest.mark.parametrize("file", ["part-0.csv", "users.csv", "homepages.csv"])
def test_a_row_that_does_not_say_what_call_it_is_is_refused(
    settings: Settings, file: str
) -> None:
    row = {"id": "1", "anonymous_id": COOKIE, "timestamp": ROW["timestamp"], **TRAITS}
    assert refusal({**row, FILE_NAME: file}, settings).field == "type"


def test_the_table_of_all_tracks_is_told_from_that_of_the_event(
    settings: Settings,
) -> None:
    own = ("order_id", "revenue", "currency", "email", "note", "products")
    row = {name: value for name, value in ROW.items() if name not in own}
    assert taken(row, settings)["table_name"] == "tracks"
    assert "table_name" not in taken(ROW, settings)
    assert "table_name" not in taken(call(), settings)


def test_parquet_gives_the_same_rows_as_csv(settings: Settings, tmp_path: Path) -> None:
    land_file(settings, write_table(tmp_path / "order_completed.csv", [ROW]), "segment")
    columns: dict[str, Any] = {name: [value] for name, value in ROW.items()}
    for name in ("timestamp", "received_at"):
        moment = datetime.fromisoformat(ROW[name].removesuffix(" UTC"))
        columns[name] = pa.array(
            [moment.replace(tzinfo=UTC)], pa.timestamp("ns", "UTC")
        )
    columns["context_consent_category_preferences_analytics"] = pa.array(
        [None], pa.bool_()
    )
    path = tmp_path / "order_completed.parquet"
    pq.write_table(pa.table(columns), path)
    land_file(settings, path, "segment")
    of_csv, of_parquet = landed_rows(settings)
    for row in (of_csv, of_parquet):
        del row["source_file"]
    assert of_csv == of_parquet


def test_times_of_other_zones_are_the_same_moments(settings: Settings) -> None:
    moments = [
        "2026-09-01T10:00:00.250Z",
        "2026-09-01T12:00:00.250+02:00",
        "2026-09-01 05:30:00.2509 -04:30",
        "2026-09-01 10:00:00.250+00",
    ]
    rows = [taken(call(timestamp=moment), settings) for moment in moments]
    assert {row["timestamp"] for row in rows} == {
        datetime(2026, 9, 1, 10, 0, 0, 250_000)
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": "users"}, "type"),
        ({"type": 5}, "type"),
        ({"event": None}, "event"),
        ({"event": ["Order Completed"]}, "event"),
        ({"event": f"mail of {MAIL}"}, "event"),
        ({"event": "+++"}, "event"),
        ({"anonymousId": None, "userId": None}, "anonymous_id"),
        ({"anonymousId": {"id": COOKIE}}, "anonymous_id"),
        ({"userId": [ACCOUNT]}, "user_id"),
        ({"userId": "x" * 513}, "user_id"),
        ({"messageId": {"id": 1}}, "id"),
        ({"timestamp": None}, "timestamp"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "01/09/2026 10:00"}, "timestamp"),
        ({"timestamp": "1026-09-01T10:00:00Z"}, "timestamp"),
        ({"timestamp": "56000-09-01T10:00:00Z"}, "timestamp"),
        ({"timestamp": 1788256800}, "timestamp"),
        ({"receivedAt": "2026-02-30T10:00:00Z"}, "received_at"),
        ({"properties": {"revenue": "19,99 EUR"}}, "properties_revenue"),
        ({"properties": {"total": True}}, "properties_total"),
        ({"properties": {"currency": "Euro"}}, "properties_currency"),
        ({"properties": {"order_id": {"n": 1}}}, "properties_order_id"),
        ({"properties": {"query": ["red"]}}, "properties_query"),
        ({"properties": {"products": ["sku_1"]}}, "properties_products"),
        ({"properties": {"products": [{"price": 1}]}}, "properties_products"),
        (
            {"properties": {"products": [{"product_id": "a", "price": "cheap"}]}},
            "properties_products",
        ),
        (
            {"properties": {"products": [{"product_id": "a", "quantity": 0}]}},
            "properties_products",
        ),
        (
            {"properties": {"products": [{"product_id": "a"}] * 201}},
            "properties_products",
        ),
        ({"properties": {"products": "[{"}}, "properties_products"),
    ],
)
def test_a_broken_call_is_told_by_field_and_never_by_value(
    settings: Settings, fields: Record, field: str
) -> None:
    found = refusal(call(**fields), settings)
    assert found.field == field
    for secret in ("anna", "541312140", "sku_1", "19,99", "Euro", "cheap"):
        assert secret not in found.reason


def test_a_products_fault_is_told_by_its_line(settings: Settings) -> None:
    products = [{"product_id": "a"}, {"product_id": "b", "price": -1}]
    found = refusal(call(properties={"products": products}), settings)
    assert found.reason.startswith("line 2, price: must be an amount")


@pytest.mark.parametrize("junk", [None, 5, "x", [], True, {"a": []}, [{}]])
def test_junk_in_every_place_is_judged_and_breaks_nothing(
    settings: Settings, junk: Any
) -> None:
    format_ = find_format(settings, "segment")
    contexts = dict.fromkeys(("page", "campaign", "device", "consent", "traits"), junk)
    payload = call()
    records = [
        *({**payload, name: junk} for name in payload),
        *({**ROW, name: junk} for name in ROW),
        *(call(properties={name: junk}) for name in payload["properties"]),
        call(context=contexts),
        *({**payload, "type": kind, "traits": junk} for kind in ("page", "identify")),
    ]
    for record in records:
        row = format_.to_row(dict(record), PSEUDONYMIZER)
        if isinstance(row, Rejection):
            format_.kept_of(record, row, PSEUDONYMIZER)


def test_shifted_columns_are_refused(settings: Settings) -> None:
    names, values = list(ROW), list(ROW.values())
    for by in (1, 3, 5):
        shifted = dict(zip(names, values[by:] + values[:by], strict=True))
        assert refusal(shifted, settings).field in ("timestamp", "properties_products")


def test_a_refused_call_is_mended_and_replayed_and_holds_no_identifier(
    settings: Settings, tmp_path: Path
) -> None:
    bad = call(timestamp="yesterday", messageId="ajs-next-2")
    path = write_payloads(tmp_path / "calls.jsonl", [call(), bad])
    landing = land_file(settings, path, "segment")
    assert (landing.accepted_count, landing.rejected_count) == (1, 1)
    [letter] = find_letters(settings)
    assert (letter.field, letter.event_name) == ("timestamp", "Order Completed")
    kept = all_bytes(settings.raw)
    for secret in (MAIL, "anna", ACCOUNT, "541312140", "10.20.30.40"):
        assert secret.encode() not in kept

    fixes = (parse_fix("timestamp=2026-09-01T10:00:00.250Z"),)
    drops = (parse_path("properties_others.note"),)
    [outcome] = replay(settings, [letter], Changes(drops=drops, fixes=fixes))

    assert outcome.status == "replayed", outcome
    pseudonymizer = load_pseudonymizer(settings)
    first, replayed = sorted(landed_rows(settings), key=lambda row: row["event_id"])
    assert replayed["event_id"] == "ajs-next-2"
    assert replayed["visitor_id"] == pseudonymizer.visitor("segment", COOKIE)
    same = ("timestamp", "user_id", "order_id", "revenue_cents", "products", "type")
    assert {name: replayed[name] for name in same} == {
        name: first[name] for name in same
    }


def test_a_file_of_mostly_bad_calls_is_not_landed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", max_rejected_share=0.5)
    bad = call(timestamp="yesterday")
    path = write_payloads(tmp_path / "calls.jsonl", [call(), bad, bad])
    with pytest.raises(InputError, match=r"67% of its rows .*row 2, timestamp"):
        land_file(settings, path, "segment")
    assert not list(settings.raw.glob("format=*/landing_id=*"))


def test_a_table_of_traits_alone_is_no_export_of_events(
    settings: Settings, tmp_path: Path
) -> None:
    rows = [{"id": ACCOUNT, "received_at": ROW["received_at"], **TRAITS}]
    with pytest.raises(InputError, match="no row fits") as found:
        land_file(settings, write_table(tmp_path / "users.csv", rows), "segment")
    assert "Anna" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        (
            "calls.jsonl.gz",
            lambda data: gzip.compress(data)[:-40],
            "gzip stream is cut",
        ),
        ("calls.jsonl", lambda data: data.decode().encode("utf-16"), "is not UTF-8"),
        ("calls.csv", lambda data: b'id,event\n1,"open', "is not readable as CSV"),
        ("calls.csv", lambda data: b"id,id\n1,2\n", "has column id twice"),
        ("calls.parquet", lambda data: b"PAR1" + data, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_stops_with_its_line(
    settings: Settings,
    tmp_path: Path,
    name: str,
    spoil: Callable[[bytes], bytes],
    says: str,
) -> None:
    lines = write_payloads(tmp_path / "good.jsonl", [call()] * 50).read_bytes()
    path = tmp_path / name
    path.write_bytes(spoil(lines))
    with pytest.raises(InputError, match=says):
        land_file(settings, path, "segment")
    assert not list(settings.raw.glob("format=*/landing_id=*"))


def test_a_line_cut_off_is_one_refused_row(settings: Settings, tmp_path: Path) -> None:
    path = write_payloads(tmp_path / "calls.jsonl", [call(), call()])
    path.write_text(path.read_text()[:-40])
    landing = land_file(settings, path, "segment")
    assert (landing.accepted_count, landing.rejected_count) == (1, 1)


@pytest.mark.parametrize(
    ("code", "kept"), [("EUR", "EUR"), (" usd ", "USD"), ("jpy", "JPY")]
)
def test_a_currency_is_three_capital_letters(
    settings: Settings, code: str, kept: str
) -> None:
    row: Mapping[str, Any] = taken(call(properties={"currency": code}), settings)
    assert row["currency"] == kept
