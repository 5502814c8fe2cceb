"""Landings: one accepted file each, written aside and renamed into place.

`raw/format=<format>/landing_id=<8 digits>/` holds `events.parquet`, `rejects.parquet` and
`landing.json` (what came from where). The folder appears whole or not at all, so a
killed ingest leaves nothing to repair, and its number is handed out under a lock in the
order of appearance: a reader that has seen number n has seen all before it. Readers
take `landing_id` from the path (Hive partitioning), so rows need no numbering.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.errors import InputError
from nearline.events.identifiers import find_identifier
from nearline.landing.formats import MASK, REJECTS_SCHEMA, Format, Rejection, masked
from nearline.landing.nearline_format import NearlineFormat
from nearline.landing.records import column_names, file_digest, read_records
from nearline.landing.rees46_format import Rees46Format
from nearline.privacy.pseudonyms import Pseudonymizer, load_pseudonymizer
from nearline.settings import Settings

FORMATS: dict[str, Format] = {
    format.name: format for format in (NearlineFormat(), Rees46Format())
}
_CHUNK_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Landing:
    """What became of one file."""

    landing_id: int
    format: str
    source_file: str
    digest: str
    accepted_count: int
    rejected_count: int
    is_new: bool = True


def find_format(name: str) -> Format:
    """The format called `name`."""
    if name not in FORMATS:
        raise InputError(f"unknown format '{name}'; use one of {', '.join(FORMATS)}")
    return FORMATS[name]


def list_landings(settings: Settings) -> list[Landing]:
    """All landings, oldest first."""
    cards = sorted(settings.raw.glob("format=*/landing_id=*/landing.json"))
    found = [Landing(**json.loads(card.read_text())) for card in cards]
    return sorted(found, key=lambda landing: landing.landing_id)


def land_file(
    settings: Settings,
    path: Path,
    format_name: str,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Landing:
    """Lands one file; a file landed before (same bytes, same format) changes nothing.

    Args:
        on_rows: called with the number of rows read since the last call.

    Raises:
        InputError: the file is empty, unreadable, lacks a column or fits the format in
            no row at all. Nothing of it was landed then.
    """
    format_ = find_format(format_name)
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty; nothing to ingest")
    _check_columns(path, format_)
    digest = file_digest(path)
    before = _landed_before(settings, format_name, digest)
    if before is not None:
        return before
    folder = settings.raw / f"format={format_name}"
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".draft-{digest[:16]}-{os.getpid()}"
    draft.mkdir()
    try:
        pseudonymizer = load_pseudonymizer(settings)
        accepted, rejected = _write_rows(draft, path, format_, pseudonymizer, on_rows)
        with _landing_lock(settings):
            # Looked up again under the lock: two ingests of one file may run at once.
            before = _landed_before(settings, format_name, digest)
            if before is not None:
                return before
            landing = Landing(
                landing_id=_next_landing_id(settings),
                format=format_name,
                source_file=_file_label(path),
                digest=digest,
                accepted_count=accepted,
                rejected_count=rejected,
            )
            card = {k: v for k, v in asdict(landing).items() if k != "is_new"}
            (draft / "landing.json").write_text(json.dumps(card, indent=2) + "\n")
            draft.rename(folder / f"landing_id={landing.landing_id:08d}")
        return landing
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _file_label(path: Path) -> str:
    return MASK if find_identifier(path.name) else path.name


def _check_columns(path: Path, format_: Format) -> None:
    columns = column_names(path)
    if columns is None:
        return
    missing = sorted(format_.required_columns - set(columns))
    if missing:
        raise InputError(
            f"{path.name} has no column {', '.join(missing)}, "
            f"which format '{format_.name}' needs"
        )
    unknown = [column for column in columns if column not in format_.known_columns]
    if unknown:
        shown = [c if c.isidentifier() else MASK for c in unknown]
        raise InputError(
            f"{path.name} has a column {', '.join(shown)} that format "
            f"'{format_.name}' does not know; remove or rename it"
        )


def _landed_before(settings: Settings, format_name: str, digest: str) -> Landing | None:
    for landing in list_landings(settings):
        if landing.digest == digest and landing.format == format_name:
            return Landing(**(asdict(landing) | {"is_new": False}))
    return None


def _next_landing_id(settings: Settings) -> int:
    folders = settings.raw.glob("format=*/landing_id=*")
    return 1 + max((int(f.name.removeprefix("landing_id=")) for f in folders), default=0)


@contextmanager
def _landing_lock(settings: Settings) -> Iterator[None]:
    with (settings.raw / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_rows(
    draft: Path,
    path: Path,
    format_: Format,
    pseudonymizer: Pseudonymizer,
    on_rows: Callable[[int], None],
) -> tuple[int, int]:
    """Writes accepted and refused rows; returns their counts."""
    label = _file_label(path)
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    accepted = rejected = reported = 0
    with (
        pq.ParquetWriter(draft / "events.parquet", format_.schema) as events_file,
        pq.ParquetWriter(draft / "rejects.parquet", REJECTS_SCHEMA) as rejects_file,
    ):

        def flush() -> None:
            nonlocal reported
            events_file.write_table(pa.Table.from_pylist(rows, format_.schema))
            rejects_file.write_table(pa.Table.from_pylist(rejects, REJECTS_SCHEMA))
            rows.clear()
            rejects.clear()
            on_rows(accepted + rejected - reported)
            reported = accepted + rejected

        first_rejection = ""
        for record in read_records(path):
            result: dict[str, Any] | Rejection
            if record.problem is not None:
                result = Rejection("(row)", record.problem)
            else:
                result = format_.to_row(record.fields, pseudonymizer)
            provenance = {"source_file": label, "source_row": record.row}
            if isinstance(result, Rejection):
                rejected += 1
                first_rejection = first_rejection or (
                    f"row {record.row}, {result.field}: {result.reason}"
                )
                rejects.append(_reject_row(format_, record.fields, result) | provenance)
            else:
                accepted += 1
                rows.append(result | provenance)
            if len(rows) + len(rejects) >= _CHUNK_ROWS:
                flush()
        flush()
    if accepted == 0:
        if rejected == 0:
            raise InputError(f"{path.name} has no rows; nothing to ingest")
        raise InputError(
            f"{path.name}: no row fits format '{format_.name}' ({first_rejection}); "
            "is --format right?"
        )
    return accepted, rejected


def _reject_row(
    format_: Format, fields: dict[str, Any], rejection: Rejection
) -> dict[str, Any]:
    row = masked(fields, rejection.field)
    return {
        "source_format": format_.name,
        "event_name": rejection.event_name,
        "field": rejection.field,
        "reason": rejection.reason,
        "row_masked": orjson.dumps(row).decode(),
    }

