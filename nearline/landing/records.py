"""Reads JSON lines, CSV and Parquet, gzipped or not, as numbered records.

Row numbers start at 1 and count data rows: lines of a JSON-lines file, rows after the
header of a CSV file, rows of a Parquet file.
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from nearline.errors import InputError

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
_PARQUET_BATCH_ROWS = 20_000


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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def column_names(path: Path) -> list[str] | None:
    """Columns that the file declares (CSV header, Parquet schema); None for JSON lines."""
    if path.name.endswith(".parquet"):
        import pyarrow.parquet as pq

        try:
            return list(pq.read_schema(path).names)
        except (OSError, ValueError) as problem:
            raise InputError(f"{path.name}: not a readable Parquet file") from problem
    if ".csv" in path.suffixes:
        with _reading(path, lambda: 1), _open_binary(path) as binary:
            header = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
            return next(csv.reader(header), [])
    return None


def read_records(path: Path) -> Iterator[Record]:
    """Yields the records of one file.

    Raises:
        InputError: the file stops being readable (cut gzip, wrong encoding, broken
            Parquet); the message names the file and the line reached.
    """
    row = 0
    with _reading(path, lambda: row + 1):
        for record in _records(path):
            row = record.row
            yield record


def _records(path: Path) -> Iterator[Record]:
    if path.name.endswith(".parquet"):
        yield from _parquet_records(path)
        return
    with _open_binary(path) as binary:
        if ".csv" in path.suffixes:
            yield from _csv_records(
                io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
            )
        else:
            yield from _json_records(binary)


def _open_binary(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


class _reading:
    """Turns what a broken file raises into one line that names file and line."""

    def __init__(self, path: Path, line: Callable[[], int]) -> None:
        self.path = path
        self.line = line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, problem: BaseException | None, _: object) -> None:
        if problem is None or isinstance(problem, InputError):
            return
        import pyarrow as pa

        causes: list[tuple[type[BaseException] | tuple[type[BaseException], ...], str]]
        causes = [
            (UnicodeDecodeError, "is not UTF-8; convert it"),
            ((EOFError, zlib.error), "the gzip stream is cut or damaged; fetch it again"),
            (gzip.BadGzipFile, "is not gzip, though its name says so; rename it"),
            (csv.Error, "is not readable as CSV"),
            ((pa.ArrowInvalid, OSError), "cannot be read"),
        ]
        for types, meaning in causes:
            if isinstance(problem, types):
                raise InputError(
                    f"{self.path.name}, line {self.line()}: {meaning}; "
                    "nothing of this file was landed"
                ) from problem


def _json_records(lines: IO[bytes]) -> Iterator[Record]:
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            line.decode("utf-8")  # a wrong encoding ends the file, not the row
            yield Record(row, {}, "the line is not JSON")
            continue
        if isinstance(fields, dict):
            yield Record(row, fields)
        else:
            yield Record(row, {}, "the line is JSON but not an object")


def _csv_records(text: IO[str]) -> Iterator[Record]:
    rows = csv.reader(text, strict=True)
    header = next(rows, None)
    if header is None:
        return
    for row, values in enumerate(rows, start=1):
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


def _parquet_records(path: Path) -> Iterator[Record]:
    import pyarrow.parquet as pq

    row = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS):
            for fields in batch.to_pylist():
                row += 1
                present = {k: v for k, v in fields.items() if v is not None}
                yield Record(row, present)
