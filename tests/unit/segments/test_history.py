"""The history of clusters; every row by hand."""

from datetime import datetime, timedelta

import pyarrow as pa

from nearline.segments.clustering import ASSIGNMENT_SCHEMA
from nearline.segments.history import HISTORY_SCHEMA, extend_history, highest_number

MONDAY = datetime(2026, 3, 2, 8)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)
EMPTY = HISTORY_SCHEMA.empty_table()


def extended(
    history: pa.Table,
    clusters: dict[str, str],
    known_up_to: datetime,
    unclustered: tuple[str, ...] = (),
) -> pa.Table:
    fields = {"cluster": 0, "silhouette": 0.5, "fitted_on_count": len(clusters)}
    rows = [
        {"person_id": person, "segment": name} | fields
        for person, name in clusters.items()
    ]
    return extend_history(
        history,
        pa.Table.from_pylist(rows, ASSIGNMENT_SCHEMA),
        pa.table({"person_id": pa.array([*clusters, *unclustered], pa.string())}),
        known_up_to,
    )


def rows(history: pa.Table) -> list[tuple[str, str | None, datetime]]:
    assert history.schema.equals(HISTORY_SCHEMA)
    return [(r["person_id"], r["segment"], r["known_at"]) for r in history.to_pylist()]


def test_a_row_is_added_where_something_changed() -> None:
    history = extended(EMPTY, {"ann": "a", "ben": "a"}, MONDAY)
    history = extended(history, {"ann": "b", "ben": "a", "cem": "a"}, TUESDAY)
    history = extended(history, {"ann": "a", "ben": "a", "cem": "a"}, WEDNESDAY)
    assert rows(history) == [
        ("ann", "a", MONDAY),
        ("ann", "b", TUESDAY),
        ("ann", "a", WEDNESDAY),
        ("ben", "a", MONDAY),
        ("cem", "a", TUESDAY),
    ]


def test_one_who_is_in_no_cluster_any_more_has_left() -> None:
    history = extended(EMPTY, {"ann": "a"}, MONDAY)
    history = extended(history, {}, TUESDAY, unclustered=("ann", "ben"))
    history = extended(history, {}, WEDNESDAY, unclustered=("ann", "ben"))
    assert rows(history) == [("ann", "a", MONDAY), ("ann", None, TUESDAY)]


def test_one_who_was_erased_leaves_no_row_at_all() -> None:
    history = extended(EMPTY, {"ann": "a", "ben": "a"}, MONDAY)
    assert rows(extended(history, {"ben": "a"}, TUESDAY)) == [("ben", "a", MONDAY)]


def test_a_fit_again_of_the_same_or_an_earlier_moment_replaces_what_came_since() -> (
    None
):
    monday = extended(EMPTY, {"ann": "a"}, MONDAY)
    tuesday = extended(monday, {"ann": "b"}, TUESDAY)
    assert rows(extended(tuesday, {"ann": "b"}, TUESDAY)) == rows(tuesday)
    assert rows(extended(tuesday, {"ann": "a"}, TUESDAY)) == rows(monday)
    assert rows(extended(tuesday, {"ann": "c"}, MONDAY)) == [("ann", "c", MONDAY)]


def test_the_highest_number_is_that_of_a_cluster() -> None:
    assert highest_number(EMPTY) is None
    names = {"ann": "cluster_3_recent", "ben": "outlier", "cem": "cluster_11_average"}
    assert highest_number(extended(EMPTY, names, MONDAY)) == 11
