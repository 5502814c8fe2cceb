"""One event is one raw row, whatever kind of file it came in."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.landing.landings import land_file
from nearline.settings import Settings
from tests.unit.landing.event_files import PAGE, VIEW, landed_rows, write_events

KINDS = ["jsonl", "jsonl.gz", "csv", "csv.gz", "parquet", "parquet.gz"]


def _land(
    settings: Settings, path: Path, name: str = "nearline"
) -> list[dict[str, Any]]:
    land_file(settings, path, name)
    return landed_rows(settings)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_rows(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    path = write_events(tmp_path / f"events.{kind}", [VIEW, PAGE])
    first, second = _land(settings, path)
    given = {name: value for name, value in first.items() if value is not None}
    assert given == {
        **VIEW,
        "occurred_at": datetime(2026, 3, 2, 12, 0, 0, 250_000),
        "received_at": datetime(2026, 3, 2, 12, 0, 1),
        "items": '[{"item_id":"sku_1","quantity":2},{"item_id":"sku_2","quantity":1}]',
        "properties": '{"colour":"red","sizes":[38,40]}',
        "source_file": f"events.{kind}",
        "source_row": 1,
    }
    given = {name: value for name, value in second.items() if value is not None}
    assert given == {
        **PAGE,
        "occurred_at": datetime(2026, 3, 2, 12, 5),
        "received_at": datetime(2026, 3, 2, 12, 5),
        "source_file": f"events.{kind}",
        "source_row": 2,
    }


def test_an_event_without_id_gets_the_same_one_from_every_kind_of_file(
    settings: Settings, tmp_path: Path
) -> None:
    records = [
        {name: value for name, value in record.items() if name != "event_id"}
        for record in (VIEW, PAGE)
    ]
    for kind in KINDS:
        land_file(settings, write_events(tmp_path / f"e.{kind}", records), "nearline")
    rows = landed_rows(settings)
    assert len(rows) == 2 * len(KINDS)
    ids = {row["event_id"] for row in rows}
    assert len(ids) == 2
    assert all(len(event_id) == 32 for event_id in ids)


def test_the_content_hash_knows_neither_order_nor_zone_nor_null(
    settings: Settings, tmp_path: Path
) -> None:
    event = {name: value for name, value in PAGE.items() if name != "event_id"}
    event["properties"] = {"a": 1, "b": {"c": 2, "d": 3}}
    same = {
        "event_id": None,
        "page_title": None,
        "properties": {"b": {"d": 3, "c": 2}, "a": 1},
        **{name: event[name] for name in reversed(event) if name != "properties"},
        "occurred_at": "2026-03-02T13:05:00.0001+01:00",
    }
    other = {**event, "page_title": "another"}
    rows = _land(settings, write_events(tmp_path / "e.jsonl", [event, same, other]))
    assert rows[0]["event_id"] == rows[1]["event_id"] != rows[2]["event_id"]


def test_csv_says_true_and_false_in_several_ways(
    settings: Settings, tmp_path: Path
) -> None:
    spellings = {"true": True, "False": False, "1": True, "0": False}
    records = [
        {**PAGE, "event_id": f"e_{i}", "consent_marketing": text}
        for i, text in enumerate(spellings)
    ]
    rows = _land(settings, write_events(tmp_path / "e.csv", records))
    assert [row["consent_marketing"] for row in rows] == list(spellings.values())


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_row(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    path = write_events(tmp_path / f"e.{kind}", [VIEW, PAGE])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [row["event_id"] for row in _land(settings, path)] == ["e_1", "e_2"]


def test_a_file_is_read_as_its_last_suffix_says(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_events(tmp_path / "export.csv.jsonl", [PAGE])
    assert len(_land(settings, path)) == 1


def test_parquet_times_in_any_unit_and_zone_are_one_moment(
    settings: Settings, tmp_path: Path
) -> None:
    event = {name: [value] for name, value in PAGE.items() if name != "event_id"}
    noon = datetime(2026, 3, 2, 12)
    for number, kind in enumerate(
        [
            pa.timestamp("ns"),
            pa.timestamp("ms"),
            pa.timestamp("us", "Europe/Berlin"),
            pa.timestamp("ns", "America/New_York"),
        ]
    ):
        event["occurred_at"] = pa.array([noon], pa.timestamp("us")).cast(kind)
        path = tmp_path / f"e{number}.parquet"
        pq.write_table(pa.table(event), path)
        land_file(settings, path, "nearline")
    rows = landed_rows(settings)
    assert [row["occurred_at"] for row in rows] == [noon] * 4
    assert len({row["event_id"] for row in rows}) == 1


def test_parquet_properties_may_hold_what_json_has_no_word_for(
    settings: Settings, tmp_path: Path
) -> None:
    event = {name: [value] for name, value in PAGE.items()}
    event["properties"] = pa.array(
        [
            {
                "weight": Decimal("1.50"),
                "code": b"\xff",
                "on": date(2026, 3, 2),
                "none": None,
            }
        ]
    )
    event["occurred_at"] = pa.array([datetime(2026, 3, 2, 12)], pa.timestamp("us"))
    pq.write_table(pa.table(event), tmp_path / "e.parquet")
    (row,) = _land(settings, tmp_path / "e.parquet")
    assert json.loads(row["properties"]) == {
        "weight": "1.50",
        "code": "b'\\xff'",
        "on": "2026-03-02",
    }
