"""What is said of landed files, in both formats."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations.runner import CheckResult, check_raw
from nearline.errors import InputError

NOON = datetime(2026, 3, 2, 12, 0, 0)

_TEXT = (
    "event_id event_name schema_version source visitor_id user_id source_session_id "
    "page_view_id page_path page_title page_type referrer_host utm_source utm_medium "
    "utm_campaign utm_term utm_content item_id item_category item_brand currency items "
    "order_id content_type content_id search_term device_class bot_reason "
    "consent_notice_version experiment_key variant_key properties"
)
NEARLINE_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXT.split()),
        *(
            (name, pa.timestamp("us"))
            for name in ("occurred_at", "sent_at", "received_at")
        ),
        *((name, pa.int64()) for name in ("price_cents", "quantity", "revenue_cents")),
        *((name, pa.float64()) for name in ("engaged_seconds", "scroll_rate")),
        *(
            (f"consent_{name}", pa.bool_())
            for name in ("analytics", "personalization", "marketing")
        ),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
    ]
)
REES46_SCHEMA = pa.schema(
    [
        ("event_time", pa.timestamp("us")),
        *(
            (name, pa.string())
            for name in (
                "event_type",
                "product_id",
                "category_id",
                "category_code",
                "brand",
            )
        ),
        ("price_cents", pa.int64()),
        *((name, pa.string()) for name in ("visitor_id", "user_session", "event_id")),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
    ]
)


def _nearline_row(**fields: Any) -> dict[str, Any]:
    return {
        "event_id": "e0000001",
        "event_name": "page_view",
        "schema_version": "1.0",
        "occurred_at": NOON,
        "received_at": NOON,
        "source": "web",
        "visitor_id": "v_anna00001",
        "page_path": "/",
        "source_file": "events.jsonl",
        "source_row": 1,
        **fields,
    }


def _rees46_row(**fields: Any) -> dict[str, Any]:
    return {
        "event_time": NOON,
        "event_type": "view",
        "product_id": "1004856",
        "category_id": "2053013555631882655",
        "category_code": "electronics.smartphone",
        "brand": "acme",
        "price_cents": 13002,
        "visitor_id": "v_Zm9vYmFyYmF6cXV4MTIzNA",
        "user_session": "3f2b8c1e-5a77-4d0e-9b1c-2f4e6a8b0c1d",
        "event_id": "d41d8cd98f00b204e9800998ecf8427e",
        "source_file": "2019-Oct.csv.gz",
        "source_row": 2,
        **fields,
    }


def _land(
    tmp_path: Path, format_name: str, landing: int, rows: list[dict[str, Any]]
) -> Path:
    folder = tmp_path / f"format={format_name}" / f"landing_id={landing:08d}"
    folder.mkdir(parents=True)
    schema = NEARLINE_SCHEMA if format_name == "nearline" else REES46_SCHEMA
    path = folder / "events.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def _amiss(results: list[CheckResult]) -> set[tuple[str, str, str]]:
    return {
        (result.check, result.severity, result.status)
        for result in results
        if result.status != "passed"
    }


@pytest.mark.parametrize(
    ("format_name", "row"), [("nearline", _nearline_row()), ("rees46", _rees46_row())]
)
def test_sound_landings_pass_together(tmp_path, format_name, row):
    files = [_land(tmp_path, format_name, number, [row]) for number in (1, 2)]

    results = check_raw(files, format_name)

    assert _amiss(results) == set()
    assert {result.table for result in results} == {f"raw_{format_name}_events"}
    assert {result.checked_row_count for result in results} == {2}


def test_broken_nearline_rows_are_found(tmp_path):
    rows = [
        _nearline_row(scroll_rate=1.5),
        _nearline_row(revenue_cents=5, currency=None),
        _nearline_row(event_name="identify"),
        _nearline_row(properties="{"),
        _nearline_row(visitor_id=None),
    ]

    results = check_raw([_land(tmp_path, "nearline", 1, rows)], "nearline")

    assert _amiss(results) == {
        ("scroll_rate_is_in_range", "block", "failed"),
        ("revenue_has_a_currency", "block", "failed"),
        ("identify_names_whom", "block", "failed"),
        ("properties_are_json", "block", "failed"),
        ("visitor_id_is_not_null", "block", "failed"),
        ("one_id_means_one_event_name", "warn", "failed"),
    }


def test_broken_rees46_rows_are_found(tmp_path):
    rows = [
        _rees46_row(event_type="click"),
        _rees46_row(price_cents=-1),
        _rees46_row(visitor_id="541312140"),
        _rees46_row(user_session=None),
    ]

    results = check_raw([_land(tmp_path, "rees46", 1, rows)], "rees46")

    assert _amiss(results) == {
        ("event_type_is_known", "block", "failed"),
        ("price_cents_is_in_range", "block", "failed"),
        ("visitor_id_has_its_form", "block", "failed"),
        ("user_session_is_not_null", "warn", "failed"),
    }


def test_identifier_behind_the_door_blocks_and_is_not_repeated(tmp_path):
    rows = [_nearline_row(properties=json.dumps({"to": "anna@example.com"}))]

    results = check_raw(
        [_land(tmp_path, "nearline", 1, rows)], "nearline", tmp_path / "data_docs"
    )

    (found,) = [result for result in results if result.status != "passed"]
    assert (found.column, found.topic) == ("properties", "privacy")
    assert "raw_nearline_events.properties" in found.message
    assert not any("anna" in result.message for result in results)
    pages = list((tmp_path / "data_docs").rglob("*.html"))
    assert pages
    assert not any("anna@" in page.read_text() for page in pages)


def test_no_files_give_no_results():
    assert check_raw([], "nearline") == []


def test_unknown_format_is_an_input_error():
    with pytest.raises(InputError, match="use one of nearline, rees46"):
        check_raw([Path("events.parquet")], "till")
