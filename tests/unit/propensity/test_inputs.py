"""A feature becomes the same number from a training set and from an online store."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from nearline.propensity.inputs import encode_table, encode_values, find_inputs

NOON = datetime(2026, 3, 2, 12)
ROWS = 60


def table() -> pa.Table:
    some = [None if n % 5 == 0 else n for n in range(ROWS)]
    return pa.table(
        {
            "event_timestamp": pa.array(
                [NOON + timedelta(milliseconds=700 * n) for n in range(ROWS)],
                pa.timestamp("us"),
            ),
            "view_count_24h": pa.array(some, pa.int64()),
            "engaged_seconds_24h": pa.array(
                [None if n is None else n / 3 for n in some], pa.float64()
            ),
            "is_session_active": pa.array([n % 2 == 0 for n in range(ROWS)]),
            "last_purchase_at": pa.array(
                [
                    None if n is None else NOON - timedelta(milliseconds=1_300 * n)
                    for n in some
                ],
                pa.timestamp("us"),
            ),
            "cart_items": pa.array(
                [None if n is None else ["i"] * (n % 4) for n in some],
                pa.list_(pa.string()),
            ),
            "last_page_type": pa.array(
                ["home" if n % 2 else "cart" for n in range(ROWS)]
            ),
            "rare_word": pa.array(["b" if n == 7 else "a" for n in range(ROWS)]),
            "many_words": pa.array([f"w{n}" for n in range(ROWS)]),
            "last_item_id": pa.array(["i1"] * ROWS),
        }
    )


FEATURES = [name for name in table().column_names if name != "event_timestamp"]


def test_each_type_has_its_number_and_ids_and_names_have_none() -> None:
    found = find_inputs(table(), FEATURES)
    assert [one.name for one in found] == [
        "view_count_24h",
        "engaged_seconds_24h",
        "is_session_active",
        "last_purchase_age",
        "cart_items_length",
        "last_page_type=cart",
        "last_page_type=home",
        "rare_word=a",
    ]


def test_live_values_become_what_the_training_set_has() -> None:
    rows = table()
    inputs = find_inputs(rows, FEATURES)
    expected = encode_table(rows, rows["event_timestamp"], inputs)
    for number, row in enumerate(rows.to_pylist()):
        moment = row.pop("event_timestamp")
        # Online, a feature's moment is in whole seconds, with a zone.
        if row["last_purchase_at"] is not None:
            kept = row["last_purchase_at"].replace(microsecond=0, tzinfo=UTC)
            row["last_purchase_at"] = kept
        found = encode_values(row, moment.replace(tzinfo=UTC), inputs)
        np.testing.assert_array_equal(found, expected[number])


def test_an_age_is_in_whole_seconds_and_a_list_is_its_length() -> None:
    rows = table()
    inputs = find_inputs(rows, ["last_purchase_at", "cart_items"])
    # Row 6 is asked at 12:00:04.2 of a purchase at 11:59:52.2; 6 % 4 items.
    matrix = encode_table(rows, rows["event_timestamp"], inputs)
    assert matrix[6].tolist() == [12.0, 2.0]
    assert np.isnan(matrix[5]).all()


def test_a_feature_that_is_not_there_is_missing() -> None:
    inputs = find_inputs(table(), ["view_count_24h"])
    bare = table().select(["event_timestamp"])
    assert np.isnan(encode_table(bare, bare["event_timestamp"], inputs)).all()
    assert np.isnan(encode_values({}, NOON.replace(tzinfo=UTC), inputs)).all()
