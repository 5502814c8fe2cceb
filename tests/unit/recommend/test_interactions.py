"""Reading tables: what is taken, what is left out and counted, what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.errors import InputError
from nearline.recommend.interactions import (
    Interactions,
    code_table,
    code_values,
    item_categories,
    read_table,
)
from tests.unit.recommend.interaction_tables import interactions, write_csv

HEADER = "user_id,item_id,timestamp"
ROWS = [("b", "x", 30), ("a", "y", 20), ("a", "x", 10)]


def coded(path: Path) -> Interactions:
    table = read_table(path, "user_id")
    return code_table(table, code_values(table.items))


def entries(of: Interactions) -> list[tuple[int, int, float]]:
    return list(
        zip(of.owners.tolist(), of.items.tolist(), of.times.tolist(), strict=True)
    )


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_every_format_gives_the_same_sorted_interactions(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        owners, items, times = zip(*ROWS, strict=True)
        pq.write_table(
            pa.table({"user_id": owners, "item_id": items, "timestamp": times}), path
        )
    else:
        write_csv(path, HEADER, ROWS)
        if suffix == "csv.gz":
            path.write_bytes(gzip.compress(path.read_bytes()))
    assert entries(coded(path)) == [(0, 0, 10), (0, 1, 20), (1, 0, 30)]


def test_ids_keep_their_leading_zeros(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", HEADER, [("07", "1", 1), ("7", "01", 2)])
    assert entries(coded(path)) == [(0, 1, 1), (1, 0, 2)]


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("2026-03-02 12:00:00", 1772452800),
        ("2026-03-02T13:00:00+01:00", 1772452800),
        ("2026-03-02 12:00:00 UTC", 1772452800),
        ("1772452800", 1772452800),
        ("1772452800500", 1772452800.5),
        ("1772452800500000", 1772452800.5),
        ("17", 17),
    ],
)
def test_times_are_dates_or_numbers_of_any_unit(
    tmp_path: Path, stated: str, seconds: float
) -> None:
    path = write_csv(tmp_path / "t.csv", HEADER, [("a", "x", stated)])
    assert coded(path).times == pytest.approx([seconds])


def test_timestamps_of_parquet_are_read_in_utc(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    moments = pa.array([1772452800_000_000], pa.timestamp("us"))
    pq.write_table(
        pa.table({"user_id": [5], "item_id": [6], "timestamp": moments}), path
    )
    assert coded(path).times == pytest.approx([1772452800])


def test_unusable_rows_are_left_out_and_counted_by_reason(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "t.csv",
        HEADER + ",rating",
        [
            ("a", "x", 1, 5),
            ("", "x", 1, 5),
            ("a", "", 1, 5),
            ("a", "x", "soon", 5),
            ("a", "x", "nan", 5),
            ("a", "x", "", 5),
            ("a", "x", 1, "NaN"),
            ("a", "x", 1, ""),
            ("a", "x", 1, "inf"),
        ],
    )
    table = read_table(path, "user_id")
    assert len(table) == 1
    assert table.left_out == {
        "no user_id": 1,
        "no item_id": 1,
        "timestamp is no time": 3,
        "rating is no number": 3,
    }


def test_a_least_rating_leaves_out_what_is_rated_lower(tmp_path: Path) -> None:
    rows = [("a", "x", 1, 5), ("a", "y", 2, 3.5), ("a", "z", 3, 1)]
    table = read_table(
        write_csv(tmp_path / "t.csv", HEADER + ",rating", rows), "user_id"
    )
    kept, count = table.rated_at_least(3.5)
    assert (kept.items.to_pylist(), count) == (["x", "y"], 1)
    with pytest.raises(InputError, match="no row is rated so high"):
        table.rated_at_least(6)
    without = read_table(write_csv(tmp_path / "u.csv", HEADER, ROWS), "user_id")
    with pytest.raises(InputError, match="needs a column rating"):
        without.rated_at_least(3)


def test_the_latest_category_of_an_item_counts(tmp_path: Path) -> None:
    rows = [
        ("a", "x", 2, "new"),
        ("a", "x", 1, "old"),
        ("a", "y", 1, ""),
        ("b", "z", 1, "new"),
    ]
    table = read_table(
        write_csv(tmp_path / "t.csv", HEADER + ",category", rows), "user_id"
    )
    categories = item_categories(table, code_values(table.items))
    assert categories is not None
    assert categories.tolist() == [0, -1, 0]
    plain = read_table(write_csv(tmp_path / "u.csv", HEADER, ROWS), "user_id")
    assert item_categories(plain, code_values(plain.items)) is None


def test_of_a_pair_the_first_interaction_counts() -> None:
    repeated = interactions([(0, 1, 5), (0, 1, 2), (0, 0, 3), (1, 1, 4), (1, 1, 4)])
    assert entries(repeated.first_of_each_pair()) == [(0, 1, 2), (0, 0, 3), (1, 1, 4)]


def test_rows_at_one_time_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [("a", "z", 1), ("a", "x", 1), ("a", "y", 1)]
    found = coded(write_csv(tmp_path / "t.csv", HEADER, rows))
    assert found.items.tolist() == [2, 0, 1]


def test_items_that_are_not_coded_are_left_out(tmp_path: Path) -> None:
    table = read_table(write_csv(tmp_path / "t.csv", HEADER, ROWS), "user_id")
    found = code_table(table, code_values(pa.array(["y", "w"])))
    assert found.items.tolist() == [1]
    assert found.item_count == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "", r"t.csv is empty"),
        ("t.csv", HEADER + "\n", r"t.csv has a header and no rows"),
        ("t.csv", "user_id,timestamp\na,1\n", r"column item_id is missing"),
        ("t.csv", "user,item_id,timestamp\na,x,1\n", r"column user_id is missing"),
        ("t.csv", "user_id,item_id\na,x\n", r"column timestamp is missing"),
        ("t.csv", HEADER + "\nsecret,x,soon\n", r"no usable row \(timestamp is no time: 1\)"),
        ("t.parquet", "no parquet", r"t.parquet cannot be read as Parquet"),
        ("t.csv.gz", "no gzip", r"t.csv.gz cannot be read as CSV"),
        ("t.txt", "x", r"t.txt: the name must end in .csv, .csv.gz, .parquet"),
        (None, "", r"there is no file t.csv"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused_in_words(
    tmp_path: Path, name: str | None, content: str, words: str
) -> None:
    if name is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words) as refused:
        read_table(tmp_path / (name or "t.csv"), "user_id")
    assert "secret" not in str(refused.value)


def test_a_table_without_a_header_is_refused_without_naming_anybody(
    tmp_path: Path,
) -> None:
    path = write_csv(tmp_path / "t.csv", "anna@example.org,x,1", [("bob", "y", 2)])
    with pytest.raises(InputError, match="column user_id is missing") as refused:
        read_table(path, "user_id")
    assert "anna" not in str(refused.value)


def test_codes_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    first = coded(write_csv(tmp_path / "a.csv", HEADER, ROWS))
    second = coded(write_csv(tmp_path / "b.csv", HEADER, ROWS[::-1]))
    assert entries(first) == entries(second)
    assert first.owners.dtype == first.items.dtype == np.int32
