"""GA4's export at the door: what is kept of a row, what is refused and why."""

import copy
import gzip
import json
from collections.abc import Mapping
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
from nearline.landing.declarations import Column, Declaration
from nearline.landing.declared_format import DeclaredFormat
from nearline.landing.formats import Rejection
from nearline.landing.ga4_shape import flat_row
from nearline.landing.landings import land_file
from nearline.landing.registry import find_format
from nearline.privacy.pseudonyms import Pseudonymizer, load_pseudonymizer
from nearline.settings import Settings
from tests.unit.landing.event_files import Record, all_bytes, landed_rows

COOKIE = "1166526666.1788256790"
ACCOUNT = "541312140"
MAIL = "anna@shop.example"
MOMENT = "1788256800250431"
VELIR = Path(__file__).resolve().parents[4] / "shared" / "data" / "ga4"
PSEUDONYMIZER = Pseudonymizer(b"0123456789abcdef")


def param(key: str, value: Any) -> Record:
    kind = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
    typed = dict.fromkeys(("string_value", "int_value", "float_value", "double_value"))
    # BigQuery writes its 64-bit integers as text.
    return {
        "key": key,
        "value": typed | {kind: str(value) if kind == "int_value" else value},
    }


def event(name: str = "page_view", **fields: Any) -> Record:
    """One row as `bq extract` writes it; `params` adds to its parameters."""
    params = {
        "ga_session_id": 1788256800,
        "page_location": f"https://www.shop.example/tea?mail={MAIL}",
        "page_title": f"Tea for {MAIL}",
        **fields.pop("params", {}),
    }
    return {
        "event_date": "20260901",
        "event_timestamp": MOMENT,
        "event_name": name,
        "event_params": [param(key, value) for key, value in params.items()],
        "event_bundle_sequence_id": "948327668",
        "event_server_timestamp_offset": None,
        "user_id": ACCOUNT,
        "user_pseudo_id": COOKIE,
        "privacy_info": {"analytics_storage": "Yes", "ads_storage": "No"},
        "user_properties": [param("full_name", "Anna Beispiel")],
        "user_ltv": {"revenue": 19.99, "currency": "EUR"},
        "device": {"category": "desktop", "web_info": {"browser": "Chrome"}},
        "geo": {"country": "Germany", "city": "Kleinkuckucksheim"},
        "traffic_source": {"source": "(direct)"},
        "stream_id": "2614001",
        "platform": "WEB",
        "items": [],
        "batch_event_index": "1",
        "batch_page_id": "1788256800123",
        "batch_ordering_id": "1",
        **fields,
    }


