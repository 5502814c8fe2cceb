"""The two files that a clustering leaves: assignment for SQL, card for people.

Belongs here: shapes on disk and replacing them in one step. No statistics.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.replacement import replace_file
from nearline.segments.behaviour import BEHAVIOUR_METRICS
from nearline.segments.clustering import (
    K_MAX,
    K_MIN,
    Clustering,
    ClusterModel,
    fit_clusters,
)

ASSIGNMENT_FILE = "person_clusters.parquet"
CARD_FILE = "model.json"


def write_clusters(
    behaviour_table: pa.Table,
    out_dir: Path | str,
    seed: int,
    k_min: int = K_MIN,
    k_max: int = K_MAX,
) -> Clustering:
    """Fit, then write `person_clusters.parquet` and `model.json` into `out_dir`.

    Both are written when there is no model too: no rows, and a card with the reason.
    Each file is replaced in one step, the card last; `fitted_on_count`, in both, tells
    a pair that a crash tore apart.
    """
    clustering = fit_clusters(behaviour_table, seed, k_min, k_max)
    card = _card(clustering.model, clustering.reason, seed)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(
        folder / ASSIGNMENT_FILE,
        lambda file: pq.write_table(clustering.assignment, file),
    )
    replace_file(folder / CARD_FILE, lambda file: file.write(text.encode()))
    return clustering


def _card(
    model: ClusterModel | None, reason: str | None, seed: int
) -> dict[str, object]:
    if model is None:
        return {
            "k": None,
            "reason": reason,
            "fitted_on_count": 0,
            "seed": seed,
            "metrics": list(BEHAVIOUR_METRICS),
            "silhouette_by_k": {},
            "clusters": [],
        }
    fields = asdict(model)
    return {
        "k": model.k,
        "reason": None,
        "fitted_on_count": model.fitted_on_count,
        "seed": seed,
        "metrics": list(model.metrics),
        "silhouette_by_k": fields["silhouette_by_k"],
        "clusters": [
            {
                "cluster": number,
                "name": f"cluster_{number}",
                "person_count": model.sizes[number],
                "description": model.sentences[number],
                "centroid": model.centroids[number],
            }
            for number in range(model.k)
        ],
    }
