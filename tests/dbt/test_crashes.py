"""A run that dies anywhere is made good by the next one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nearline.privacy.suppression import suppress
from tests.dbt.conftest import LateHistory, Row, echoes
from tests.dbt.warehouse import BUILD, Warehouse, differences

SUPPRESSED_VISITOR = "v_engaged_buyer"
SUPPRESSED_USER = "u_first_one"


@pytest.fixture(scope="module")
def survivor(homes: Path, late_history: LateHistory, lines: list[Row]) -> Warehouse:
    """Died between models and, twice, in the middle of one; then built to the end."""
    warehouse = late_history.after.copy_to(homes / "survivor")
    warehouse.land(echoes(lines, seed=1, count=200), "first")
    warehouse.dbt("run", "--select", "+int_events__sessionized")
    warehouse.land(echoes(lines, seed=2, count=200), "second")
    warehouse.kill_dbt_at("START sql incremental model main.fct_events", "run")
    warehouse.land(echoes(lines, seed=3, count=200), "third")
    warehouse.kill_dbt_at("OK created sql incremental model main.fct_events", "run")
    warehouse.dbt(*BUILD)
    return warehouse


@pytest.fixture(scope="module")
def rebuilt_survivor(homes: Path, survivor: Warehouse) -> Warehouse:
    warehouse = survivor.copy_to(homes / "rebuilt_survivor")
    warehouse.dbt("run", "--full-refresh")
    return warehouse


@pytest.fixture(scope="module")
def half_erased(homes: Path, survivor: Warehouse) -> Warehouse:
    """Two were suppressed, and the full refresh died after its first table."""
    warehouse = survivor.copy_to(homes / "half_erased")
    now = datetime(2026, 11, 1, tzinfo=UTC)
    suppress(warehouse.settings, "visitor", SUPPRESSED_VISITOR, "erased", now)
    suppress(warehouse.settings, "user", SUPPRESSED_USER, "opted_out", now)
    warehouse.dbt("run", "--full-refresh", "--select", "+int_events__deduplicated")
    return warehouse


@pytest.fixture(scope="module")
def erased(homes: Path, half_erased: Warehouse) -> Warehouse:
    warehouse = half_erased.copy_to(homes / "erased")
    warehouse.dbt("run", "--full-refresh")
    return warehouse


def test_killed_runs_leave_nothing_that_a_rebuild_would_not_make(
    survivor: Warehouse, rebuilt_survivor: Warehouse
) -> None:
    [counted] = survivor.rows(
        "select count(*) as n from fct_events where event_id like 'echo%'"
    )
    assert counted["n"] > 400
    assert differences(survivor, rebuilt_survivor) == {}


def test_suppressed_have_no_row_in_any_table_after_a_full_refresh(
    survivor: Warehouse, erased: Warehouse
) -> None:
    assert hits(survivor) > 0
    assert hits(erased) == 0


def test_full_refresh_that_died_is_finished_by_a_plain_run(
    half_erased: Warehouse, erased: Warehouse
) -> None:
    half_erased.dbt("run")

    assert hits(half_erased) == 0
    assert differences(half_erased, erased) == {}


def hits(warehouse: Warehouse) -> int:
    """Values of suppressed people in any text column of any table."""
    person = f"(select 'p_' || md5('user|{SUPPRESSED_USER}'))"
    columns = warehouse.rows(
        "select table_name, column_name from duckdb_columns() "
        "where data_type = 'VARCHAR' and not internal and table_name in "
        "(select table_name from duckdb_tables())"
    )
    counts = " union all ".join(
        f"select count(*) as n from {row['table_name']} where {row['column_name']} in "
        f"('{SUPPRESSED_VISITOR}', '{SUPPRESSED_USER}', {person})"
        for row in columns
    )
    [found] = warehouse.rows(f"select sum(n) as n from ({counts})")
    return int(found["n"])
