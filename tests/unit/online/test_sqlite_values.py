"""What is the file's alone: all or nothing, no byte of what was deleted, one writer."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from feast.infra.online_stores.helpers import compute_table_id

from nearline.online import EntityRow, OnlineStoreUnavailableError
from nearline.online.configuration import PROJECT
from nearline.online.sqlite_values import SqliteValues
from tests.unit.online.stored_values import (
    NOON_US,
    SECOND,
    STORED,
    VIEW,
    entity_row,
    held,
    key_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online_store.db"


@pytest.fixture
def values(path: Path) -> Iterator[SqliteValues]:
    with closing(SqliteValues(path, PROJECT)) as values:
        values.prepare(STORED)
        yield values


def test_tables_are_named_and_made_as_feast_does(
    values: SqliteValues, path: Path
) -> None:
    table = compute_table_id(PROJECT, VIEW)
    assert values.tables() == {table, f"clock__{table}"}
    connection = sqlite3.connect(path)
    names = [row[1] for row in connection.execute(f"pragma table_info({table})")]
    connection.close()
    assert names == [
        "entity_key",
        "feature_name",
        "value",
        "value_text",
        "vector_value",
        "event_ts",
        "created_ts",
    ]


def test_a_failed_write_leaves_the_batch_as_it_was(values: SqliteValues) -> None:
    values.write(STORED, [entity_row("a", NOON_US, 1)])
    broken = EntityRow(key_of("b"), NOON_US, 0, 1, [("count", object(), None)])  # type: ignore[list-item]
    with pytest.raises(sqlite3.Error):
        values.write(STORED, [entity_row("a", NOON_US + SECOND, 2), broken])
    assert held(values) == {"a": (NOON_US, 0, 1)}


def test_what_was_deleted_or_has_expired_is_in_no_byte_of_the_files(
    path: Path,
) -> None:
    with closing(SqliteValues(path, PROJECT)) as values:
        values.prepare(STORED)
        for name, moment in (("forget-me", NOON_US), ("too-old", NOON_US - SECOND)):
            row = EntityRow(
                key_of(name), moment, 0, 1, [("count", b"private-value", "private")]
            )
            values.write(STORED, [row])
        values.write(STORED, [entity_row("other", NOON_US, 1)])
        values.delete(STORED, [key_of("forget-me")])
        assert values.expire(STORED, NOON_US) == 1
        # While the file is still open.
        content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"other" in content
    for gone in (b"forget-me", b"too-old", b"private"):
        assert gone not in content


def test_tables_of_no_view_are_dropped_with_their_clocks(values: SqliteValues) -> None:
    values.keep_only([])
    assert values.tables() == set()


def test_a_file_that_another_writer_holds_is_said_and_can_be_tried_again(
    values: SqliteValues, path: Path
) -> None:
    row = entity_row("a", NOON_US, 1)
    with closing(SqliteValues(path, PROJECT, busy_seconds=0.1)) as impatient:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("begin immediate")
            with pytest.raises(OnlineStoreUnavailableError, match="locked"):
                impatient.write(STORED, [row])
        assert impatient.write(STORED, [row]) == 1
    assert held(values) == {"a": (NOON_US, 0, 1)}


def test_a_minute_without_anything_to_expire_writes_nothing(
    values: SqliteValues, path: Path
) -> None:
    values.write(STORED, [entity_row("a", NOON_US, 1)])
    files = (path, path.with_name(f"{path.name}-wal"))
    before = [file.read_bytes() for file in files]
    assert values.expire(STORED, NOON_US) == 0
    assert [file.read_bytes() for file in files] == before
