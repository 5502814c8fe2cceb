"""Experiments: health of the split first, then each metric with its interval.

Belongs here: how a result is laid before a reader who decides on it. A p-value is not
shown: the interval and the verdict say all that it does. Not here: any statistic.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from nearline.dashboards import wording
from nearline.dashboards.periods import Period
from nearline.dashboards.queries import Arm, Experiment, Result
from nearline.dashboards.sections.comparison import currency_word
from nearline.dashboards.sections.figures import Figure, effect_row, effects_figure
from nearline.dashboards.statistics import Interval
from nearline.experiments.metrics import DECISION_LATENCY

NO_EXPERIMENT = "No experiment ran in this data."
_CANNOT_CONCLUDE = "cannot conclude"

_METRIC_NAMES = {
    "conversion": "Conversion",
    "add_to_cart": "Add to cart",
    "revenue_per_visitor": "Revenue per visitor",
    "engaged_seconds_per_visitor": "Engaged time per visitor",
    DECISION_LATENCY.name: f"{DECISION_LATENCY.label} (ms)",
}


@dataclass(frozen=True, slots=True)
class ResultView:
    """One metric of an experiment in words."""

    title: str
    badge: str
    tone: str
    figures: str
    verdict: str


@dataclass(frozen=True, slots=True)
class ExperimentView:
    """One experiment: how it was split, its chart, its results."""

    title: str
    sentence: str
    health: str
    has_alarm: bool
    figure: Figure
    results: tuple[ResultView, ...]
    page: str | None = None
    """Address of the experiment's own page, where there is one."""


def experiments_empty(experiments: Sequence[Experiment] | None) -> str | None:
    """Why there is no experiment to show, or None where there is one."""
    if experiments is None:
        return "This release has no experiment results."
    return None if experiments else NO_EXPERIMENT


def experiment_views(
    experiments: Sequence[Experiment] | None, currencies: Collection[str | None]
) -> list[ExperimentView]:
    """Each experiment with its health first: a broken split spoils every metric."""
    return [
        _experiment_view(experiment, index, currencies)
        for index, experiment in enumerate(experiments or ())
    ]


def _experiment_view(
    experiment: Experiment, index: int, currencies: Collection[str | None]
) -> ExperimentView:
    order = list(_METRIC_NAMES)
    results = sorted(
        experiment.results,
        key=lambda result: (
            order.index(result.metric_name)
            if result.metric_name in order
            else len(order),
            result.metric_name,
            result.variant_key,
        ),
    )
    has_alarm = any(result.has_srm_alarm for result in results)
    shown = [
        result
        for result in results
        if result.metric_name in order or result.role in {"primary", "guardrail"}
    ]
    return ExperimentView(
        title=wording.name(experiment.experiment_key),
        sentence=_exposed_sentence(experiment),
        health=_health_sentence(experiment, has_alarm),
        has_alarm=has_alarm,
        figure=_effects_figure(f"experiment-{index}", shown),
        results=tuple(_result_view(result, currencies) for result in shown),
        page=(
            f"experiments/{page_name(experiment.experiment_key)}"
            if experiment.has_page
            else None
        ),
    )


def page_name(experiment_key: str) -> str:
    """File of an experiment's page; a key may hold what a path must not."""
    return quote(experiment_key, safe="").replace("%", "~") + ".html"


def _arms(experiment: Experiment) -> tuple[Arm, ...]:
    if experiment.arms:
        return experiment.arms
    counts: dict[str, int] = {}
    for result in experiment.results:
        counts[result.control_variant_key] = result.control_unit_count
        counts[result.variant_key] = result.unit_count
    return tuple(Arm(key, count) for key, count in counts.items())


def _exposed_sentence(experiment: Experiment) -> str:
    arms = ", ".join(
        f"{wording.count(arm.unit_count)} saw {arm.variant_key}"
        for arm in _arms(experiment)
    )
    first, last = experiment.first_exposed_at, experiment.last_exposed_at
    sentence = f"Visitors: {arms}"
    if first is not None and last is not None:
        span = wording.days(Period(first.date(), last.date()), with_year=True)
        sentence += f"; exposed {span}"
    return f"{sentence}."


