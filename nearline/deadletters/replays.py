"""Which dead letters were sent again, so that none is sent twice.

Written after the events themselves: a crash in between leaves a letter that looks open,
and sending it again makes the same event, which staging counts once.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.locking import file_lock
from nearline.replacement import replace_file
from nearline.settings import Settings

_FIELDS: tuple["pa.Field[Any]", ...] = (
    pa.field("deadletter_id", pa.string(), nullable=False),
    pa.field("event_id", pa.string(), nullable=False),
    pa.field("replayed_at", pa.timestamp("us"), nullable=False),
)
_SCHEMA = pa.schema(_FIELDS)


@dataclass(frozen=True, slots=True)
class Replay:
    """A dead letter and the event that it became. `replayed_at` is UTC, without zone."""

    deadletter_id: str
    event_id: str
    replayed_at: datetime


def replay_lock(settings: Settings) -> AbstractContextManager[None]:
    """Of two replays at once, the second sees what the first has sent."""
    return file_lock(_path(settings).with_name(".lock"))


def replays_table(settings: Settings) -> pa.Table:
    """All replays, as they are kept."""
    path = _path(settings)
    if not path.exists():
        return _SCHEMA.empty_table()
    return pq.read_table(path, schema=_SCHEMA)


def remember_replays(settings: Settings, replays: Sequence[Replay]) -> None:
    """Notes that these were sent again; held by `replay_lock`."""
    rows = pa.Table.from_pylist([asdict(replay) for replay in replays], _SCHEMA)
    table = pa.concat_tables([replays_table(settings), rows])
    replace_file(_path(settings), lambda file: pq.write_table(table, file))


def _path(settings: Settings) -> Path:
    return settings.home / "deadletters" / "replays.parquet"
