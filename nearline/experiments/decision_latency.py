"""How long decisions took, by the arm of an experiment that each was made in.

Belongs here: which decisions are an arm's, and their sums by visitor. Not here: what is
said of them (`warehouse_experiment`), or how a decision is timed (`nearline.decisions`).
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from nearline.experiments.warehouse_experiment import Relation, Sums

if TYPE_CHECKING:
    import duckdb

LONGEST_MILLISECONDS = 3_600_000
"""A decision that took longer than an hour was not timed, but mistaken."""

DecisionLatency = Mapping[date, Mapping[str, Sums]]
"""By day of a visitor's first decision in an arm, and arm: milliseconds over decisions."""


def read_decision_latency(
    connection: "duckdb.DuckDBPyConnection", relation: Relation
) -> dict[str, DecisionLatency]:
    """Of each experiment, by key, the sums over its visitors; none that has no decision.

    Decisions count from the first that was made in the arm, and not from its exposure: who
    left because it took so long was never exposed. Their unit is the visitor, by whom
    decisions are assigned. Those for machines, and those that were not timed, do not count.
    """
    found: dict[str, dict[date, dict[str, Sums]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    # In whole microseconds, so that the sums hang on no order of the rows.
    for (
        key,
        day,
        variant,
        units,
        value,
        squares,
        count,
        counts,
        crossed,
    ) in connection.execute(
        f"""
            with timed as (
                select
                    visitor_id,
                    decision_date,
                    cast(round(latency_milliseconds * 1000) as hugeint) as microseconds,
                    unnest(map_entries(
                        try_cast(try_cast(arms as json) as map(varchar, varchar))
                    )) as arm,
                from {relation("fct_decisions")}
                where
                    not is_bot
                    and latency_milliseconds between 0 and {LONGEST_MILLISECONDS}
            ),

            visitors as (
                select
                    arm.key as experiment_key,
                    arm.value as variant_key,
                    visitor_id,
                    min(decision_date) as first_day,
                    sum(microseconds) as microseconds,
                    cast(count(*) as hugeint) as decisions,
                from timed
                where arm.value is not null
                group by all
            )

            select
                experiment_key,
                first_day,
                variant_key,
                count(*),
                sum(microseconds) / 1e3,
                sum(microseconds * microseconds) / 1e6,
                cast(sum(decisions) as double),
                cast(sum(decisions * decisions) as double),
                sum(microseconds * decisions) / 1e3,
            from visitors
            group by experiment_key, first_day, variant_key
            order by all
            """
    ).fetchall():
        found[key][day][variant] = Sums(units, value, squares, count, counts, crossed)
    return {key: dict(days) for key, days in found.items()}
