"""How likely each of several Beta-distributed means is the largest, with a bound of error.

The probability that arm a is the largest is the integral of the product of the others'
distribution functions over a's own. Both grow from 0 to 1, so that lower and upper sums on
any grid hold it between them: half their difference bounds the error of the trapezoid
rule, whatever the distributions are.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nearline.bandits.logged import Flags, Numbers

# Distribution functions evaluated in all, which decides how fine the grids are.
_MOST_EVALUATIONS = 20_000_000
_MOST_QUANTILES = 512
_LEAST_QUANTILES = 16


def best_arm_odds(
    successes: "Numbers", failures: "Numbers", eligible: "Flags"
) -> "tuple[Numbers, float]":
    """Odds (situations x arms) of being the largest, and the largest error of any.

    Args:
        successes, failures: parameters of the Beta distributions, above 0.
        eligible: which arms compete; the others get 0.
    """
    odds = np.zeros(eligible.shape)
    error = 0.0
    # Situations that are alike are worked out once.
    rows, inverse = np.unique(
        np.hstack([np.where(eligible, successes, 0), np.where(eligible, failures, 0)]),
        axis=0,
        return_inverse=True,
    )
    inverse = inverse.ravel()
    arm_count = eligible.shape[1]
    widest = int(eligible.sum(axis=1).max(initial=1))
    quantile_count = int(
        np.clip(
            _MOST_EVALUATIONS // max(len(rows) * widest**2, 1),
            _LEAST_QUANTILES,
            _MOST_QUANTILES,
        )
    )
    for number, row in enumerate(rows):
        competing = np.flatnonzero(row[:arm_count] > 0)
        of_row, off = _odds_of(
            row[competing], row[arm_count + competing], quantile_count
        )
        places = np.flatnonzero(inverse == number)
        odds[np.ix_(places, competing)] = of_row
        error = max(error, off)
    return odds, error


def _odds_of(
    successes: "Numbers", failures: "Numbers", quantile_count: int
) -> "tuple[Numbers, float]":
    from scipy.special import betainc, betaincinv

    if len(successes) == 1:
        return np.ones(1), 0.0
    shares = np.linspace(0, 1, quantile_count + 1)
    grid = np.unique(betaincinv(successes[:, None], failures[:, None], shares))
    below = betainc(successes[:, None], failures[:, None], grid)
    # Products of the others, without dividing by what may be 0.
    before = np.vstack([np.ones_like(grid), np.cumprod(below, axis=0)[:-1]])
    after = np.vstack([np.cumprod(below[::-1], axis=0)[::-1][1:], np.ones_like(grid)])
    others = before * after
    steps = np.diff(below, axis=1)
    odds = (steps * (others[:, 1:] + others[:, :-1])).sum(axis=1) / 2
    error = (steps * np.diff(others, axis=1)).sum(axis=1).max() / 2
    total = odds.sum()
    return odds / total, float(error + abs(1 - total))
