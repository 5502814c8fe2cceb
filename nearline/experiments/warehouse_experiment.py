"""Tables of the warehouse, or of a release, become an experiment's data and its question.

Belongs here: which rows are an experiment's, what its definition says of them, and the
checks that sums allow. Not here: the statistics (`analysis`, `checks`), what a metric means
(`metrics`, SQL), or pages.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nearline.experiments.analysis import (
    Answer,
    Check,
    ExperimentData,
    MetricArms,
    Question,
    Status,
    answer,
    status_of,
)
from nearline.experiments.checks import (
    check_covariate_sums,
    check_history,
    check_ratio_by_group,
    check_trend,
)
from nearline.experiments.conclusion import (
    LEAST_UNITS_TO_CONCLUDE,
    Conclusion,
    Decision,
    conclude,
)
from nearline.experiments.definitions import ExperimentDefinition, Phase
from nearline.experiments.estimators import Layout
from nearline.experiments.expressions import MetricKind
from nearline.experiments.findings import Finding
from nearline.experiments.guardrails import (
    DECISION_LATENCY_LIMIT,
    GuardrailStatus,
    Limit,
)
from nearline.experiments.inference import FixedHorizon, Horizon, homogeneity_p_value
from nearline.experiments.metrics import (
    DECISION_LATENCY,
    ExperimentMetric,
    WarehouseKind,
)
from nearline.experiments.sequential import (
    DEFAULT_TUNED_UNIT_COUNT,
    AlwaysValid,
    GroupSequential,
)
from nearline.experiments.statistics import (
    JointStatistics,
    SufficientStatistics,
    add_up,
)
from nearline.experiments.summary_experiment import find_in_sums

if TYPE_CHECKING:
    import duckdb

LEAST_UNITS_TO_ADJUST = 100
"""Of each arm: a slope of fewer units is noise of its own."""

LATE_SECONDS = 600.0
"""An exposure that arrived later counts as late, as the project's events do."""

KINDS: Mapping[WarehouseKind, MetricKind] = {
    WarehouseKind.PROPORTION: MetricKind.PROPORTION,
    WarehouseKind.RETENTION: MetricKind.PROPORTION,
    WarehouseKind.MEAN: MetricKind.MEAN,
    WarehouseKind.COUNT: MetricKind.MEAN,
    WarehouseKind.REVENUE: MetricKind.MEAN,
    WarehouseKind.TIME_TO_EVENT: MetricKind.MEAN,
    WarehouseKind.RATIO: MetricKind.RATIO,
    WarehouseKind.QUANTILE: MetricKind.QUANTILE,
}
"""By which statistics a metric of the warehouse is compared."""

DEFAULT_PRIMARY = "conversion"
"""Of an experiment without a definition, where the project has such a metric."""

_SUMS = (
    "value_sum",
    "value_sum_squares",
    "denominator_sum",
    "denominator_sum_squares",
    "value_denominator_sum",
    "covariate_sum",
    "covariate_sum_squares",
    "value_covariate_sum",
    "denominator_covariate_sum",
)

