"""The operator's list of links that do not hold, whatever the events say.

It is state, not events: a pair is on the list or it is not, and the next run makes
persons by it. A row is two pseudonyms and a reason in words.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.locking import file_lock
from nearline.replacement import replace_file
from nearline.settings import Settings

_FIELDS: tuple["pa.Field[Any]", ...] = (
    pa.field("identifier_type", pa.string(), nullable=False),
    pa.field("identifier", pa.string(), nullable=False),
    pa.field("other_identifier_type", pa.string(), nullable=False),
    pa.field("other_identifier", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("unlinked_at", pa.timestamp("us"), nullable=False),
)
_SCHEMA = pa.schema(_FIELDS)


@dataclass(frozen=True, slots=True)
class Link:
    """A pair of identifiers, in the direction in which `fct_identity_links` has it."""

    identifier_type: str
    identifier: str
    other_identifier_type: str
    other_identifier: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """A link that an operator took apart, why, and when (UTC)."""

    link: Link
    reason: str
    unlinked_at: datetime


def unlink(settings: Settings, link: Link, reason: str, now: datetime) -> bool:
    """Lists a link; returns False where it was listed before."""
    with file_lock(settings.unlinks.with_name(".lock")):
        listed = read_unlinks(settings)
        if any(unlinked.link == link for unlinked in listed):
            return False
        at = now.astimezone(UTC).replace(tzinfo=None)
        _write(settings, [*listed, Unlink(link, reason, at)])
    return True


def relink(settings: Settings, link: Link) -> bool:
    """Takes a link off the list; returns False where it was not on it."""
    with file_lock(settings.unlinks.with_name(".lock")):
        listed = read_unlinks(settings)
        kept = [unlinked for unlinked in listed if unlinked.link != link]
        if len(kept) == len(listed):
            return False
        _write(settings, kept)
    return True


def read_unlinks(settings: Settings) -> list[Unlink]:
    """What is listed now, in the order in which it was listed."""
    if not settings.unlinks.exists():
        return []
    return [
        Unlink(
            Link(
                row["identifier_type"],
                row["identifier"],
                row["other_identifier_type"],
                row["other_identifier"],
            ),
            row["reason"],
            row["unlinked_at"],
        )
        for row in pq.read_table(settings.unlinks, schema=_SCHEMA).to_pylist()
    ]


def _write(settings: Settings, listed: list[Unlink]) -> None:
    rows = [
        {
            **asdict(unlinked.link),
            "reason": unlinked.reason,
            "unlinked_at": unlinked.unlinked_at,
        }
        for unlinked in listed
    ]
    table = pa.Table.from_pylist(rows, _SCHEMA)
    replace_file(settings.unlinks, lambda file: pq.write_table(table, file))
