"""A file of sums per variant becomes an experiment's data; rows of a variant add up."""

import math
from collections import defaultdict
from pathlib import Path

from nearline.experiments.analysis import ExperimentData, MetricArms
from nearline.experiments.estimators import Layout
from nearline.experiments.expressions import MetricKind
from nearline.experiments.findings import AnalysisError, Finding, find_for
from nearline.experiments.inference import Problem
from nearline.experiments.statistics import (
    ROUNDING_SHARE,
    JointStatistics,
    SufficientStatistics,
    add_up,
)
from nearline.experiments.unit_file import UnitFile, read_column_names, read_unit_file

REQUIRED_COLUMNS = ("variant", "n", "sum", "sum_squares")
RATIO_COLUMNS = ("denominator_sum", "denominator_sum_squares", "cross_product")
MOST_UNITS = 2**53
"""Of larger whole numbers a float does not hold each."""
DEFAULT_METRIC = "metric"
_KINDS = {MetricKind.MEAN, MetricKind.PROPORTION, MetricKind.RATIO}


def read_summary(path: Path) -> ExperimentData:
    """Read rows of (metric, variant) with their sums; docs/experiments.md has the columns.

    A metric with denominator sums is a ratio, one without a mean, unless a column
    `kind` says proportion. AnalysisError where a column is missing.
    """
    names = read_column_names(path)
    optional = [name for name in ("metric", "kind", *RATIO_COLUMNS) if name in names]
    file = read_unit_file(path, [*REQUIRED_COLUMNS, *optional])
    partly = [name for name in RATIO_COLUMNS if name in names]
    if partly and len(partly) < len(RATIO_COLUMNS):
        lacking = next(name for name in RATIO_COLUMNS if name not in names)
        raise AnalysisError(
            "missing_column",
            f"{path.name} has column {partly[0]!r} but not {lacking!r}",
            f"a ratio needs {', '.join(RATIO_COLUMNS)}",
        )
    variants = _labels(file, "variant")
    metrics = (
        _labels(file, "metric")
        if "metric" in names
        else [DEFAULT_METRIC] * file.row_count
    )
    kinds = _labels(file, "kind") if "kind" in names else [""] * file.row_count
    numbers = {
        name: file.numbers(name).values.tolist()
        for name in (*REQUIRED_COLUMNS[1:], *partly)
    }
    rows: dict[str, dict[str, list[tuple[float, ...]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    kind_of: dict[str, set[str]] = defaultdict(set)
    for index, (metric, variant) in enumerate(zip(metrics, variants, strict=True)):
        row = tuple(column[index] for column in numbers.values())
        rows[metric][variant].append(row)
        kind_of[metric].add(kinds[index].lower())
    names_of_arms = sorted(set(variants))
    built = tuple(
        _metric(name, arms, kind_of[name], names_of_arms) for name, arms in rows.items()
    )
    return ExperimentData(_unit_counts(rows, names_of_arms), built)


def _labels(file: UnitFile, column: str) -> list[str]:
    texts = file.texts(column)
    if texts.missing_count:
        raise AnalysisError(
            "missing_values",
            f"column {column!r} is missing in {texts.missing_count:,} rows",
            f"give every row a {column}",
        )
    return [texts.labels[code] for code in texts.codes.tolist()]


def _unit_counts(
    rows: dict[str, dict[str, list[tuple[float, ...]]]], variants: list[str]
) -> dict[str, int | None]:
    """By the primary metric, the first; None where one of the counts is none."""
    primary: dict[str, list[tuple[float, ...]]] = next(iter(rows.values()), {})
    return {
        variant: sum(int(row[0]) for row in found)
        if all(map(_is_count, found))
        else None
        for variant in variants
        for found in (primary.get(variant, []),)
    }


def _is_count(row: tuple[float, ...]) -> bool:
    return 0 <= row[0] <= MOST_UNITS and row[0] == int(row[0])


def _metric(
    name: str,
    arms: dict[str, list[tuple[float, ...]]],
    kinds: set[str],
    variants: list[str],
) -> MetricArms:
    is_ratio = any(
        len(row) > 3 and any(math.isfinite(cell) for cell in row[3:])
        for rows in arms.values()
        for row in rows
    )
    kind = MetricKind.RATIO if is_ratio else MetricKind.MEAN
    declared = {word for word in kinds if word}
    if len(declared) > 1 or not declared <= set(_KINDS):
        return MetricArms(
            name,
            kind,
            finding=Finding(
                "unknown_metric_kind",
                f"the kind of {name} is none of mean, proportion and ratio, or several",
                "give all rows of a metric one of them",
            ),
        )
    if declared:
        kind = MetricKind(declared.pop())
    findings: dict[str, Finding] = {}
    strata = {}
    width = 6 if kind is MetricKind.RATIO else 3
    for variant in variants:
        rows = [row[:width] for row in arms.get(variant, [])]
        if any(len(row) < width for row in rows):
            finding: Finding | None = Finding(
                "missing_column",
                f"{name} is a ratio, and the file has no denominator",
                f"a ratio needs {', '.join(RATIO_COLUMNS)}",
            )
        else:
            finding = find_in_sums(name, kind, rows)
        if finding is not None:
            findings[variant] = finding
            continue
        strata[variant] = (_statistics(rows, width),)
    return MetricArms(
        name,
        kind,
        Layout(denominator=1 if kind is MetricKind.RATIO else None),
        strata,
        findings=findings,
    )


def find_in_sums(
    name: str, kind: MetricKind, rows: list[tuple[float, ...]]
) -> Finding | None:
    """What is wrong with rows of (n, sum, sum_squares[, those of the denominator, sum of
    products]) of one variant, or None."""
    seen: set[tuple[float, ...]] = set()
    for row in rows:
        if row in seen:
            return Finding(
                "duplicated_rows",
                f"{name} has the same row twice for a variant",
                "keep it once; rows of a variant are added up",
            )
        seen.add(row)
        if not all(math.isfinite(cell) for cell in row):
            return find_for(Problem.NOT_A_NUMBER, name)
        if not _is_count(row):
            return find_for(Problem.NEGATIVE_COUNT, name)
        if any(row[place] < 0 for place in (2, 4) if place < len(row)):
            return find_for(Problem.NEGATIVE_SUM_OF_SQUARES, name)
        if _is_contradictory(row):
            return find_for(Problem.CONTRADICTORY_SUMS, name)
        is_zero_or_one = math.isclose(row[1], row[2], rel_tol=ROUNDING_SHARE)
        if kind is MetricKind.PROPORTION and not (
            is_zero_or_one and 0 <= row[1] <= row[0]
        ):
            return find_for(Problem.NOT_A_PROPORTION, name)
    # A variant without a row has no units: the analysis names that.
    return None


def _is_contradictory(row: tuple[float, ...]) -> bool:
    count = int(row[0])
    parts = [SufficientStatistics(count, row[1], row[2])]
    if len(row) > 3:
        parts.append(SufficientStatistics(count, row[3], row[4]))
    if any(part.is_contradictory for part in parts):
        return True
    if len(row) < 6 or count < 1:
        return False
    joint = _statistics([row], 6)
    (value, shared), (_, below) = joint.comoments
    bound = math.sqrt(max(value, 0.0)) * math.sqrt(max(below, 0.0))
    # Rounding of the three large sums that the deviations are left over from.
    slack = ROUNDING_SHARE * (abs(row[5]) + math.sqrt(row[2]) * math.sqrt(row[4]))
    return abs(shared) > bound + slack


def _statistics(rows: list[tuple[float, ...]], width: int) -> JointStatistics:
    count = sum(int(row[0]) for row in rows)
    sums = [add_up([row[place] for row in rows]) for place in range(1, width)]
    if width == 3:
        return JointStatistics.from_sums(count, [sums[0]], [[sums[1]]])
    value, squares, below, below_squares, product = sums
    return JointStatistics.from_sums(
        count, [value, below], [[squares, product], [product, below_squares]]
    )
