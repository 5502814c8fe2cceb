"""Sufficient statistics: small values that add up, the seam between SQL and inference.

Only what follows from the three sums belongs here; tests and intervals are in
`inference`. Nothing in here needs an import heavier than the standard library.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

# Sums of floats may miss the Cauchy-Schwarz bound by rounding alone. A sum of squares
# short of it by more than this share of itself is a contradiction, not rounding.
ROUNDING_SHARE = 1e-9


@dataclass(frozen=True, slots=True)
class SufficientStatistics:
    """Count, sum and sum of squares of one value per unit; zero units is the zero."""

    unit_count: int = 0
    value_sum: float = 0.0
    value_sum_squares: float = 0.0

    def __add__(self, other: "SufficientStatistics") -> "SufficientStatistics":
        return SufficientStatistics(
            self.unit_count + other.unit_count,
            self.value_sum + other.value_sum,
            self.value_sum_squares + other.value_sum_squares,
        )

    @classmethod
    def total(cls, parts: Iterable["SufficientStatistics"]) -> "SufficientStatistics":
        """Sum of all parts, to the last bit independent of their order."""
        parts = list(parts)
        return cls(
            sum(part.unit_count for part in parts),
            _order_free_sum([part.value_sum for part in parts]),
            _order_free_sum([part.value_sum_squares for part in parts]),
        )

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.value_sum) and math.isfinite(self.value_sum_squares)

    @property
    def mean(self) -> float:
        """Mean value of a unit; NaN where there is no unit."""
        if self.unit_count < 1 or not self.is_finite:
            return math.nan
        return self.value_sum / self.unit_count

    @property
    def variance(self) -> float:
        """Unbiased variance of a unit's value; NaN below two units or when impossible.

        Exact in the sums given: subtracting two large floats would cost all digits
        where the mean is large against the spread, as with revenue in cents.
        """
        if self.unit_count < 2 or not self.is_finite or self.is_contradictory:
            return math.nan
        return max(float(self._squared_deviations / (self.unit_count - 1)), 0.0)

    @property
    def is_contradictory(self) -> bool:
        """Whether no set of values can have these sums (Cauchy-Schwarz is broken)."""
        if not self.is_finite:
            return False
        if self.unit_count < 1:
            return bool(self.unit_count or self.value_sum or self.value_sum_squares)
        allowed = Fraction(self.value_sum_squares) * Fraction(ROUNDING_SHARE)
        return self._squared_deviations < -abs(allowed)

    @property
    def _squared_deviations(self) -> Fraction:
        return (
            Fraction(self.value_sum_squares)
            - Fraction(self.value_sum) ** 2 / self.unit_count
        )


def _order_free_sum(values: list[float]) -> float:
    if not all(math.isfinite(value) for value in values):
        return math.nan
    try:
        return math.fsum(values)
    except OverflowError:
        return math.nan
