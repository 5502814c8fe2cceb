"""Checks that follow from the YAML of a feature view, on tables that break them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from expectations.runner import check_release
from tests.described_views import ONE_HOUR, described, write_project
from tests.releases import NOON, write_release

TYPES = {
    "visitor_id": pa.string(),
    "event_timestamp": pa.timestamp("us"),
    "created_timestamp": pa.timestamp("us"),
    "search_count": pa.int64(),
    "search_count_24h": pa.int64(),
    "balance_cents": pa.int64(),
    "account_text": pa.string(),
    "items": pa.list_(pa.string()),
    "hours": pa.list_(pa.int64()),
}
SOUND = {
    "visitor_id": "v_anna00001",
    "event_timestamp": NOON,
    "created_timestamp": NOON,
    "search_count": 0,
    "search_count_24h": 0,
    "balance_cents": -5,
    "account_text": None,
    "items": ["sku_1", ""],
    "hours": None,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = described(
        features={
            "search_count": "bigint",
            "search_count_24h": "bigint",
            "balance_cents": "bigint",
            "account_text": "varchar",
            "items": "varchar[]",
            "hours": "bigint[]",
        }
    )
    by_name = {column["name"]: column for column in model["columns"]}
    by_name["balance_cents"]["constraints"] = [{"type": "not_null"}]
    model["data_tests"] = [
        {
            "holds": {
                "arguments": {"expression": "created_timestamp <= event_timestamp"}
            }
        },
        {
            "holds": {
                "name": "all_is_not_less_than_a_day",
                "arguments": {"expression": "search_count >= search_count_24h"},
            }
        },
        {"holds": {"arguments": {"expression": "balance_cents > {{ var('least') }}"}}},
        # Unknown does not hold, in dbt as here.
        {
            "holds": {
                "arguments": {
                    "expression": "coalesce(account_text, '') not like '%{x}%'"
                }
            }
        },
    ]
    project = write_project(tmp_path / "project", model)
    monkeypatch.setenv("NEARLINE_DBT_PROJECT", str(project))
    return project


def amiss(tmp_path: Path, *rows: dict[str, Any], **types: pa.DataType) -> set[str]:
    """Checks of quality that these changes of a sound row break."""
    tables = {ONE_HOUR: [SOUND | row for row in rows]}
    schemas = {ONE_HOUR: TYPES | types}
    results = check_release(
        write_release(tmp_path / "r1", tables, schemas),
        tmp_path / "quality",
        required_tables=(),
    )
    assert len(results) > 10
    return {
        result.check
        for result in results
        if result.status != "passed" and result.topic == "quality"
    }


def test_a_sound_row_keeps_them_all(project: Path, tmp_path: Path) -> None:
    assert amiss(tmp_path, {}) == set()


def test_counts_lists_and_rules_are_held(project: Path, tmp_path: Path) -> None:
    assert amiss(
        tmp_path,
        {"search_count": None},
        {"search_count_24h": -1, "event_timestamp": NOON + timedelta(1)},
        {"items": ["sku_1", None], "event_timestamp": NOON + timedelta(2)},
        {"hours": [None], "event_timestamp": NOON + timedelta(3)},
        {"account_text": "{x}", "event_timestamp": NOON + timedelta(4)},
        {"balance_cents": None, "event_timestamp": NOON + timedelta(5)},
        {"event_timestamp": NOON - timedelta(1)},
        {"visitor_id": "v_ben000001"},
        {"visitor_id": "v_ben000001"},
    ) == {
        "search_count_is_not_null",
        "all_is_not_less_than_a_day",
        "search_count_24h_is_in_range",
        "items_has_no_null_inside",
        "hours_has_no_null_inside",
        "rule_4_holds",
        "balance_cents_is_not_null",
        "nothing_is_known_before_it_arrives",
        "visitor_id_and_event_timestamp_are_unique",
    }


def test_a_list_of_another_kind_is_named(project: Path, tmp_path: Path) -> None:
    found = amiss(tmp_path, {"hours": ["9"]}, hours=pa.list_(pa.string()))
    assert found == {"has_its_columns"}
