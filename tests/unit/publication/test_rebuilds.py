"""A new warehouse beside the one in use: swapped in whole, or gone without a trace."""

import json
from pathlib import Path

import duckdb
import pytest

from nearline.privacy.suppression import applied_digest
from nearline.publication.rebuilds import (
    begin_rebuild,
    current_suppression,
    current_warehouse,
    discard_rebuild,
    is_rebuilding,
    swap_in_rebuild,
)
from nearline.settings import Settings
from tests.unit.publication.small_warehouse import write


def build(path: Path, value: int) -> None:
    with duckdb.connect(str(path)) as warehouse:
        warehouse.execute(f"create or replace table built as select {value} as value")
        # As dbt makes them: the view names the database.
        warehouse.execute(
            "create or replace view seen as select * from warehouse.main.built"
        )


def value_in(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as warehouse:
        return int(warehouse.execute("select value from seen").fetchall()[0][0])


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    build(settings.warehouse, 1)
    return settings


def test_the_warehouse_in_use_is_left_alone_until_the_swap(home: Settings) -> None:
    begin_rebuild(home, "run", "")
    build(current_warehouse(home), 2)

    assert current_warehouse(home) != home.warehouse
    assert value_in(home.warehouse) == 1

    assert swap_in_rebuild(home)
    assert current_warehouse(home) == home.warehouse
    assert value_in(home.warehouse) == 2
    assert not home.rebuild.exists()


def test_without_a_rebuild_there_is_nothing_to_swap_or_to_discard(
    home: Settings,
) -> None:
    assert not swap_in_rebuild(home)
    assert not discard_rebuild(home)
    assert value_in(home.warehouse) == 1


def test_the_list_counts_as_applied_only_when_the_old_warehouse_is_gone(
    home: Settings,
) -> None:
    home.suppression.parent.mkdir()
    begin_rebuild(home, "run", "digest")
    build(current_warehouse(home), 2)

    assert (current_suppression(home), applied_digest(home)) == ("digest", "")

    swap_in_rebuild(home)
    assert (current_suppression(home), applied_digest(home)) == ("digest", "digest")


def test_what_a_killed_run_left_beside_the_old_file_goes_with_it(
    home: Settings,
) -> None:
    log = home.warehouse.with_name("warehouse.duckdb.wal")
    spilled = home.warehouse.with_name("warehouse.duckdb.tmp")
    log.write_bytes(b"changes of somebody who is erased")
    spilled.mkdir()
    begin_rebuild(home, "run", "")
    build(current_warehouse(home), 2)

    swap_in_rebuild(home)

    assert not log.exists()
    assert not spilled.exists()
    assert value_in(home.warehouse) == 2


def test_what_the_new_warehouse_has_in_its_log_moves_along(home: Settings) -> None:
    begin_rebuild(home, "run", "")
    build(current_warehouse(home), 2)
    connection = duckdb.connect(str(current_warehouse(home)))
    connection.execute("set checkpoint_threshold = '1 TB'")
    connection.execute("pragma disable_checkpoint_on_shutdown")
    connection.execute("update built set value = 3")
    connection.close()
    assert current_warehouse(home).with_name("warehouse.duckdb.wal").exists()

    swap_in_rebuild(home)

    assert value_in(home.warehouse) == 3


def test_leftover_is_removed_except_for_the_run_that_goes_on_with_it(
    home: Settings,
) -> None:
    begin_rebuild(home, "run", "")
    build(current_warehouse(home), 2)

    assert not discard_rebuild(home, unless_of_run="run")
    assert is_rebuilding(home)
    assert discard_rebuild(home, unless_of_run="another")
    assert not home.rebuild.exists()
    assert value_in(home.warehouse) == 1


def test_half_removed_rebuild_is_taken_for_none(home: Settings) -> None:
    begin_rebuild(home, "run", "")
    build(current_warehouse(home), 2)
    (home.rebuild / "rebuild.json").unlink()

    assert current_warehouse(home) == home.warehouse
    assert discard_rebuild(home, unless_of_run="run")


def test_the_candidate_is_written_from_the_new_warehouse(settings: Settings) -> None:
    begin_rebuild(settings, "run", "digest")
    settings.warehouse.rename(current_warehouse(settings))

    release = write(settings, "r1")

    manifest = json.loads((release / "manifest.json").read_text())
    assert manifest["suppression"] == "digest"
