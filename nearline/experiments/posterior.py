"""What to believe after the data: the chance to win and the expected loss.

Belongs here: the normal posterior of a difference. It is a summary beside the interval,
not a licence to look at a fixed-horizon test every day.
"""

import math
from dataclasses import dataclass

from nearline.errors import InputError


@dataclass(frozen=True, slots=True)
class Posterior:
    """Of the difference to control, in the metric's unit."""

    mean: float
    standard_deviation: float

    def chance_to_win(self, *, lower_is_better: bool = False) -> float:
        """Probability that the variant is better than the control."""
        from scipy.special import ndtr

        sign = -1 if lower_is_better else 1
        return float(ndtr(sign * self.mean / self.standard_deviation))

    def expected_loss(self, *, lower_is_better: bool = False) -> float:
        """What is lost on average, per unit, by choosing the variant; 0 or more."""
        from scipy.special import ndtr

        standardized = self.mean / self.standard_deviation
        standardized *= -1 if lower_is_better else 1
        density = math.exp(-(standardized**2) / 2) / math.sqrt(2 * math.pi)
        loss = density - standardized * float(ndtr(-standardized))
        return max(self.standard_deviation * loss, 0.0)


def update_belief(
    estimate: float,
    standard_error: float,
    prior_standard_deviation: float | None = None,
) -> Posterior:
    """Normal likelihood times a normal prior around no change; None is a flat prior.

    The prior's standard deviation is in the metric's unit: about two thirds of the
    effects believed possible lie within it.
    """
    if prior_standard_deviation is None:
        return Posterior(estimate, standard_error)
    if not 0 < prior_standard_deviation < math.inf:
        raise InputError("the prior's standard deviation must be a number above 0")
    weight = 1 / (1 + (standard_error / prior_standard_deviation) ** 2)
    return Posterior(estimate * weight, standard_error * math.sqrt(weight))
