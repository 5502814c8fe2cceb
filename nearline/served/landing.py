"""Lands segments of the served log as raw Parquet, one file a landing.

A landed file names the segments that it holds, so one that was landed before a crash
and not removed yet is not landed twice. What is older than the retention goes with its
file.

Who was erased or opted out leaves the files with the next landing, and with them whatever
rests on their events (`footprint`): it was right when it was served, and the tables that
it would be compared with are made without those events. dbt's staging leaves suppressed
keys out besides.
"""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.locking import file_lock
from nearline.privacy.suppression import list_digest
from nearline.publication.releases import read_manifest
from nearline.replacement import replace_file
from nearline.served.footprint import Entity, find_footprint
from nearline.served.log import SEGMENT_SUFFIX, segments_folder
from nearline.settings import Settings

_FIELDS: tuple["pa.Field[Any]", ...] = (
    pa.field("served_id", pa.string(), nullable=False),
    pa.field("served_at", pa.timestamp("us"), nullable=False),
    pa.field("service", pa.string(), nullable=False),
    pa.field("view", pa.string(), nullable=False),
    pa.field("view_table", pa.string(), nullable=False),
    pa.field("entity_key", pa.string(), nullable=False),
    pa.field("entity_id", pa.string(), nullable=False),
    pa.field("event_timestamp", pa.timestamp("us")),
    pa.field("known_up_to", pa.timestamp("us")),
    pa.field("known_from", pa.timestamp("us")),
    pa.field("feature", pa.string(), nullable=False),
    pa.field("value_text", pa.string()),
    pa.field("value_number", pa.float64()),
)
SCHEMA = pa.schema(_FIELDS)

_SEGMENTS = b"nearline.segments"
_SUPPRESSION = b"nearline.suppression"
_MOMENTS = ("served_at", "event_timestamp", "known_up_to", "known_from")


@dataclass(frozen=True, slots=True)
class ServedLanding:
    """What a landing did. `row_count` counts values: an entity has one per feature.

    `unread_line_count`: lines that a crash left incomplete. `open_segment_count`:
    segments that a process is still writing to, left for the next landing.
    """

    row_count: int
    segment_count: int
    open_segment_count: int
    unread_line_count: int
    removed_file_count: int


def landed_folder(settings: Settings) -> Path:
    return settings.served / "landed"


def land_served(settings: Settings, now: datetime) -> ServedLanding:
    """Lands every closed segment; forgets what is too old or rests on erased events."""
    folder = landed_folder(settings)
    with file_lock(settings.served / ".lock"):
        removed = _remove_old(settings, folder, now)
        digest = list_digest(settings)
        erased = find_footprint(settings)
        _forget(folder, erased, digest)
        known = {
            name
            for path in _landed_files(folder)
            for name in _metadata(path, _SEGMENTS)
        }
        rows: list[dict[str, Any]] = []
        landed: list[Path] = []
        unread = still_open = 0
        for path in sorted(segments_folder(settings).glob(f"*{SEGMENT_SUFFIX}")):
            with _closed_segment(path) as file:
                if file is None:
                    still_open += 1
                    continue
                landed.append(path)
                if path.name in known:
                    continue
                found, bad = _read(path.stem, file, _published_suppression(settings))
                rows += found
                unread += bad
        table = _without(erased, pa.Table.from_pylist(rows, SCHEMA))
        if table.num_rows:
            name = f"{now.astimezone(UTC):%Y%m%dT%H%M%S%f}.parquet"
            _write(folder / name, table, [path.name for path in landed], digest)
        for path in landed:
            path.unlink()
    return ServedLanding(table.num_rows, len(landed), still_open, unread, removed)


def _published_suppression(settings: Settings) -> str | None:
    manifest = read_manifest(settings.published)
    return manifest.suppression if manifest else None


@contextmanager
def _closed_segment(path: Path) -> Iterator[IO[bytes] | None]:
    """The segment, open for reading; None while a process writes to it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file


def _read(
    segment: str, file: IO[bytes], suppression: str | None
) -> tuple[list[dict[str, Any]], int]:
    """Values of a segment, and how many lines could not be read.

    Left out is what was served while a run took somebody out: from a store filled under
    a list of whose effect (`footprint`) nothing can be known any more.
    """
    rows: list[dict[str, Any]] = []
    unread = 0
    for number, line in enumerate(file):
        try:
            served = orjson.loads(line)
            if suppression is None or served["suppression"] == suppression:
                rows += _values(f"{segment}-{number}", served)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            # The last line of a process that died; nothing of it is trusted.
            unread += 1
    return rows, unread


def _values(served_id: str, line: dict[str, Any]) -> list[dict[str, Any]]:
    common: dict[str, Any] = {"served_id": served_id}
    for field in SCHEMA.names[1 : SCHEMA.names.index("feature")]:
        value = line[field]
        if field in _MOMENTS and value is not None:
            value = datetime.fromisoformat(value)
        common[field] = value
    return [
        {**common, "feature": name, **_encoded(value)}
        for name, value in line["values"].items()
    ]


def _encoded(value: Any) -> dict[str, Any]:
    """As text where equal means the same, as a number where nearly equal does.

    Numbers are there for whole values too, for the sake of their difference.
    """
    if value is None:
        return {"value_text": None, "value_number": None}
    if isinstance(value, bool):
        return {"value_text": "true" if value else "false", "value_number": None}
    if isinstance(value, int):
        return {"value_text": str(value), "value_number": float(value)}
    if isinstance(value, float):
        return {"value_text": None, "value_number": value}
    if isinstance(value, str):
        return {"value_text": value, "value_number": None}
    return {"value_text": orjson.dumps(value).decode(), "value_number": None}


def _landed_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _metadata(path: Path, key: bytes) -> Any:
    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata.get(key, b"[]"))


def _write(path: Path, table: pa.Table, segments: Sequence[str], digest: str) -> None:
    marked = table.replace_schema_metadata(
        {_SEGMENTS: json.dumps(list(segments)), _SUPPRESSION: json.dumps(digest)}
    )
    replace_file(path, lambda file: pq.write_table(marked, file))


def _remove_old(settings: Settings, folder: Path, now: datetime) -> int:
    oldest = now.astimezone(UTC).replace(tzinfo=None) - timedelta(
        days=settings.served_retention_days
    )
    removed = 0
    for path in _landed_files(folder):
        table = pq.read_table(path, columns=["served_at"])
        newest = pc.max(table["served_at"]).as_py()
        if newest is None or newest < oldest:
            path.unlink()
            removed += 1
    return removed


def _forget(folder: Path, erased: frozenset[Entity], digest: str) -> None:
    for path in _landed_files(folder):
        if _metadata(path, _SUPPRESSION) != digest:
            table = _without(erased, pq.read_table(path))
            _write(path, table, _metadata(path, _SEGMENTS), digest)


def _without(erased: frozenset[Entity], table: pa.Table) -> pa.Table:
    if not erased:
        return table
    kept = [
        entity not in erased
        for entity in zip(
            table["entity_key"].to_pylist(), table["entity_id"].to_pylist(), strict=True
        )
    ]
    return table.filter(pa.array(kept, pa.bool_()))


def count_served(settings: Settings) -> int:
    """How many values are landed, a feature of an entity at a time each."""
    return sum(
        pq.read_metadata(path).num_rows
        for path in _landed_files(landed_folder(settings))
    )
