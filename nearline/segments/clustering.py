"""K-Means over behaviour: outliers apart, k by silhouette, clusters in a fixed order.

Belongs here: fitting and ordering. Not here: the metrics (`behaviour`), who is an outlier
(`outliers`), names (`naming`), sentences (`description`), files (`files`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from nearline.errors import InputError
from nearline.segments.behaviour import (
    BEHAVIOUR_METRICS,
    logged,
    read_behaviour,
    scaled,
)
from nearline.segments.description import describe
from nearline.segments.naming import OUTLIER, Memory, name_clusters
from nearline.segments.outliers import DensityModel, find_outliers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nearline.segments.behaviour import Matrix

    Labels: TypeAlias = NDArray[np.int64]

K_MIN = 3
K_MAX = 8
LEAST_PERSONS_PER_CLUSTER = 10
RESTART_COUNT = 10

SILHOUETTE_SAMPLE_SIZE = 5_000
"""The silhouette costs the square of the persons it looks at."""

# Silhouettes (or centres) nearer to each other than this are a tie, which the smaller k
# (or the next metric) decides: rounding in the last bits must not choose.
TIE_DECIMALS = 6

K_SWITCH_MARGIN = 0.02
"""How much better another k must be than that of the fit before: names would flicker
where two are about equal."""

OUTLIER_CLUSTER = -1

_ASSIGNMENT_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("person_id", pa.string(), nullable=False),
    pa.field("cluster", pa.int32(), nullable=False),
    pa.field("segment", pa.string(), nullable=False),
    pa.field("silhouette", pa.float64()),
    pa.field("fitted_on_count", pa.int64(), nullable=False),
]
ASSIGNMENT_SCHEMA = pa.schema(_ASSIGNMENT_FIELDS)
"""One row per person. `cluster` is the position by size, -1 for an outlier; `segment` is
the name that lasts; `silhouette` is the person's own, in its simplified form, null for an
outlier."""


@dataclass(frozen=True, slots=True)
class ClusterModel:
    """The card of one fit. Cluster n is position n in every tuple."""

    k: int
    is_k_kept: bool
    """Whether k is that of the fit before, no other being better by a margin."""
    silhouette_by_k: Mapping[int, float]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    centroids: tuple[Mapping[str, float], ...]
    """Mean of the members, in the metrics' own units (not the scaled centre)."""
    sentences: tuple[str, ...]
    density: DensityModel
    outlier_sentence: str | None
    memory: Memory
    metrics: tuple[str, ...]
    fitted_on_count: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Clustering:
    """A model with one row per person, or no rows and the reason for it."""

    model: ClusterModel | None
    assignment: pa.Table
    reason: str | None = None
    lost: str | None = None
    """What of the fit before could not be used, for somebody to look at."""


def fit_clusters(
    behaviour_table: pa.Table,
    seed: int,
    k_min: int = K_MIN,
    k_max: int = K_MAX,
    before: Memory | None = None,
) -> Clustering:
    """Cluster persons by `BEHAVIOUR_METRICS`; the order of the rows has no influence.

    Outliers (DBSCAN's noise) are set apart first, and what remains is scaled anew: they
    reach neither centres nor scale. k is the one with the highest silhouette (Rousseeuw
    1987) on a seeded sample, or that of the fit before where none is better by
    `K_SWITCH_MARGIN`; where there are more persons than the sample holds, one last fit
    of that k sees them all. Clusters are in the order of descending size, ties by
    descending centre in the order of the metrics: cluster 0 is the largest. Names are
    those of `before` where a cluster is one of them, else new. Data that cannot be
    clustered (too few persons, all alike, a value missing) gives an empty assignment
    and a reason.
    """
    import numpy as np

    # Limits are those of the libraries that are loaded already.
    import sklearn.cluster  # type: ignore[import-untyped, unused-ignore]  # noqa: F401
    from threadpoolctl import (  # type: ignore[import-untyped, unused-ignore]
        threadpool_limits,
    )

    if not 2 <= k_min <= k_max:
        raise InputError("k_min and k_max must hold 2 <= k_min <= k_max; default 3, 8")
    behaviour = read_behaviour(behaviour_table)
    if isinstance(behaviour, str):
        return _without_model(behaviour)
    person_count = len(behaviour.values)
    least = k_min * LEAST_PERSONS_PER_CLUSTER
    if person_count < least:
        return _without_model(
            f"{person_count} persons are too few for {k_min} clusters; "
            f"at least {least} are needed"
        )
    # Threads add up partial sums in the order in which they finish: with one thread the
    # last bits, and so a tie, cannot differ between runs or settings of the machine.
    with threadpool_limits(limits=1):
        everyone = logged(behaviour.values)
        spread_out = scaled(everyone)
        is_outlier, density = find_outliers(
            spread_out.points, _sample(spread_out.points, seed)
        )
        scale = scaled(everyone[~is_outlier])
        points = scale.points
        sample = _sample(points, seed)
        distinct_count = len(np.unique(sample, axis=0))
        if distinct_count < k_min:
            return _without_model(
                f"the persons show only {distinct_count} different behaviours, "
                f"{k_min} clusters need at least {k_min}; wait for more varied data"
            )
        largest_k = min(k_max, distinct_count, len(sample) - 1)
        silhouette_by_k = _silhouettes(sample, range(k_min, largest_k + 1), seed)
        chosen_k = _choose_k(silhouette_by_k, before)
        labels = _numbered(points, _labels(points, chosen_k, seed))
        k = int(labels.max()) + 1
        centres = np.stack([points[labels == n].mean(axis=0) for n in range(k)])
        own_silhouettes = _simplified_silhouettes(points, centres, labels)
    names, memory = name_clusters(
        centres * scale.spread + scale.mean,
        centres.tolist(),
        scale.spread.tolist(),
        before or Memory(),
    )
    typical = behaviour.values[~is_outlier]
    sizes = tuple(int((labels == n).sum()) for n in range(k))
    means = [typical[labels == n].mean(axis=0).tolist() for n in range(k)]
    overall_means = typical.mean(axis=0).tolist()
    model = ClusterModel(
        k=k,
        is_k_kept=before is not None and chosen_k == before.k,
        silhouette_by_k=silhouette_by_k,
        names=names,
        sizes=sizes,
        centroids=tuple(
            dict(zip(BEHAVIOUR_METRICS, mean, strict=True)) for mean in means
        ),
        sentences=tuple(
            describe(
                BEHAVIOUR_METRICS,
                centres[n].tolist(),
                means[n],
                overall_means,
                sizes[n],
                person_count,
            )
            for n in range(k)
        ),
        density=density,
        outlier_sentence=describe(
            BEHAVIOUR_METRICS,
            spread_out.points[is_outlier].mean(axis=0).tolist(),
            behaviour.values[is_outlier].mean(axis=0).tolist(),
            behaviour.values.mean(axis=0).tolist(),
            density.outlier_count,
            person_count,
        )
        if density.outlier_count
        else None,
        memory=memory,
        metrics=BEHAVIOUR_METRICS,
        fitted_on_count=person_count,
        seed=seed,
    )
    clusters = np.full(person_count, OUTLIER_CLUSTER)
    clusters[~is_outlier] = labels
    silhouettes = np.full(person_count, np.nan)
    silhouettes[~is_outlier] = own_silhouettes
    assignment = pa.table(
        [
            behaviour.person_ids,
            pa.array(clusters, pa.int32()),
            pa.array([OUTLIER if n < 0 else names[n] for n in clusters.tolist()]),
            pa.array(silhouettes, pa.float64(), from_pandas=True),
            pa.array(np.full(person_count, person_count), pa.int64()),
        ],
        schema=ASSIGNMENT_SCHEMA,
    )
    return Clustering(model, assignment)