Relation = Callable[[str], str]
"""A table's name -> SQL that reads it: a release's Parquet, or the table itself."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sufficient statistics of an arm's units as the tables hold them."""

    unit_count: int
    value: float
    value_squares: float
    denominator: float | None = None
    denominator_squares: float | None = None
    value_denominator: float | None = None
    covariate: float = 0.0
    covariate_squares: float = 0.0
    value_covariate: float = 0.0
    denominator_covariate: float | None = None

    @classmethod
    def total(cls, parts: Sequence["Sums"]) -> "Sums":
        """Of all parts, to the last bit independent of their order."""
        columns = zip(*[part.numbers for part in parts], strict=True)
        # What one part lacks the whole has not either.
        added = [None if None in column else add_up(column) for column in columns]
        return cls(sum(part.unit_count for part in parts), *added)  # type: ignore[arg-type]

    @property
    def numbers(self) -> tuple[float | None, ...]:
        """The sums, in the order of the fields."""
        return (
            self.value,
            self.value_squares,
            self.denominator,
            self.denominator_squares,
            self.value_denominator,
            self.covariate,
            self.covariate_squares,
            self.value_covariate,
            self.denominator_covariate,
        )

    @property
    def row(self) -> tuple[float, ...]:
        """As the check of sums has it."""
        base = (float(self.unit_count), self.value, self.value_squares)
        if self.denominator is None:
            return base
        return (
            *base,
            self.denominator,
            _number(self.denominator_squares),
            _number(self.value_denominator),
        )

    @property
    def before(self) -> JointStatistics:
        """Of the covariate alone."""
        return JointStatistics.from_sums(
            self.unit_count, (self.covariate,), ((self.covariate_squares,),)
        )

    def joint(self, *, is_adjusted: bool) -> JointStatistics:
        """Value, denominator where there is one, and covariate where it adjusts."""
        sums = [self.value]
        products = [[self.value_squares]]
        if self.denominator is not None:
            shared = _number(self.value_denominator)
            sums.append(self.denominator)
            products[0].append(shared)
            products.append([shared, _number(self.denominator_squares)])
        if is_adjusted:
            crossed = [self.value_covariate]
            if self.denominator is not None:
                crossed.append(_number(self.denominator_covariate))
            for row, product in zip(products, crossed, strict=True):
                row.append(product)
            sums.append(self.covariate)
            products.append([*crossed, self.covariate_squares])
        return JointStatistics.from_sums(self.unit_count, sums, products)


@dataclass(frozen=True, slots=True)
class Exposures:
    """What an arm's exposures tell of their health; counts of units."""

    variant: str
    unit_count: int
    late_count: int
    contaminated_count: int
    dropped_count: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExperimentTables:
    """All that the tables hold of one experiment.

    `by_day` is by day of first exposure, `up_to_day` what was known at the end of a day,
    `by_group` by (dimension, value); each metric -> key -> variant. `values` is, of
    quantiles, metric -> variant -> (value, units). `decision_latency` is of visitors, by
    day of their first decision in the arm.
    """

    key: str
    exposures: tuple[Exposures, ...] = ()
    by_day: Mapping[str, Mapping[date, Mapping[str, Sums]]] = field(
        default_factory=dict
    )
    up_to_day: Mapping[str, Mapping[date, Mapping[str, Sums]]] = field(
        default_factory=dict
    )
    by_group: Mapping[str, Mapping[tuple[str, str], Mapping[str, Sums]]] = field(
        default_factory=dict
    )
    values: Mapping[str, Mapping[str, tuple[tuple[float, int], ...]]] = field(
        default_factory=dict
    )
    decision_latency: Mapping[date, Mapping[str, Sums]] = field(default_factory=dict)

    def sums_by_day(self, metric: str) -> Mapping[date, Mapping[str, Sums]]:
        """Day -> variant -> sums of the metric."""
        if metric == DECISION_LATENCY.name:
            return self.decision_latency
        return self.by_day.get(metric, {})


@dataclass(frozen=True, slots=True)
class Analysis:
    """An experiment's data, the question of its definition, the answer, the conclusion."""

    tables: ExperimentTables
    definition: ExperimentDefinition | None
    metrics: tuple[ExperimentMetric, ...]
    """Those that were asked about, the primary one first."""
    question: Question
    layouts: Mapping[str, Layout]
    answer: Answer
    conclusion: Conclusion
    since: date | None = None
    """First day of exposure that counts, where weights or salt changed on the way."""


