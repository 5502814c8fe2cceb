"""Segments and experiment metrics against plain Python."""

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from tests.dbt.conftest import Row
from tests.dbt.nasty_visitors import at, event, purchase
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


_DAYS_SUMMED = (
    "select metric_date, max(change_seq) as change_seq from int_experiments__sums "
    "where experiment_key = 'banner' group by all order by all"
)


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
    expected = experiment_sums(in_pieces.rows("select * from fct_events"))
    names = {key[2] for key in expected}
    built = {
        (
            row["experiment_key"],
            row["variant_key"],
            row["metric_name"],
            row["exposure_date"],
        ): row
        for row in in_pieces.rows("select * from fct_experiment_metrics")
        if row["metric_name"] in names
    }

    assert {key[0] for key in expected} > {"banner"}
    assert built.keys() == expected.keys()
    for metric, sums in expected.items():
        _assert_sums(built[metric], sums)


def test_a_day_of_an_experiment_is_what_was_done_by_its_end(
    in_pieces: Warehouse,
) -> None:
    events = in_pieces.rows("select * from fct_events")
    rows = in_pieces.rows("select * from fct_experiment_days")
    days = sorted({row["metric_date"] for row in rows})
    for day in (days[len(days) // 3], days[len(days) // 2], days[-1]):
        by_then = [event for event in events if event["occurred_at"].date() <= day]
        expected: dict[tuple[str, str, str], tuple[int, Fraction, Fraction]] = {}
        for (key, variant, metric, _), sums in experiment_sums(by_then).items():
            before = expected.get((key, variant, metric), (0, Fraction(), Fraction()))
            expected[key, variant, metric] = (
                before[0] + sums[0],
                before[1] + sums[1],
                before[2] + sums[2],
            )
        built = {
            (row["experiment_key"], row["variant_key"], row["metric_name"]): row
            for row in sorted(rows, key=lambda row: row["metric_date"])
            if row["metric_date"] <= day
        }
        # Who is left out is told by all that is known now, not by what was known then.
        expected = {key: v for key, v in expected.items() if key[0] == "banner"}
        assert expected.keys() <= built.keys()
        for metric_key, sums in expected.items():
            _assert_sums(built[metric_key], sums)


def test_another_day_leaves_the_sums_of_the_days_before_it_as_they_are(
    homes: Path, target: Path
) -> None:
    def exposed(visitor: str) -> Row:
        names = {"experiment_key": "banner", "variant_key": "control"}
        return event(f"exposed_{visitor}", visitor, at("10:00"), "exposure", **names)

    shop = Warehouse(homes / "another_day", target)
    shop.land([exposed("v_comes_back"), exposed("v_stays_away")], "first")
    shop.dbt("run", "--select", "+int_experiments__sums")
    before = shop.rows(_DAYS_SUMMED)
    shop.land([purchase("bought", "v_comes_back", at("10:00", 3), 500)], "then")
    shop.dbt("run", "--select", "+int_experiments__sums")
    after = shop.rows(_DAYS_SUMMED)

    assert len(before) == 1
    assert after[:1] == before
    assert [row["metric_date"] - before[0]["metric_date"] for row in after] == [
        timedelta(0),
        timedelta(days=3),
    ]


def test_groups_of_an_experiment_and_its_last_day_add_up_to_the_whole(
    in_pieces: Warehouse,
) -> None:
    query = """
        with whole as (
            select experiment_key, variant_key, metric_name,
                sum(unit_count) as units, round(sum(value_sum), 3) as total,
                round(sum(covariate_sum), 3) as before
            from fct_experiment_metrics group by all
        ),
        parts as (
            select experiment_key, variant_key, metric_name, dimension,
                sum(unit_count) as units, round(sum(value_sum), 3) as total,
                round(sum(covariate_sum), 3) as before
            from fct_experiment_segments group by all
            union all
            select experiment_key, variant_key, metric_name, 'day',
                arg_max(unit_count, metric_date),
                round(arg_max(value_sum, metric_date), 3),
                round(arg_max(covariate_sum, metric_date), 3)
            from fct_experiment_days group by all
        )
        select dimension, count(*) as row_count, bool_and(
            whole.units = parts.units and whole.total = parts.total
            and whole.before = parts.before
        ) as is_equal
        from whole inner join parts using (experiment_key, variant_key, metric_name)
        group by all order by all
    """
    found = in_pieces.rows(query)
    assert [row["dimension"] for row in found] == [
        "channel",
        "day",
        "device_class",
        "segment",
    ]
    assert all(row["is_equal"] and row["row_count"] > 10 for row in found)


def test_quantiles_are_counted_over_every_unit_that_is_analysed(
    in_pieces: Warehouse,
) -> None:
    counted = in_pieces.rows(
        "select experiment_key, variant_key, sum(unit_count) as units, "
        "min(unit_count) as fewest from fct_experiment_values group by all order by all"
    )
    units = in_pieces.rows(
        "select experiment_key, variant_key, count(*) as units from fct_exposures "
        "where is_analysed group by all order by all"
    )
    assert [(row["variant_key"], row["units"]) for row in counted] == [
        (row["variant_key"], row["units"]) for row in units
    ]
    assert all(row["fewest"] > 0 for row in counted)


def _assert_sums(row: Row, sums: tuple[int, Fraction, Fraction]) -> None:
    units, total, squares = sums
    assert row["unit_count"] == units
    assert Fraction(row["value_sum"]).limit_denominator(1000) == total
    assert row["value_sum_squares"] == pytest.approx(float(squares), rel=1e-15)


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
