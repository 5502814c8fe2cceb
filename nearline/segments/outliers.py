"""Who behaves like nobody else: DBSCAN's noise, apart before K-Means takes its means.

Belongs here: choosing DBSCAN's parameters, its clusters for the card, the noise. Not
here: the metrics (`behaviour`), K-Means (`clustering`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nearline.segments.behaviour import Matrix

    Mask: TypeAlias = NDArray[np.bool_]

NEIGHBOURS_PER_METRIC = 2
"""A dense place has twice as many persons as there are metrics (Sander et al. 1998)."""

MOST_NOISE_SHARE = 0.1
"""Outliers are few. Where the knee would make more of them, eps is larger."""

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class DensityModel:
    """DBSCAN as it was chosen and what it found; counts are of all persons."""

    eps: float
    """In standard deviations, the Euclidean distance over all metrics."""
    eps_criterion: Literal["knee", "most noise"]
    min_samples: int
    cluster_sizes: tuple[int, ...]
    """Persons in each dense region, the largest first."""
    outlier_count: int
    silhouette: float | None
    """Of the dense regions without the noise; null with fewer than two of them."""


def find_outliers(points: "Matrix", sample: "Matrix") -> tuple["Mask", DensityModel]:
    """Which of `points` DBSCAN takes for noise, and the model (Ester et al. 1996).

    The model is made on `sample`, scaled like `points` and taken from them: its cost
    grows with the square. A point further than eps from every core of the sample is
    noise, which for the sample's own points is DBSCAN's definition.

    eps is the knee of the sorted distances to the `min_samples`-th nearest point: where
    the curve lies furthest below its chord (Satopaa et al. 2011), but no less than what
    leaves `MOST_NOISE_SHARE` of the sample beyond.
    """
    import numpy as np
    from sklearn.cluster import DBSCAN  # type: ignore[import-untyped, unused-ignore]
    from sklearn.metrics import (  # type: ignore[import-untyped, unused-ignore]
        silhouette_score,
    )
    from sklearn.neighbors import (  # type: ignore[import-untyped, unused-ignore]
        NearestNeighbors,
    )

    min_samples = min(NEIGHBOURS_PER_METRIC * points.shape[1], len(sample))
    neighbours = NearestNeighbors(n_neighbors=min_samples).fit(sample)
    # The nearest point is the point itself, which counts for DBSCAN, too.
    reach = np.sort(neighbours.kneighbors(sample)[0][:, -1])
    knee = float(reach[_knee(reach)])
    least = float(np.quantile(reach, 1 - MOST_NOISE_SHARE, method="higher"))
    # Up to the next rounded number: a distance of exactly eps must stay within it.
    step = 10**-_DECIMALS
    eps = round(float(np.ceil(max(knee, least, step) / step)) * step, _DECIMALS)
    fitted: Any = DBSCAN(eps=eps, min_samples=min_samples).fit(sample)
    cores = fitted.core_sample_indices_
    nearest = NearestNeighbors(n_neighbors=1).fit(sample[cores])
    distances, indices = nearest.kneighbors(points)
    is_outlier: Mask = distances[:, 0] > eps
    regions = fitted.labels_[cores][indices[:, 0]]
    counts = np.unique(regions[~is_outlier], return_counts=True)[1]
    dense = fitted.labels_ >= 0
    silhouette = None
    if 1 < len(counts) < int(dense.sum()):
        silhouette = round(
            float(silhouette_score(sample[dense], fitted.labels_[dense])), _DECIMALS
        )
    return is_outlier, DensityModel(
        eps=eps,
        eps_criterion="knee" if knee >= least else "most noise",
        min_samples=min_samples,
        cluster_sizes=tuple(sorted(counts.tolist(), reverse=True)),
        outlier_count=int(is_outlier.sum()),
        silhouette=silhouette,
    )


def _knee(ascending: "Matrix") -> int:
    """Where a curve that rises ever faster lies furthest below its chord."""
    import numpy as np

    rise = float(ascending[-1] - ascending[0])
    if rise == 0:
        return 0
    below = np.linspace(0, 1, len(ascending)) - (ascending - ascending[0]) / rise
    return int(np.argmax(below.round(_DECIMALS)))
