"""DBSCAN's noise; distances derived by hand."""

import numpy as np
import pytest

from nearline.segments.outliers import MOST_NOISE_SHARE, find_outliers


def line(count: int, step: float) -> np.ndarray:
    """Points on a line, so that the k-th nearest is told by counting."""
    return np.arange(count, dtype=float).reshape(-1, 1) * step


def test_a_far_point_is_noise_and_eps_is_the_knee() -> None:
    points = np.vstack([line(50, 0.125), [[100.0]]])
    is_outlier, model = find_outliers(points, points)
    # One metric: a dense place has 2 points, itself and the next at 0.125.
    assert (model.min_samples, model.eps, model.eps_criterion) == (2, 0.125, "knee")
    assert np.flatnonzero(is_outlier).tolist() == [50]
    assert (model.cluster_sizes, model.outlier_count) == ((50,), 1)
    assert model.silhouette is None


def test_dense_regions_are_counted_and_judged_without_the_noise() -> None:
    # About 1 from the own region's others, about 50 from the other's: 1 - 1 / 50.
    points = np.vstack([line(30, 0.1), 50 + line(20, 0.1), [[500.0]]])
    _, model = find_outliers(points, points)
    assert (model.cluster_sizes, model.outlier_count) == ((30, 20), 1)
    assert model.silhouette == pytest.approx(0.98, abs=0.01)


def test_no_more_than_a_tenth_is_noise_however_scattered_all_are() -> None:
    rng = np.random.default_rng(3)
    points = rng.standard_cauchy((400, 3))
    is_outlier, model = find_outliers(points, points)
    assert is_outlier.sum() == model.outlier_count <= 400 * MOST_NOISE_SHARE


def test_points_beyond_the_sample_are_judged_by_its_cores() -> None:
    sample = line(50, 0.125)
    points = np.vstack([sample, [[3.0], [6.75]]])
    is_outlier, model = find_outliers(points, sample)
    assert model.eps == 0.125
    assert np.flatnonzero(is_outlier).tolist() == [51]
    assert model.cluster_sizes == (51,)


def test_points_that_are_all_alike_are_one_region() -> None:
    points = np.zeros((20, 2))
    is_outlier, model = find_outliers(points, points)
    assert not is_outlier.any()
    assert model.cluster_sizes == (20,)
