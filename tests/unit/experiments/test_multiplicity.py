"""Adjusted p-values against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from nearline.experiments import adjust_benjamini_hochberg, adjust_holm

RNG = np.random.default_rng(1)
FAMILIES = [
    [0.04],
    [0.01, 0.04, 0.03, 0.005],
    [0.02, 0.02, 0.5, 1.0, 0.0],
    [1e-9, 1e-12, 0.999],
    *(RNG.random(size).tolist() for size in range(2, 12)),
    *((RNG.random(size) ** 4).tolist() for size in range(2, 12)),
]


@pytest.mark.parametrize("p_values", FAMILIES)
def test_adjusted_p_values_agree_with_statsmodels(p_values: list[float]) -> None:
    for ours, method in ((adjust_holm, "holm"), (adjust_benjamini_hochberg, "fdr_bh")):
        oracle = multipletests(p_values, method=method)[1]
        assert ours(p_values) == pytest.approx(list(oracle), rel=1e-9, abs=1e-15)


def test_nothing_to_adjust_is_nothing() -> None:
    assert adjust_holm([]) == adjust_benjamini_hochberg([]) == []
