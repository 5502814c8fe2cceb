"""`dbt build` works as it is, on nothing and again."""

from pathlib import Path

import pytest

from tests.dbt.warehouse import BUILD, Warehouse, differences

BUILT_EMPTY = {"fct_events", "fct_sessions", "fct_daily_metrics", "ftr_visitor__latest"}


@pytest.fixture(scope="module")
def built_on_nothing(homes: Path, target: Path) -> Warehouse:
    warehouse = Warehouse(homes / "empty", target)
    warehouse.home.mkdir()
    warehouse.dbt("build")
    return warehouse


def test_build_works_on_an_empty_home_twice_in_a_row(
    built_on_nothing: Warehouse,
) -> None:
    built_on_nothing.dbt("build")

    assert set(built_on_nothing.tables()) >= BUILT_EMPTY
    # What the models of features were compiled to is there without any event.
    for table in set(built_on_nothing.tables()) - {"live_sql"}:
        assert built_on_nothing.rows(f"select count(*) as n from {table}") == [{"n": 0}]


def test_build_without_news_changes_nothing(homes: Path, in_pieces: Warehouse) -> None:
    again = in_pieces.copy_to(homes / "again")

    again.dbt(*BUILD)

    assert differences(in_pieces, again) == {}
    for table in ("int_events__deduplicated", "fct_events", "fct_sessions"):
        query = f"select change_seq, count(*) as n from {table} group by 1 order by 1"
        assert again.rows(query) == in_pieces.rows(query)
