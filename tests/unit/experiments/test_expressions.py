"""Metric expressions: what reads, and what is told when one does not."""

import pytest

from nearline.experiments.expressions import (
    MetricExpression,
    MetricKind,
    parse_metric,
    parse_metrics,
)
from nearline.experiments.findings import AnalysisError


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("R=mean(x)", MetricExpression("R", MetricKind.MEAN, ("x",))),
        (
            " clicks a session = RATIO( link clicks , sessions ) ",
            MetricExpression(
                "clicks a session", MetricKind.RATIO, ("link clicks", "sessions")
            ),
        ),
        ("q=quantile(ms,.95)", MetricExpression("q", MetricKind.QUANTILE, ("ms",), 0.95)),
        (
            "w=winsorized(r, 0.999)",
            MetricExpression("w", MetricKind.WINSORIZED, ("r",), 0.999),
        ),
        ('m=mean("net, (cents)")', MetricExpression("m", MetricKind.MEAN, ("net, (cents)",))),
        ("c=proportion(bought)", MetricExpression("c", MetricKind.PROPORTION, ("bought",))),
    ],
)  # fmt: skip
def test_an_expression_is_a_name_a_kind_and_columns(
    text: str, expression: MetricExpression
) -> None:
    assert parse_metric(text) == expression


@pytest.mark.parametrize(
    "text",
    [
        "", "mean(x)", "=mean(x)", "R=", "R=x", "R=mean", "R=mean(", "R=mean()",
        "R=mean(x", "R=mean(x,)", "R=mean(x,y)", "R=ratio(x)", "R=ratio(x,y,z)",
        "R=average(x)", "R=quantile(x)", "R=quantile(x,95)", "R=quantile(x,high)",
        "R=winsorized(x,1)", "R=mean(x) or so",
    ],
)  # fmt: skip
def test_one_that_does_not_read_is_answered_with_the_syntax(text: str) -> None:
    with pytest.raises(AnalysisError, match="write NAME=mean") as error:
        parse_metric(text)
    assert error.value.finding.code == "unreadable_metric"


def test_two_metrics_of_one_name_are_refused() -> None:
    with pytest.raises(AnalysisError, match="'R' is defined twice"):
        parse_metrics(["R=mean(x)", "R=mean(y)"])
