"""Files: lines spooled by day of arrival, then sorted and compressed; and the truth.

The spool keeps memory to about one day of arrivals, whatever the number of days. Nothing
is moved to its final place before all is written, so a run that breaks leaves what was
there. What the lines say does not belong here.
"""

import gzip
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from nearline.errors import InputError

_COMPRESSION_LEVEL = 2
_SPOOL_LINES = 100_000
_CHUNK_LINES = 20_000
_PARTS = ("events", "truth")
_UNFINISHED = ".unfinished"


class Spool:
    """Lines by day of arrival, in memory up to a limit and in a file a day beyond it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True)
        self._held: defaultdict[int, list[str]] = defaultdict(list)
        self._held_count = 0
        self._days: set[int] = set()

    def put(self, day: int, line: str) -> None:
        """Takes one line, without its line end."""
        self._held[day].append(line)
        self._held_count += 1
        if self._held_count >= _SPOOL_LINES:
            self._spill()

    def _spill(self) -> None:
        for day, lines in self._held.items():
            with self._path(day).open("ab") as file:
                file.write("\n".join(lines).encode() + b"\n")
        self._days.update(self._held)
        self._held.clear()
        self._held_count = 0

    def _path(self, day: int) -> Path:
        return self._folder / f"{day}.jsonl"

    def write_days(
        self,
        folder: Path,
        name_of: Callable[[int], str],
        advance: Callable[[float], None],
    ) -> int:
        """Writes one sorted, compressed file a day; returns how many.

        `advance` is told the share of the days that are done.
        """
        self._spill()
        folder.mkdir(parents=True)
        for day in sorted(self._days):
            self._write_day(day, folder / name_of(day))
            advance(1 / len(self._days))
        self._folder.rmdir()
        return len(self._days)

    def _write_day(self, day: int, target: Path) -> None:
        spooled = self._path(day)
        lines = spooled.read_bytes().splitlines()
        spooled.unlink()
        lines.sort()
        write_lines(target, lines)


class RecordFile:
    """A gzipped file of JSON records, written as they come."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        self._file = gzip.GzipFile(
            filename="", mode="wb", compresslevel=6, fileobj=self._raw, mtime=0
        )

    def add(self, record: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(record) + b"\n")

    def close(self) -> None:
        self._file.close()
        self._raw.close()


def write_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Compresses without name or time, so that equal lines are equal bytes."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, raw, mtime=0) as file,
    ):
        for first in range(0, len(lines), _CHUNK_LINES):
            file.write(b"\n".join(lines[first : first + _CHUNK_LINES]) + b"\n")


def prepare_folder(out: Path, *, force: bool) -> Path:
    """The folder to write to before all is moved to `out`.

    Raises:
        InputError: `out` is a file, or holds something and `force` is not set.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file; name a folder")
    unfinished = out / _UNFINISHED
    if unfinished.exists():
        shutil.rmtree(unfinished)
    if out.exists() and any(out.iterdir()) and not force:
        raise InputError(
            f"--out: {out} is not empty; name another folder, or replace its events and "
            "truth with --force"
        )
    try:
        unfinished.mkdir(parents=True)
    except OSError as problem:
        raise InputError(
            f"--out: cannot write to {out} ({problem.strerror}); name another folder"
        ) from problem
    return unfinished


def publish_folder(unfinished: Path, out: Path, parts: Sequence[str] = _PARTS) -> None:
    """Moves the parts that are written in place of what was there."""
    for part in parts:
        if (out / part).exists():
            shutil.rmtree(out / part)
        (unfinished / part).rename(out / part)
    unfinished.rmdir()