def _without_model(reason: str) -> Clustering:
    return Clustering(None, ASSIGNMENT_SCHEMA.empty_table(), reason)


def _sample(points: "Matrix", seed: int) -> "Matrix":
    import numpy as np

    if len(points) <= SILHOUETTE_SAMPLE_SIZE:
        return points
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(points), SILHOUETTE_SAMPLE_SIZE, replace=False)
    return points[np.sort(chosen)]


def _labels(points: "Matrix", k: int, seed: int) -> "Labels":
    from sklearn.cluster import KMeans  # type: ignore[import-untyped, unused-ignore]

    model = KMeans(n_clusters=k, n_init=RESTART_COUNT, random_state=seed)
    labels: Labels = model.fit_predict(points)
    return labels


def _choose_k(silhouette_by_k: Mapping[int, float], before: Memory | None) -> int:
    best = max(silhouette_by_k, key=lambda tried: (silhouette_by_k[tried], -tried))
    last_k = before.k if before is not None else None
    if last_k is not None and last_k in silhouette_by_k:
        behind = silhouette_by_k[best] - silhouette_by_k[last_k]
        if round(behind, TIE_DECIMALS) <= K_SWITCH_MARGIN:
            return last_k
    return best


def _silhouettes(sample: "Matrix", ks: range, seed: int) -> dict[int, float]:
    from sklearn.metrics import (  # type: ignore[import-untyped, unused-ignore]
        silhouette_score,
    )

    return {
        k: round(
            float(silhouette_score(sample, _labels(sample, k, seed))),
            TIE_DECIMALS,
        )
        for k in ks
    }


def _numbered(points: "Matrix", labels: "Labels") -> "Labels":
    import numpy as np

    def rank(label: int) -> tuple[float, ...]:
        members = points[labels == label]
        centre = members.mean(axis=0).round(TIE_DECIMALS)
        return (-len(members), *(-centre).tolist())

    numbered = np.empty_like(labels, dtype=np.int64)
    for number, label in enumerate(sorted(np.unique(labels).tolist(), key=rank)):
        numbered[labels == label] = number
    return numbered


def _simplified_silhouettes(
    points: "Matrix", centres: "Matrix", labels: "Labels"
) -> "Matrix":
    """(b - a) / max(a, b) with distances to centres: linear in the persons.

    a is the distance to the own centre, b to the nearest other (Hruschka et al. 2004).
    """
    import numpy as np

    distances = np.stack(
        [np.linalg.norm(points - centre, axis=1) for centre in centres], axis=1
    )
    rows = np.arange(len(points))
    own = distances[rows, labels]
    distances[rows, labels] = np.inf
    nearest = distances.min(axis=1)
    furthest = np.maximum(own, nearest)
    result: Matrix = np.divide(
        nearest - own, furthest, out=np.zeros_like(own), where=furthest > 0
    )
    return result
