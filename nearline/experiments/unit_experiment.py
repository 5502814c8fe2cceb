"""A file of one row per unit becomes an experiment's data, with its checks.

Belongs here: what a column means, which rows cannot be trusted, sums by variant and
stratum. Not here: reading bytes (`unit_file`), the checks' arithmetic (`checks`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.experiments.analysis import (
    Check,
    ExperimentData,
    MetricArms,
    require_weights,
)
from nearline.experiments.checks import (
    check_covariate,
    check_outliers,
    check_ratio_by_group,
    check_trend,
)
from nearline.experiments.estimators import Layout
from nearline.experiments.expressions import MetricExpression, MetricKind
from nearline.experiments.findings import AnalysisError, Finding, find_for
from nearline.experiments.inference import Problem
from nearline.experiments.statistics import JointStatistics
from nearline.experiments.unit_file import NumberColumn, TextColumn, read_unit_file

if TYPE_CHECKING:
    import numpy as np

MOST_VARIANTS = 20

MOST_GROUPS = 400
"""Of a segment, day or stratum column."""

UNITS_PER_GROUP = 10
"""At least, on average: a column of smaller groups may be an id, and ids are not told."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of the file are."""

    unit: str
    variant: str
    metrics: tuple[MetricExpression, ...]
    covariate: str | None = None
    stratum: str | None = None
    day: str | None = None
    segments: tuple[str, ...] = ()
    is_missing_zero: bool = False

    @property
    def needed(self) -> list[str]:
        named = [self.unit, self.variant, self.covariate, self.stratum, self.day]
        named += self.segments
        for metric in self.metrics:
            named += metric.columns
        return [name for name in dict.fromkeys(named) if name is not None]


def read_experiment(
    path: Path, columns: Columns, weights: Mapping[str, float] | None = None
) -> ExperimentData:
    """Read the file and sum it up; a spoilt column spoils its own metrics alone.

    AnalysisError where the file or a column is not there. Weights are for the check of
    the sample ratio within groups.
    """
    import numpy as np

    file = read_unit_file(path, columns.needed)
    # A column may be day, stratum and segment at once: each is encoded once.
    texts = cache(file.texts)
    variants = texts(columns.variant)
    _require_variants(columns, len(variants.labels), file.row_count)
    require_weights(variants.labels, weights)
    units = file.identities(columns.unit)
    findings = _row_findings(columns, variants.codes, units)
    numbers = {
        name: file.numbers(name, 0.0 if columns.is_missing_zero else None)
        for name in _number_names(columns)
    }
    rows = dict(
        zip(variants.labels, _split(np.arange(file.row_count), variants), strict=True)
    )
    stratum = None if columns.stratum is None else texts(columns.stratum)
    stratum_finding = None if stratum is None else _stratum_finding(stratum)
    strata = {
        label: [where] if stratum is None else _split(where, stratum)
        for label, where in rows.items()
    }
    metrics = tuple(
        MetricArms(metric.name, metric.kind, finding=stratum_finding)
        if stratum_finding is not None
        else _metric(columns, metric, numbers, rows, strata)
        for metric in columns.metrics
    )
    return ExperimentData(
        {
            label: len(np.unique(units[where])) if findings else len(where)
            for label, where in rows.items()
        },
        metrics,
        findings,
        () if findings else tuple(_checks(texts, columns, numbers, rows, weights)),
    )


def _number_names(columns: Columns) -> list[str]:
    names = [name for metric in columns.metrics for name in metric.columns]
    names += [columns.covariate] if columns.covariate else []
    return list(dict.fromkeys(names))


