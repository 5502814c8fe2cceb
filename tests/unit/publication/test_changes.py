"""What differs between two releases, against rows changed by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nearline.privacy.suppression import list_digest, mark_applied, suppress
from nearline.publication.changes import (
    ReleaseChanges,
    TableChanges,
    compare_releases,
    read_changes,
    write_changes,
)
from nearline.publication.tables import published_tables
from nearline.settings import Settings
from tests.described_views import ONE_HOUR, described, write_project
from tests.releases import FEATURE_VIEWS, PUBLISHED_TABLES
from tests.unit.publication.small_warehouse import (
    NOON,
    build_fact,
    change,
    write,
    write_and_publish,
)

FEATURE_TABLES = [
    TableChanges(view.model, 2, 0, added=0, removed=2, changed=0)
    for view in FEATURE_VIEWS
]


@pytest.fixture
def before(settings: Settings) -> Path:
    return write_and_publish(settings, "r1")


def changes_since(before: Path, after: Path) -> ReleaseChanges:
    return compare_releases(before, after, PUBLISHED_TABLES)


def different(changes: ReleaseChanges) -> dict[str, TableChanges]:
    return {table.table: table for table in changes.tables if table.is_any}


def test_releases_with_the_same_rows_do_not_differ(
    settings: Settings, before: Path
) -> None:
    # Built anew, so that no day is linked and every row is read.
    change(settings, *build_fact("fct_sessions", "second"))
    changes = changes_since(before, write(settings, "r2"))

    assert different(changes) == {}
    assert changes.in_words() == ["No row differs from release r1"]


def test_rows_are_told_by_key_as_added_removed_or_changed(
    settings: Settings, before: Path
) -> None:
    change(
        settings,
        "delete from fct_events where event_id = '2026-03-01-1'",
        "update fct_events set value = null, change_seq = 2 "
        "where event_id in ('2026-03-02-1', '2026-03-02-2')",
        "insert into fct_events (event_id, event_date, received_at, value, change_seq) "
        "values "
        "('new', date '2026-03-09', timestamp '2026-03-09 12:00:00', 1, 2)",
    )
    changes = changes_since(before, write(settings, "r2"))

    assert different(changes) == {
        "fct_events": TableChanges(
            "fct_events",
            rows_before=6,
            rows_after=6,
            added=1,
            removed=1,
            changed=2,
            examples={
                "added": [{"event_id": "new"}],
                "removed": [{"event_id": "2026-03-01-1"}],
                "changed": [
                    {"event_id": "2026-03-02-1"},
                    {"event_id": "2026-03-02-2"},
                ],
            },
        )
    }
    assert changes.in_words() == [
        "Changed against release r1:",
        "  fct_events: 6 -> 6 rows; 1 added, 1 removed, 2 changed",
    ]


def test_a_row_that_moves_to_another_day_is_changed_not_removed_and_added(
    settings: Settings, before: Path
) -> None:
    change(
        settings,
        "update fct_sessions set session_date = date '2026-03-07', change_seq = 2 "
        "where session_id = '2026-03-01-1'",
    )
    found = different(changes_since(before, write(settings, "r2")))["fct_sessions"]

    assert (found.added, found.removed, found.changed) == (0, 0, 1)


def test_keys_of_several_columns_match_where_a_part_is_null(
    settings: Settings, before: Path
) -> None:
    columns = "identifier_type, identifier, person_id"
    change(
        settings,
        "create or replace table bridge_identities as select * from (values "
        f"('visitor', null, 'p_1'), ('user', 'u_1', 'p_2')) as rows ({columns})",
    )
    one = write(settings, "r2")
    change(
        settings,
        "update bridge_identities set person_id = 'p_3' where identifier is null",
    )
    found = different(changes_since(one, write(settings, "r3")))

    assert found["bridge_identities"].changed == 1
    assert found["bridge_identities"].examples == {
        "changed": [{"identifier_type": "visitor", "identifier": None}]
    }


def test_columns_that_come_and_go_are_named_and_change_no_row(
    settings: Settings, before: Path
) -> None:
    change(
        settings,
        "alter table fct_events rename value to measure",
        "alter table fct_sessions alter value type varchar",
    )
    found = different(changes_since(before, write(settings, "r2")))

    assert found == {
        "fct_events": TableChanges(
            "fct_events",
            rows_before=6,
            rows_after=6,
            added=0,
            removed=0,
            changed=0,
            columns_added=("measure",),
            columns_removed=("value",),
        )
    }


def test_rows_without_the_key_are_compared_whole_and_not_shown(
    settings: Settings, before: Path
) -> None:
    change(settings, "update dim_items set value = 'c' where row_number = 1")
    found = different(changes_since(before, write(settings, "r2")))["dim_items"]

    assert (found.added, found.removed, found.changed) == (1, 1, 0)
    assert found.examples == {}


def test_no_more_than_five_keys_are_shown(settings: Settings, before: Path) -> None:
    change(settings, "update fct_events set value = 99, change_seq = 2")
    found = different(changes_since(before, write(settings, "r2")))["fct_events"]

    assert found.changed == 6
    assert len(found.examples["changed"]) == 5


def test_keys_of_removed_rows_are_left_out_where_somebody_was_suppressed(
    settings: Settings, before: Path
) -> None:
    suppress(settings, "visitor", "v_1", "erased", NOON)
    mark_applied(settings, list_digest(settings))
    change(settings, "delete from fct_events where event_id = '2026-03-01-1'")
    changes = changes_since(before, write(settings, "r2"))

    assert different(changes)["fct_events"].removed == 1
    write_changes(settings, changes)
    assert "2026-03-01-1" not in (settings.quality / "r2/changes.json").read_text()


def test_what_is_written_is_read_back(settings: Settings, before: Path) -> None:
    change(settings, "update fct_events set value = 99, change_seq = 2")
    changes = changes_since(before, write(settings, "r2"))

    path = write_changes(settings, changes)

    assert json.loads(path.read_text())["before"] == "r1"
    assert read_changes(settings, "r2") == changes
    assert read_changes(settings, "r1") is None
    assert replace(changes, after="r3") != changes


def test_a_table_that_is_no_longer_published_is_told_by_its_rows(
    settings: Settings, before: Path, tmp_path: Path
) -> None:
    project = write_project(tmp_path / "project", described())
    fewer = settings.model_copy(update={"dbt_project": project})
    changes = compare_releases(before, write(fewer, "r2"), published_tables(project))

    gone = {table.table: table for table in FEATURE_TABLES if table.table != ONE_HOUR}
    assert len(gone) > 1
    assert different(changes) == gone
