"""The files that a clustering leaves: assignment, history for SQL, card for people.

Belongs here: shapes on disk, reading what the fit before left, replacing each in one
step. No statistics.
"""

import json
from dataclasses import asdict, replace
from datetime import datetime
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
from nearline.segments.history import HISTORY_SCHEMA, extend_history, highest_number
from nearline.segments.naming import OUTLIER, Memory, read_memory

ASSIGNMENT_FILE = "person_clusters.parquet"
HISTORY_FILE = "history.parquet"
CARD_FILE = "model.json"


def write_clusters(
    behaviour_table: pa.Table,
    out_dir: Path | str,
    seed: int,
    known_up_to: datetime | None,
    k_min: int = K_MIN,
    k_max: int = K_MAX,
) -> Clustering:
    """Fit, then write `person_clusters.parquet`, `history.parquet` and `model.json`.

    Names come from the card and the history that the fit before left in `out_dir`.
    `known_up_to` (UTC, naive) is how far the data reaches; None where there is none.
    All are written when there is no model too: no rows, memberships that end, and a card
    with the reason. Each file is replaced in one step, the card last; `fitted_on_count`
    tells an assignment and a card that a crash tore apart.
    """
    folder = Path(out_dir)
    history, history_lost = _read_history(folder)
    before, card_lost = _read_memory(folder, history)
    clustering = replace(
        fit_clusters(behaviour_table, seed, k_min, k_max, before),
        lost="; ".join(filter(None, (card_lost, history_lost))) or None,
    )
    if known_up_to is None:
        history = HISTORY_SCHEMA.empty_table()
    else:
        history = extend_history(
            history,
            clustering.assignment,
            behaviour_table.select(["person_id"]),
            known_up_to,
        )
    card = _card(clustering.model, clustering.reason, before, seed)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    for name, table in (
        (HISTORY_FILE, history),
        (ASSIGNMENT_FILE, clustering.assignment),
    ):
        _write_table(folder / name, table)
    replace_file(folder / CARD_FILE, lambda file: file.write(text.encode()))
    return clustering


def _write_table(path: Path, table: pa.Table) -> None:
    replace_file(path, lambda file: pq.write_table(table, file))


def _read_history(folder: Path) -> tuple[pa.Table, str | None]:
    path = folder / HISTORY_FILE
    if not path.exists():
        return HISTORY_SCHEMA.empty_table(), None
    try:
        return pq.read_table(path).cast(HISTORY_SCHEMA), None
    except (pa.ArrowException, ValueError, OSError):
        return (
            HISTORY_SCHEMA.empty_table(),
            f"{HISTORY_FILE} cannot be read: memberships begin anew",
        )


def _read_memory(folder: Path, history: pa.Table) -> tuple[Memory, str | None]:
    """What is known of names; where the card is lost, new ones go on after the highest
    number in the history: one that meant something else would be worse than none."""
    highest = highest_number(history)
    path = folder / CARD_FILE
    if not path.exists():
        if highest is None:
            return Memory(), None
        problem = "it is missing"
    else:
        try:
            found = read_memory(json.loads(path.read_text()))
        except (ValueError, OSError):
            found = "it cannot be read"
        if isinstance(found, Memory):
            return found, None
        problem = found
    return (
        Memory(next_number=0 if highest is None else highest + 1),
        f"{CARD_FILE} of the fit before is of no use ({problem}): all names are new",
    )


def _card(
    model: ClusterModel | None, reason: str | None, before: Memory, seed: int
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
            "dbscan": None,
            "memory": before.as_card(),
        }
    fields = asdict(model)
    return {
        "k": model.k,
        "reason": None,
        "fitted_on_count": model.fitted_on_count,
        "seed": seed,
        "metrics": list(model.metrics),
        "silhouette_by_k": fields["silhouette_by_k"],
        "is_k_kept": model.is_k_kept,
        "clusters": [
            {
                "cluster": number,
                "name": model.names[number],
                "person_count": model.sizes[number],
                "description": model.sentences[number],
                "centroid": model.centroids[number],
            }
            for number in range(model.k)
        ],
        "dbscan": fields["density"],
        OUTLIER: model.outlier_sentence,
        "memory": model.memory.as_card(),
    }
