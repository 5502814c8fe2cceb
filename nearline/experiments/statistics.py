"""Sufficient statistics: small values that add up, the seam between SQL and inference.

Only what follows from the sums belongs here; tests and intervals are in `inference`.
Nothing in here needs an import heavier than the standard library.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

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
            add_up([part.value_sum for part in parts]),
            add_up([part.value_sum_squares for part in parts]),
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
        mean_square = self.value_sum / self.unit_count * self.value_sum
        if self.value_sum_squares > mean_square * 1.01:
            # Too clear for rounding; exact arithmetic costs twenty times as much.
            return False
        allowed = Fraction(self.value_sum_squares) * Fraction(ROUNDING_SHARE)
        return self._squared_deviations < -abs(allowed)

    @property
    def _squared_deviations(self) -> Fraction:
        return (
            Fraction(self.value_sum_squares)
            - Fraction(self.value_sum) ** 2 / self.unit_count
        )


@dataclass(frozen=True, slots=True)
class JointStatistics:
    """Count, means and co-moments of several values per unit; what CUPED and ratios need.

    `comoments[i][j]` is the sum over units of the product of deviations from the means
    of values i and j. Deviations, not raw squares: the columns of a file may be large
    against their spread, and raw sums of squares would already have lost the digits.
    """

    unit_count: int
    means: tuple[float, ...]
    comoments: tuple[tuple[float, ...], ...]

    @classmethod
    def from_columns(cls, columns: "Sequence[np.ndarray]") -> "JointStatistics":
        """One column per value, one row per unit; no units give zeros."""
        import numpy as np

        values = np.vstack([np.asarray(column, dtype=float) for column in columns])
        if values.shape[1] == 0:
            return cls.nothing(len(columns))
        # Beyond the largest float the result is infinite, which is a named problem.
        with np.errstate(over="ignore", invalid="ignore"):
            means = values.mean(axis=1)
            deviations = values - means[:, None]
            # The mean of equal values may round; their spread is zero all the same.
            deviations[values.min(axis=1) == values.max(axis=1)] = 0.0
            comoments = deviations @ deviations.T
        return cls(
            values.shape[1],
            tuple(means.tolist()),
            tuple(tuple(row) for row in comoments.tolist()),
        )

    @classmethod
    def from_sums(
        cls,
        unit_count: int,
        sums: Sequence[float],
        products: Sequence[Sequence[float]],
    ) -> "JointStatistics":
        """From sums and sums of products, exact in them; NaN if one is not finite."""
        if unit_count < 1:
            return cls.nothing(len(sums))
        if not all(
            map(math.isfinite, (*sums, *(cell for row in products for cell in row)))
        ):
            blank = (math.nan,) * len(sums)
            return cls(unit_count, blank, (blank,) * len(sums))
        size = len(sums)
        comoments = [[0.0] * size for _ in range(size)]
        for i in range(size):
            moment = _comoment(unit_count, sums[i], sums[i], products[i][i])
            comoments[i][i] = moment
            for j in range(i):
                scale = math.sqrt(max(moment, 0.0)) * math.sqrt(
                    max(comoments[j][j], 0.0)
                )
                comoments[i][j] = comoments[j][i] = _comoment(
                    unit_count, sums[i], sums[j], products[i][j], scale
                )
        return cls(
            unit_count,
            tuple(value / unit_count for value in sums),
            tuple(map(tuple, comoments)),
        )

    @classmethod
    def nothing(cls, value_count: int) -> "JointStatistics":
        """No units of `value_count` values: the zero of addition."""
        zeros = (0.0,) * value_count
        return cls(0, zeros, (zeros,) * value_count)

    def __add__(self, other: "JointStatistics") -> "JointStatistics":
        """Chan, Golub and LeVeque (1983), The American Statistician 37."""
        unit_count = self.unit_count + other.unit_count
        if unit_count == 0:
            return self
        shifts = [b - a for a, b in zip(self.means, other.means, strict=True)]
        share = other.unit_count / unit_count
        weight = self.unit_count * share
        return JointStatistics(
            unit_count,
            tuple(
                [
                    mean + shift * share
                    for mean, shift in zip(self.means, shifts, strict=True)
                ]
            ),
            tuple(
                [
                    tuple(
                        [
                            mine + theirs + shift * across * weight
                            for mine, theirs, across in zip(
                                row, added, shifts, strict=True
                            )
                        ]
                    )
                    for row, added, shift in zip(
                        self.comoments, other.comoments, shifts, strict=True
                    )
                ]
            ),
        )

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, self.means)) and all(
            all(map(math.isfinite, row)) for row in self.comoments
        )

    def covariance(self, i: int, j: int) -> float:
        """Unbiased covariance of values i and j; NaN below two units."""
        if self.unit_count < 2:
            return math.nan
        value = self.comoments[i][j] / (self.unit_count - 1)
        return max(value, 0.0) if i == j else value

    def covariance_of_sums(
        self, weights: Sequence[float], other_weights: Sequence[float]
    ) -> float:
        """Unbiased covariance of two weighted sums of a unit's values."""
        return add_up(
            [
                one * other * self.covariance(i, j)
                for i, one in enumerate(weights)
                for j, other in enumerate(other_weights)
                if one and other
            ]
        )


def _comoment(
    unit_count: int,
    one: float,
    other: float,
    product: float,
    scale: float | None = None,
) -> float:
    """Sum of products of deviations, exact in the sums where floats would not be.

    What the two values vary (`scale`, by default the result) says how much rounding
    matters: where it is more than a hundredth of what is subtracted from, two of sixteen
    digits are lost at most, and exact arithmetic costs twenty times as much.
    """
    if not product and not (one and other):
        return 0.0
    moment = product - one / unit_count * other
    if abs(product) < 100 * (abs(moment) if scale is None else scale) < math.inf:
        return moment
    exact = Fraction(product) - Fraction(one) * Fraction(other) / unit_count
    return _rounded(exact)


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.nan


def add_up(values: Sequence[float]) -> float:
    """Sum rounded once, independent of the order; NaN where it is no finite number."""
    try:
        total = math.fsum(values)
    except (OverflowError, ValueError):
        # Beyond the largest float, or infinities of both signs.
        return math.nan
    return total if math.isfinite(total) else math.nan
