"""One sentence per cluster, by the metrics in which it differs most from everybody.

Belongs here: words. The numbers come from `clustering`.
"""

from collections.abc import Sequence

MOST_TELLING_COUNT = 3

# Standard deviations (of the scaled metric) from the mean of all persons.
NOTABLE_DEVIATION = 0.3
STRONG_DEVIATION = 1.0

METRIC_WORDS = {
    "session_count": "sessions",
    "page_views_per_session": "page views a session",
    "engaged_seconds_per_session": "engaged seconds a session",
    "add_to_cart_count": "items added to the cart",
    "purchase_count": "purchases",
    "revenue_cents": "cents of revenue",
    "recency_days": "days since last seen",
}


def describe(
    metrics: Sequence[str],
    deviations: Sequence[float],
    means: Sequence[float],
    overall_means: Sequence[float],
    person_count: int,
    total_count: int,
) -> str:
    """Say what marks a cluster: at most three metrics, strongest deviation first.

    A metric whose scaled deviation and plain mean point in opposite ways (a few very
    large values can do that) is left out: the sentence would contradict its figures.
    """
    told = sorted(
        (
            index
            for index, deviation in enumerate(deviations)
            if abs(deviation) >= NOTABLE_DEVIATION
            and deviation * (means[index] - overall_means[index]) > 0
        ),
        key=lambda index: (-round(abs(deviations[index]), 6), index),
    )[:MOST_TELLING_COUNT]
    share = 100 * person_count / total_count
    who = f"{person_count:,} persons ({share:.0f} %)"
    if not told:
        return f"{who}: close to the average person in everything."
    marks = ", ".join(
        _mark(metrics[index], deviations[index], means[index], overall_means[index])
        for index in told
    )
    return f"{who}: {marks}."


def _mark(metric: str, deviation: float, mean: float, overall_mean: float) -> str:
    degree = "far " if abs(deviation) >= STRONG_DEVIATION else ""
    amount = "more" if deviation > 0 else "fewer"
    words = METRIC_WORDS.get(metric, metric.replace("_", " "))
    return f"{degree}{amount} {words} ({_short(mean)} against {_short(overall_mean)})"


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
