"""Landings: what was accepted at once, written aside and renamed into place.

`raw/format=<format>/landing_id=<8 digits>/` holds `events*.parquet`,
`rejects*.parquet` and `landing.json` (what came from where). The folder appears whole
or not at all: a killed ingest leaves a draft, which the next one removes. Its number is
handed out under a lock in the order of appearance: a reader that has seen number n has
seen all before it. Readers take `landing_id` from the path (Hive partitioning), so rows
need no numbering.

A landing is one file (here), a stretch of the event log (`from_log`) or replayed dead
letters.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from nearline.errors import InputError
from nearline.events.identifiers import find_identifier
from nearline.landing.formats import (
    FILE_NAME,
    MASK,
    REJECTS_SCHEMA,
    Format,
    Rejection,
    is_plain_name,
)
from nearline.landing.records import column_names, file_digest, read_records
from nearline.landing.registry import find_format, mapping_beside
from nearline.landing.row_files import RowFile, reject_row
from nearline.locking import file_lock
from nearline.privacy.pseudonyms import Pseudonymizer, load_pseudonymizer
from nearline.replacement import make_durable
from nearline.settings import Settings


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Offsets of one partition that a landing holds, both ends included.

    They may be larger than any database's integer: Kinesis counts to 2^190.
    """

    topic: str
    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Landing:
    """What became of one file, of a stretch of the event log or of dead letters.

    `digest` tells what was landed from anything else; of the log the ranges do, and it
    is empty. `log` says which log the ranges are of, `landed_at` is UTC. `left_out`
    counts, by reason, rows that are no events and of which nothing was kept.
    """

    landing_id: int
    format: str
    source_file: str
    digest: str
    accepted_count: int
    rejected_count: int
    is_new: bool = True
    landed_at: str | None = None
    log: str | None = None
    ranges: tuple[OffsetRange, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def left_out_count(self) -> int:
        return sum(self.left_out.values())


def list_landings(settings: Settings) -> list[Landing]:
    """All landings, oldest first."""
    cards = settings.raw.glob("format=*/landing_id=*/landing.json")
    found = [_read_card(card, card.stat().st_mtime_ns) for card in cards]
    return sorted(found, key=lambda landing: landing.landing_id)


@lru_cache(maxsize=100_000)
def _read_card(card: Path, modified_at: int) -> Landing:
    # Kept: every file of an ingest is looked up among all that landed before it.
    fields = json.loads(card.read_text())
    ranges = tuple(OffsetRange(**range_) for range_ in fields.pop("ranges", ()))
    return Landing(**fields, ranges=ranges)


def utc_now() -> datetime:
    """The clock of whoever brings none."""
    return datetime.now(UTC)


def land_file(
    settings: Settings,
    path: Path,
    format_name: str,
    on_bytes: Callable[[int], None] = lambda read: None,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> Landing:
    """Lands one file; a file landed before (same bytes, same format) changes nothing.

    Args:
        on_bytes: called now and then with the number of the file's bytes read so far.

    Raises:
        InputError: the file is empty, unreadable, lacks a column, or more than
            `settings.max_rejected_share` of its rows do not fit the format. Nothing of
            it was landed then.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty; nothing to ingest")
    format_ = find_format(settings, format_name, path)
    _check_columns(path, format_)
    # Under a mended mapping the same file is another.
    digest = file_digest(path, mapping_beside(path, format_.mapping))
    before = _landed_before(settings, format_name, digest)
    if before is not None:
        return before
    now = clock()
    with landing_draft(settings, format_name) as draft:
        pseudonymizer = load_pseudonymizer(settings)
        most_rejected = settings.max_rejected_share
        accepted, rejected, left_out = _write_rows(
            draft, path, format_, pseudonymizer, on_bytes, now, most_rejected
        )
        landing = Landing(
            landing_id=0,
            format=format_name,
            source_file=_file_label(path),
            digest=digest,
            accepted_count=accepted,
            rejected_count=rejected,
            landed_at=written_moment(now),
            left_out=left_out,
        )
        return place_landing(settings, draft, landing)


def written_moment(moment: datetime) -> str:
    """A moment as a card holds it: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def place_landing(settings: Settings, draft: Path, landing: Landing) -> Landing:
    """Numbers a draft and puts it in place; `landing` itself has no number yet.

    What was landed before, by its digest, is not landed again.
    """
    for file in draft.iterdir():
        make_durable(file)
    with _landing_lock(settings):
        # Looked up under the lock: two ingests of one file may run at once.
        before = _landed_before(settings, landing.format, landing.digest)
        if before is not None:
            return before
        landing = replace(landing, landing_id=_next_landing_id(settings))
        card = draft / "landing.json"
        card.write_text(json.dumps(_card_fields(landing), indent=2) + "\n")
        # A landing that a power cut took back would be taken for landed by its number.
        make_durable(card)
        make_durable(draft)
        draft.rename(draft.with_name(f"landing_id={landing.landing_id:08d}"))
        make_durable(draft.parent)
    return landing


def _card_fields(landing: Landing) -> dict[str, Any]:
    fields = asdict(landing)
    del fields["is_new"]
    return {
        name: value for name, value in fields.items() if value not in (None, (), {})
    }


@contextmanager
def landing_draft(settings: Settings, format_name: str) -> Iterator[Path]:
    """A folder to write a landing in, gone afterwards unless it was put in place.

    It is locked as long as its process lives, so that what a killed one left behind can
    be told from what another is writing.
    """
    folder = settings.raw / f"format={format_name}"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with _landing_lock(settings):
            _remove_abandoned_drafts(folder)
            draft = folder / f".draft-{secrets.token_hex(8)}"
            draft.mkdir()
            held.enter_context(_locked_if_free(draft))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _remove_abandoned_drafts(folder: Path) -> None:
    for draft in folder.glob(".draft-*"):
        # Its owner may be removing it at this moment.
        with suppress(FileNotFoundError), _locked_if_free(draft) as is_abandoned:
            if is_abandoned:
                shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _locked_if_free(folder: Path) -> Iterator[bool]:
    """Locks a folder unless another process holds it; yields whether it did."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_locked = True
        except BlockingIOError:
            is_locked = False
        yield is_locked
    finally:
        os.close(descriptor)


def _file_label(path: Path) -> str:
    return MASK if find_identifier(path.name) else path.name


def _check_columns(path: Path, format_: Format) -> None:
    columns = column_names(path, format_.text)
    if columns is None:
        return
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise InputError(
            f"{path.name} has column {', '.join(_shown(repeated))} twice; remove one"
        )
    missing = sorted(format_.required_columns - set(columns))
    if missing:
        raise InputError(
            f"{path.name} has no column {', '.join(missing)}, "
            f"which format '{format_.name}' needs"
        )
    unknown = [column for column in columns if column not in format_.known_columns]
    if unknown and not format_.allows_other_columns:
        raise InputError(
            f"{path.name} has a column {', '.join(_shown(unknown))} that format "
            f"'{format_.name}' does not know; remove or rename it"
        )


def _shown(columns: Sequence[str]) -> list[str]:
    return [column if is_plain_name(column) else MASK for column in columns]


def _landed_before(settings: Settings, format_name: str, digest: str) -> Landing | None:
    if not digest:
        return None
    for landing in list_landings(settings):
        if landing.digest == digest and landing.format == format_name:
            return replace(landing, is_new=False)
    return None


def _next_landing_id(settings: Settings) -> int:
    folders = settings.raw.glob("format=*/landing_id=*")
    return 1 + max(
        (int(f.name.removeprefix("landing_id=")) for f in folders), default=0
    )


def _landing_lock(settings: Settings) -> AbstractContextManager[None]:
    return file_lock(settings.raw / ".lock")


def _write_rows(
    draft: Path,
    path: Path,
    format_: Format,
    pseudonymizer: Pseudonymizer,
    on_bytes: Callable[[int], None],
    now: datetime,
    most_rejected: float,
) -> tuple[int, int, Mapping[str, int]]:
    """Writes accepted and refused rows; returns their counts, and those left out."""
    left_out: Counter[str] = Counter()
    label = _file_label(path)
    names_file = FILE_NAME in format_.known_columns
    first_rejection = ""
    with (
        RowFile(draft / "events.parquet", format_.schema) as accepted,
        RowFile(draft / "rejects.parquet", REJECTS_SCHEMA) as rejected,
    ):
        for record in read_records(path, on_bytes, format_.text):
            row: dict[str, Any] | Rejection
            if names_file:
                record.fields[FILE_NAME] = label
            if record.problem is not None:
                row = Rejection("(row)", record.problem)
            else:
                row = format_.to_row(record.fields, pseudonymizer)
            file = accepted
            if isinstance(row, Rejection):
                if not row.is_fault:
                    left_out[f"{row.field} {row.reason}"] += 1
                    continue
                file = rejected
                first_rejection = first_rejection or (
                    f"row {record.row}, {row.field}: {row.reason}"
                )
                row = reject_row(format_, record.fields, row, pseudonymizer, now)
            row["source_file"] = label
            row["source_row"] = record.row
            file.add(row)
    if accepted.row_count == 0 and (rejected.row_count > 0 or not left_out):
        if rejected.row_count == 0:
            raise InputError(f"{path.name} has no rows; nothing to ingest")
        raise InputError(
            f"{path.name}: no row fits format '{format_.name}' ({first_rejection}); "
            "is --format right?"
        )
    share = rejected.row_count / max(accepted.row_count + rejected.row_count, 1)
    if share > most_rejected:
        raise InputError(
            f"{path.name}: {share:.0%} of its rows do not fit format '{format_.name}', "
            f"more than the {most_rejected:.0%} that are let pass (first: "
            f"{first_rejection}); nothing of it was landed. Mend the file, or raise "
            "--max-rejected-share"
        )
    return accepted.row_count, rejected.row_count, dict(sorted(left_out.items()))
