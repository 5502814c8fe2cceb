"""Intervals of what the page shows: a rate, a mean, a change between two periods.

Belongs here: arithmetic on sums. Not here: arms of an experiment
(`nearline.experiments`), which are independent of each other; two periods share people.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from nearline.experiments.inference import (
    DEFAULT_CONFIDENCE_LEVEL,
    LEAST_EXPECTED_COUNT,
)
from nearline.experiments.statistics import SufficientStatistics

# Below this many persons the normal approximation of a change is not to be trusted.
LEAST_PERSON_COUNT = 30

CURRENT = "current"
PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Interval:
    """A range around an estimate, in the estimate's unit."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Change:
    """Current against previous; `interval` is None where it would mislead."""

    estimate: float
    interval: Interval | None

    @property
    def is_noise(self) -> bool:
        """Whether no change at all is compatible with the data."""
        return self.interval is not None and (
            self.interval.low <= 0 <= self.interval.high
        )


@dataclass(frozen=True, slots=True)
class PersonMoments:
    """Sums over persons of each measure in both periods, and of products of two.

    A measure is (name, period). `products` holds each unordered pair, either way round.
    """

    person_count: int
    totals: Mapping[tuple[str, str], float]
    products: Mapping[tuple[tuple[str, str], tuple[str, str]], float]

    def product(self, one: tuple[str, str], other: tuple[str, str]) -> float:
        if (one, other) in self.products:
            return self.products[one, other]
        return self.products[other, one]


def wilson_interval(
    success_count: int,
    trial_count: int,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
) -> Interval | None:
    """Score interval of a rate; None without a trial. Wilson (1927), JASA 22."""
    if trial_count <= 0:
        return None
    critical = _critical(confidence_level)
    rate = success_count / trial_count
    weight = 1 + critical**2 / trial_count
    centre = (rate + critical**2 / (2 * trial_count)) / weight
    spread = rate * (1 - rate) / trial_count + critical**2 / (4 * trial_count**2)
    half_width = critical * math.sqrt(spread) / weight
    # Rounding must not push the bound at an extreme rate past the rate itself.
    return Interval(
        0.0 if success_count == 0 else centre - half_width,
        1.0 if success_count == trial_count else centre + half_width,
    )


def mean_interval(
    values: SufficientStatistics, confidence_level: float = DEFAULT_CONFIDENCE_LEVEL
) -> Interval | None:
    """Normal interval of a mean; None below two values."""
    if not math.isfinite(values.variance):
        return None
    half_width = _critical(confidence_level) * math.sqrt(
        values.variance / values.unit_count
    )
    return Interval(values.mean - half_width, values.mean + half_width)


def change_of_ratio(
    moments: PersonMoments,
    numerator: str,
    denominator: str,
    *,
    is_proportion: bool,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
) -> Change | None:
    """Difference of a ratio of sums (purchases a session) between the periods.

    Persons, not sessions, are the independent units: one person's sessions resemble
    each other, within and across the periods. Linearized variance of a ratio of sums
    (Cochran, Sampling Techniques, 1977, ch. 6), both periods in one sum per person.
    None where a period has nothing to divide by.
    """
    gradient: dict[tuple[str, str], float] = {}
    ratios: dict[str, float] = {}
    counts: list[float] = []
    for period, sign in ((CURRENT, 1), (PREVIOUS, -1)):
        above = moments.totals[numerator, period]
        below = moments.totals[denominator, period]
        if below <= 0:
            return None
        ratios[period] = above / below
        gradient[numerator, period] = sign / below
        gradient[denominator, period] = -sign * above / below**2
        counts += [above, below - above]
    has_enough = not is_proportion or min(counts) >= LEAST_EXPECTED_COUNT
    return _change(
        ratios[CURRENT] - ratios[PREVIOUS],
        moments,
        gradient,
        has_enough,
        confidence_level,
    )


def change_of_total(
    moments: PersonMoments,
    name: str,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
) -> Change | None:
    """Relative change of a sum (0.1 is a tenth more), persons arriving at random.

    The number of persons is random too, so the variance is that of a compound Poisson
    sum: the sum of the squares. None where the previous sum is not positive; no
    interval where its own reaches zero, since the ratio is then unbounded (Fieller).
    """
    current = moments.totals[name, CURRENT]
    previous = moments.totals[name, PREVIOUS]
    if previous <= 0:
        return None
    pair = ((name, PREVIOUS), (name, PREVIOUS))
    previous_error = math.sqrt(max(moments.product(*pair), 0.0))
    return _change(
        current / previous - 1,
        moments,
        {(name, CURRENT): 1 / previous, (name, PREVIOUS): -current / previous**2},
        previous > _critical(confidence_level) * previous_error,
        confidence_level,
    )


def _change(
    estimate: float,
    moments: PersonMoments,
    gradient: Mapping[tuple[str, str], float],
    has_enough: bool,
    confidence_level: float,
) -> Change:
    variance = math.fsum(_squared_terms(moments, gradient))
    if not has_enough or moments.person_count < LEAST_PERSON_COUNT or not variance > 0:
        return Change(estimate, None)
    half_width = _critical(confidence_level) * math.sqrt(variance)
    return Change(estimate, Interval(estimate - half_width, estimate + half_width))


def _squared_terms(
    moments: PersonMoments, gradient: Mapping[tuple[str, str], float]
) -> Iterable[float]:
    for one, weight in gradient.items():
        for other, other_weight in gradient.items():
            yield weight * other_weight * moments.product(one, other)


def _critical(confidence_level: float) -> float:
    return NormalDist().inv_cdf((1 + confidence_level) / 2)
