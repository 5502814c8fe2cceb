"""Horizons for those who look more than once: always valid, or planned looks.

Belongs here: how wide an interval must be under each way of looking. Not here: what is
estimated, or the interval itself (`inference.compare_estimates`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from nearline.experiments.findings import AnalysisError
from nearline.experiments.inference import DEFAULT_CONFIDENCE_LEVEL, require_level

if TYPE_CHECKING:
    import numpy as np

DEFAULT_TUNED_UNIT_COUNT = 10_000
"""Units of both arms at which the always-valid interval is at its narrowest, relative to
that of one look. Set before the start; a tenfold miss widens it by about a tenth."""

LEAST_UNITS_TO_LOOK = 100
"""Units of each arm below which the always-valid guarantee, an asymptotic one, is not
given."""


@dataclass(frozen=True, slots=True)
class AlwaysValid:
    """May be looked at after every unit, and stopped at any time.

    Asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
    (2024, Annals of Statistics 52): Robbins' normal mixture with estimated variance.
    """

    name: ClassVar[str] = "always_valid"
    is_over: ClassVar[bool] = False
    least_unit_count: ClassVar[int] = LEAST_UNITS_TO_LOOK

    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL
    tuned_unit_count: int = DEFAULT_TUNED_UNIT_COUNT

    def critical(self, degrees: float, unit_count: int) -> float:
        ratio = self._mixture_ratio(unit_count)
        squared = (1 + 1 / ratio) * (
            math.log1p(ratio) - 2 * math.log(1 - self.confidence_level)
        )
        return math.sqrt(squared)

    def p_value(self, statistic: float, degrees: float, unit_count: int) -> float:
        """Inverse of the mixture martingale: never below the level by looking often."""
        ratio = self._mixture_ratio(unit_count)
        squared = statistic * statistic
        log_evidence = squared * ratio / (1 + ratio) / 2 - math.log1p(ratio) / 2
        return math.exp(-max(log_evidence, 0.0))

    def _mixture_ratio(self, unit_count: int) -> float:
        # The mixture's variance that makes the boundary tightest at the tuned count.
        doubled = -2 * math.log(1 - self.confidence_level)
        return (doubled + math.log1p(doubled)) * unit_count / self.tuned_unit_count


class Spending(StrEnum):
    """How the false positives allowed are spent over the planned looks."""

    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"


@dataclass(frozen=True, slots=True)
class GroupSequential:
    """A few planned looks; the last of `information` is the one taken now.

    Alpha spending of Lan and DeMets (1983), Biometrika 70. `information` holds, for
    each look so far, the share of the units planned for the end, growing up to 1. The
    interval is the repeated confidence interval of Jennison and Turnbull (1989), the
    p-value the smallest level at which this look's boundary would be crossed.
    """

    name: ClassVar[str] = "group_sequential"
    least_unit_count: ClassVar[int] = 0

    information: tuple[float, ...]
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL
    spending: Spending = Spending.OBRIEN_FLEMING

    def __post_init__(self) -> None:
        require_level(self.confidence_level)
        shares = self.information
        rising = all(a < b for a, b in zip((0.0, *shares), shares, strict=False))
        if not shares or not rising or not shares[-1] <= 1:
            raise AnalysisError(
                "unreadable_looks",
                "looks are no growing shares of the planned units",
                "give numbers above 0 and up to 1, for example 0.25,0.5,1",
            )

    @property
    def is_over(self) -> bool:
        return self.information[-1] >= 1

    def critical(self, degrees: float, unit_count: int) -> float:
        return self.boundaries()[-1]

    def p_value(self, statistic: float, degrees: float, unit_count: int) -> float:
        from scipy.optimize import brentq

        distance = abs(statistic)

        def excess(log_alpha: float) -> float:
            alpha = math.exp(log_alpha)
            return _boundaries(self.information, alpha, self.spending)[-1] - distance

        least, most = math.log(1e-12), math.log(1 - 1e-9)
        if excess(least) <= 0:
            return math.exp(least)
        if excess(most) >= 0:
            return 1.0
        return math.exp(float(brentq(excess, least, most, xtol=1e-10)))

    def boundaries(self) -> tuple[float, ...]:
        """Critical values of the z statistic at each look, two-sided."""
        return _boundaries(self.information, 1 - self.confidence_level, self.spending)


def spent(share: float, alpha: float, spending: Spending) -> float:
    """False-positive rate, of both sides, spent by a share of the information.

    The O'Brien-Fleming-like function is that of one side, taken twice, as the tables do.
    """
    from scipy.special import ndtr, ndtri

    if share >= 1:
        return alpha
    if spending is Spending.POCOCK:
        return alpha * math.log1p((math.e - 1) * share)
    return float(4 * ndtr(ndtri(alpha / 4) / math.sqrt(share)))


# Points of the density that is carried from look to look; ten digits of the boundary.
_GRID_SIZE = 100


@lru_cache(maxsize=1)
def _quadrature() -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(_GRID_SIZE)
    return nodes, weights


@lru_cache(maxsize=4096)
def _boundaries(
    information: Sequence[float], alpha: float, spending: Spending
) -> tuple[float, ...]:
    """Recursive integration of Armitage, McPherson and Rowe (1969), JRSS A 132.

    The density of the score process (variance = information) among those that have not
    crossed yet, on Gauss-Legendre points between the boundaries.
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import ndtri

    nodes, node_weights = _quadrature()
    boundaries: list[float] = []
    at = np.zeros(1)
    mass = np.ones(1)
    before = spent_before = 0.0
    for share in information:
        step = math.sqrt(share - before)
        spent_now = spent(share, alpha, spending)
        spend = spent_now - spent_before
        root = math.sqrt(share)
        if not boundaries:
            bound = -float(ndtri(spend / 2)) * root
        elif spend <= 1e-15:
            bound = 8.5 * root
        else:
            so_far = (at, mass, step, spend)
            bound = float(brentq(_excess, 0.0, 12 * root, args=so_far, xtol=1e-12))
        boundaries.append(bound / root)
        if share == information[-1]:
            break
        fresh = nodes * bound
        spread = (fresh[:, None] - at[None, :]) / step
        density = np.exp(-0.5 * spread**2) @ mass / (step * math.sqrt(2 * math.pi))
        at, mass = fresh, density * node_weights * bound
        before, spent_before = share, spent_now
    return tuple(boundaries)


def _excess(
    bound: float, at: "np.ndarray", mass: "np.ndarray", step: float, spend: float
) -> float:
    """Share that crosses a bound, either way, beyond what may be spent at this look."""
    from scipy.special import ndtr

    above = ndtr((at - bound) / step) + ndtr((-at - bound) / step)
    return float(mass @ above) - spend
