"""Chance to win and expected loss against numerical integration."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from nearline.errors import InputError
from nearline.experiments import update_belief


@pytest.mark.parametrize(("estimate", "prior"), [(0.4, None), (-0.7, 0.5), (2.0, 3.0)])
def test_chance_and_loss_are_integrals_over_the_posterior(
    estimate: float, prior: float | None
) -> None:
    belief = update_belief(estimate, 0.6, prior)
    # Independent of the closed form: prior times likelihood on a grid.
    grid = np.linspace(-12, 12, 200_001)
    weights = norm.pdf(estimate, grid, 0.6)
    weights *= 1 if prior is None else norm.pdf(grid, 0, prior)
    weights /= weights.sum()
    assert belief.mean == pytest.approx((weights * grid).sum(), abs=1e-9)
    assert belief.chance_to_win() == pytest.approx(weights[grid > 0].sum(), abs=1e-4)
    assert belief.expected_loss() == pytest.approx(
        (weights * np.maximum(-grid, 0)).sum(), abs=1e-7
    )
    assert belief.expected_loss(lower_is_better=True) == pytest.approx(
        (weights * np.maximum(grid, 0)).sum(), abs=1e-7
    )
    assert belief.chance_to_win(lower_is_better=True) == pytest.approx(
        1 - belief.chance_to_win()
    )


def test_loss_under_a_flat_prior_is_the_partial_expectation() -> None:
    loss, _ = quad(lambda x: -x * norm.pdf(x, 1.0, 2.0), -30, 0)
    assert update_belief(1.0, 2.0).expected_loss() == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("prior", [0.0, -1.0, float("nan"), float("inf")])
def test_a_prior_without_width_is_refused(prior: float) -> None:
    with pytest.raises(InputError, match="prior"):
        update_belief(1.0, 1.0, prior)
