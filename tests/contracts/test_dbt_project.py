"""What the dbt project promises to those who read its tables and to the landing."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from nearline.landing.formats import PROVENANCE, Format
from nearline.landing.nearline_format import NearlineFormat
from nearline.landing.rees46_format import Rees46Format
from nearline.publication.tables import INTERNAL_COLUMNS, PublishedTable
from tests.releases import PUBLISHED_TABLES

DBT_PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
MODELS = sorted((DBT_PROJECT / "models").rglob("*.sql"))
PUBLISHED_FOLDERS = (
    "marts", "features", "experiments", "decisions", "metrics", "ops"
)  # fmt: skip
PUBLISHED_MODELS = [path for path in MODELS if path.parent.name in PUBLISHED_FOLDERS]
PERSONAL_COLUMNS = {"visitor_id", "user_id", "person_id", "unit_id", "identifier"}
DUCKDB_TYPES = {
    pa.string(): "varchar",
    pa.timestamp("us"): "timestamp",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
}


def _name(path: Path) -> str:
    return path.stem


def _described(model: Path) -> dict[str, Any]:
    """What the `.yml` beside a model says of it."""
    content = yaml.safe_load(model.with_suffix(".yml").read_text())
    (described,) = content["models"]
    return dict(described)


def _columns(model: Path) -> dict[str, str]:
    columns = _described(model).get("columns", [])
    return {column["name"]: column.get("data_type", "") for column in columns}


def _macro_columns(macro: str) -> dict[str, str]:
    """Names and types in a macro that returns a literal mapping."""
    text = (DBT_PROJECT / "macros" / "event_columns.sql").read_text()
    (body,) = re.findall(rf"macro {macro}\(\) -%}}(.*?)endmacro", text, re.DOTALL)
    return dict(re.findall(r"'(\w+)': '(\w+)'", body))


def _landed_columns(format_: Format) -> dict[str, str]:
    provenance = {field.name for field in PROVENANCE}
    return {
        field.name: DUCKDB_TYPES[field.type]
        for field in format_.schema
        if field.name not in provenance
    }


def test_what_is_published_is_what_the_project_builds_for_readers() -> None:
    assert {table.name for table in PUBLISHED_TABLES} == set(
        map(_name, PUBLISHED_MODELS)
    )


@pytest.mark.parametrize(
    "table", [t for t in PUBLISHED_TABLES if t.day_column], ids=lambda t: t.name
)
def test_a_fact_cut_by_day_has_what_publication_goes_by(table: Any) -> None:
    (model,) = [path for path in PUBLISHED_MODELS if path.stem == table.name]
    columns = _columns(model)
    assert columns[table.day_column] == "date"
    assert "change_seq" in columns
    assert "change_seq" in INTERNAL_COLUMNS


@pytest.mark.parametrize("table", PUBLISHED_TABLES, ids=lambda t: t.name)
def test_the_key_by_which_releases_are_compared_is_tested_to_be_unique(
    table: PublishedTable,
) -> None:
    (model,) = [path for path in PUBLISHED_MODELS if path.stem == table.name]
    described = _described(model)
    unique = [
        (column["name"],)
        for column in described["columns"]
        if "unique" in column.get("data_tests", [])
    ] + [
        tuple(test["unique_together"]["arguments"]["columns"])
        for test in described.get("data_tests", [])
        if "unique_together" in test
    ]

    assert table.key in unique


def test_dbt_reads_the_columns_that_the_contracts_own_form_lands() -> None:
    assert _macro_columns("event_columns") == _landed_columns(NearlineFormat())


def test_dbt_reads_where_a_row_came_from() -> None:
    landed = {field.name: DUCKDB_TYPES[field.type] for field in PROVENANCE}
    # The number of the landing is in the path.
    assert _macro_columns("provenance_columns") == {**landed, "landing_id": "integer"}


def test_dbt_reads_no_column_that_rees46_does_not_land() -> None:
    path = DBT_PROJECT / "models" / "staging" / "rees46" / "stg_rees46__events.sql"
    landed, _, _ = path.read_text().partition("mapped as")
    read = dict(re.findall(r"'(\w+)': '(\w+)'", landed))
    assert read
    assert read.items() <= _landed_columns(Rees46Format()).items()


@pytest.mark.parametrize("model", MODELS, ids=_name)
def test_every_model_is_described_grain_first_beside_it(model: Path) -> None:
    described = _described(model)
    assert described["name"] == model.stem
    assert described["description"].startswith("One row per ")


@pytest.mark.parametrize("model", PUBLISHED_MODELS, ids=_name)
def test_every_published_model_has_an_enforced_contract_with_typed_columns(
    model: Path,
) -> None:
    assert _described(model)["config"]["contract"] == {"enforced": True}
    columns = _columns(model)
    assert columns
    assert all(columns.values())


@pytest.mark.parametrize("model", PUBLISHED_MODELS, ids=_name)
def test_every_published_model_says_who_owns_it_and_what_it_holds_of_persons(
    model: Path,
) -> None:
    groups = yaml.safe_load((DBT_PROJECT / "models" / "_groups.yml").read_text())
    described = _described(model)
    meta = described.get("meta") or described["config"]["meta"]
    assert set(meta) - {"feature_view"} == {"owner", "pii", "retention_days"}
    assert meta["owner"] in {group["name"] for group in groups["groups"]}
    assert isinstance(meta["retention_days"], int)
    assert meta["retention_days"] > 0
    is_personal = bool(PERSONAL_COLUMNS & set(_columns(model)))
    assert meta["pii"] == ("pseudonymous" if is_personal else "none")


def test_every_feature_model_is_compared_with_what_was_served() -> None:
    text = (DBT_PROJECT / "models" / "ops" / "ops_parity.sql").read_text()
    listed, _, _ = text.partition("-%}")
    folder = DBT_PROJECT / "models" / "features"
    assert re.findall(r"'(\w+)'", listed) == sorted(
        path.stem for path in folder.glob("*.sql")
    )
