"""What is taken from a release: the newest row per entity, and what changed."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from nearline.errors import NearlineError
from nearline.online.latest import LatestValues, ViewSource, drift
from nearline.online.values import held_table, microseconds
from tests.unit.online.small_shop import NOON, TABLE, activity, write_table

SOURCE = ViewSource(
    view="visitor_activity_1h_v1",
    table=TABLE,
    join_key="visitor_id",
    event_column="event_timestamp",
    created_column="created_timestamp",
    features={"engaged_seconds_1h": "DOUBLE", "page_view_count_1h": "INT64"},
)
NOTHING = held_table([])


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return tmp_path / "release"


def rows_of(release: Path, known: pa.Table = NOTHING) -> list[dict[str, object]]:
    return list(_rows_of(release, known))


def _rows_of(release: Path, known: pa.Table) -> Iterator[dict[str, object]]:
    latest = LatestValues(release, SOURCE)
    for batch in latest.changed(known, 100):
        yield from batch.to_pylist()
    latest.close()


def known_from(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows).select(NOTHING.column_names)


def test_the_newest_row_per_entity_is_taken(release: Path) -> None:
    write_table(
        release, [activity("a", 3, 30), activity("a", 1, 10), activity("b", 2, 20)]
    )
    assert [
        (row["entity_id"], row["page_view_count_1h"]) for row in rows_of(release)
    ] == [
        ("a", 30),
        ("b", 20),
    ]


def test_at_equal_event_time_the_row_created_last_is_taken(release: Path) -> None:
    write_table(
        release, [activity("a", 5, 2, created=4), activity("a", 5, 1, created=3)]
    )
    assert [row["page_view_count_1h"] for row in rows_of(release)] == [2]


def test_rows_that_the_store_knows_are_left_out(release: Path) -> None:
    write_table(release, [activity("a", 1, 10), activity("b", 1, 20)])
    known = known_from(rows_of(release))
    assert rows_of(release, known) == []
    write_table(release, [activity("a", 1, 10), activity("b", 2, 21)])
    assert [row["entity_id"] for row in rows_of(release, known)] == ["b"]


def test_a_changed_value_at_the_same_moment_counts_as_changed(release: Path) -> None:
    write_table(release, [activity("a", 1, 10)])
    known = known_from(rows_of(release))
    write_table(release, [activity("a", 1, 11)])
    assert [row["page_view_count_1h"] for row in rows_of(release, known)] == [11]


def test_a_row_older_than_the_known_one_is_left_out(release: Path) -> None:
    write_table(release, [activity("a", 2, 10)])
    known = known_from(rows_of(release))
    write_table(release, [activity("a", 1, 11)])
    assert rows_of(release, known) == []


def test_entities_without_rows_have_vanished(release: Path) -> None:
    write_table(release, [activity("a", 1, 10), activity("b", 7, 20)])
    latest = LatestValues(release, SOURCE)
    changes = latest.compare(held_since({"a": NOON, "gone": NOON, "unclear": None}))
    latest.close()
    assert set(changes.vanished) == {"gone", "unclear"}
    assert changes.entity_count == 2
    assert changes.newest_event_timestamp == NOON.replace(minute=7)


def held_since(moments: dict[str, datetime | None]) -> pa.Table:
    """Entities of a store, by the moment at which their values became known."""
    return held_table(
        (name, moment and microseconds(moment), None, None)
        for name, moment in moments.items()
    )


def test_what_became_known_after_the_release_is_not_missing_there(
    release: Path,
) -> None:
    write_table(release, [activity("a", 1, 10)])
    latest = LatestValues(release, SOURCE)
    held = held_since(
        {"before": NOON, "at": NOON.replace(minute=1), "after": NOON.replace(minute=2)}
    )
    limit = microseconds(NOON.replace(minute=1))
    vanished = latest.compare(held, judged_up_to_us=limit).vanished
    latest.close()
    assert set(vanished) == {"before", "at"}


def test_an_entity_whose_newest_row_has_expired_has_vanished(release: Path) -> None:
    rows = [activity("a", 1, 10), activity("b", 2, 20), activity("b", 5, 21)]
    write_table(release, rows)
    latest = LatestValues(release, SOURCE, microseconds(NOON.replace(minute=3)))
    changes = latest.compare(held_since({"a": NOON, "b": NOON}))
    latest.close()
    assert (changes.vanished, changes.entity_count) == (("a",), 1)
    assert changes.expired_count == 1


def test_a_missing_column_is_named_with_its_view(release: Path) -> None:
    write_table(release, [activity("a", 1, 10)], without="page_view_count_1h")
    reason = drift(release, SOURCE)
    assert reason is not None
    assert "visitor_activity_1h_v1" in reason
    assert "page_view_count_1h is missing" in reason


def test_a_column_of_another_type_is_named_with_both_types(release: Path) -> None:
    write_table(release, [activity("a", 1, 10)])
    text = ViewSource(
        "v", TABLE, "visitor_id", "event_timestamp", "created_timestamp",
        {"page_view_count_1h": "STRING"},
    )  # fmt: skip
    assert drift(release, text) == (
        "feature view v: column page_view_count_1h is BIGINT in "
        "ftr_visitor__activity_1h, the view expects VARCHAR"
    )


def test_a_table_that_fits_has_no_drift(release: Path) -> None:
    write_table(release, [])
    assert drift(release, SOURCE) is None


def test_an_unreadable_file_is_named_by_its_table(release: Path) -> None:
    release.mkdir()
    (release / f"{TABLE}.parquet").write_bytes(b"no Parquet")
    with pytest.raises(NearlineError, match=TABLE):
        drift(release, SOURCE)
