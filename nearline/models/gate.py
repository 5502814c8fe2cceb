"""Whether a challenger may take the champion's place.

Both answer the same rows, which neither was trained on. What is compared is a loss per
row; the difference is resampled by whole units (all rows of a visitor together, since they
are not independent), and the same draws serve both: a paired bootstrap. Refused is what is
worse beyond noise, be it worse than the champion or than the floor that needs no model;
and what would serve other inputs than it was trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from nearline.estimates import Estimate
from nearline.models.drift import FeatureDrift

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Losses: TypeAlias = NDArray[np.float64]

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """Passed or refused, and why. Differences are challenger minus other: less is better."""

    is_passed: bool
    reason: str
    against_champion: Estimate | None
    against_floor: Estimate | None
    drifted: tuple[str, ...]


def judge(
    challenger: "Losses",
    champion: "Losses | None",
    floor: "Losses | None",
    units: "NDArray[Any]",
    seed: int,
    drifts: Sequence[FeatureDrift] = (),
    *,
    gain: str | None = None,
    without_champion: str = "the first one",
) -> Judgement:
    """Judges by losses per row (less is better; for a gain, pass its negative).

    Args:
        challenger, champion, floor: losses of the same rows in the same order; None where
            there is no champion yet, or no floor.
        units: whom each row belongs to, drawn whole.
        drifts: of the rows to be served against those that the challenger learnt from.
        gain: what the losses are the negative of, such as "nDCG@20", for the words.
        without_champion: why there is none, for the words.
    """
    drifted = tuple(one.feature for one in drifts if one.is_drifted)
    against_champion = _difference(challenger, champion, units, seed)
    against_floor = _difference(challenger, floor, units, seed)
    problems = []
    if len(challenger) == 0:
        problems.append("there is no row to judge it by")
    if not _is_finite(challenger):
        problems.append("a score of it is no number")
    if _is_worse(against_champion):
        problems.append(
            f"worse than the champion beyond noise ({_words(against_champion, gain)})"
        )
    if _is_worse(against_floor):
        problems.append(
            f"worse than no model beyond noise ({_words(against_floor, gain)})"
        )
    if drifted:
        problems.append(drift_in_words(drifted))
    if problems:
        reason = "; ".join(problems)
    elif champion is None:
        reason = without_champion + (
            ", and not worse than no model" * (floor is not None)
        )
    else:
        reason = f"not worse than the champion ({_words(against_champion, gain)})"
    return Judgement(not problems, reason, against_champion, against_floor, drifted)


def drift_in_words(drifted: Sequence[str]) -> str:
    """Names the first few features of those that drifted."""
    shown = ", ".join(drifted[:_MOST_NAMED])
    more = len(drifted) - _MOST_NAMED
    return f"inputs drifted: {shown}" + (f" and {more} more" * (more > 0))


def _difference(
    challenger: "Losses", other: "Losses | None", units: "NDArray[Any]", seed: int
) -> Estimate | None:
    import numpy as np

    from nearline.recommend.intervals import ratio_estimates

    if other is None or len(challenger) == 0:
        return None
    _, codes = np.unique(units, return_inverse=True)
    sums = np.bincount(codes, weights=challenger - other).astype(np.float64)
    counts = np.bincount(codes).astype(np.float64)
    (estimate,) = ratio_estimates(sums[:, None], counts[:, None], seed)
    return estimate


def _is_finite(losses: "Losses") -> bool:
    import numpy as np

    return bool(np.isfinite(losses).all())


def _is_worse(difference: Estimate | None) -> bool:
    return (
        difference is not None
        and difference.ci_low is not None
        and difference.ci_low > 0
    )


def _words(difference: Estimate | None, gain: str | None) -> str:
    name = gain or "loss"
    if difference is None or difference.value is None:
        return f"difference in {name} not defined"
    value, low, high = difference.value, difference.ci_low, difference.ci_high
    assert low is not None
    assert high is not None
    if gain:
        # Of a gain more is better: what is said is the gain's own difference.
        value, low, high = 0.0 - value, 0.0 - high, 0.0 - low
    return f"difference in {name} {value:+.5f}, 95 % interval {low:+.5f} to {high:+.5f}"
