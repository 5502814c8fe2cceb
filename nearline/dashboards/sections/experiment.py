"""One experiment for whoever decides on it: health, the primary metric, all the rest.

Belongs here: an analysis in words, tables and charts. A p-value is never shown: the
interval says all that it does, and more. Not here: any statistic (`nearline.experiments`),
or the page's layout.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nearline.dashboards import charts, wording
from nearline.dashboards.charts import DayPoint, EffectRow
from nearline.dashboards.sections.figures import (
    Figure,
    Table,
    days_table,
    effect_row,
    effects_figure,
)
from nearline.dashboards.statistics import Interval
from nearline.experiments.analysis import ArmResult, Status
from nearline.experiments.conclusion import Decision, describe_change
from nearline.experiments.definitions import ExperimentDefinition
from nearline.experiments.effects import (
    DayEffect,
    DimensionEffects,
    daily_effects,
    group_effects,
)
from nearline.experiments.guardrails import GuardrailStatus, Limit
from nearline.experiments.metrics import ExperimentMetric, WarehouseKind
from nearline.experiments.report import describe_method
from nearline.experiments.warehouse_experiment import Analysis
from nearline.experiments.warehouse_results import role_of

_SHARES = frozenset({WarehouseKind.PROPORTION, WarehouseKind.RETENTION})

DECISION_WORDS = {
    Decision.SHIP: "Ship it",
    Decision.STOP: "Stop",
    Decision.KEEP_RUNNING: "Keep running",
    Decision.CANNOT_CONCLUDE: "Cannot conclude",
}
_CHECK_NAMES = {
    "sample_ratio": "Sizes of the arms",
    "sample_ratio_by_day": "Sizes, day by day",
    "sample_ratio_by_device_class": "Sizes, by device",
    "sample_ratio_by_channel": "Sizes, by channel",
    "sample_ratio_by_segment": "Sizes, by segment",
    "covariate_balance": "Before the start",
    "aa_history": "Other experiments, before the start",
    "novelty": "Steady over the days",
    "outliers": "A few large values",
    "exposure_lag": "Late exposures",
    "contamination": "Seen in two variants",
    "before_start": "Start",
}
_BADGES = {
    Status.OK: ("Fine", "is-clear"),
    Status.WARNING: ("Look", ""),
    Status.ALARM: ("Alarm", "is-alarm"),
    Status.UNKNOWN: ("Not known", ""),
}
_GUARDRAILS = {
    GuardrailStatus.HELD: ("Holds", "is-clear"),
    GuardrailStatus.BROKEN: ("Broken", "is-alarm"),
    GuardrailStatus.UNCLEAR: ("Not known yet", ""),
}
_DIMENSIONS = {
    "device_class": "Device",
    "channel": "Channel",
    "segment": "Segment",
}
_UNITS = {"seconds": " s", "hours": " h", "milliseconds": " ms"}
_HORIZONS = {
    "fixed": "one look, at the planned end",
    "always_valid": "the interval may be looked at on any day",
    "group_sequential": "a few looks, planned before the start",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One check or metric: its name, a badge, and what there is to say."""

    title: str
    badge: str
    tone: str
    sentence: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """One variant on the primary metric: its interval first."""

    variant: str
    interval: str
    sentence: str
    table: Table


