"""Files of the user's own: what is read, and what is told without showing a cell."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.experiments.findings import AnalysisError
from nearline.experiments.unit_file import read_unit_file

ROWS = ["id,arm,value,is_new", "001,b,1.5,true", "002,a,-2,False", "003,b,+1e2,TRUE"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("is_gzip", [False, True])
def test_csv_is_read_whatever_its_delimiter_and_packing(
    tmp_path: Path, delimiter: str, is_gzip: bool
) -> None:
    text = "\ufeff" + "\n".join(ROWS).replace(",", delimiter)
    path = tmp_path / "units.csv"
    path.write_bytes(gzip.compress(text.encode()) if is_gzip else text.encode())
    if is_gzip:
        path = path.rename(tmp_path / "units.csv.gz")
    file = read_unit_file(path)
    assert file.columns == ("id", "arm", "value", "is_new")
    assert file.numbers("value").values.tolist() == [1.5, -2.0, 100.0]
    assert file.numbers("is_new").values.tolist() == [1.0, 0.0, 1.0]
    assert file.texts("id").labels == ("001", "002", "003")
    assert file.texts("arm").codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([1, 2, None]),
        pa.array([1.0, 2.0, None]),
        pa.array([True, True, None]).cast(pa.int8()),
        pa.array(["1", "2", None]),
        pa.array(["1", "2", None]).dictionary_encode(),
        pa.array([1, 2, None]).cast(pa.decimal128(30, 2)),
    ],
    ids=lambda cells: str(cells.type),
)
def test_parquet_is_read_whatever_its_types(tmp_path: Path, cells: pa.Array) -> None:
    path = tmp_path / "units.parquet"
    pq.write_table(pa.table({"value": cells}), path)
    column = read_unit_file(path, ["value"]).numbers("value")
    assert column.missing_count == 1
    assert np.isnan(column.values[2])
    filled = read_unit_file(path, ["value"]).numbers("value", 0.0)
    assert filled.missing_count == 0
    assert filled.values[2] == 0.0


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("", "missing_values"),
        ("NA", "missing_values"),
        ("NaN", "not_a_number"),
        ("inf", "not_a_number"),
        ("-Infinity", "not_a_number"),
        ("anna@shop.example", "not_numeric"),
        ("1,5", "not_numeric"),
    ],
)
def test_a_cell_that_is_no_number_is_named_and_never_shown(
    tmp_path: Path, cell: str, code: str
) -> None:
    path = tmp_path / "units.csv"
    path.write_text(f'id,value\n1,2.5\n2,"{cell}"\n3,4\n')
    finding = read_unit_file(path, ["value"]).numbers("value").finding()
    assert finding is not None
    assert finding.code == code
    assert "1 row" in finding.why
    assert code != "not_numeric" or cell not in finding.sentence


def test_text_and_gaps_are_counted_apart(tmp_path: Path) -> None:
    path = tmp_path / "units.csv"
    path.write_text("id,value\n1,x\n2,\n3,4\n4,y\n")
    column = read_unit_file(path, ["value"]).numbers("value", 0.0)
    assert (column.text_count, column.missing_count) == (2, 1)


def test_dates_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "units.parquet"
    pq.write_table(pa.table({"d": pa.array([1, 2], pa.date32())}), path)
    finding = read_unit_file(path, ["d"]).numbers("d").finding()
    assert finding is not None
    assert finding.code == "not_numeric"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "unreadable_file", "is empty"),
        (b"id,value\n1,2\n3\n", "unreadable_file", "cannot be read as CSV"),
        (b"id,value\n1,\xff\xfe\n", "unreadable_file", "cannot be read as CSV"),
        (b"\xff\x00,value\n1,2\n", "unreadable_file", "cannot be read as CSV"),
        (b"\x1f\x8bnot gzip", "unreadable_file", "cannot be read as CSV"),
        (b"PAR1 cut off", "unreadable_file", "no whole Parquet file"),
        (
            b"id,other\n1,2\n",
            "missing_column",
            "no column 'value'; there are id, other",
        ),
        (b"value,value\n1,2\n", "repeated_column", "more than one column 'value'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes, code: str, says: str
) -> None:
    path = tmp_path / "units.csv"
    path.write_bytes(content)
    with pytest.raises(AnalysisError, match=says) as error:
        read_unit_file(path, ["value"])
    assert error.value.finding.code == code


def test_no_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"^none.csv is no file"):
        read_unit_file(tmp_path / "none.csv")
