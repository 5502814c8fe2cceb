"""A real shop's log against plain SQL on the file itself."""

from pathlib import Path

import duckdb
import pytest

from nearline.landing.landings import land_file
from tests.dbt.warehouse import BUILD, Row, Warehouse

LOG = (
    Path(__file__).resolve().parents[3]
    / "shared"
    / "data"
    / "rees46"
    / "2019-Oct.head.csv.gz"
)

pytestmark = pytest.mark.skipif(not LOG.exists(), reason=f"no {LOG.name} to read")


@pytest.fixture(scope="module")
def shop(homes: Path, target: Path) -> Warehouse:
    warehouse = Warehouse(homes / "rees46", target)
    warehouse.home.mkdir()
    landing = land_file(warehouse.settings, LOG, "rees46")
    assert landing.rejected_count == 0
    warehouse.dbt(*BUILD)
    return warehouse


def in_file(query: str) -> Row:
    """One row of plain SQL over `log`: the file's distinct rows."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(
            "create view log as select distinct * from read_csv("
            f"'{LOG}', all_varchar = true)"
        )
        found = connection.execute(query)
        names = [column[0] for column in found.description]
        [row] = found.fetchall()
        return dict(zip(names, row, strict=True))


def test_counts_and_sums_are_those_of_the_file(shop: Warehouse) -> None:
    [built] = shop.rows(
        """
        select
            (select count(*) from fct_events) as events,
            (select count(*) from fct_sessions) as sessions,
            (select count(distinct visitor_id) from fct_events) as visitors,
            (select count(*) from bridge_identities) as identities,
            (select count(*) from dim_persons) as persons,
            (select count(*) from dim_items) as items,
            (select sum(purchase_count) from fct_sessions) as purchases,
            (select sum(revenue_cents) from fct_sessions) as revenue_cents,
            (select count(*) from fct_orders) as orders,
            (select sum(revenue_cents) from fct_orders) as order_cents,
            (select sum(revenue_cents) from fct_order_items) as line_cents
        """
    )

    assert built == in_file(
        """
        select
            count(*) as events,
            count(distinct user_session) as sessions,
            count(distinct user_id) as visitors,
            count(distinct user_id) as identities,
            count(distinct user_id) as persons,
            count(distinct product_id) as items,
            count(*) filter (where event_type = 'purchase') as purchases,
            sum(cast(price as decimal(18, 2)) * 100)
                filter (where event_type = 'purchase') as revenue_cents,
            purchases as orders,
            revenue_cents as order_cents,
            revenue_cents as line_cents
        from log
        """
    )


def test_views_of_each_product_are_those_of_the_file(shop: Warehouse) -> None:
    [built] = shop.rows(
        "select histogram(item_id) as views from fct_events where event_name = 'view_item'"
    )

    assert built == in_file(
        "select histogram(product_id) as views from log where event_type = 'view'"
    )
    [listed] = shop.rows(
        "select map_from_entries(list((item_id, view_count) order by item_id)) as views "
        "from dim_items where view_count > 0"
    )
    assert listed == built


def test_what_the_source_does_not_send_is_empty_or_null(shop: Warehouse) -> None:
    for table in ("fct_page_views", "fct_exposures", "fct_experiment_metrics"):
        assert shop.rows(f"select count(*) as n from {table}") == [{"n": 0}]
    assert shop.rows(
        "select consent_basis, has_personalization_consent from fct_events group by all"
    ) == [{"consent_basis": "assumed", "has_personalization_consent": True}]
    # A bounce is not known without pages and dwell; a purchase alone engages.
    assert shop.rows(
        "select purchase_count > 0 as bought, is_bounce from fct_sessions "
        "group by all order by all"
    ) == [{"bought": False, "is_bounce": None}, {"bought": True, "is_bounce": False}]


def test_session_of_two_users_is_one_session_of_the_first(shop: Warehouse) -> None:
    shared = shop.rows(
        """
        select
            any_value(sessions.visitor_id) as session_visitor,
            arg_min(events.visitor_id, (events.occurred_at, events.event_id)) as first
        from fct_sessions as sessions
        inner join fct_events as events using (session_id)
        group by session_id
        having count(distinct events.visitor_id) > 1
        """
    )

    assert (
        len(shared)
        == in_file(
            "select count(*) as n from (select user_session from log group by all "
            "having count(distinct user_id) > 1)"
        )["n"]
    )
    assert all(row["session_visitor"] == row["first"] for row in shared)
