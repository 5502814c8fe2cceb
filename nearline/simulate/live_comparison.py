"""Holds the published tables against the truth of people who visited live.

Three estimates stand beside what is true: of the experiment, as the run analysed it; of
its clicks, by decisions; and of the policy against its hold-out, by decisions and orders.
The pipeline never reads the truth; this module reads both, after the fact.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.experiments.inference import compare
from nearline.experiments.results import CONTROL_VARIANT_KEY
from nearline.experiments.statistics import SufficientStatistics
from nearline.publication.tables import open_release, scan
from nearline.simulate.comparison import EffectComparison
from nearline.simulate.live.running import TRUTH_FILE

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Estimates:
    """Effects of personal answers by one way of measuring them; `found_unit_count` units
    of the two groups are in the tables."""

    measured_by: str
    found_unit_count: int
    effects: tuple[EffectComparison, ...]


@dataclass(frozen=True, slots=True)
class LiveComparison:
    """What the tables tell of one live simulation, beside what is true of it."""

    slot: str
    care: float
    unit_count: int
    estimates: tuple[Estimates, ...]

    def in_words(self) -> str:
        """Lines for a terminal."""
        lines = [
            f"Personal answers in {self.slot}, for {self.unit_count:,} people who care "
            f"{self.care:g}:"
        ]
        for one in self.estimates:
            lines.append(f"  by {one.measured_by}, {one.found_unit_count:,} people:")
            lines += [f"    {effect.in_words()}" for effect in one.effects]
        return "\n".join(lines)


def is_live(shop: Path) -> bool:
    """Whether `shop` is what `nearline simulate --live` wrote."""
    return (shop / "truth" / TRUTH_FILE).exists()


def compare_live(published: Path, shop: Path) -> LiveComparison:
    """Compares the release at `published` with `shop/truth`.

    Raises:
        InputError: nothing is published yet.
    """
    truth = json.loads((shop / "truth" / TRUTH_FILE).read_text())
    connection, release = open_release(published)
    estimates = []
    for experiment in truth["experiments"]:
        estimates.append(_by_results(connection, release, truth, experiment))
        estimates.append(
            _by_decisions(
                connection,
                release,
                truth,
                f"fct_decisions, arms of {experiment}",
                _arm(experiment),
                metrics=("click",),
            )
        )
    if truth["summary"]["held_out_count"]:
        # Who sees the default in an experiment is no part of what the policy gives.
        controls = [
            f"when {_arm(experiment)} = '{CONTROL_VARIANT_KEY}' then null"
            for experiment in truth["experiments"]
        ]
        held_out = f"when is_held_out then '{CONTROL_VARIANT_KEY}'"
        estimates.append(
            _by_decisions(
                connection,
                release,
                truth,
                "fct_decisions and fct_orders, the hold-out",
                f"case {' '.join([held_out, *controls])} else 'personal' end",
                metrics=("click", "conversion"),
            )
        )
    return LiveComparison(
        truth["slot"], truth["care"], truth["unit_count"], tuple(estimates)
    )


def _arm(experiment: str) -> str:
    return f"arms ->> '$.\"{experiment}\"'"


def _by_results(
    connection: "duckdb.DuckDBPyConnection",
    release: Path,
    truth: Mapping[str, Any],
    experiment: str,
) -> Estimates:
    rows = connection.execute(
        "select metric_name, estimate, ci_low, ci_high, unit_count + control_unit_count "
        f"from {scan(release, 'fct_experiment_results')} where experiment_key = ?",
        [experiment],
    ).fetchall()
    found = {metric: tuple(numbers) for metric, *numbers, _ in rows}
    return Estimates(
        f"fct_experiment_results, {experiment}",
        max((count for *_, count in rows), default=0),
        tuple(
            EffectComparison(metric, effect, *found.get(metric, (None, None, None)))
            for metric, effect in truth["true_effects"].items()
            # The run's analysis has no metric of clicks: they are of decisions.
            if metric != "click"
        ),
    )


def _by_decisions(
    connection: "duckdb.DuckDBPyConnection",
    release: Path,
    truth: Mapping[str, Any],
    measured_by: str,
    group: str,
    metrics: tuple[str, ...],
) -> Estimates:
    """Counts visitors by `group`: `control`, another name, or null for neither."""
    rows = connection.execute(
        f"""
        with units as (
            select
                visitor_id,
                min({group}) as unit_group,
                min(exposed_at) as exposed_at,
                bool_or(is_clicked) as has_clicked,
            from {scan(release, "fct_decisions")}
            where
                slot = ?
                and decided_at between ? and ?
                and exposed_at is not null
                and has_personalization_consent
                and not is_bot
            group by visitor_id
        ),
        buyers as (
            select distinct units.visitor_id
            from units
            inner join {scan(release, "fct_orders")} as orders
                on
                    units.visitor_id = orders.visitor_id
                    and units.exposed_at <= orders.ordered_at
            where not orders.is_bot
        )
        select
            unit_group = '{CONTROL_VARIANT_KEY}' as is_default,
            count(*),
            count(*) filter (where has_clicked),
            count(buyers.visitor_id),
        from units
        left join buyers using (visitor_id)
        where unit_group is not null
        group by is_default
        """,
        [truth["slot"], _naive(truth["began_at"]), _naive(truth["ended_at"])],
    ).fetchall()
    counts = {bool(is_default): numbers for is_default, *numbers in rows}
    personal, default = counts.get(False, [0, 0, 0]), counts.get(True, [0, 0, 0])
    return Estimates(
        measured_by,
        personal[0] + default[0],
        tuple(
            _proportions(metric, truth, personal, default, place)
            for place, metric in enumerate(("click", "conversion"), 1)
            if metric in metrics
        ),
    )


def _proportions(
    metric: str,
    truth: Mapping[str, Any],
    personal: list[int],
    default: list[int],
    place: int,
) -> EffectComparison:
    found = compare(
        "proportion",
        SufficientStatistics(personal[0], personal[place], personal[place]),
        SufficientStatistics(default[0], default[place], default[place]),
    )
    return EffectComparison(
        metric,
        truth["true_effects"].get(metric, 0.0),
        found.estimate,
        found.ci_low,
        found.ci_high,
    )


def _naive(moment: str) -> datetime:
    return datetime.fromisoformat(moment).astimezone(UTC).replace(tzinfo=None)
