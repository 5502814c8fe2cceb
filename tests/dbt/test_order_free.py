"""Whatever the order of arrival, the tables are those of a clean rebuild."""

from pathlib import Path

import pytest

from tests.dbt.conftest import Row
from tests.dbt.warehouse import PROVENANCE, Warehouse, differences


@pytest.fixture(scope="module")
def rebuilt(homes: Path, in_pieces: Warehouse) -> Warehouse:
    warehouse = in_pieces.copy_to(homes / "rebuilt")
    warehouse.dbt("run", "--full-refresh")
    return warehouse


@pytest.fixture(scope="module")
def in_one_file(homes: Path, target: Path, lines: list[Row]) -> Warehouse:
    """Everything in one file, in the order in which it happened, on a fresh home."""
    warehouse = Warehouse(homes / "in_one_file", target)
    warehouse.land(sorted(lines, key=lambda line: line["occurred_at"]), "all")
    warehouse.dbt("run")
    return warehouse


def test_increments_equal_a_full_refresh_row_for_row(
    in_pieces: Warehouse, rebuilt: Warehouse
) -> None:
    assert differences(in_pieces, rebuilt) == {}


def test_shuffled_pieces_equal_one_file_in_order(
    in_pieces: Warehouse, in_one_file: Warehouse
) -> None:
    assert differences(in_pieces, in_one_file, ignored=PROVENANCE) == {}


def test_history_holds_what_it_is_meant_to_test(in_pieces: Warehouse) -> None:
    [counts] = in_pieces.rows(
        """
        select
            (select count(distinct change_seq) from fct_sessions) as runs,
            (select count(*) from int_events__sessionized
            where set_aside_reason = 'session_too_long') as too_long,
            (select count(*) from int_events__sessionized
            where set_aside_reason = 'created_too_long_before_sent') as sent_late,
            (select count(*) from fct_events where is_page_ping and is_page_view)
                as pages_only_pinged,
            (select count(*) from fct_sessions where bot_reason = 'machine_fast')
                as fast,
            (select count(*) from fct_events where person_id != (
                select min(person_id) from fct_events as others
                where others.visitor_id = fct_events.visitor_id
            )) as shared_devices,
            (select count(*) from fct_segments where segment = 'cart_abandoner')
                as abandoned
        """
    )
    assert counts["runs"] == 4
    assert all(count > 0 for count in counts.values())