def read_tables(
    connection: "duckdb.DuckDBPyConnection", relation: Relation
) -> dict[str, ExperimentTables]:
    """Every experiment of the tables, by key."""
    exposures = _group(
        connection,
        "select experiment_key, variant_key, count(*) filter (where is_analysed), "
        "count(*) filter (where is_analysed and exposure_lag_seconds > $1), "
        "count(*) filter (where variant_count > 1 or unit_kind != 'session' "
        "and person_variant_count > 1), count(*) filter (where not is_analysed), "
        "min(exposed_at), max(exposed_at) "
        f"from {relation('fct_exposures')} group by all order by all",
        [LATE_SECONDS],
    )
    columns = ", ".join(("unit_count", *_SUMS))
    arm = "experiment_key, metric_name"
    by_day = _nested(
        connection,
        f"select {arm}, exposure_date, variant_key, {columns} "
        f"from {relation('fct_experiment_metrics')} order by all",
    )
    up_to_day = _nested(
        connection,
        f"select {arm}, metric_date, variant_key, {columns} "
        f"from {relation('fct_experiment_days')} order by all",
    )
    by_group = _nested(
        connection,
        f"select {arm}, (dimension, dimension_value), variant_key, {columns} "
        f"from {relation('fct_experiment_segments')} order by all",
    )
    values: dict[str, dict[str, dict[str, list[tuple[float, int]]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for key, metric, variant, value, count in connection.execute(
        "select experiment_key, metric_name, variant_key, unit_value, unit_count "
        f"from {relation('fct_experiment_values')} order by all"
    ).fetchall():
        values[key][metric][variant].append((value, count))
    return {
        key: ExperimentTables(
            key,
            tuple(Exposures(*row) for row in exposures.get(key, ())),
            by_day.get(key, {}),
            up_to_day.get(key, {}),
            by_group.get(key, {}),
            {
                metric: {name: tuple(found) for name, found in arms.items()}
                for metric, arms in values.get(key, {}).items()
            },
        )
        for key in sorted({*exposures, *by_day})
    }


def analyse(
    tables: ExperimentTables,
    metrics: Sequence[ExperimentMetric],
    definition: ExperimentDefinition | None,
    now: datetime,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Analysis:
    """What the experiment's definition asks, answered as of `now` (UTC).

    Without a definition: all metrics, equal weights, one look, no adjustment. Data that
    cannot answer give findings. AnalysisError where the definition names a metric that
    the project does not have. `history` is, of other experiments, `p_values_before` by
    measure.
    """
    phase = None if definition is None else definition.phase_at(now)
    since = None if definition is None else _counts_since(definition, now)
    chosen = _chosen(metrics, phase)
    counts = _unit_counts(tables, since)
    weights = None if phase is None else dict(phase.variants)
    findings: list[Finding] = []
    unplanned = sorted(set(counts) - set(weights or counts))
    if unplanned:
        findings.append(
            Finding(
                "unplanned_variant",
                f"units saw variant {unplanned[0]!r}, which the definition does not have",
                "find who shows it, or write a phase that has it",
            )
        )
        weights = None
    horizon = _horizon(definition, sum(counts.values()), findings)
    limits = _limits(tables, phase)
    asked = chosen
    if DECISION_LATENCY.name in limits:
        asked = [*chosen, DECISION_LATENCY]
    data = experiment_data(
        tables, asked, is_adjusted=definition is not None, since=since
    )
    arms = data.metrics[: len(chosen)]
    question = Question(
        control=None if definition is None else definition.control,
        weights=weights,
        horizon=horizon,
        guardrails=limits,
        lower_is_better=frozenset(one.name for one in asked if one.is_lower_better),
        least_effect=(
            None
            if definition is None or definition.expected_effect is None
            else abs(definition.expected_effect)
        ),
    )
    if definition is not None and definition.control not in {*counts, *(weights or ())}:
        counts = {**counts, definition.control: 0}
    checks = () if findings else tuple(_checks(tables, chosen, arms, weights, since))
    checks += tuple(_checks_of_exposures(tables, definition))
    if chosen and (before := (history or {}).get(chosen[0].measure)):
        checks += (check_history(_spelled(chosen[0].measure), before),)
    answered = answer(
        replace(data, unit_counts=counts, findings=tuple(findings), checks=checks),
        question,
    )
    concluded = conclude(answered, question)
    if definition is not None:
        concluded = _wait_for_the_end(concluded, definition, answered, now)
    return Analysis(
        tables,
        definition,
        tuple(asked),
        question,
        {one.name: one.layout for one in data.metrics},
        answered,
        concluded,
        since,
    )


def experiment_data(
    tables: ExperimentTables,
    metrics: Sequence[ExperimentMetric],
    *,
    is_adjusted: bool,
    since: date | None = None,
) -> ExperimentData:
    """The sums of each metric by arm, the first metric the primary one; no checks."""
    counts = _unit_counts(tables, since)
    return ExperimentData(
        counts,
        tuple(
            _metric_arms(metric, tables, since, is_adjusted=is_adjusted)
            for metric in metrics
        ),
    )


def total_by_variant(
    tables: ExperimentTables, metric: str, since: date | None = None
) -> dict[str, Sums]:
    """The sums of each arm over the days that count."""
    parts: dict[str, list[Sums]] = defaultdict(list)
    for day, arms in tables.sums_by_day(metric).items():
        if since is None or day >= since:
            for variant, sums in arms.items():
                parts[variant].append(sums)
    return {variant: Sums.total(found) for variant, found in parts.items()}


def _chosen(
    metrics: Sequence[ExperimentMetric], phase: Phase | None
) -> list[ExperimentMetric]:
    from nearline.experiments.findings import AnalysisError

    by_name = {metric.name: metric for metric in metrics}
    if phase is None:
        first = [name for name in (DEFAULT_PRIMARY,) if name in by_name]
        return [by_name[name] for name in dict.fromkeys([*first, *by_name])]
    guardrails = (one for one in phase.guardrails if one != DECISION_LATENCY.name)
    names = dict.fromkeys([phase.primary_metric, *phase.metrics, *guardrails])
    for name in names:
        if name not in by_name:
            raise AnalysisError(
                "unknown_metric",
                f"there is no metric {name!r}",
                f"there are {', '.join(by_name)}",
            )
    return [by_name[name] for name in names]


def _limits(tables: ExperimentTables, phase: Phase | None) -> dict[str, float | Limit]:
    """The definition's guardrails, and the time of decisions where they assign the arms."""
    named = {} if phase is None else phase.guardrails
    limits: dict[str, float | Limit] = dict(named)
    arms = {arm for found in tables.decision_latency.values() for arm in found}
    if DECISION_LATENCY.name in named:
        milliseconds = named[DECISION_LATENCY.name]
        limits[DECISION_LATENCY.name] = replace(
            DECISION_LATENCY_LIMIT, value=milliseconds
        )
    elif len(arms) > 1:
        limits[DECISION_LATENCY.name] = DECISION_LATENCY_LIMIT
    return limits


def _counts_since(definition: ExperimentDefinition, now: datetime) -> date | None:
    """First whole day after weights or salt changed; units of two phases do not add up."""
    since = None
    begun = definition.begun_phases(now)
    for before, phase in pairwise(begun):
        if (before.variants, before.salt) != (phase.variants, phase.salt):
            since = phase.starts_at
    if since is None:
        return None
    is_midnight = since.time() == time(0)
    return since.date() + timedelta(days=0 if is_midnight else 1)


def _unit_counts(tables: ExperimentTables, since: date | None) -> dict[str, int]:
    """By the first metric that has sums: all of an experiment's have the same units."""
    for metric in tables.by_day:
        totals = total_by_variant(tables, metric, since)
        return {variant: sums.unit_count for variant, sums in sorted(totals.items())}
    return {one.variant: one.unit_count for one in tables.exposures}


def _horizon(
    definition: ExperimentDefinition | None, unit_count: int, findings: list[Finding]
) -> Horizon:
    if definition is None or definition.horizon == "fixed":
        return FixedHorizon()
    planned = definition.planned_units or DEFAULT_TUNED_UNIT_COUNT
    if definition.horizon == "always_valid":
        return AlwaysValid(tuned_unit_count=planned)
    reached = tuple(
        look for look in definition.looks if look <= unit_count / planned + 1e-12
    )
    if not reached:
        findings.append(
            Finding(
                "too_early_to_look",
                f"the first look is planned at {definition.looks[0]:.0%} of "
                f"{planned:,} units, and there are {unit_count:,}",
                "look again then",
            )
        )
        return GroupSequential(definition.looks[:1])
    return GroupSequential(reached)


def _metric_arms(
    metric: ExperimentMetric,
    tables: ExperimentTables,
    since: date | None,
    *,
    is_adjusted: bool,
) -> MetricArms:
    kind = KINDS[metric.kind]
    if kind is MetricKind.QUANTILE:
        return _quantile_arms(metric, tables, since)
    totals = total_by_variant(tables, metric.name, since)
    if metric == DECISION_LATENCY:
        # An arm without a decision is an empty one, whoever was exposed to it.
        nobody = Sums(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        arms = _unit_counts(tables, since)
        totals = dict.fromkeys(arms, nobody) | totals
    findings = {
        variant: finding
        for variant, sums in totals.items()
        if (finding := find_in_sums(metric.name, kind, [sums.row])) is not None
    }
    good = {name: sums for name, sums in totals.items() if name not in findings}
    adjusts = is_adjusted and _can_adjust(good.values())
    is_ratio = kind is MetricKind.RATIO
    covariate = (2 if is_ratio else 1) if adjusts else None
    return MetricArms(
        metric.name,
        kind,
        Layout(denominator=1 if is_ratio else None, covariate=covariate),
        {name: (sums.joint(is_adjusted=adjusts),) for name, sums in good.items()},
        findings=findings,
    )


def _can_adjust(arms: Iterable[Sums]) -> bool:
    arms = list(arms)
    if not arms or min(arm.unit_count for arm in arms) < LEAST_UNITS_TO_ADJUST:
        return False
    return all(arm.before.comoments[0][0] > 0 for arm in arms)


def _quantile_arms(
    metric: ExperimentMetric, tables: ExperimentTables, since: date | None
) -> MetricArms:
    import numpy as np

    arms = tables.values.get(metric.name, {})
    assert metric.parameters is not None
    share = metric.parameters["share"]
    if since is not None:
        return MetricArms(
            metric.name,
            MetricKind.QUANTILE,
            share=share,
            finding=Finding(
                "several_phases",
                f"{metric.name} is kept over all phases together",
                "read another metric of this experiment",
            ),
        )
    counted = {
        variant: (
            np.array([value for value, _ in found], dtype=float),
            np.array([count for _, count in found], dtype=np.int64),
        )
        for variant, found in arms.items()
    }
    if any(
        (counts < 0).any() or not np.isfinite(values).all()
        for values, counts in counted.values()
    ):
        return MetricArms(
            metric.name,
            MetricKind.QUANTILE,
            share=share,
            finding=Finding(
                "not_a_number",
                f"{metric.name} holds a value that is no number, or fewer than no units",
                "build fct_experiment_values anew",
            ),
        )
    return MetricArms(
        metric.name,
        MetricKind.QUANTILE,
        values={
            variant: np.repeat(values, counts)
            for variant, (values, counts) in counted.items()
        },
        share=share,
    )


def _checks(
    tables: ExperimentTables,
    metrics: Sequence[ExperimentMetric],
    arms: Sequence[MetricArms],
    weights: Mapping[str, float] | None,
    since: date | None,
) -> Iterable[Check]:
    """Of the split in groups, of what was before the start, and of the primary metric."""
    any_metric = next(iter(tables.by_day), None)
    if any_metric is None:
        return
    days = {
        day: found
        for day, found in tables.by_day[any_metric].items()
        if since is None or day >= since
    }
    every = sorted({variant for found in days.values() for variant in found})

    def counted(found: Mapping[str, Sums]) -> dict[str, int]:
        return {name: found[name].unit_count if name in found else 0 for name in every}

    yield check_ratio_by_group(
        "day",
        {day.isoformat(): counted(found) for day, found in days.items()},
        weights,
    )
    groups = tables.by_group.get(any_metric, {})
    for dimension in dict.fromkeys(one for one, _ in groups):
        yield check_ratio_by_group(
            dimension,
            {
                value: counted(found)
                for (one, value), found in groups.items()
                if one == dimension
            },
            weights,
        )
    yield from _check_before(tables, metrics, since)
    if arms and not arms[0].findings and arms[0].kind is not MetricKind.QUANTILE:
        yield _check_novelty(tables, arms[0], since, every)
        yield from _check_largest(tables, metrics, arms)


def p_values_before(
    tables: ExperimentTables,
    metrics: Sequence[ExperimentMetric],
    definition: ExperimentDefinition | None,
    now: datetime,
) -> dict[str, float]:
    """By measure, whether the arms differed in it before their exposure: A/A comparisons.

    Welch's t, of several arms the least p-value by Holm. None of a measure that did not
    vary, or of an arm with too few units to be near normal.
    """
    since = None if definition is None else _counts_since(definition, now)
    found = {}
    for measure, arms in _before(tables, metrics, since, LEAST_UNITS_TO_CONCLUDE):
        p_value = check_covariate_sums({measure: arms}).p_value
        if p_value is not None and math.isfinite(p_value):
            found[measure] = p_value
    return found


def _check_before(
    tables: ExperimentTables, metrics: Sequence[ExperimentMetric], since: date | None
) -> Iterable[Check]:
    varying = {
        _spelled(measure): arms for measure, arms in _before(tables, metrics, since, 2)
    }
    if varying:
        yield check_covariate_sums(varying)


def _before(
    tables: ExperimentTables,
    metrics: Sequence[ExperimentMetric],
    since: date | None,
    least_unit_count: int,
) -> Iterable[tuple[str, dict[str, JointStatistics]]]:
    """Of each measure once, what each arm's units had of it before their exposure."""
    by_measure: dict[str, str] = {}
    for metric in metrics:
        if metric.name in tables.by_day:
            by_measure.setdefault(metric.measure, metric.name)
    for measure, name in by_measure.items():
        arms = {
            variant: one.before
            for variant, one in total_by_variant(tables, name, since).items()
        }
        if arms and min(one.unit_count for one in arms.values()) >= least_unit_count:
            yield measure, arms


def _spelled(measure: str) -> str:
    return measure.replace("_", " ")


def _check_novelty(
    tables: ExperimentTables,
    primary: MetricArms,
    since: date | None,
    variants: Sequence[str],
) -> Check:
    is_ratio = primary.kind is MetricKind.RATIO
    nothing = JointStatistics.nothing(2 if is_ratio else 1)
    by_day = [
        {
            name: found[name].joint(is_adjusted=False) if name in found else nothing
            for name in variants
        }
        for day, found in sorted(tables.by_day.get(primary.name, {}).items())
        if since is None or day >= since
    ]
    return check_trend(
        primary.name, by_day, Layout(denominator=1 if is_ratio else None)
    )


def _check_largest(
    tables: ExperimentTables,
    metrics: Sequence[ExperimentMetric],
    arms: Sequence[MetricArms],
) -> Iterable[Check]:
    """Whether the primary metric, cut down, says something else, where both are asked."""
    primary = metrics[0]
    if primary.kind not in {WarehouseKind.MEAN, WarehouseKind.COUNT}:
        return
    for metric, cut in zip(metrics, arms, strict=True):
        if metric.kind is WarehouseKind.REVENUE and metric.measure == primary.measure:
            data = ExperimentData(
                {name: found[0].unit_count for name, found in cut.strata.items()},
                (arms[0], cut),
            )
            sides: dict[str, set[int]] = defaultdict(set)
            for one in answer(data, Question()).results:
                sides[one.variant].add(_side(one.ci_low, one.ci_high))
            if any(len(found) > 1 for found in sides.values()):
                yield Check(
                    "outliers",
                    Status.WARNING,
                    f"a few large values decide what {primary.name} shows: "
                    f"{metric.name}, where they are cut down, shows something else",
                )
            else:
                yield Check(
                    "outliers",
                    Status.OK,
                    f"{primary.name} shows the same with its largest values cut down",
                )
            return


def _side(low: float | None, high: float | None) -> int:
    return 0 if low is None or high is None else (low > 0) - (high < 0)


def _checks_of_exposures(
    tables: ExperimentTables, definition: ExperimentDefinition | None
) -> Iterable[Check]:
    exposures = [one for one in tables.exposures if one.unit_count]
    seen = sum(one.unit_count + one.dropped_count for one in tables.exposures)
    if not seen:
        return
    late = homogeneity_p_value(
        [
            SufficientStatistics(one.unit_count, one.late_count, one.late_count)
            for one in exposures
        ]
    )
    late_count = sum(one.late_count for one in exposures)
    status = status_of(late) if late_count else Status.OK
    worded = (
        f"{late_count / max(sum(one.unit_count for one in exposures), 1):.1%} of first "
        f"exposures arrived more than {LATE_SECONDS / 60:g} minutes late"
    )
    yield Check(
        "exposure_lag",
        # Late alone loses nobody: it is counted when it arrives.
        Status.WARNING if status is Status.ALARM else status,
        f"{worded}, alike in all arms"
        if status in {Status.OK, Status.UNKNOWN}
        else f"{worded}, and not alike in all arms: one may be logged elsewhere",
        late,
    )
    contaminated = sum(one.contaminated_count for one in tables.exposures)
    dropped = sum(one.dropped_count for one in tables.exposures)
    share = contaminated / seen
    what = "they are left out" if dropped else "they count where they were seen first"
    yield Check(
        "contamination",
        Status.WARNING if share > 0.01 else Status.OK,
        f"{contaminated:,} of {seen:,} units belong to somebody who saw more than one "
        f"variant ({share:.1%})" + (f"; {what}" if contaminated else ""),
    )
    first = min((one.first_at for one in exposures if one.first_at), default=None)
    starts = None if definition is None else definition.starts_at
    if first is not None and starts is not None and first < starts.replace(tzinfo=None):
        yield Check(
            "before_start",
            Status.WARNING,
            f"units were exposed before the start, from {first:%Y-%m-%d} on: the "
            "definition's start is wrong, or somebody tried it out",
        )


def _wait_for_the_end(
    conclusion: Conclusion,
    definition: ExperimentDefinition,
    answered: Answer,
    now: datetime,
) -> Conclusion:
    """With one planned look, an earlier one concludes nothing, but tells of harm."""
    if definition.horizon != "fixed" or answered.findings:
        return conclusion
    units = sum(count or 0 for count in answered.unit_counts.values())
    until = []
    if definition.planned_units is not None and units < definition.planned_units:
        until.append(f"there are {definition.planned_units:,} units (now {units:,})")
    if definition.stops_at is not None and now < definition.stops_at:
        until.append(f"{definition.stops_at:%Y-%m-%d}")
    is_harmed = any(
        one.guardrail is GuardrailStatus.BROKEN for one in answered.results
    ) or any(check.status is Status.ALARM for check in answered.checks)
    if not until or is_harmed:
        return conclusion
    return Conclusion(
        Decision.KEEP_RUNNING,
        f"keep running until {' and '.join(until)}: one look was planned, and whoever "
        "stops at an earlier one finds effects where there are none",
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _group(
    connection: "duckdb.DuckDBPyConnection", query: str, parameters: list[Any]
) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for key, *row in connection.execute(query, parameters).fetchall():
        found[key].append(tuple(row))
    return found


def _nested(
    connection: "duckdb.DuckDBPyConnection", query: str
) -> dict[str, dict[str, dict[Any, dict[str, Sums]]]]:
    """Rows of (experiment, metric, key, variant, units, sums) as dicts within dicts."""
    found: dict[str, dict[str, dict[Any, dict[str, Sums]]]] = {}
    for key, metric, by, variant, count, *sums in connection.execute(query).fetchall():
        place = found.setdefault(key, {}).setdefault(metric, {})
        by = tuple(by.values()) if isinstance(by, dict) else by
        place.setdefault(by, {})[variant] = Sums(
            count or 0,
            # A missing number becomes NaN: the metric then names the problem.
            value=_number(sums[0]),
            value_squares=_number(sums[1]),
            denominator=sums[2],
            denominator_squares=sums[3],
            value_denominator=sums[4],
            covariate=_number(sums[5]),
            covariate_squares=_number(sums[6]),
            value_covariate=_number(sums[7]),
            denominator_covariate=sums[8],
        )
    return found
