"""The files of a clustering: fixed shapes, also when there is nothing in them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.segments import (
    ASSIGNMENT_SCHEMA,
    BEHAVIOUR_COLUMNS,
    BEHAVIOUR_METRICS,
    write_clusters,
)


def behaviour(person_count: int) -> pa.Table:
    rng = np.random.default_rng(4)
    columns = {name: rng.poisson(4, person_count) for name in BEHAVIOUR_COLUMNS}
    ids = [f"person{index:04d}" for index in range(person_count)]
    return pa.table({"person_id": ids, **columns})


def test_assignment_and_card_are_written_and_tell_the_same(tmp_path: Path) -> None:
    clustering = write_clusters(behaviour(60), tmp_path / "models", seed=3)
    model = clustering.model
    assert model is not None
    folder = tmp_path / "models"
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.json",
        "person_clusters.parquet",
    ]
    table = pq.read_table(folder / "person_clusters.parquet")
    assert table.schema.equals(ASSIGNMENT_SCHEMA)
    assert table.equals(clustering.assignment)
    card = json.loads((folder / "model.json").read_text())
    assert card["k"] == model.k == len(card["clusters"])
    assert card["seed"] == 3
    assert card["reason"] is None
    assert card["metrics"] == list(BEHAVIOUR_METRICS)
    assert card["fitted_on_count"] == 60
    assert set(card["silhouette_by_k"]) == {"3", "4", "5", "6", "7", "8"}
    labels = table["cluster"].to_pylist()
    for cluster in card["clusters"]:
        number = cluster["cluster"]
        assert cluster["name"] == f"cluster_{number}"
        assert cluster["person_count"] == labels.count(number)
        assert cluster["description"] == model.sentences[number]
        assert cluster["centroid"] == model.centroids[number]


def test_the_same_data_and_seed_write_the_same_bytes(tmp_path: Path) -> None:
    table = behaviour(60)
    write_clusters(table, tmp_path / "a", seed=3)
    write_clusters(table.take(list(reversed(range(60)))), tmp_path / "b", seed=3)
    for name in ("model.json", "person_clusters.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()


def test_too_few_persons_replace_older_files_by_empty_ones_with_the_reason(
    tmp_path: Path,
) -> None:
    write_clusters(behaviour(60), tmp_path, seed=3)
    clustering = write_clusters(behaviour(5), tmp_path, seed=3)
    table = pq.read_table(tmp_path / "person_clusters.parquet")
    assert table.num_rows == 0
    assert table.schema.equals(ASSIGNMENT_SCHEMA)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["k"] is None
    assert card["clusters"] == []
    assert card["reason"] == clustering.reason
    assert "too few" in card["reason"]


def test_importing_the_rooms_loads_no_heavy_package() -> None:
    code = (
        "import sys, nearline.segments, nearline.experiments\n"
        "heavy = {'sklearn', 'scipy', 'pandas'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
