"""Compare-and-set on the file: the newer value wins, whoever comes last."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearline.online.store_file import (
    EntityRow,
    StoreFile,
    enable_reading_while_writing,
    feast_seconds,
    open_store_file,
)

TABLE = "nearline_activity"
SECOND = 1_000_000


def entity_row(
    key: str,
    event_us: int,
    value: str,
    created_us: int = 0,
    fingerprint: int | None = 1,
) -> EntityRow:
    values = [("count", value.encode(), value), ("sum", value.encode(), value)]
    return EntityRow(key.encode(), event_us, created_us, fingerprint, values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one table as Feast lays it out."""
    path = tmp_path / "online_store.db"
    enable_reading_while_writing(path)
    with sqlite3.connect(path) as connection:
        connection.execute(
            f"create table {TABLE} (entity_key blob, feature_name text, value blob, "
            "value_text text, vector_value blob, event_ts timestamp, "
            "created_ts timestamp, primary key (entity_key, feature_name))"
        )
    connection.close()
    return path


@pytest.fixture
def store(path: Path) -> Iterator[StoreFile]:
    with open_store_file(path) as store:
        store.add_clock(TABLE)
        yield store


def stored(path: Path) -> dict[str, set[str]]:
    """The values of each entity, over all its features."""
    connection = sqlite3.connect(path)
    found: dict[str, set[str]] = {}
    for key, value in connection.execute(f"select entity_key, value_text from {TABLE}"):
        found.setdefault(key.decode(), set()).add(value)
    connection.close()
    return found


def test_a_newer_value_replaces_an_older_one(store: StoreFile, path: Path) -> None:
    assert store.write(TABLE, [entity_row("a", 1 * SECOND, "old")]) == 1
    assert store.write(TABLE, [entity_row("a", 2 * SECOND, "new")]) == 1
    assert stored(path) == {"a": {"new"}}


def test_an_older_value_never_replaces_a_newer_one(
    store: StoreFile, path: Path
) -> None:
    store.write(TABLE, [entity_row("a", 2 * SECOND, "new")])
    assert store.write(TABLE, [entity_row("a", 1 * SECOND, "old")]) == 0
    assert stored(path) == {"a": {"new"}}


@pytest.mark.parametrize("first", [0, 1])
def test_within_one_second_the_exact_moment_decides(
    store: StoreFile, path: Path, first: int
) -> None:
    rows = [entity_row("a", SECOND + 1, "old"), entity_row("a", SECOND + 2, "new")]
    store.write(TABLE, [rows[first]])
    store.write(TABLE, [rows[1 - first]])
    assert stored(path) == {"a": {"new"}}


def test_at_equal_event_time_the_creation_time_decides(
    store: StoreFile, path: Path
) -> None:
    store.write(TABLE, [entity_row("a", SECOND, "second", created_us=2)])
    store.write(TABLE, [entity_row("a", SECOND, "first", created_us=1)])
    assert stored(path) == {"a": {"second"}}


def test_a_different_value_of_the_same_moment_is_a_correction(
    store: StoreFile, path: Path
) -> None:
    store.write(TABLE, [entity_row("a", SECOND, "wrong", fingerprint=1)])
    assert store.write(TABLE, [entity_row("a", SECOND, "wrong", fingerprint=1)]) == 0
    assert store.write(TABLE, [entity_row("a", SECOND, "right", fingerprint=2)]) == 1
    assert stored(path) == {"a": {"right"}}


def test_the_newest_of_several_rows_in_a_batch_is_kept(
    store: StoreFile, path: Path
) -> None:
    rows = [entity_row("a", at * SECOND, str(at)) for at in (1, 3, 2)]
    assert store.write(TABLE, rows) == 1
    assert stored(path) == {"a": {"3"}}


def test_a_value_written_past_the_clock_is_judged_by_its_second(
    store: StoreFile, path: Path
) -> None:
    store.write(TABLE, [entity_row("a", 1 * SECOND, "ours")])
    with sqlite3.connect(path) as stranger:
        stranger.execute(
            f"update {TABLE} set value_text = 'theirs', event_ts = ?",
            [feast_seconds(5 * SECOND)],
        )
    stranger.close()
    assert store.known(TABLE, 0, "count").num_rows == 0
    assert store.write(TABLE, [entity_row("a", 4 * SECOND, "older")]) == 0
    assert stored(path) == {"a": {"theirs"}}
    assert store.write(TABLE, [entity_row("a", 6 * SECOND, "newer")]) == 1
    assert stored(path) == {"a": {"newer"}}


def test_values_lost_past_the_clock_are_written_again(
    store: StoreFile, path: Path
) -> None:
    row = entity_row("a", SECOND, "value")
    store.write(TABLE, [row])
    with sqlite3.connect(path) as stranger:
        stranger.execute(f"delete from {TABLE}")
    stranger.close()
    assert store.write(TABLE, [row]) == 1
    assert stored(path) == {"a": {"value"}}


def test_a_failed_write_leaves_the_batch_as_it_was(
    store: StoreFile, path: Path
) -> None:
    store.write(TABLE, [entity_row("a", SECOND, "old")])
    broken = EntityRow(b"b", SECOND, 0, 1, [("count", object(), None)])  # type: ignore[list-item]
    with pytest.raises(sqlite3.Error):
        store.write(TABLE, [entity_row("a", 2 * SECOND, "new"), broken])
    assert stored(path) == {"a": {"old"}}
    assert store.known(TABLE, 0, "count").to_pylist() == [
        {"entity_id": "a", "event_us": SECOND, "created_us": 0, "fingerprint": 1}
    ]


def test_only_the_named_entities_are_deleted(store: StoreFile, path: Path) -> None:
    store.write(TABLE, [entity_row(key, SECOND, key) for key in "abc"])
    store.delete(TABLE, [b"b"])
    assert stored(path) == {"a": {"a"}, "c": {"c"}}
    assert sorted(store.held(TABLE, 0)["entity_id"].to_pylist()) == ["a", "c"]
    assert store.known(TABLE, 0, "count").num_rows == 2


def test_a_deleted_value_is_in_no_byte_of_the_files(path: Path) -> None:
    with open_store_file(path) as store:
        store.add_clock(TABLE)
        store.write(TABLE, [entity_row("forget-me", SECOND, "private-value")])
        store.write(TABLE, [entity_row("other", SECOND, "other")])
        store.delete(TABLE, [b"forget-me"])
    for file in path.parent.iterdir():
        content = file.read_bytes()
        assert b"forget-me" not in content
        assert b"private-value" not in content


def test_tables_of_no_view_are_dropped_with_their_clocks(
    store: StoreFile, path: Path
) -> None:
    store.keep_only(["nearline_other"])
    assert store.tables() == set()
