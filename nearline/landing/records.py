"""Reads JSON lines, text tables and Parquet, gzipped or not, as numbered records.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.errors import InputError
from nearline.landing.escaped_text import is_cut_by, split_escaped, unescaped

SUFFIXES = tuple(
    f".{kind}{zipped}"
    for kind in ("jsonl", "json", "csv", "tsv", "parquet")
    for zipped in ("", ".gz")
)
_PARQUET_BATCH_ROWS = 20_000
_ROWS_BETWEEN_REPORTS = 5_000
# Entities as JSON in one field are larger than what the csv module expects of a field.
_LONGEST_FIELD = 16 * 2**20
_ESCAPE = "\\"
_WRITTEN_OUT = {"n": "\n", "r": "\r", "t": "\t"}
_GZIP_MAGIC = b"\x1f\x8b"
_UTF_8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Record:
    """One row as read: `fields`, or `problem` where the row itself cannot be read."""

    row: int
    fields: dict[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class TextLayout:
    """How a text file of rows is written, where it is not CSV with a header.

    `columns` are its columns where it has no header; `header_file` is the name of a file
    beside it that holds them in one line. With `is_escaped` (and nothing quoted) a
    backslash makes the delimiter, line end or backslash after it part of the value.
    `encodings` are tried in turn, line by line. With `keeps_empty` an empty value is a
    null in the record, so that it can be told from a column that the file has not.
    """

    delimiter: str = "\t"
    is_quoted: bool = False
    is_escaped: bool = False
    columns: tuple[str, ...] = ()
    header_file: str | None = None
    encodings: tuple[str, ...] = ("utf-8",)
    keeps_empty: bool = False


def find_files(path: Path, patterns: Sequence[str] = ()) -> list[Path]:
    """The data files at `path`: itself, or all below a folder, in name order.

    Args:
        patterns: which files of a folder hold rows, where others lie beside them.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give a file or a folder of files")
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file()
            and file.name.endswith(SUFFIXES)
            and (not patterns or any(fnmatch(file.name, one) for one in patterns))
        )
        if not files and patterns:
            raise InputError(
                f"{path} holds no file called {' or '.join(patterns)}; archives "
                "(.tar.gz, .zip) must be unpacked first"
            )
        if not files:
            raise InputError(f"{path} holds no file ending in {', '.join(SUFFIXES)}")
        return files
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path.name}: the name must end in {', '.join(SUFFIXES)}")
    return [path]


def file_digest(path: Path, mapping: Path | None = None) -> str:
    """SHA-256 of the file's bytes, and of those that say how to read it, in hexadecimal."""
    with _explained(_Place(path)), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if mapping is None:
        return digest
    return hashlib.sha256(f"{digest} {file_digest(mapping)}".encode()).hexdigest()


def column_names(path: Path, layout: TextLayout | None = None) -> list[str] | None:
    """Columns that a file declares (its header, Parquet's schema); None for JSON."""
    if _is_parquet(path):
        with _explained(_Place(path, "row")), _opened_parquet(path) as file:
            return list(file.schema_arrow.names)
    if _is_text(path):
        place = _Place(path)
        with _explained(place), path.open("rb") as raw, _unzipped(path, raw) as lines:
            header, _ = _opened_table(path, _decoded(lines, place, layout), layout)
            return header
    return None


