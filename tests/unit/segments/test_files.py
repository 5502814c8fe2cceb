"""The files of a clustering: fixed shapes, also when there is nothing in them."""

import json
import subprocess
import sys
from datetime import datetime, timedelta
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

NOW = datetime(2026, 3, 1, 12)


def behaviour(person_count: int) -> pa.Table:
    rng = np.random.default_rng(4)
    columns = {name: rng.poisson(4, person_count) for name in BEHAVIOUR_COLUMNS}
    ids = [f"person{index:04d}" for index in range(person_count)]
    return pa.table({"person_id": ids, **columns})


def test_assignment_and_card_are_written_and_tell_the_same(tmp_path: Path) -> None:
    clustering = write_clusters(behaviour(60), tmp_path / "models", 3, NOW)
    model = clustering.model
    assert model is not None
    folder = tmp_path / "models"
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.parquet",
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
        assert cluster["name"] == model.names[number]
        assert cluster["person_count"] == labels.count(number)
        assert cluster["description"] == model.sentences[number]
        assert cluster["centroid"] == model.centroids[number]


def test_the_same_data_and_seed_write_the_same_bytes(tmp_path: Path) -> None:
    table = behaviour(60)
    write_clusters(table, tmp_path / "a", 3, NOW)
    write_clusters(table.take(list(reversed(range(60)))), tmp_path / "b", 3, NOW)
    for name in ("history.parquet", "model.json", "person_clusters.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()


def test_too_few_persons_replace_older_files_by_empty_ones_with_the_reason(
    tmp_path: Path,
) -> None:
    write_clusters(behaviour(60), tmp_path, 3, NOW)
    clustering = write_clusters(behaviour(5), tmp_path, 3, NOW)
    table = pq.read_table(tmp_path / "person_clusters.parquet")
    assert table.num_rows == 0
    assert table.schema.equals(ASSIGNMENT_SCHEMA)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["k"] is None
    assert card["clusters"] == []
    assert card["reason"] == clustering.reason
    assert "too few" in card["reason"]


def history(folder: Path) -> list[tuple[str, str | None, datetime]]:
    rows = pq.read_table(folder / "history.parquet").to_pylist()
    return [(row["person_id"], row["segment"], row["known_at"]) for row in rows]


def test_a_second_fit_of_the_same_persons_changes_nothing(tmp_path: Path) -> None:
    first = write_clusters(behaviour(60), tmp_path, 3, NOW)
    assert len(history(tmp_path)) == 60
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = write_clusters(behaviour(60), tmp_path, 3, NOW + timedelta(days=1))
    assert second.assignment.equals(first.assignment)
    assert second.lost is None
    assert history(tmp_path) == [
        (row["person_id"], row["segment"], NOW) for row in first.assignment.to_pylist()
    ]
    for name in ("person_clusters.parquet", "history.parquet"):
        assert (tmp_path / name).read_bytes() == files[name]


def test_memberships_end_when_nobody_can_be_clustered(tmp_path: Path) -> None:
    write_clusters(behaviour(60), tmp_path, 3, NOW)
    names = json.loads((tmp_path / "model.json").read_text())["memory"]
    later = NOW + timedelta(days=1)
    write_clusters(behaviour(5), tmp_path, 3, later)
    # Those who are no longer there left no row; names are kept for when others come.
    assert [row[::2] for row in history(tmp_path) if row[1] is None] == [
        (f"person000{number}", later) for number in range(5)
    ]
    assert len(history(tmp_path)) == 10
    assert json.loads((tmp_path / "model.json").read_text())["memory"] == names


def test_a_damaged_card_is_told_and_its_names_are_not_given_again(
    tmp_path: Path,
) -> None:
    first = write_clusters(behaviour(60), tmp_path, 3, NOW)
    assert first.model is not None
    highest = max(cluster.number for cluster in first.model.memory.clusters)
    for damage in ('{"memory": ', '{"memory": {"metrics": []}}', "[]", None):
        card = tmp_path / "model.json"
        card.unlink() if damage is None else card.write_text(damage)
        again = write_clusters(behaviour(60), tmp_path, 3, NOW + timedelta(days=1))
        assert again.lost is not None
        assert again.lost.endswith("all names are new")
        assert again.model is not None
        numbers = {cluster.number for cluster in again.model.memory.clusters}
        assert min(numbers) == highest + 1
        highest = max(numbers)


def test_a_damaged_history_begins_anew_and_is_told(tmp_path: Path) -> None:
    first = write_clusters(behaviour(60), tmp_path, 3, NOW)
    (tmp_path / "history.parquet").write_bytes(b"no parquet")
    again = write_clusters(behaviour(60), tmp_path, 3, NOW + timedelta(days=1))
    assert again.lost == ("history.parquet cannot be read: memberships begin anew")
    assert again.assignment.equals(first.assignment)
    assert len(history(tmp_path)) == 60


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
