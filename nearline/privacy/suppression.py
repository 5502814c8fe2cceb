"""The suppression list: whose rows every staging model leaves out.

A row is a pseudonym, never a person's name or address. Removing what was built before a
key was listed takes a full rebuild of the warehouse, so the digest of the list that it
was last built with is kept beside it.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.locking import file_lock
from nearline.replacement import replace_file
from nearline.settings import Settings

KeyType = Literal["visitor", "user", "contact"]
Reason = Literal["erased", "opted_out"]

_FIELDS: tuple["pa.Field[Any]", ...] = (
    pa.field("key_type", pa.string(), nullable=False),
    pa.field("key_value", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("suppressed_at", pa.timestamp("us"), nullable=False),
)
_SCHEMA = pa.schema(_FIELDS)


def suppress(
    settings: Settings, key_type: KeyType, key: str, reason: Reason, now: datetime
) -> bool:
    """Lists a key; returns False where it was listed before."""
    path = settings.suppression
    # Of two requests at once, the second reads what the first has written.
    with file_lock(path.with_name(".lock")):
        table = _load(settings)
        listed = zip(
            table["key_type"].to_pylist(), table["key_value"].to_pylist(), strict=True
        )
        if (key_type, key) in set(listed):
            return False
        row = {
            "key_type": key_type,
            "key_value": key,
            "reason": reason,
            "suppressed_at": now.astimezone(UTC).replace(tzinfo=None),
        }
        longer = pa.concat_tables([table, pa.Table.from_pylist([row], _SCHEMA)])
        replace_file(path, lambda file: pq.write_table(longer, file))
    return True


def count_suppressed(settings: Settings) -> int:
    """How many keys are listed."""
    return int(_load(settings).num_rows)


def suppressed_keys(settings: Settings, key_type: KeyType) -> list[str]:
    """The keys of one type that are listed."""
    rows = _load(settings).to_pylist()
    return [row["key_value"] for row in rows if row["key_type"] == key_type]


def suppressed_rows(settings: Settings) -> pa.Table:
    """`key_type, key_value` of all that is listed."""
    return _load(settings).select(["key_type", "key_value"])


def list_digest(settings: Settings) -> str:
    """SHA-256 of the list as it is now; empty where there is none."""
    if not settings.suppression.exists():
        return ""
    return hashlib.sha256(settings.suppression.read_bytes()).hexdigest()


def applied_digest(settings: Settings) -> str:
    """Digest of the list that the warehouse was last rebuilt with."""
    mark = _mark(settings)
    return mark.read_text() if mark.exists() else ""


def mark_applied(settings: Settings, digest: str) -> None:
    """Notes that the warehouse was built with the list of this digest."""
    mark = _mark(settings)
    if digest or mark.exists():
        mark.write_text(digest)


def _load(settings: Settings) -> pa.Table:
    if not settings.suppression.exists():
        return _SCHEMA.empty_table()
    return pq.read_table(settings.suppression, schema=_SCHEMA)


def _mark(settings: Settings) -> Path:
    return settings.suppression.with_name("applied.sha256")