def read_records(
    path: Path,
    on_bytes: Callable[[int], None] = lambda read: None,
    layout: TextLayout | None = None,
) -> Iterator[Record]:
    """Yields the records of one file.

    Args:
        layout: how a table of text (`.tsv`) is written; CSV has its own rules.
        on_bytes: called now and then with the number of the file's bytes read so far.

    Raises:
        InputError: the file stops being readable (cut gzip, wrong encoding, broken
            Parquet); the message names the file and the line reached.
    """
    if _is_parquet(path):
        place = _Place(path, "row")
        with _explained(place), _opened_parquet(path) as file:
            for record in _parquet_records(file, place, layout):
                yield record
                if record.row % _ROWS_BETWEEN_REPORTS == 0:
                    size = path.stat().st_size
                    on_bytes(size * record.row // file.metadata.num_rows)
        return
    place = _Place(path)
    read = (
        partial(_table_records, path=path, layout=layout)
        if _is_text(path)
        else _json_records
    )
    with _explained(place), path.open("rb") as raw, _unzipped(path, raw) as lines:
        for record in read(lines, place):
            yield record
            if record.row % _ROWS_BETWEEN_REPORTS == 0:
                on_bytes(raw.tell())


def _is_parquet(path: Path) -> bool:
    return path.name.endswith((".parquet", ".parquet.gz"))


def _is_text(path: Path) -> bool:
    return path.name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz"))


@dataclass(slots=True)
class _Place:
    """Where in a file the reader is, for a message."""

    path: Path
    unit: str = "line"
    number: int = 1
    lines_read: int = 0


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
            line = line.removeprefix(_UTF_8_MARK)
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


def _table_records(
    lines: IO[bytes], place: _Place, path: Path, layout: TextLayout | None
) -> Iterator[Record]:
    header, rows = _opened_table(path, _decoded(lines, place, layout), layout)
    keeps_empty = layout is not None and layout.keeps_empty
    for row, values in enumerate(rows, start=1):
        # A row that does not end is told by where it begins.
        place.number = place.lines_read + 1
        if not values:
            continue
        if len(values) != len(header):
            problem = f"{len(values)} values under {len(header)} columns"
            yield Record(row, {}, problem)
            continue
        present = {
            name: value or None
            for name, value in zip(header, values, strict=True)
            if value != "" or keeps_empty
        }
        yield Record(row, present)


def _opened_table(
    path: Path, lines: Iterator[str], layout: TextLayout | None
) -> tuple[list[str], Iterator[list[str]]]:
    """Columns of a text file and an iterator over its rows."""
    csv.field_size_limit(_LONGEST_FIELD)
    if layout is None or path.name.endswith((".csv", ".csv.gz")):
        delimiter = "\t" if path.name.endswith((".tsv", ".tsv.gz")) else ","
        rows: Iterator[list[str]] = csv.reader(lines, strict=True, delimiter=delimiter)
        return next(rows, []), rows
    if layout.is_escaped and not layout.is_quoted:
        rows = _escaped_rows(lines, layout.delimiter)
    else:
        rows = csv.reader(
            lines,
            strict=True,
            delimiter=layout.delimiter,
            quoting=csv.QUOTE_MINIMAL if layout.is_quoted else csv.QUOTE_NONE,
            escapechar=_ESCAPE if layout.is_escaped else None,
        )
    if layout.header_file is not None:
        return _header_beside(path, layout), rows
    if not layout.columns:
        return next(rows, []), rows
    first = next(rows, None)
    if first is None:
        return list(layout.columns), rows
    if layout.columns[0] in first:
        # The same export with a header.
        return first, rows
    return list(layout.columns), chain([first], rows)


def _escaped_rows(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """Rows of a table in which a backslash stands before what does not end a value.

    Not the csv module's: it ends a row at a carriage return within a value.
    """
    for line in lines:
        if is_cut_by(line.removesuffix("\n"), _ESCAPE):
            line = _joined(line, lines)
        line = line.removesuffix("\n").removesuffix("\r")
        if not line:
            yield []
        elif _ESCAPE in line:
            yield [
                unescaped(value, _ESCAPE, _WRITTEN_OUT)
                for value in split_escaped(line, delimiter, _ESCAPE)
            ]
        else:
            yield line.split(delimiter)


def _joined(first: str, following: Iterator[str]) -> str:
    """A line whose end belongs to a value, with those after it up to the row's end."""
    parts = [first]
    size = len(first)
    for line in following:
        parts.append(line)
        size += len(line)
        if size > _LONGEST_FIELD:
            raise csv.Error("a row does not end")
        if not is_cut_by(line.removesuffix("\n"), _ESCAPE):
            break
    return "".join(parts)


def _header_beside(path: Path, layout: TextLayout) -> list[str]:
    header = path.with_name(str(layout.header_file))
    if not header.exists():
        raise InputError(
            f"{path.name}: its columns are in {header.name}, which is not beside it"
        )
    with _explained(_Place(header)):
        return (
            header.read_text(encoding="utf-8").splitlines()[0].split(layout.delimiter)
        )


def _decoded(
    lines: IO[bytes], place: _Place, layout: TextLayout | None
) -> Iterator[str]:
    first, *others = layout.encodings if layout is not None else ("utf-8",)
    # Line by line: a decoder of blocks fails lines before the one at fault.
    for number, line in enumerate(lines, start=1):
        place.lines_read = number
        if number == 1:
            line = line.removeprefix(_UTF_8_MARK)
        try:
            text = line.decode(first)
        except UnicodeDecodeError:
            place.number = number
            text = _decoded_by_another(line, others)
        yield text


def _decoded_by_another(line: bytes, encodings: Sequence[str]) -> str:
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return line.decode(encoding)
    return line.decode("utf-8")


def _parquet_records(
    file: pq.ParquetFile, place: _Place, layout: TextLayout | None
) -> Iterator[Record]:
    empty: dict[str, Any] = {}
    if layout is not None and layout.keeps_empty:
        empty = dict.fromkeys(file.schema_arrow.names)
    row = 0
    for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS):
        for fields in _with_microseconds(batch).to_pylist():
            row += 1
            yield Record(row, {**empty, **_without_nulls(fields)})
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
