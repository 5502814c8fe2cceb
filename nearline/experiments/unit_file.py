"""CSV and Parquet files of the user's own, read as columns of text or numbers.

Belongs here: what is in the file and what is wrong with a column. Not here: arms and
metrics. Of a file's content only column names reach a message, never a cell.
"""

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.experiments.findings import AnalysisError, Finding

if TYPE_CHECKING:
    import numpy as np

_NULLS = ["", "NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "<NA>"]
_NUMBER = r"(?i)^[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)$"
_COLUMNS_SHOWN = 30


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumn:
    """Numbers, one per row; what is no number is NaN there and counted here."""

    name: str
    values: "np.ndarray"
    missing_count: int = 0
    text_count: int = 0

    def finding(self) -> Finding | None:
        """What forbids to compute with this column, if anything."""
        import numpy as np

        if self.text_count:
            return Finding(
                "not_numeric",
                f"column {self.name!r} holds text in {_rows(self.text_count)}",
                "give a column of numbers, with a point for decimals",
            )
        if self.missing_count:
            return Finding(
                "missing_values",
                f"column {self.name!r} is missing for {_rows(self.missing_count)}",
                "fill it in (--missing zero, if nothing means 0) or leave out those "
                "units, in every arm by the same rule",
            )
        bad_count = int(np.count_nonzero(~np.isfinite(self.values)))
        if bad_count:
            return Finding(
                "not_a_number",
                f"column {self.name!r} is NaN or infinite in {_rows(bad_count)}",
                "mend what computes it, or leave out those units in every arm",
            )
        return None


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """A label per row, as a code into `labels`, sorted; -1 where it is missing."""

    name: str
    codes: "np.ndarray"
    labels: tuple[str, ...]

    @property
    def missing_count(self) -> int:
        return int((self.codes < 0).sum())


@dataclass(frozen=True, slots=True, eq=False)
class UnitFile:
    """The needed columns of a file; rows in the file's order."""

    name: str
    columns: tuple[str, ...]
    table: Any

    @property
    def row_count(self) -> int:
        return int(self.table.num_rows)

    def numbers(self, column: str, fill: float | None = None) -> NumberColumn:
        """Numbers of a column; `fill` stands for cells that are missing."""
        return _numbers(column, self.table.column(column), fill)

    def texts(self, column: str) -> TextColumn:
        codes, dictionary = _codes(self.table.column(column))
        return TextColumn(column, *_sorted_codes(codes, dictionary.to_pylist()))

    def identities(self, column: str) -> "np.ndarray":
        """Equal numbers where the column is equal, -1 where it is missing."""
        return _codes(self.table.column(column))[0]


def read_column_names(path: Path) -> tuple[str, ...]:
    """Names of the columns, in the file's order."""
    return _open(path)[0]


def read_unit_file(path: Path, needed: Sequence[str] | None = None) -> UnitFile:
    """Read a CSV (or .gz, or with tabs or semicolons) or Parquet file.

    `needed` names the columns to read, all by default. AnalysisError names a missing
    column and lists those there.
    """
    names, delimiter = _open(path)
    wanted = _wanted(path, names, needed)
    if delimiter is None:
        return UnitFile(path.name, names, _read_parquet(path, wanted))
    return UnitFile(path.name, names, _read_csv(path, wanted, delimiter))


def _open(path: Path) -> tuple[tuple[str, ...], str | None]:
    """Column names, and the delimiter of a CSV."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise AnalysisError(
            "unreadable_file", f"{path.name} is no file", "give a CSV or Parquet file"
        )
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        try:
            return tuple(pq.read_schema(path).names), None
        except (pa.ArrowException, OSError) as error:
            raise _broken_parquet(path) from error
    try:
        names, delimiter = _header(path)
    except (UnicodeDecodeError, OSError, EOFError, csv.Error) as error:
        raise _broken_csv(path) from error
    if not names:
        raise AnalysisError(
            "unreadable_file", f"{path.name} is empty", "give a file with a header line"
        )
    return names, delimiter


def _read_parquet(path: Path, wanted: list[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise _broken_parquet(path) from error


def _read_csv(path: Path, wanted: list[str], delimiter: str) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        return arrow_csv.read_csv(
            path,
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted,
                # As text, so that an id keeps its zeros and a bad cell is counted, not
                # shown by the reader's own error.
                column_types=dict.fromkeys(wanted, pa.string()),
                null_values=_NULLS,
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, OSError) as error:
        raise _broken_csv(path) from error


def _header(path: Path) -> tuple[tuple[str, ...], str]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        raw: Any = gzip.GzipFile(fileobj=file) if is_gzip else file
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        line = text.readline()
        delimiter = max((",", "\t", ";"), key=line.count)
        text.seek(0)
        return tuple(next(csv.reader(text, delimiter=delimiter), ())), delimiter


def _broken_csv(path: Path) -> AnalysisError:
    return AnalysisError(
        "unreadable_file",
        f"{path.name} cannot be read as CSV",
        "write it as UTF-8 with one header line and as many cells in each row",
    )


def _broken_parquet(path: Path) -> AnalysisError:
    return AnalysisError(
        "unreadable_file", f"{path.name} is no whole Parquet file", "write it again"
    )


def _wanted(
    path: Path, names: Sequence[str], needed: Sequence[str] | None
) -> list[str]:
    wanted = list(dict.fromkeys(names if needed is None else needed))
    for column in wanted:
        if column not in names:
            shown = ", ".join(names[:_COLUMNS_SHOWN])
            more = len(names) - _COLUMNS_SHOWN
            raise AnalysisError(
                "missing_column",
                f"{path.name} has no column {column!r}",
                f"there are {shown}" + (f" and {more} more" if more > 0 else ""),
            )
        if names.count(column) > 1:
            raise AnalysisError(
                "repeated_column",
                f"{path.name} has more than one column {column!r}",
                "give each a name of its own",
            )
    return wanted


def _numbers(name: str, cells: Any, fill: float | None) -> NumberColumn:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    missing_count = int(cells.null_count)
    text_count = 0
    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells = cells.cast(kind.value_type)
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        cells = pc.utf8_trim_whitespace(cells)
        lowered = pc.utf8_lower(cells)
        truths = pc.is_in(lowered, value_set=pa.array(["true", "false"]))
        if (
            missing_count < len(cells)
            and pc.all(pc.or_(truths, pc.is_null(cells))).as_py()
        ):
            cells = pc.equal(lowered, pa.scalar("true"))
        else:
            is_number = pc.match_substring_regex(cells, _NUMBER)
            text_count = int(pc.sum(pc.invert(is_number)).as_py() or 0)
            cells = pc.if_else(is_number, cells, None)
            # The reader's own spelling of a plus sign is stricter than people's.
            cells = pc.replace_substring_regex(cells, r"^\+", "")
    elif not (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    ):
        blank = np.full(len(cells), np.nan)
        return NumberColumn(name, blank, missing_count, len(cells) - missing_count)
    if fill is not None and not text_count:
        cells = pc.fill_null(cells, pa.scalar(fill).cast(cells.type))
        missing_count = 0
    # One way for all kinds: a boolean casts to numbers by way of integers alone.
    if pa.types.is_boolean(cells.type):
        cells = cells.cast(pa.int8())
    values = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return NumberColumn(name, np.asarray(values), missing_count, text_count)


def _codes(cells: Any) -> "tuple[np.ndarray, Any]":
    """Codes and their Arrow dictionary: as many Python texts as units would be slow."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if not len(cells):
        return np.zeros(0, dtype=int), pa.array([], pa.string())
    encoded = pc.dictionary_encode(cells.cast(pa.string())).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes, encoded.dictionary


def _sorted_codes(
    codes: "np.ndarray", labels: list[str]
) -> "tuple[np.ndarray, tuple[str, ...]]":
    import numpy as np

    order = sorted(range(len(labels)), key=labels.__getitem__)
    rank = np.full(len(labels) + 1, -1)
    rank[order] = np.arange(len(labels))
    return rank[codes], tuple(labels[index] for index in order)


def _rows(count: int) -> str:
    return f"{count:,} row" + ("" if count == 1 else "s")
