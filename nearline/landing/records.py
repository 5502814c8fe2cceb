"""Reads JSON lines, CSV and Parquet, gzipped or not, as numbered records.

Row numbers start at 1 and count data rows: lines of a JSON-lines file, rows after the
header of a CSV file, rows of a Parquet file. A message about an unreadable file counts
lines as an editor does, the header included.
"""

import csv
import gzip
import hashlib
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.errors import InputError

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet", ".parquet.gz")
_PARQUET_BATCH_ROWS = 20_000
_ROWS_BETWEEN_REPORTS = 5_000
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Record:
    """One row as read: `fields`, or `problem` where the row itself cannot be read."""

    row: int
    fields: dict[str, Any]
    problem: str | None = None


def find_files(path: Path) -> list[Path]:
    """The data files at `path`: itself, or all below a folder, in name order."""
    if not path.exists():
        raise InputError(f"{path} does not exist; give a file or a folder of files")
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and file.name.endswith(SUFFIXES)
        )
        if not files:
            raise InputError(f"{path} holds no file ending in {', '.join(SUFFIXES)}")
        return files
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path.name}: the name must end in {', '.join(SUFFIXES)}")
    return [path]


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    with _explained(_Place(path)), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def column_names(path: Path) -> list[str] | None:
    """Columns that a file declares (CSV header, Parquet schema); None for JSON."""
    if _is_parquet(path):
        with _explained(_Place(path, "row")), _opened_parquet(path) as file:
            return list(file.schema_arrow.names)
    if _is_csv(path):
        place = _Place(path)
        with _explained(place), path.open("rb") as raw, _unzipped(path, raw) as lines:
            return next(csv.reader(_decoded(lines, place), strict=True), [])
    return None


def read_records(
    path: Path, on_bytes: Callable[[int], None] = lambda read: None
) -> Iterator[Record]:
    """Yields the records of one file.

    Args:
        on_bytes: called now and then with the number of the file's bytes read so far.

    Raises:
        InputError: the file stops being readable (cut gzip, wrong encoding, broken
            Parquet); the message names the file and the line reached.
    """
    if _is_parquet(path):
        place = _Place(path, "row")
        with _explained(place), _opened_parquet(path) as file:
            for record in _parquet_records(file, place):
                yield record
                if record.row % _ROWS_BETWEEN_REPORTS == 0:
                    size = path.stat().st_size
                    on_bytes(size * record.row // file.metadata.num_rows)
        return
    read = _csv_records if _is_csv(path) else _json_records
    place = _Place(path)
    with _explained(place), path.open("rb") as raw, _unzipped(path, raw) as lines:
        for record in read(lines, place):
            yield record
            if record.row % _ROWS_BETWEEN_REPORTS == 0:
                on_bytes(raw.tell())


def _is_parquet(path: Path) -> bool:
    return path.name.endswith((".parquet", ".parquet.gz"))


def _is_csv(path: Path) -> bool:
    return path.name.endswith((".csv", ".csv.gz"))


@dataclass(slots=True)
class _Place:
    """Where in a file the reader is, for a message."""

    path: Path
    unit: str = "line"
    number: int = 1


@contextmanager
def _explained(place: _Place) -> Iterator[None]:
    """Turns what a broken file raises into one line that names file and line."""
    try:
        yield
    except UnicodeDecodeError as problem:
        raise _unreadable(place, "is not UTF-8; convert it") from problem
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        meaning = "the gzip stream is cut or damaged; fetch it again"
        raise _unreadable(place, meaning) from problem
    except csv.Error as problem:
        meaning = "is not readable as CSV; is a quote left open or not doubled?"
        raise _unreadable(place, meaning) from problem
    except (pa.ArrowException, OSError) as problem:
        raise _unreadable(place, "cannot be read; fetch it again") from problem


def _unreadable(place: _Place, meaning: str) -> InputError:
    return InputError(
        f"{place.path.name}, {place.unit} {place.number}: {meaning}; "
        "nothing of this file was landed"
    )


@contextmanager
def _unzipped(path: Path, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    if path.suffix != ".gz":
        yield raw
        return
    magic = raw.read(len(_GZIP_MAGIC))
    raw.seek(0)
    if magic != _GZIP_MAGIC:
        raise _unreadable(
            _Place(path), "is not gzip, though its name says so; rename it"
        )
    with gzip.GzipFile(fileobj=raw) as unzipped:
        yield unzipped  # type: ignore[misc]  # a file of bytes in all but name


@contextmanager
def _opened_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    if path.suffix != ".gz":
        with pq.ParquetFile(path) as file:
            yield file
        return
    # Parquet is read from its end, which gzip cannot: unpacked aside first.
    with tempfile.TemporaryFile() as plain:
        with path.open("rb") as raw, _unzipped(path, raw) as unzipped:
            shutil.copyfileobj(unzipped, plain)
        plain.seek(0)
        with pq.ParquetFile(plain) as file:
            yield file


def _json_records(lines: IO[bytes], place: _Place) -> Iterator[Record]:
    for row, line in enumerate(lines, start=1):
        place.number = row
        if row == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            line.decode("utf-8")  # a wrong encoding ends the file, not the row
            yield Record(row, {}, "the line is not JSON")
        else:
            if isinstance(fields, dict):
                yield Record(row, fields)
            else:
                yield Record(row, {}, "the line is JSON but not an object")
        place.number = row + 1


def _csv_records(lines: IO[bytes], place: _Place) -> Iterator[Record]:
    rows = csv.reader(_decoded(lines, place), strict=True)
    header = next(rows, None)
    if header is None:
        return
    place.number = rows.line_num + 1
    for row, values in enumerate(rows, start=1):
        place.number = rows.line_num + 1
        if not values:
            continue
        if len(values) != len(header):
            problem = f"{len(values)} values under {len(header)} columns"
            yield Record(row, {}, problem)
            continue
        present = {
            name: value
            for name, value in zip(header, values, strict=True)
            if value != ""
        }
        yield Record(row, present)


def _decoded(lines: IO[bytes], place: _Place) -> Iterator[str]:
    # Line by line: a decoder of blocks fails lines before the one at fault.
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            place.number = number
            raise


def _parquet_records(file: pq.ParquetFile, place: _Place) -> Iterator[Record]:
    row = 0
    for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS):
        for fields in _with_microseconds(batch).to_pylist():
            row += 1
            yield Record(row, _without_nulls(fields))
            place.number = row + 1


def _with_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Nanoseconds would come out as pandas' own kind of time, or not at all."""
    fields = [
        field.with_type(pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    columns = [
        column.cast(field.type, safe=False)
        for column, field in zip(batch.columns, fields, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _without_nulls(value: Any) -> Any:
    """A struct names its fields in every row; absent and null are one thing here."""
    if isinstance(value, dict):
        return {
            key: _without_nulls(inner) if isinstance(inner, dict | list) else inner
            for key, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