def _health_sentence(experiment: Experiment, has_alarm: bool) -> str:
    if not experiment.results:
        return "There is no second variant to compare with."
    if has_alarm:
        sentence = (
            "Sample ratio: alarm. The split between the variants is not the planned "
            "one, beyond what chance explains; do not act on the results below until "
            "the cause is found."
        )
    else:
        sentence = (
            "Sample ratio: healthy. The split between the variants is as planned, "
            "within what chance explains."
        )
    if experiment.contaminated_unit_count:
        visitors = wording.plural(experiment.contaminated_unit_count, "visitor")
        sentence += f" {visitors} saw more than one variant."
    elif experiment.arms:
        sentence += " Nobody saw more than one variant."
    return sentence


def _effects_figure(key: str, results: Sequence[Result]) -> Figure:
    variants = {result.variant_key for result in results}
    rows = []
    for result in results:
        # What matters of it are milliseconds: shares of control would hide all others.
        if result.metric_name == DECISION_LATENCY.name:
            continue
        label = _metric_name(result.metric_name)
        if len(variants) > 1:
            label += f", {result.variant_key}"
        row = effect_row(
            label,
            result.relative_lift,
            result.relative_ci_low,
            result.relative_ci_high,
        )
        if row is not None:
            rows.append(row)
    if not rows:
        return Figure(key, "", "", empty="No interval of a relative change to draw.")
    return effects_figure(key, rows)


def _result_view(result: Result, currencies: Collection[str | None]) -> ResultView:
    badge, tone = "Not settled", ""
    if result.has_srm_alarm:
        badge, tone = "Do not read", "is-alarm"
    elif not result.verdict.startswith(_CANNOT_CONCLUDE):
        badge = "▲ Higher" if (result.estimate or 0) > 0 else "▼ Lower"
        tone = "is-clear"
    say, signed_words = _metric_words(result, currencies)
    figures = (
        f"{result.control_variant_key} {say(result.control_mean)}, "
        f"{result.variant_key} {say(result.variant_mean)}"
    )
    estimate, low, high = result.estimate, result.ci_low, result.ci_high
    if estimate is not None and low is not None and high is not None:
        level = f"{result.confidence_level * 100:g}\u00a0% interval"
        moved, span = signed_words(estimate, Interval(low, high))
        figures += f"; difference {moved} ({level} {span})"
    return ResultView(
        title=_metric_name(result.metric_name),
        badge=badge,
        tone=tone,
        figures=figures,
        verdict=result.verdict.replace(" %", "\u00a0%"),
    )


def _metric_name(metric_name: str) -> str:
    return _METRIC_NAMES.get(metric_name, wording.name(metric_name))


def _metric_words(
    result: Result, currencies: Collection[str | None]
) -> tuple[Callable[[float | None], str], Callable[[float, Interval], tuple[str, str]]]:
    """How a value of the metric is said, and a difference with its interval."""

    def difference(
        scale: float, decimals: int, word: str
    ) -> Callable[[float, Interval], tuple[str, str]]:
        return lambda estimate, interval: (
            f"{wording.signed(estimate * scale, decimals)} {word}".rstrip(),
            wording.signed_span(interval, decimals, scale),
        )

    if result.metric_kind in {"proportion", "retention"}:
        return (
            lambda value: wording.percent(value, 2),
            difference(100, 2, "points"),
        )
    if result.metric_name.startswith("revenue"):
        currency = (
            currency_word(currencies)
            if len(currencies) < 2
            else "(several currencies added up)"
        )
        return (
            lambda value: wording.money(value, currency),
            difference(0.01, 2, currency or ""),
        )
    if "seconds" in result.metric_name:
        return (
            lambda value: f"{wording.decimal(value)} s",
            difference(1, 1, "s"),
        )
    return (lambda value: wording.decimal(value, 2), difference(1, 2, ""))