def write_rows(path: Path, rows: list[Record]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def to_row(record: Record, settings: Settings) -> Record:
    row = find_format(settings, "ga4").to_row(copy.deepcopy(record), PSEUDONYMIZER)
    assert isinstance(row, dict), row
    return row


def refusal(record: Record, settings: Settings) -> Rejection:
    row = find_format(settings, "ga4").to_row(copy.deepcopy(record), PSEUDONYMIZER)
    assert isinstance(row, Rejection)
    return row


def present(row: Mapping[str, Any]) -> Record:
    return {name: value for name, value in row.items() if value is not None}


def test_a_row_keeps_what_is_declared_and_nobodys_name(settings: Settings) -> None:
    row = to_row(
        event(params={"engagement_time_msec": 31250, "gclid": "Cj0"}), settings
    )

    event_id = row.pop("event_id")
    assert len(event_id) == 32
    assert present(row) == {
        "event_name": "page_view",
        "event_at": datetime(2026, 9, 1, 10, 0, 0, 250_000),
        "event_timestamp": 1788256800250431,
        "event_bundle_sequence_id": "948327668",
        "batch_page_id": "1788256800123",
        "batch_ordering_id": "1",
        "batch_event_index": "1",
        "stream_id": "2614001",
        "platform": "WEB",
        "visitor_id": PSEUDONYMIZER.visitor("ga4", f"2614001:{COOKIE}"),
        "user_id": PSEUDONYMIZER.user(ACCOUNT),
        "ga_session_id": "1788256800",
        "analytics_storage": "Yes",
        "ads_storage": "No",
        "page_path": "/tea",
        "page_host": "www.shop.example",
        "page_title": "***",
        "is_ad_click": True,
        "engagement_time_msec": 31250,
        "device_category": "desktop",
    }


def test_one_cookie_in_two_streams_is_two_visitors(settings: Settings) -> None:
    web = to_row(event(), settings)
    app = to_row(event(stream_id="2614002"), settings)
    assert web["visitor_id"] != app["visitor_id"]


@pytest.mark.parametrize(
    "later",
    [
        {"traffic_source": {"source": "google", "medium": "organic"}},
        {
            "user_ltv": None,
            "is_active_user": True,
            "user_first_touch_timestamp": MOMENT,
        },
        {"session_traffic_source_last_click": {"manual_campaign": {"source": "mail"}}},
        {"geo": {"country": "France"}, "event_value_in_usd": 3.5},
        {"collected_traffic_source": {"manual_source": "newsletter"}},
    ],
)
def test_what_google_fills_in_later_leaves_an_event_the_same(
    settings: Settings, later: Record
) -> None:
    intraday, daily = event(), event(**later)
    assert to_row(intraday, settings)["event_id"] == to_row(daily, settings)["event_id"]


def test_batch_numbers_of_parameters_are_those_of_columns(settings: Settings) -> None:
    numbers = {"batch_page_id": 1788256800123, "batch_ordering_id": 1}
    of_columns = to_row(event(), settings)
    of_parameters = to_row(
        event(params=numbers, batch_page_id=None, batch_ordering_id=None), settings
    )
    assert of_columns == of_parameters


@pytest.mark.parametrize(
    "other",
    [
        {"event_timestamp": "1788256800250432"},
        {"event_bundle_sequence_id": "948327669"},
        {"batch_page_id": "1788256800124"},
        {"batch_ordering_id": "2"},
        {"batch_event_index": "2"},
        {"event_name": "scroll"},
        {"user_pseudo_id": "1166526667.1788256790"},
        {"stream_id": "2614002"},
        {"params": {"engagement_time_msec": 12}},
        {"items": [{"item_id": "sku_1"}]},
    ],
)
def test_real_repeats_are_events_of_their_own(
    settings: Settings, other: Record
) -> None:
    assert (
        to_row(event(), settings)["event_id"]
        != to_row(event(**other), settings)["event_id"]
    )


ITEMS_TYPE = pa.list_(
    pa.struct(
        [
            ("item_id", pa.string()),
            ("item_name", pa.string()),
            ("price", pa.float64()),
            ("quantity", pa.int64()),
        ]
    )
)
VALUE_TYPE = pa.struct(
    [
        ("string_value", pa.string()),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("double_value", pa.float64()),
    ]
)
PARAMS_TYPE = pa.list_(pa.struct([("key", pa.string()), ("value", VALUE_TYPE)]))


def parquet_table(rows: list[Record], *, is_wrapped: bool) -> pa.Table:
    """The rows typed as BigQuery types them, lists bare or wrapped in `list.element`."""

    def repeated(name: str, kind: pa.DataType) -> pa.Array:
        values = [copy.deepcopy(row[name]) for row in rows]
        for value in values:
            for entry in value:
                typed = entry.get("value", entry)
                for key in ("int_value", "quantity"):
                    if typed.get(key) is not None:
                        typed[key] = int(typed[key])
        if not is_wrapped:
            return pa.array(values, kind)
        wrapper = pa.struct(
            [("list", pa.list_(pa.struct([("element", kind.value_type)])))]
        )
        return pa.array(
            [{"list": [{"element": entry} for entry in value]} for value in values],
            wrapper,
        )

    numbers = ("event_timestamp", "event_bundle_sequence_id", "batch_event_index")
    numbers += ("batch_page_id", "batch_ordering_id")
    columns = {
        name: pa.array([int(row[name]) for row in rows], pa.int64()) for name in numbers
    }
    for name in ("event_name", "user_id", "user_pseudo_id", "stream_id", "platform"):
        columns[name] = pa.array([row[name] for row in rows], pa.string())
    for name in ("privacy_info", "device"):
        columns[name] = pa.array([row[name] for row in rows])
    columns["event_params"] = repeated("event_params", PARAMS_TYPE)
    columns["items"] = repeated("items", ITEMS_TYPE)
    return pa.table(columns)


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_parquet_gives_the_same_rows_as_json(
    settings: Settings, tmp_path: Path, is_wrapped: bool
) -> None:
    rows = [
        event("view_item", items=[{"item_id": "a", "price": 12.5, "quantity": "2"}]),
        event("view_item", items=[{"item_id": "b", "price": 12, "quantity": "1"}]),
        event("add_to_cart", params={"value": 25.0, "currency": "EUR"}),
    ]
    land_file(settings, write_rows(tmp_path / "events.jsonl", rows), "ga4")
    path = tmp_path / "events.parquet"
    pq.write_table(parquet_table(rows, is_wrapped=is_wrapped), path)
    land_file(settings, path, "ga4")

    landed = landed_rows(settings)
    for row in landed:
        del row["source_file"]
    assert landed[:3] == landed[3:]


def test_a_visitor_without_storage_has_no_id_and_is_taken_in(
    settings: Settings,
) -> None:
    cookieless = event(user_pseudo_id=None, privacy_info={"analytics_storage": "No"})
    assert to_row(cookieless, settings)["visitor_id"] is None

    for stated in ("Yes", "Unset", None):
        found = refusal(
            event(user_pseudo_id=None, privacy_info={"analytics_storage": stated}),
            settings,
        )
        assert found.field == "stream_id:user_pseudo_id"
        assert found.reason == (
            "is missing; every row needs it unless privacy_info.analytics_storage is No"
        )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_timestamp": None}, "event_timestamp"),
        ({"event_timestamp": "2026-09-01 10:00:00"}, "event_timestamp"),
        ({"event_timestamp": "2026-09-01T10:00:00+02:00"}, "event_timestamp"),
        # Seconds and milliseconds, where microseconds are meant.
        ({"event_timestamp": "1788256800"}, "event_timestamp"),
        ({"event_timestamp": 1788256800250}, "event_timestamp"),
        ({"event_timestamp": "9" * 16}, "event_timestamp"),
        ({"event_timestamp": "-1"}, "event_timestamp"),
        ({"event_server_timestamp_offset": "9" * 15}, "event_server_timestamp_offset"),
        ({"event_server_timestamp_offset": "soon"}, "event_server_timestamp_offset"),
        ({"event_name": None}, "event_name"),
        ({"event_name": ""}, "event_name"),
        ({"event_name": f"mail {MAIL}"}, "event_name"),
        ({"event_name": "x" * 65}, "event_name"),
        ({"event_name": ["page_view"]}, "event_name"),
        ({"user_pseudo_id": ""}, "stream_id:user_pseudo_id"),
        ({"user_pseudo_id": 1166526666.1788}, "stream_id:user_pseudo_id"),
        ({"user_pseudo_id": True}, "stream_id:user_pseudo_id"),
        ({"user_id": {"id": ACCOUNT}}, "user_id"),
        ({"stream_id": "my stream"}, "stream_id"),
        ({"privacy_info": "Yes"}, "privacy_info"),
        (
            {"privacy_info": {"analytics_storage": "Maybe"}},
            "privacy_info.analytics_storage",
        ),
        ({"privacy_info": {"ads_storage": 1}}, "privacy_info.ads_storage"),
        ({"device": "desktop"}, "device"),
        ({"event_params": "page_location"}, "event_params"),
        ({"event_params": {"page_location": "/"}}, "event_params"),
        ({"event_params": [{"key": None, "value": None}]}, "event_params"),
        ({"event_params": [{"key": "page_title", "value": "Tea"}]}, "event_params"),
        ({"event_params": ["page_title"]}, "event_params"),
        ({"items": "sku_1"}, "items"),
        ({"items": ["sku_1"]}, "items"),
        ({"ecommerce": [1]}, "ecommerce"),
        ({"ecommerce": {"purchase_revenue": "12 EUR"}}, "ecommerce.purchase_revenue"),
        ({"ecommerce": {"purchase_revenue": -1}}, "ecommerce.purchase_revenue"),
        ({"params": {"ga_session_id": "of anna"}}, "event_params.ga_session_id"),
        ({"params": {"percent_scrolled": 101}}, "event_params.percent_scrolled"),
        ({"params": {"engagement_time_msec": -1}}, "event_params.engagement_time_msec"),
        (
            {"params": {"engagement_time_msec": 86_400_001}},
            "event_params.engagement_time_msec",
        ),
    ],
)
def test_a_broken_row_is_told_by_field_and_never_by_value(
    settings: Settings, fields: Record, field: str
) -> None:
    found = refusal(event(**fields), settings)
    assert found.field == field
    assert found.reason.startswith(("must ", "is missing"))
    for secret in ("anna", ACCOUNT, "1166526666", "EUR", "Maybe", "sku_1"):
        assert secret not in found.reason


