"""Sends mended dead letters again, through the same checks as at the door.

What came by the collector goes back into the event log, so that whoever follows the log
sees it, too; it arrives now, since nobody knew it before. What came in a file is landed
as the mended file would have been, with the times that it states.

Events first, then the note of what was sent: whoever is killed in between makes the
same events again, by the same ids.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from nearline.deadletters.letters import DeadLetter
from nearline.deadletters.patching import Changes, masked_paths
from nearline.deadletters.replays import (
    Replay,
    remember_replays,
    replay_lock,
    replays_table,
)
from nearline.events.contract import Event
from nearline.events.log_form import to_log_form
from nearline.landing.formats import Format, Rejection
from nearline.landing.from_log import land_log
from nearline.landing.landings import (
    Landing,
    landing_draft,
    place_landing,
    utc_now,
    written_moment,
)
from nearline.landing.nearline_format import NearlineFormat, content_hash
from nearline.landing.registry import find_format
from nearline.landing.row_files import RowFile
from nearline.log import EVENTS, NewRecord, open_log
from nearline.privacy.pseudonyms import Pseudonymizer, load_pseudonymizer
from nearline.settings import Settings

Status = Literal["replayed", "replayed_before", "refused"]

_APPENDED_AT_ONCE = 500
_JSON_FIELDS = ("items", "properties")
_ITEM_TEXTS = ("item_id", "item_category", "item_brand")
_NEARLINE = NearlineFormat()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one dead letter; of a refused one, the field and the reason."""

    deadletter_id: str
    status: Status
    event_id: str | None = None
    field: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Mended:
    """A letter that passes: an event for the log, or a row of its format's file."""

    letter: DeadLetter
    event_id: str
    event: Event | None = None
    row: dict[str, Any] | None = None


def replay(
    settings: Settings,
    letters: Sequence[DeadLetter],
    changes: Changes,
    *,
    is_dry_run: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> list[Outcome]:
    """Mends and sends dead letters, each at most once; one outcome a letter, in order.

    Args:
        is_dry_run: says what would happen and sends nothing.

    Raises:
        InputError: the changes do not fit a record's shape.
        LogUnavailableError: the log is away; replaying again is harmless.
    """
    now = clock().astimezone(UTC)
    pseudonymizer = load_pseudonymizer(settings)
    outcomes: list[Outcome] = []
    mended: list[_Mended] = []
    with replay_lock(settings):
        table = replays_table(settings)
        known = dict(
            zip(
                table["deadletter_id"].to_pylist(),
                table["event_id"].to_pylist(),
                strict=True,
            )
        )
        for letter in letters:
            id_ = letter.deadletter_id
            if id_ in known:
                outcomes.append(Outcome(id_, "replayed_before", known[id_]))
                continue
            result = _mend(settings, letter, changes, pseudonymizer, now)
            if isinstance(result, Rejection):
                outcomes.append(
                    Outcome(id_, "refused", None, result.field, result.reason)
                )
            else:
                outcomes.append(Outcome(id_, "replayed", result.event_id))
                mended.append(result)
        if mended and not is_dry_run:
            _send(settings, mended, now)
            moment = now.replace(tzinfo=None)
            remember_replays(
                settings,
                [
                    Replay(one.letter.deadletter_id, one.event_id, moment)
                    for one in mended
                ],
            )
    if any(one.event for one in mended) and not is_dry_run:
        land_log(settings, clock=clock)
    return outcomes


def _mend(
    settings: Settings,
    letter: DeadLetter,
    changes: Changes,
    pseudonymizer: Pseudonymizer,
    now: datetime,
) -> _Mended | Rejection:
    format_ = find_format(settings, letter.source_format)
    fields = changes.apply(_unfolded(letter.fields), _text_paths(format_))
    masked = next(masked_paths(fields), None)
    if masked is not None:
        return Rejection(
            masked,
            f"is masked: give its value with --fix '{masked}=…' "
            f"or leave it out with --drop '{masked}'",
        )
    if fields.get("event_id") is None and "event_id" in format_.known_columns:
        # The same at every attempt, so that two attempts are one event.
        fields["event_id"] = content_hash({"deadletter_id": letter.deadletter_id})
    if letter.is_from_log:
        event = _NEARLINE.to_event({**fields, "received_at": now})
        if isinstance(event, Rejection):
            return event
        return _Mended(letter, event.event_id, event=event)
    row = format_.from_dead_letter(fields, pseudonymizer)
    if isinstance(row, Rejection):
        return row
    row |= {
        "source_file": f"replay:{letter.source_file}",
        "source_row": letter.source_row,
    }
    return _Mended(letter, row["event_id"], row=row)


def _unfolded(fields: dict[str, Any]) -> dict[str, Any]:
    """With JSON inside text, as CSV has it, laid open for paths that lead into it."""
    unfolded = dict(fields)
    for name in _JSON_FIELDS:
        if isinstance(fields.get(name), str):
            try:
                unfolded[name] = orjson.loads(fields[name])
            except orjson.JSONDecodeError:
                continue
    return unfolded


def _text_paths(format_: Format) -> frozenset[str]:
    texts = {str(field.name) for field in format_.schema if field.type == "string"}
    lines = {f"items.*.{name}" for name in _ITEM_TEXTS}
    return frozenset(texts - set(_JSON_FIELDS) | lines)


def _send(settings: Settings, mended: Sequence[_Mended], now: datetime) -> None:
    records = [
        NewRecord(one.event.visitor_id, orjson.dumps(to_log_form(one.event)))
        for one in mended
        if one.event is not None
    ]
    if records:
        with closing(open_log(settings, EVENTS)) as log:
            for start in range(0, len(records), _APPENDED_AT_ONCE):
                log.append(records[start : start + _APPENDED_AT_ONCE])
    of_files = [one for one in mended if one.row is not None]
    for name in sorted({one.letter.source_format for one in of_files}):
        same = [one for one in of_files if one.letter.source_format == name]
        _land_rows(settings, find_format(settings, name), same, now)


def _land_rows(
    settings: Settings, format_: Format, mended: Sequence[_Mended], now: datetime
) -> None:
    with landing_draft(settings, format_.name) as draft:
        digest = hashlib.sha256()
        with RowFile(draft / "events.parquet", format_.schema) as file:
            for one in mended:
                assert one.row is not None
                file.add(one.row)
                digest.update(orjson.dumps([one.letter.deadletter_id, one.row]))
        landing = Landing(
            landing_id=0,
            format=format_.name,
            source_file="dead letters",
            digest=digest.hexdigest(),
            accepted_count=file.row_count,
            rejected_count=0,
            landed_at=written_moment(now),
        )
        place_landing(settings, draft, landing)