@dataclass(frozen=True, slots=True)
class ExperimentPage:
    """All that an experiment's page says."""

    key: str
    title: str
    facts: str
    hypothesis: str | None
    decision: str
    is_alarm: bool
    verdict: str
    terms: tuple[tuple[str, str], ...]
    health_sentence: str
    health: tuple[Line, ...]
    primary_name: str
    primary_description: str
    headlines: tuple[Headline, ...]
    daily: tuple[Figure, ...]
    guardrails: tuple[Line, ...]
    others: tuple[Line, ...]
    others_figure: Figure | None
    groups: tuple[Figure, ...]
    groups_note: str
    meaning: tuple[str, ...]
    method: str

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All charts."""
        others = () if self.others_figure is None else (self.others_figure,)
        return (*self.daily, *others, *self.groups)


def experiment_page(
    analysis: Analysis, currency: str | None, decided: str | None
) -> ExperimentPage:
    """The page of one analysis; `decided` says what was decided, where it was."""
    primary = next(
        metric
        for metric in analysis.metrics
        if metric.name == analysis.answer.primary_metric
    )
    results = analysis.answer.results
    of_primary = [one for one in results if one.metric == primary.name]
    guardrails = [
        one for one in results if role_of(analysis, one.metric) == "guardrail"
    ]
    others = [one for one in results if role_of(analysis, one.metric) == "secondary"]
    by_name = {metric.name: metric for metric in analysis.metrics}
    several = len({one.variant for one in results}) > 1

    def title(one: ArmResult) -> str:
        label = by_name[one.metric].label
        return f"{label}, {one.variant}" if several else label

    sentence = with_labels(analysis.conclusion.sentence, analysis.metrics)
    has_alarm = any(one.status is Status.ALARM for one in analysis.answer.checks)
    dimensions = {
        one.variant: group_effects(analysis, primary.name, one.variant)
        for one in of_primary
    }
    return ExperimentPage(
        key=analysis.tables.key,
        title=wording.name(analysis.tables.key),
        facts=_facts(analysis),
        hypothesis=None
        if analysis.definition is None
        else analysis.definition.hypothesis,
        decision=DECISION_WORDS[analysis.conclusion.decision],
        is_alarm=has_alarm,
        verdict=_spaced(sentence[0].upper() + sentence[1:] + "."),
        terms=_terms(analysis, primary, by_name, decided),
        health_sentence=_health_sentence(analysis),
        health=tuple(
            Line(
                _CHECK_NAMES.get(one.name, wording.name(one.name)),
                *_BADGES[one.status],
                _spaced(_check_words(one.message, analysis.metrics)),
            )
            for one in analysis.answer.checks
        ),
        primary_name=primary.label,
        primary_description=primary.description,
        headlines=tuple(
            _headline(analysis, primary, one, currency) for one in of_primary
        ),
        daily=tuple(
            _daily_figure(f"daily-{index}", analysis, primary, one)
            for index, one in enumerate(of_primary)
        ),
        guardrails=tuple(
            _guardrail_line(analysis, by_name[one.metric], one, title(one), currency)
            for one in guardrails
        ),
        others=tuple(
            _other_line(by_name[one.metric], one, title(one), currency)
            for one in others
        ),
        others_figure=_effects_figure(
            "others",
            [
                (title(one), one)
                for one in [*of_primary, *guardrails, *others]
                # Where a limit is no share, shares of control would hide all others.
                if not isinstance(analysis.question.guardrails.get(one.metric), Limit)
            ],
        ),
        groups=tuple(
            _group_figure(f"groups-{index}-{number}", found, one, several)
            for index, one in enumerate(of_primary)
            for number, found in enumerate(dimensions[one.variant])
            if found.groups
        ),
        groups_note=_groups_note([d for found in dimensions.values() for d in found]),
        meaning=tuple(_meaning(analysis, primary, of_primary, others, currency)),
        method=_method(analysis, of_primary),
    )


def value_words(
    metric: ExperimentMetric, value: float | None, currency: str | None
) -> str:
    """A value of the metric as a reader says it."""
    if metric.kind in _SHARES or metric.name.endswith("_rate"):
        return wording.percent(value, 2)
    if metric.unit == "cents":
        return wording.money(value, currency)
    if value is not None and metric.unit in _UNITS:
        return f"{wording.decimal(value)}{_UNITS[metric.unit]}"
    return wording.decimal(value, 3 if value is not None and abs(value) < 10 else 1)


def difference_words(
    metric: ExperimentMetric, low: float, high: float, currency: str | None
) -> str:
    """The interval of a difference, with its signs and unit."""
    if metric.kind in _SHARES or metric.name.endswith("_rate"):
        return f"{wording.signed_span(Interval(low, high), 2, 100)} points"
    if metric.unit == "cents":
        span = wording.signed_span(Interval(low, high), 2, 0.01)
        return f"{span} {currency or ''}".rstrip()
    unit = _UNITS.get(metric.unit or "", "")
    decimals = 1 if unit or max(abs(low), abs(high)) >= 10 else 3
    return f"{wording.signed_span(Interval(low, high), decimals)}{unit}"


def _facts(analysis: Analysis) -> str:
    definition = analysis.definition
    counts = analysis.answer.unit_counts
    arms = ", ".join(
        f"{wording.count(count or 0)} {key}" for key, count in counts.items()
    )
    unit = "visitor" if definition is None else definition.analysed_by
    facts = [f"{unit.capitalize()}s: {arms}"]
    first, last = _span(analysis)
    if first is not None and last is not None:
        facts.append(
            f"first seen {wording.day(first, True)} to {wording.day(last, True)}"
        )
    if definition is not None:
        facts.append(f"owner {definition.owner}")
    return " · ".join(facts)


def _span(analysis: Analysis) -> tuple[datetime | None, datetime | None]:
    exposures = analysis.tables.exposures
    return (
        min((one.first_at for one in exposures if one.first_at), default=None),
        max((one.last_at for one in exposures if one.last_at), default=None),
    )


def _terms(
    analysis: Analysis,
    primary: ExperimentMetric,
    metrics: dict[str, ExperimentMetric],
    decided: str | None,
) -> tuple[tuple[str, str], ...]:
    definition = analysis.definition
    found = [("Decided by", f"{primary.label}: {_sentence(primary.description)}")]
    if definition is None:
        found.append(
            ("Definition", "None: all metrics are shown, and nothing was planned.")
        )
    else:
        found.append(("Must not get worse", _limits(analysis, metrics)))
        found.append(("Planned split", _split(definition, analysis)))
        if definition.expected_effect is not None:
            found.append(
                (
                    "Planned to see",
                    f"a change of {wording.signed_percent(definition.expected_effect)}",
                )
            )
        if definition.starts_at is not None:
            until = (
                "no end set"
                if definition.stops_at is None
                else f"to {wording.day(definition.stops_at, True)}"
            )
            found.append(
                ("Runs", f"from {wording.day(definition.starts_at, True)}, {until}")
            )
    found.append(("Looks", _HORIZONS[analysis.question.horizon.name]))
    if decided is not None:
        found.append(("Decided", decided))
    return tuple(found)


def _limits(analysis: Analysis, metrics: dict[str, ExperimentMetric]) -> str:
    limits = [
        f"{metrics[name].label} (by more than {_margin_words(margin)})"
        for name, margin in analysis.question.guardrails.items()
    ]
    return ", ".join(limits) or "nothing named"


def _split(definition: ExperimentDefinition, analysis: Analysis) -> str:
    weights = analysis.question.weights or definition.variants
    total = sum(weights.values())
    return ", ".join(
        f"{name} {wording.percent(buckets / total, 0)}"
        for name, buckets in weights.items()
    )


def _health_sentence(analysis: Analysis) -> str:
    checks = analysis.answer.checks
    alarms = [one for one in checks if one.status is Status.ALARM]
    warnings = [one for one in checks if one.status is Status.WARNING]
    if analysis.answer.findings:
        return _spaced(_sentence(analysis.answer.findings[0].sentence))
    if alarms:
        return (
            "The data cannot be trusted until the cause of the alarm is found: do not act "
            "on any figure below."
        )
    if warnings:
        return "Nothing that forbids a conclusion; what is marked is worth a look."
    return "Every check of the data passed."


def _headline(
    analysis: Analysis,
    metric: ExperimentMetric,
    result: ArmResult,
    currency: str | None,
) -> Headline:
    control = analysis.answer.control
    table = Table(
        ("Arm", "Units", metric.label),
        (
            (
                control,
                wording.count(result.control_unit_count or 0),
                value_words(metric, result.control_mean, currency),
            ),
            (
                result.variant,
                wording.count(result.unit_count or 0),
                value_words(metric, result.mean, currency),
            ),
        ),
    )
    if result.ci_low is None or result.ci_high is None:
        why = "" if result.problem is None else result.problem.sentence
        return Headline(
            result.variant, "No interval", _spaced(f"Cannot be told: {why}."), table
        )
    level = analysis.question.horizon.confidence_level
    difference = difference_words(metric, result.ci_low, result.ci_high, currency)
    sentence = f"{result.variant} against {control}: {difference}"
    if result.relative_ci_low is None:
        interval, sentence = difference, f"{result.variant} against {control}"
    else:
        interval = describe_change(result, level).split(" (")[0]
    sentence += f" ({level * 100:g} % interval)."
    if result.problem is not None:
        sentence += f" But {result.problem.sentence}."
    return Headline(result.variant, _spaced(interval), _spaced(sentence), table)


def _daily_figure(
    key: str, analysis: Analysis, metric: ExperimentMetric, result: ArmResult
) -> Figure:
    days = daily_effects(analysis, metric.name, result.variant)
    shown = [day for day in days if day.relative is not None]
    title = f"What was known day by day, {result.variant}"
    if len(shown) < 2:
        return Figure(
            key, title, "", empty="Too few days have an interval to draw.", is_wide=True
        )
    points = [_day_point(day) for day in shown]
    watch = (
        "It may be looked at on any day."
        if analysis.question.horizon.name == "always_valid"
        else "One look was planned: that the band leaves zero on some day before the end "
        "settles nothing."
    )
    return Figure(
        key,
        title,
        f"Change of {metric.label.lower()} against {analysis.answer.control}, with all "
        f"units and all that they had done by the end of each day. {watch}",
        charts.line_over_time(
            points,
            unit=f"% change of {metric.label.lower()}",
            description=f"Change of {metric.label} known at the end of each day",
            tick_unit="%",
            names=("Change", ""),
        ),
        legend=(("line", "Change"), ("band", "95 % interval")),
        table=days_table({"Change (95 % interval)": [_in_a_cell(p) for p in points]}),
        is_wide=True,
    )


def _day_point(day: DayEffect) -> DayPoint:
    assert day.relative is not None
    assert day.relative_ci_low is not None
    assert day.relative_ci_high is not None
    span = wording.signed_span(
        Interval(day.relative_ci_low, day.relative_ci_high), 1, 100
    )
    return DayPoint(
        day=day.day.isoformat(),
        label=f"{wording.day(day.day)}, {wording.count(day.unit_count)} units",
        value=day.relative * 100,
        value_text=wording.signed_percent(day.relative, 1),
        low=day.relative_ci_low * 100,
        high=day.relative_ci_high * 100,
        interval_text=f"{span} %",
    )


def _in_a_cell(point: DayPoint) -> DayPoint:
    return DayPoint(
        point.day,
        point.label,
        point.value,
        f"{point.value_text} ({point.interval_text})",
    )


def _guardrail_line(
    analysis: Analysis,
    metric: ExperimentMetric,
    result: ArmResult,
    title: str,
    currency: str | None,
) -> Line:
    margin = analysis.question.guardrails[metric.name]
    badge, tone = _GUARDRAILS.get(result.guardrail or GuardrailStatus.UNCLEAR, ("", ""))
    return Line(
        title,
        badge,
        tone,
        f"At most {_margin_words(margin)} worse is allowed. {_change(result)}",
        _means(metric, result, currency),
    )


def _margin_words(margin: float | Limit) -> str:
    return str(margin) if isinstance(margin, Limit) else wording.percent(margin, 0)


def _other_line(
    metric: ExperimentMetric, result: ArmResult, title: str, currency: str | None
) -> Line:
    badge, tone = "Not settled", ""
    if result.ci_low is not None and result.ci_high is not None:
        if result.ci_low > 0:
            badge, tone = "▲ Higher", "is-clear"
        elif result.ci_high < 0:
            badge, tone = "▼ Lower", "is-clear"
    return Line(title, badge, tone, _change(result), _means(metric, result, currency))


def _change(result: ArmResult) -> str:
    if result.ci_low is None:
        why = "" if result.problem is None else result.problem.sentence
        return _spaced(f"Cannot be told: {why}.")
    return _spaced(f"{describe_change(result, 0.95).split(' (')[0]} (95 % interval).")


def _means(metric: ExperimentMetric, result: ArmResult, currency: str | None) -> str:
    said = (
        f"{value_words(metric, result.control_mean, currency)} in control, "
        f"{value_words(metric, result.mean, currency)} in {result.variant}"
    )
    if result.ci_low is not None and result.ci_high is not None:
        span = difference_words(metric, result.ci_low, result.ci_high, currency)
        said += f"; difference {span}"
    return _spaced(said)


def _effects_figure(
    key: str, results: Sequence[tuple[str, ArmResult]]
) -> Figure | None:
    rows = [
        effect_row(label, one.relative, one.relative_ci_low, one.relative_ci_high)
        for label, one in results
    ]
    drawn = [row for row in rows if row is not None]
    return effects_figure(key, drawn) if drawn else None


def _group_figure(
    key: str, found: DimensionEffects, whole: ArmResult, several: bool
) -> Figure:
    name = _DIMENSIONS.get(found.dimension, wording.name(found.dimension))
    control = whole.control_mean or 1.0
    rows = []
    cells = []
    for group in found.groups:
        drawn = Interval(group.drawn_ci_low / control, group.drawn_ci_high / control)
        alone = Interval(group.ci_low / control, group.ci_high / control)
        text = (
            f"{wording.signed_percent(group.drawn / control, 1)} "
            f"({wording.signed_span(drawn, 1, 100)})"
        )
        label = wording.name(group.value)
        rows.append(
            EffectRow(label, group.drawn / control, drawn.low, drawn.high, text)
        )
        cells.append(
            (
                label,
                wording.count(group.unit_count),
                text,
                f"{wording.signed_percent(group.estimate / control, 1)} "
                f"({wording.signed_span(alone, 1, 100)})",
            )
        )
    is_one = len({row.text for row in rows}) == 1
    verdict = (
        "The effect differs between these groups beyond chance."
        if found.differs
        else "No sign that the effect differs between these groups."
    )
    if is_one:
        verdict += (
            f" What they have in common is the best guess for each: {rows[0].text}."
        )
    if found.small_group_count:
        verdict += (
            f" {wording.plural(found.small_group_count, 'group')} with too few units "
            "left out."
        )
    return Figure(
        key,
        f"{name}, {whole.variant}" if several else name,
        _spaced(verdict),
        None
        if is_one
        else charts.effects(
            rows,
            unit="% of control's mean",
            description=f"Effect by {name.lower()}, drawn to what is common",
        ),
        table=Table(
            ("Group", "Units", "Drawn to the common effect", "By itself"), tuple(cells)
        ),
    )


def _groups_note(dimensions: Sequence[DimensionEffects]) -> str:
    count = sum(len(found.groups) for found in dimensions)
    if not count:
        return "No two groups have enough units in each arm."
    return (
        f"{count} groups are looked at, so some stand out by luck alone: of twenty, about "
        "one. Each group's estimate is therefore drawn to what all of them show, the more "
        "the fewer its units, and whether groups differ is judged over all of them "
        "together. Take a group that stands out as a hint for the next experiment."
    )


def _meaning(
    analysis: Analysis,
    metric: ExperimentMetric,
    results: Sequence[ArmResult],
    others: Sequence[ArmResult],
    currency: str | None,
) -> list[str]:
    said = []
    for result in results:
        if result.ci_low is None or result.ci_high is None or result.mean is None:
            continue
        assert result.control_mean is not None
        said.append(_in_numbers(analysis, metric, result, currency))
        if result.ci_low <= 0 <= result.ci_high:
            said.append(
                f"For {result.variant} the data fit a fall as well as a rise: what it does "
                f"to {metric.label.lower()} is not known. That is not the same as no effect."
            )
    if analysis.conclusion.decision is Decision.SHIP:
        said.append(
            "Expect a little less than the estimate once it is rolled out: what is chosen "
            "because it won has, on average, also been lucky. The lower end of the interval "
            "is what to plan with."
        )
    settled = [one for one in others if _is_settled(one)]
    if others:
        said.append(_further(len(settled), len(others)))
    removed = [one.variance_removed for one in results if one.variance_removed]
    if removed and removed[0] >= 0.01:
        said.append(
            "What units did before the experiment explains "
            f"{wording.percent(removed[0], 0)} of the noise, and was taken out."
        )
    return [_spaced(one) for one in said]


def _further(settled: int, count: int) -> str:
    """How many further comparisons exclude no change, and how many would by luck."""
    if count == 1:
        does = "excludes" if settled else "does not exclude"
        return f"One further comparison was made; it {does} no change, and decides nothing."
    verb = "excludes" if settled < 2 else "exclude"
    return (
        f"{settled or 'None'} of {count} further comparisons {verb} no change; about "
        f"{0.05 * count:.1f} would by luck alone if nothing had changed. They decide "
        "nothing."
    )


def _in_numbers(
    analysis: Analysis,
    metric: ExperimentMetric,
    result: ArmResult,
    currency: str | None,
) -> str:
    assert result.mean is not None
    assert result.control_mean is not None
    assert result.ci_low is not None
    assert result.ci_high is not None
    if metric.kind in _SHARES:
        low, high = result.ci_low * 1000, result.ci_high * 1000
        return (
            f"Of 1,000 units, {result.mean * 1000:,.0f} with {result.variant} and "
            f"{result.control_mean * 1000:,.0f} with {analysis.answer.control}: between "
            f"{wording.signed(low, 0)} and {wording.signed(high, 0)} per thousand."
        )
    return (
        f"{metric.label}: {value_words(metric, result.mean, currency)} with "
        f"{result.variant}, {value_words(metric, result.control_mean, currency)} with "
        f"{analysis.answer.control}; the difference lies between "
        f"{difference_words(metric, result.ci_low, result.ci_high, currency)}."
    )


def _is_settled(result: ArmResult) -> bool:
    low, high = result.ci_low, result.ci_high
    return low is not None and high is not None and not low <= 0 <= high


def _method(analysis: Analysis, results: Sequence[ArmResult]) -> str:
    methods = dict.fromkeys(
        describe_method(one) for one in results if one.ci_low is not None
    )
    return "; ".join(methods) or "none"


def _check_words(message: str, metrics: Sequence[ExperimentMetric]) -> str:
    text = with_labels(message, metrics).replace("device_class", "device")
    return _sentence(text[0].upper() + text[1:])


def with_labels(text: str, metrics: Sequence[ExperimentMetric]) -> str:
    """Names of metrics as people say them."""
    for metric in sorted(metrics, key=lambda one: -len(one.name)):
        label = metric.label[0].lower() + metric.label[1:]
        text = re.sub(rf"\b{re.escape(metric.name)}\b", label, text)
    return text


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith(".") else f"{text}."


def _spaced(text: str) -> str:
    return text.replace(" %", "\u00a0%")