def test_shifted_columns_are_refused_by_the_first_that_does_not_fit(
    settings: Settings,
) -> None:
    names = list(event())
    values = list(event().values())
    shifted = dict(zip(names, values[1:] + values[:1], strict=True))
    assert refusal(shifted, settings).field in ("event_timestamp", "event_params")


def test_a_refused_row_is_mended_and_replayed_and_holds_no_identifier(
    settings: Settings, tmp_path: Path
) -> None:
    scrolled = event("scroll", params={"percent_scrolled": 900, "search_term": MAIL})
    path = write_rows(tmp_path / "events.jsonl", [event(), scrolled])
    landing = land_file(settings, path, "ga4")
    assert (landing.accepted_count, landing.rejected_count) == (1, 1)
    [letter] = find_letters(settings)
    assert (letter.field, letter.event_name) == (
        "event_params.percent_scrolled",
        "scroll",
    )
    kept = all_bytes(settings.raw)
    for secret in (
        MAIL,
        "anna",
        ACCOUNT,
        "1166526666",
        "Kleinkuckucksheim",
        "Beispiel",
    ):
        assert secret.encode() not in kept

    fixes = (parse_fix("event_params.percent_scrolled=90"),)
    drops = (
        parse_path("event_params.search_term"),
        parse_path("event_params.page_title"),
    )
    [outcome] = replay(settings, [letter], Changes(drops=drops, fixes=fixes))

    assert outcome.status == "replayed", outcome
    pseudonymizer = load_pseudonymizer(settings)
    expected = find_format(settings, "ga4").to_row(
        event("scroll", params={"percent_scrolled": 90}), pseudonymizer
    )
    assert isinstance(expected, dict)
    [replayed] = [row for row in landed_rows(settings) if row["event_name"] == "scroll"]
    assert replayed["visitor_id"] == pseudonymizer.visitor("ga4", f"2614001:{COOKIE}")
    assert {name: replayed[name] for name in expected} == expected | {
        "page_title": None
    }


