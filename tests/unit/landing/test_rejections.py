"""What is kept of a refused row: where and why, and nothing that says who it was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.events.upgrading import ENTRY_POINT_GROUP, registered_upgraders
from nearline.landing.landings import land_file
from nearline.settings import Settings
from tests.unit.landing.event_files import PAGE, all_bytes, landed_rows, write_events

ADDRESS = "anna@example.com"
ACCOUNT = 541312140


def _rejects(
    settings: Settings, tmp_path: Path, *records: dict[str, Any], kind: str = "jsonl"
) -> list[dict[str, Any]]:
    path = write_events(tmp_path / f"events.{kind}", [PAGE, *records])
    land_file(settings, path, "nearline")
    return landed_rows(settings, "rejects")


def test_a_refused_row_is_kept_with_file_row_field_and_reason(
    settings: Settings, tmp_path: Path
) -> None:
    (reject,) = _rejects(settings, tmp_path, {**PAGE, "scroll_rate": 2})
    assert reject == {
        "deadletter_id": None,
        "received_at": reject["received_at"],
        "source_format": "nearline",
        "source": "shop_web",
        "schema_version": "1.0",
        "event_name": "page_view",
        "field": "scroll_rate",
        "reason": "Input should be less than or equal to 1; got an integer",
        "row_masked": reject["row_masked"],
        "source_file": "events.jsonl",
        "source_row": 2,
    }
    assert json.loads(reject["row_masked"]) == {
        **PAGE,
        "scroll_rate": "***",
    }


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_an_address_is_kept_nowhere(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    encoded = "anna%2540example.com"
    escaped = "anna\\u0040example.com"
    _rejects(
        settings,
        tmp_path,
        {**PAGE, "page_title": f"Hello {ADDRESS}", "search_term": encoded},
        {**PAGE, "visitor_id": ADDRESS, "user_id": ADDRESS, "page_title": ADDRESS},
        {**PAGE, "event_id": ADDRESS, "event_name": ADDRESS, "source": ADDRESS},
        {**PAGE, "properties": {"note": [ADDRESS, {ADDRESS: encoded}], "n": escaped}},
        {**PAGE, "scroll_rate": 2, "properties": {"deep": [[{"to": ADDRESS}]]}},
        {**PAGE, "scroll_rate": 2, "properties": {ADDRESS: 1}},
        kind=kind,
    )
    assert len(landed_rows(settings, "rejects")) == 6
    kept = all_bytes(settings.raw)
    for trace in (b"anna@", b"anna%", b"anna\\", b"example.com"):
        assert trace not in kept


@pytest.mark.parametrize(
    "fields",
    [
        {"visitor_id": ACCOUNT},
        {"visitor_id": str(ACCOUNT)},
        {"user_id": str(ACCOUNT), "scroll_rate": 2},
        {"event_name": "No Name", "user_id": ACCOUNT},
        {"source": "", "user_id": ACCOUNT, "customer_number": ACCOUNT},
        {"customer_number": ACCOUNT},
        {f"customer {ACCOUNT}": 1},
        {"schema_version": "2.0", "user_id": f"{ACCOUNT}"},
        {"items": [{"item_id": "a", f"n{ACCOUNT}": ACCOUNT}]},
    ],
)
def test_an_account_number_is_kept_nowhere(
    settings: Settings, tmp_path: Path, fields: dict[str, Any]
) -> None:
    assert len(_rejects(settings, tmp_path, {**PAGE, **fields})) == 1
    assert str(ACCOUNT).encode() not in all_bytes(settings.raw)


def test_an_unknown_field_is_named_when_its_name_is_plain(
    settings: Settings, tmp_path: Path
) -> None:
    rejects = _rejects(
        settings, tmp_path, {**PAGE, "mood": "good"}, {**PAGE, "My Mood": "good"}
    )
    assert [reject["field"] for reject in rejects] == ["mood", "(unknown field)"]
    assert [json.loads(reject["row_masked"]) for reject in rejects] == [
        {**PAGE, "mood": "***"},
        {**PAGE, "***": "***"},
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "the line is not JSON"),
        ('{"event_id": "e_9"', "the line is not JSON"),
        ('{"event_id": NaN}', "the line is not JSON"),
        ('{"event_id": "\\ud800"}', "the line is not JSON"),
        ("[1, 2]", "the line is JSON but not an object"),
        ('"anna@example.com"', "the line is JSON but not an object"),
        ("null", "the line is JSON but not an object"),
    ],
)
def test_a_line_that_is_no_event_is_refused_as_a_row(
    settings: Settings, tmp_path: Path, line: str, says: str
) -> None:
    path = tmp_path / "events.jsonl"
    event = json.dumps(PAGE)
    path.write_text(f"{event}\n\n{line}\n{event}\n")
    land_file(settings, path, "nearline")
    (reject,) = landed_rows(settings, "rejects")
    assert (reject["field"], reject["reason"], reject["source_row"]) == (
        "(row)",
        says,
        3,
    )
    assert reject["row_masked"] == "{}"
    assert [row["source_row"] for row in landed_rows(settings)] == [1, 4]


def test_a_ragged_row_is_refused_and_its_neighbours_land(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_events(tmp_path / "events.csv", [PAGE, {**PAGE, "event_id": "e_3"}])
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, rows[0], f"{rows[0]},{ADDRESS}", rows[1]]))
    land_file(settings, path, "nearline")
    (reject,) = landed_rows(settings, "rejects")
    assert reject["reason"] == "8 values under 7 columns"
    assert reject["source_row"] == 2
    assert [row["event_id"] for row in landed_rows(settings)] == ["e_2", "e_3"]
    assert ADDRESS.encode() not in all_bytes(settings.raw)


@pytest.mark.parametrize("field", ["properties", "items", "page_title", "mood"])
def test_json_of_any_depth_is_refused_as_a_row(
    settings: Settings, tmp_path: Path, field: str
) -> None:
    path = tmp_path / "events.jsonl"
    event = json.dumps(PAGE)
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deep = opening * 900 + "1" + closing * 900
        line = f'{event[:-1]}, "scroll_rate": 2, "{field}": {deep}}}'
        with path.open("a") as file:
            file.write(f"{line}\n{event}\n")
    land_file(settings, path, "nearline")
    assert len(landed_rows(settings, "rejects")) == 2
    assert len(landed_rows(settings)) == 2


def test_bytes_in_a_parquet_file_are_masked_like_text(
    settings: Settings, tmp_path: Path
) -> None:
    columns: dict[str, Any] = {name: [value] * 2 for name, value in PAGE.items()}
    columns["scroll_rate"] = [2.0, 1.0]
    columns["page_title"] = pa.array([ADDRESS.encode(), b"plain"], pa.binary())
    pq.write_table(pa.table(columns), tmp_path / "events.parquet")
    land_file(settings, tmp_path / "events.parquet", "nearline")
    assert b"anna@" not in all_bytes(settings.raw)
    assert [row["page_title"] for row in landed_rows(settings)] == ["plain"]


@pytest.fixture
def upgrader_of_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package of a shop that once sent `title`."""
    package = tmp_path / "packages"
    (package / "shop-1.dist-info").mkdir(parents=True)
    (package / "shop-1.dist-info" / "METADATA").write_text("Name: shop\nVersion: 1\n")
    (package / "shop-1.dist-info" / "entry_points.txt").write_text(
        f"[{ENTRY_POINT_GROUP}]\n0 = shop_upgrader:upgrade\n"
    )
    (package / "shop_upgrader.py").write_text(
        "def upgrade(fields):\n"
        "    fields['page_title'] = fields.pop('title')\n"
        "    return {**fields, 'schema_version': '1.0'}\n"
    )
    monkeypatch.syspath_prepend(package)
    registered_upgraders.cache_clear()
    yield
    registered_upgraders.cache_clear()


@pytest.mark.usefixtures("upgrader_of_0")
def test_an_event_that_its_upgrader_cannot_take_is_refused_as_a_row(
    settings: Settings, tmp_path: Path
) -> None:
    old = {**PAGE, "schema_version": "0.9"}
    (reject,) = _rejects(settings, tmp_path, {**old, "title": "Shoes"}, old)
    assert [row["page_title"] for row in landed_rows(settings)] == [None, "Shoes"]
    assert (reject["field"], reject["reason"], reject["schema_version"]) == (
        "schema_version",
        "its upgrader failed (KeyError); mend the upgrader and replay",
        "0.9",
    )