def _row_findings(
    columns: Columns, variants: "np.ndarray", units: "np.ndarray"
) -> tuple[Finding, ...]:
    import numpy as np

    findings = []
    for name, codes in ((columns.unit, units), (columns.variant, variants)):
        missing_count = int(np.count_nonzero(codes < 0))
        if missing_count:
            findings.append(
                Finding(
                    "missing_unit" if name == columns.unit else "missing_variant",
                    f"column {name!r} is missing in {missing_count:,} of "
                    f"{len(codes):,} rows",
                    "find out who they are before leaving them out",
                )
            )
    if findings or not len(units):
        return tuple(findings)
    pairs, pair_counts = np.unique(
        units.astype(np.int64) * (int(variants.max()) + 1) + variants,
        return_counts=True,
    )
    arms_per_unit = np.bincount(pairs // (int(variants.max()) + 1))
    in_two = int(np.count_nonzero(arms_per_unit > 1))
    if in_two:
        findings.append(
            Finding(
                "units_in_two_arms",
                f"{_units(in_two)} in more than one arm",
                "find out how they came to see both; then leave them out, or keep the "
                "first arm that each saw",
            )
        )
    repeated = int(np.count_nonzero(pair_counts > 1))
    if repeated:
        findings.append(
            Finding(
                "duplicated_units",
                f"{_units(repeated)} in more than one row",
                "add up or drop rows so that each unit has one; rows of a unit are "
                "not independent",
            )
        )
    return tuple(findings)


def _split(where: "np.ndarray", groups: TextColumn) -> "list[np.ndarray]":
    """Those rows by group, each group's in their order; rows of no group are left out.

    Sorted once, where a scan for each group would read every row as often as there
    are groups.
    """
    import numpy as np

    kept = where[groups.codes[where] >= 0]
    codes = groups.codes[kept]
    ends = np.cumsum(np.bincount(codes, minlength=len(groups.labels)))
    # After the last end comes one more part, always empty.
    return np.split(kept[np.argsort(codes, kind="stable")], ends)[:-1]


def _stratum_finding(stratum: TextColumn) -> Finding | None:
    if stratum.missing_count:
        return Finding(
            "missing_values",
            f"column {stratum.name!r} is missing for {stratum.missing_count:,} units",
            "give them a stratum of their own",
        )
    _require_few(stratum)
    return None


def _require_few(groups: TextColumn) -> None:
    group_count, unit_count = len(groups.labels), len(groups.codes)
    if group_count > max(min(MOST_GROUPS, unit_count // UNITS_PER_GROUP), 2):
        raise AnalysisError(
            "too_many_groups",
            f"column {groups.name!r} has {group_count:,} different values for "
            f"{unit_count:,} units",
            f"group by a column of at most {MOST_GROUPS}, and {UNITS_PER_GROUP} units "
            "in each",
        )


def _require_variants(columns: Columns, variant_count: int, row_count: int) -> None:
    """Variants are told by name; the values of a wrong column must not be."""
    if columns.unit == columns.variant:
        raise AnalysisError(
            "repeated_column",
            "--unit and --variant name the same column",
            "name the column of each",
        )
    if variant_count > min(MOST_VARIANTS, max(2, row_count // 2)):
        raise AnalysisError(
            "too_many_variants",
            f"column {columns.variant!r} has {variant_count:,} different values in "
            f"{row_count:,} rows",
            "name the column that holds the variant",
        )


def _units(count: int) -> str:
    return "1 unit is" if count == 1 else f"{count:,} units are"


def _metric(
    columns: Columns,
    metric: MetricExpression,
    numbers: Mapping[str, NumberColumn],
    rows: "Mapping[str, np.ndarray]",
    strata: "Mapping[str, list[np.ndarray]]",
) -> MetricArms:
    parts = [numbers[name] for name in metric.columns]
    if columns.covariate is not None and metric.kind is not MetricKind.QUANTILE:
        parts.append(numbers[columns.covariate])
    values = values_of(metric, parts)
    if isinstance(values, Finding):
        return MetricArms(metric.name, metric.kind, finding=values)
    if metric.kind is MetricKind.QUANTILE:
        return MetricArms(
            metric.name,
            metric.kind,
            values={key: values[0][where] for key, where in rows.items()},
            share=metric.share,
        )
    return MetricArms(
        metric.name,
        metric.kind,
        layout=_layout(metric, columns.covariate is not None),
        strata={
            key: tuple(
                JointStatistics.from_columns([part[where] for part in values])
                for where in groups
            )
            for key, groups in strata.items()
        },
    )


def values_of(
    metric: MetricExpression, parts: Sequence[NumberColumn]
) -> "list[np.ndarray] | Finding":
    """The values of a metric's columns, winsorized if it is; or what forbids them.

    `parts` are its columns in the order of the expression, a covariate may follow.
    """
    import numpy as np

    for part in parts:
        finding = part.finding()
        if finding is not None:
            return finding
    values = [part.values for part in parts]
    if metric.kind is MetricKind.PROPORTION and not np.isin(values[0], (0, 1)).all():
        return find_for(Problem.NOT_A_PROPORTION, metric.name)
    if metric.kind is MetricKind.WINSORIZED and metric.share is not None:
        values[0] = winsorize(values[0], metric.share)
    return values


def winsorize(values: "np.ndarray", share: float) -> "np.ndarray":
    """Values above the quantile of all arms together become it; so do the lowest.

    Both arms share the bounds, or the rarer extremes of one would be cut deeper.
    Symmetric only where values go below zero: zero is where most revenue lies.
    """
    import numpy as np

    if not len(values):
        return values
    high = float(np.quantile(values, share))
    low = float(np.quantile(values, 1 - share)) if values.min() < 0 else -np.inf
    return np.asarray(np.clip(values, low, high))


def _in_order(labels: tuple[str, ...]) -> list[int]:
    """Codes of the days from first to last; day numbers as numbers, dates as text."""
    if all(label.isdecimal() for label in labels):
        return sorted(range(len(labels)), key=lambda code: int(labels[code]))
    return list(range(len(labels)))


def _layout(metric: MetricExpression, has_covariate: bool) -> Layout:
    is_ratio = metric.kind is MetricKind.RATIO
    return Layout(
        denominator=1 if is_ratio else None,
        covariate=(2 if is_ratio else 1) if has_covariate else None,
    )


def _checks(
    texts: Callable[[str], TextColumn],
    columns: Columns,
    numbers: Mapping[str, NumberColumn],
    rows: "Mapping[str, np.ndarray]",
    weights: Mapping[str, float] | None,
) -> list[Check]:
    """Of what may be wrong with the assignment, and of the primary metric's shape."""
    import numpy as np

    checks = []
    if columns.covariate is not None:
        column = numbers[columns.covariate]
        if column.finding() is None:
            arms = {key: column.values[where] for key, where in rows.items()}
            checks.append(check_covariate(columns.covariate, arms))
    grouped = [*columns.segments] + ([columns.day] if columns.day else [])
    for name in grouped:
        groups = texts(name)
        _require_few(groups)
        # Counted from code -1, which has no group and is then left out.
        least = len(groups.labels) + 1
        sizes = {
            key: np.bincount(groups.codes[where] + 1, minlength=least)[1:].tolist()
            for key, where in rows.items()
        }
        counts = {
            label: {key: of_arm[code] for key, of_arm in sizes.items()}
            for code, label in enumerate(groups.labels)
        }
        checks.append(check_ratio_by_group(name, counts, weights))
    primary = columns.metrics[0]
    column = numbers[primary.columns[0]]
    if primary.kind is MetricKind.MEAN and column.finding() is None:
        capped = winsorize(column.values, 0.999)
        checks.append(
            check_outliers(
                primary.name,
                {key: column.values[where] for key, where in rows.items()},
                {key: capped[where] for key, where in rows.items()},
            )
        )
    if columns.day and primary.kind is not MetricKind.QUANTILE:
        days = texts(columns.day)
        parts = [numbers[name] for name in primary.columns]
        if all(part.finding() is None for part in parts):
            by_arm = {key: _split(where, days) for key, where in rows.items()}
            by_day = [
                {
                    key: JointStatistics.from_columns(
                        [part.values[split[code]] for part in parts]
                    )
                    for key, split in by_arm.items()
                }
                for code in _in_order(days.labels)
            ]
            checks.append(check_trend(primary.name, by_day, _layout(primary, False)))
    return checks