def test_a_file_of_mostly_bad_rows_is_not_landed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", max_rejected_share=0.5)
    bad = event(event_timestamp="yesterday")
    path = write_rows(tmp_path / "events.jsonl", [event(), bad, bad])
    with pytest.raises(InputError, match=r"67% of its rows .*row 2, event_timestamp"):
        land_file(settings, path, "ga4")
    assert not list(settings.raw.glob("format=*/landing_id=*"))


def test_a_line_cut_off_is_one_refused_row(settings: Settings, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "events.jsonl", [event(), event("scroll")])
    path.write_text(path.read_text()[:-40])
    landing = land_file(settings, path, "ga4")
    assert (landing.accepted_count, landing.rejected_count) == (1, 1)
    [reject] = landed_rows(settings, "rejects")
    assert reject["reason"] == "the line is not JSON"


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        (
            "events.json.gz",
            lambda data: gzip.compress(data)[:-60],
            "gzip stream is cut",
        ),
        ("events.jsonl", lambda data: data.replace(b"Tea", b"T\xe9"), "not UTF-8"),
        ("events.json", lambda data: data.decode().encode("utf-16"), "not UTF-8"),
    ],
)
def test_an_unreadable_file_is_named_with_its_line(
    settings: Settings, tmp_path: Path, name: str, spoil: Any, says: str
) -> None:
    path = tmp_path / name
    lines = "".join(json.dumps(event()) + "\n" for _ in range(20))
    path.write_bytes(spoil(lines.encode()))
    with pytest.raises(InputError, match=rf"{name}, line \d+: .*{says}"):
        land_file(settings, path, "ga4")
    assert not list(settings.raw.glob("format=*/landing_id=*"))


def test_a_hash_of_a_column_that_there_is_not_is_a_mistake() -> None:
    columns = (
        Column(
            "event_id",
            pa.string(),
            ("event_id",),
            "content_hash",
            options={"of": ["x"]},
        ),
        Column("name", pa.string(), ("name",), "text"),
    )
    with pytest.raises(InputError, match="column event_id: there is no 'x'"):
        DeclaredFormat(Declaration("till", "till", "till_events", "", columns))


@pytest.mark.skipif(not VELIR.exists(), reason="no samples of the export to read")
def test_flat_names_are_those_that_dbt_ga4_takes_out_of_the_same_row() -> None:
    sample = (VELIR / "stg_ga4__events__SOURCE_JSON.jsonl").read_text().splitlines()
    for line in sample:
        record = json.loads(line)
        # The package has put these beside the row by its own SQL.
        taken_out = {
            name: record.pop(name)
            for name in ("ga_session_id", "ga_session_number", "session_engaged",
                         "page_location", "page_title", "page_referrer")
        }  # fmt: skip
        flat = flat_row(record)
        assert isinstance(flat, dict)
        assert taken_out == {
            name: flat.get(f"event_params.{name}") for name in taken_out
        }


@pytest.mark.skipif(not VELIR.exists(), reason="no samples of the export to read")
def test_a_row_of_others_lands(settings: Settings, tmp_path: Path) -> None:
    sample = (VELIR / "stg_ga4__events__SOURCE_JSON.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in sample]
    # The package renames two columns of the export.
    rows = [{**row, "user_pseudo_id": row["client_id"]} for row in rows]
    landing = land_file(settings, write_rows(tmp_path / "velir.jsonl", rows), "ga4")
    assert landing.rejected_count == 0
    [row, *_] = landed_rows(settings)
    assert row["event_at"] == datetime.fromtimestamp(1617691790.431, UTC).replace(
        tzinfo=None
    )
    assert (row["event_name"], row["page_host"], row["device_category"]) == (
        "first_visit",
        "www.velir.com",
        "desktop",
    )
