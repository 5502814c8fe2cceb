"""Segments and experiment metrics against plain Python."""

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction

import pytest

from tests.dbt.conftest import Row
from tests.dbt.reference_marts import (
    experiment_sums,
    is_cart_abandoner,
    is_casual_browser,
    is_engaged_buyer,
)
from tests.dbt.warehouse import Warehouse

SEGMENTS: dict[str, tuple[Callable[..., bool], str]] = {
    "engaged_buyer": (is_engaged_buyer, "fct_orders"),
    "casual_browser": (is_casual_browser, "fct_sessions"),
    "cart_abandoner": (is_cart_abandoner, "fct_events"),
}


def by_person(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["person_id"]].append(row)
    return found


@pytest.mark.parametrize("segment", SEGMENTS)
def test_membership_at_any_moment_is_that_of_brute_force(
    in_pieces: Warehouse, segment: str
) -> None:
    is_member, table = SEGMENTS[segment]
    facts = by_person(in_pieces.rows(f"select * from {table} where not is_bot"))
    periods = by_person(
        in_pieces.rows(f"select * from fct_segments where segment = '{segment}'")
    )
    [span] = in_pieces.rows(
        "select min(occurred_at) as first, max(received_at) as last from fct_events "
        "where session_id is not null"
    )
    rng = random.Random(4)
    moments = [
        span["first"] + rng.random() * (span["last"] - span["first"]) for _ in range(40)
    ]
    # Where a period begins and ends, to the microsecond.
    moments += [
        moment + timedelta(microseconds=shift)
        for period in [p for found in periods.values() for p in found][:60]
        for moment in (period["valid_from"], period["valid_to"])
        if moment is not None
        for shift in (-1, 0)
    ]

    assert periods
    for person_id in facts.keys() | periods.keys():
        for t in moments:
            holds = any(
                period["valid_from"] <= t
                and (period["valid_to"] is None or t < period["valid_to"])
                for period in periods[person_id]
            )
            assert holds == is_member(facts[person_id], t), (person_id, t)


def test_person_has_one_primary_segment_whenever_he_has_any(
    in_pieces: Warehouse,
) -> None:
    query = """
        with moments as (
            select person_id, valid_from as moment
            from fct_segments
            group by all
        )
        select person_id, moment
        from moments
        inner join fct_segments using (person_id)
        where valid_from <= moment and coalesce(moment < valid_to, true)
        group by all
        having count(*) filter (where is_primary) != 1
    """
    assert in_pieces.rows(query) == []


def test_experiment_metrics_are_the_sums_over_units_exposed(
    in_pieces: Warehouse,
) -> None:
    built = {
        (
            row["experiment_key"],
            row["variant_key"],
            row["metric_name"],
            row["exposure_date"],
        ): (row["unit_count"], row["value_sum"], row["value_sum_squares"])
        for row in in_pieces.rows("select * from fct_experiment_metrics")
    }

    expected = experiment_sums(in_pieces.rows("select * from fct_events"))
    assert {key[0] for key in expected} > {"banner"}
    assert built.keys() == expected.keys()
    for metric, (units, total, squares) in expected.items():
        unit_count, value_sum, value_sum_squares = built[metric]
        assert unit_count == units
        assert Fraction(value_sum).limit_denominator(1000) == total
        assert value_sum_squares == pytest.approx(float(squares), rel=1e-15)


def test_a_decision_has_what_came_of_it_within_a_day_of_its_person(
    in_pieces: Warehouse,
) -> None:
    """The visitors of `nasty_visitors`; who gave no consent is not there."""
    rows = in_pieces.rows(
        "select slot, click_count, add_to_cart_count, purchase_count, revenue_cents, "
        "is_outcome_complete from fct_decisions order by decision_id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("home", 1, 1, 1, 1234, True),
        ("banner", 1, 0, 0, 0, True),
    ]
