"""A source's YAML: what it says is what passes the door; a mistake in it is named."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from nearline.errors import InputError
from nearline.landing.declarations import find_declarations
from nearline.landing.landings import land_file
from nearline.landing.registry import find_format, format_names
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings
from tests.unit.landing.event_files import all_bytes

COLUMNS: list[dict[str, Any]] = [
    {"name": "event_id", "data_type": "varchar", "as": "content_hash"},
    {"name": "time", "data_type": "timestamp", "required": True},
    {"name": "visitor_id", "data_type": "varchar", "from": ["customer", "client"],
     "as": "visitor", "required": True},
    {"name": "contact_id", "data_type": "varchar", "from": "mail", "as": "contact"},
    {"name": "what", "data_type": "varchar", "required": True, "one_of": ["view", "buy"]},
    {"name": "page_path", "data_type": "varchar", "from": "url", "as": "path"},
    {"name": "amount_cents", "data_type": "bigint", "from": "amount", "as": "cents"},
    {"name": "note", "data_type": "varchar"},
]  # fmt: skip
ROW = {
    "time": "2026-09-01 10:00:00",
    "customer": "cust-42",
    "mail": "Anna@Shop.example",
    "what": "view",
    "url": "https://shop.example/p/1?mail=anna@shop.example",
    "note": "call +49 170 1234567",
    "ip": "10.20.30.40",
}


def declare(
    folder: Path, columns: list[dict[str, Any]] = COLUMNS, **landing: Any
) -> Path:
    """A dbt project with one declared source, `till`."""
    table = {
        "name": "till_events",
        "config": {"meta": {"landing": {"format": "till", "event_name": "what"} | landing}},
        "columns": [
            {
                "name": column["name"],
                "data_type": column.get("data_type"),
                "config": {
                    "meta": {
                        key: value
                        for key, value in column.items()
                        if key not in ("name", "data_type")
                    }
                },
            }
            for column in columns
        ],
    }  # fmt: skip
    staging = folder / "models" / "staging" / "till"
    staging.mkdir(parents=True)
    content = {"version": 2, "sources": [{"name": "raw", "tables": [table]}]}
    (staging / "stg_till__events.yml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def till(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"dbt_project": declare(tmp_path / "dbt")})


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def landed(settings: Settings, name: str = "events") -> list[dict[str, Any]]:
    files = sorted(settings.raw.glob(f"format=till/landing_id=*/{name}.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_what_is_declared_is_landed_and_nothing_else(
    till: Settings, tmp_path: Path
) -> None:
    land_file(till, write_rows(tmp_path / "a.jsonl", ROW), "till")

    [row] = landed(till)
    hashed = load_pseudonymizer(till)
    assert row.pop("event_id")
    assert row.pop("time").isoformat() == "2026-09-01T10:00:00"
    assert row == {
        "visitor_id": hashed.visitor("till", "cust-42"),
        "contact_id": hashed.contact("anna@shop.example"),
        "what": "view",
        "page_path": "/p/1",
        "amount_cents": None,
        "note": "***",
        "source_file": "a.jsonl",
        "source_row": 1,
    }
    for secret in (b"cust-42", b"nna@", b"1234567", b"10.20"):
        assert secret not in all_bytes(till.raw)


def test_the_first_name_that_has_a_value_is_read(
    till: Settings, tmp_path: Path
) -> None:
    other = {name: value for name, value in ROW.items() if name != "customer"}
    land_file(till, write_rows(tmp_path / "a.jsonl", other | {"client": "c1"}), "till")

    [row] = landed(till)
    assert row["visitor_id"] == load_pseudonymizer(till).visitor("till", "c1")


def test_equal_rows_have_one_id_and_others_have_others(
    till: Settings, tmp_path: Path
) -> None:
    rows = [ROW, dict(reversed(ROW.items())), ROW | {"what": "buy"}]
    land_file(till, write_rows(tmp_path / "a.jsonl", *rows), "till")

    first, again, other = (row["event_id"] for row in landed(till))
    assert first == again != other


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"time": None}, "time", "is missing; every row needs it"),
        ({"time": "yesterday"}, "time", "must be a time like"),
        ({"customer": None}, "customer", "is missing"),
        ({"customer": {"id": 1}}, "customer", "must be an id"),
        ({"what": "dance"}, "what", "must be one of view, buy"),
        ({"amount": "a lot"}, "amount", "must be an amount"),
    ],
)
def test_a_bad_value_refuses_the_row_and_names_the_field(
    till: Settings, tmp_path: Path, change: dict[str, Any], field: str, reason: str
) -> None:
    path = write_rows(tmp_path / "a.jsonl", ROW, ROW | change)
    assert land_file(till, path, "till").rejected_count == 1

    [row] = landed(till, "rejects")
    assert (row["field"], row["source"]) == (field, "till")
    assert row["reason"].startswith(reason)
    kept = json.loads(row["row_masked"])
    assert set(kept) <= {"time", "visitor_id", "contact_id", "customer", "what", "url",
                         "amount", "note"}  # fmt: skip
    assert kept.get(field, "***") == "***"
    for secret in (b"cust-42", b"nna@", b"1234567", b"10.20"):
        assert secret not in all_bytes(till.raw)


def test_a_mended_row_is_the_row_that_it_would_have_been(
    till: Settings, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.jsonl", ROW, ROW | {"what": "dance"})
    land_file(till, path, "till")
    [event], [refused] = landed(till), landed(till, "rejects")

    kept = json.loads(refused["row_masked"]) | {"what": "view"}
    row = find_format(till, "till").from_dead_letter(kept, load_pseudonymizer(till))

    assert isinstance(row, dict)
    assert row == {name: event[name] for name in row}


def test_a_file_with_too_many_bad_rows_stops(till: Settings, tmp_path: Path) -> None:
    strict = till.model_copy(update={"max_rejected_share": 0.2})
    bad = ROW | {"time": "yesterday"}
    path = write_rows(tmp_path / "a.jsonl", ROW, ROW | {"what": "buy"}, bad)

    with pytest.raises(
        InputError, match=r"33% of its rows .* \(first: row 3, time: must"
    ):
        land_file(strict, path, "till")

    assert landed(strict) == []
    assert land_file(till, path, "till").rejected_count == 1


def test_a_table_of_text_may_have_no_header(settings: Settings, tmp_path: Path) -> None:
    columns = ["time", "customer", "what", "note"]
    project = declare(tmp_path / "dbt", text={"columns": columns})
    till = settings.model_copy(update={"dbt_project": project})
    path = tmp_path / "a.tsv"
    row = '2026-09-01 10:00:00\t42\tview\ta "quote" stays\n'
    path.write_text(row + "2026-09-01 10:00:01\t42\tbuy\n")
    with_header = tmp_path / "b.tsv"
    with_header.write_text("\t".join(columns) + "\n" + row)

    land_file(till, path, "till")
    land_file(till, with_header, "till")

    assert [row["note"] for row in landed(till)] == ['a "quote" stays'] * 2
    [short] = landed(till, "rejects")
    assert short["reason"] == "3 values under 4 columns"


def test_columns_may_lie_in_a_file_beside(settings: Settings, tmp_path: Path) -> None:
    text = {"header_file": "column_headers.tsv", "is_escaped": True}
    project = declare(tmp_path / "dbt", text=text, files="hit_data*")
    till = settings.model_copy(update={"dbt_project": project})
    folder = tmp_path / "feed"
    folder.mkdir()
    path = folder / "hit_data.tsv"
    path.write_text("2026-09-01 10:00:00\t42\tview\ta\\\tb\n")

    with pytest.raises(InputError, match=r"column_headers\.tsv, which is not beside"):
        land_file(till, path, "till")

    (folder / "column_headers.tsv").write_text("time\tcustomer\twhat\tnote\n")
    land_file(till, path, "till")
    assert [row["note"] for row in landed(till)] == ["a\tb"]


def test_a_table_without_a_needed_column_is_refused_whole(
    till: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("when,customer,what\n2026-09-01,42,view\n")
    with pytest.raises(InputError, match=r"a\.csv has no column time"):
        land_file(till, path, "till")


@pytest.mark.parametrize(
    ("columns", "landing", "says"),
    [
        (COLUMNS, {"colour": "red"}, "landing has no setting 'colour'"),
        (COLUMNS, {"shape": "round"}, "has no shape 'round'"),
        (COLUMNS, {"text": {"delim": ";"}}, "text knows delimiter, is_quoted"),
        ([{"name": "a", "data_type": "blob"}], {}, "column a: data_type must be one of"),
        ([{"name": "a"}], {}, "column a: data_type must be one of"),
        ([{"name": "a", "data_type": "varchar", "as": "magic"}], {}, "column a: cannot"),
        (COLUMNS, {"format": "desk"}, "the raw table of this format is desk_events"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_yaml_is_named(
    settings: Settings,
    tmp_path: Path,
    columns: list[dict[str, Any]],
    landing: dict[str, Any],
    says: str,
) -> None:
    project = declare(tmp_path / "dbt", columns, **landing)
    broken = settings.model_copy(update={"dbt_project": project})
    with pytest.raises(InputError, match=says):
        find_format(broken, "till")


def test_a_format_is_declared_once(tmp_path: Path) -> None:
    project = declare(tmp_path / "dbt")
    staging = project / "models" / "staging"
    (staging / "till").rename(staging / "first")
    declare(project)
    with pytest.raises(InputError, match="format 'till' is declared twice"):
        find_declarations(project)


def test_an_unknown_format_is_told_which_there_are(till: Settings) -> None:
    assert format_names(till) == ["nearline", "rees46", "till"]
    with pytest.raises(InputError, match="use one of nearline, rees46, till"):
        find_format(till, "cash")
