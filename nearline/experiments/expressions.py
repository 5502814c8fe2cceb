"""Metric expressions of the command line: `NAME=mean(COLUMN)` and its kin."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nearline.experiments.findings import AnalysisError

SYNTAX = (
    "write NAME=mean(COLUMN), NAME=proportion(COLUMN), NAME=ratio(NUMERATOR,DENOMINATOR), "
    "NAME=winsorized(COLUMN,0.999) or NAME=quantile(COLUMN,0.9), a column with a comma or "
    'parenthesis in double quotes: NAME=mean("net, cents")'
)


class MetricKind(StrEnum):
    """How a metric is made of a unit's values."""

    MEAN = "mean"
    PROPORTION = "proportion"
    RATIO = "ratio"
    WINSORIZED = "winsorized"
    QUANTILE = "quantile"


_COLUMN_COUNTS = {MetricKind.RATIO: 2}
_WITH_SHARE = {MetricKind.WINSORIZED, MetricKind.QUANTILE}
_EXPRESSION = re.compile(r"^\s*([^=]*[^=\s])\s*=\s*(\w+)\s*\((.+)\)\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MetricExpression:
    """`columns` are one, or numerator and denominator; `share` lies between 0 and 1."""

    name: str
    kind: MetricKind
    columns: tuple[str, ...]
    share: float | None = None


def parse_metrics(texts: Sequence[str]) -> tuple[MetricExpression, ...]:
    """All metrics of a command; AnalysisError shows the syntax."""
    metrics = tuple(parse_metric(text) for text in texts)
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1:
            raise AnalysisError(
                "repeated_metric",
                f"metric {name!r} is defined twice",
                "give each a name of its own",
            )
    return metrics


def parse_metric(text: str) -> MetricExpression:
    """One expression; AnalysisError shows the syntax."""
    found = _EXPRESSION.match(text)
    if found is None:
        raise _unreadable(text, "does not read as a metric")
    name, word = found[1], found[2].lower()
    if word not in set(MetricKind):
        raise _unreadable(text, f"has an unknown kind {word!r}")
    kind = MetricKind(word)
    cells = next(csv.reader([found[3]], skipinitialspace=True), [])
    columns = [cell.strip() for cell in cells]
    column_count = _COLUMN_COUNTS.get(kind, 1)
    share = None
    if len(columns) != column_count + (kind in _WITH_SHARE) or not all(columns):
        raise _unreadable(text, "has another number of arguments than its kind takes")
    if kind in _WITH_SHARE:
        share = _share(columns.pop())
        if share is None:
            raise _unreadable(text, "needs a number between 0 and 1 after the column")
    return MetricExpression(name, kind, tuple(columns), share)


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 < share < 1 else None


def _unreadable(text: str, why: str) -> AnalysisError:
    return AnalysisError("unreadable_metric", f"--metric {text!r} {why}", SYNTAX)
