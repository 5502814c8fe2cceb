"""What a visitor did: from the published tables, and from the log since then.

Belongs here: a history for the command line and for tests. An API has the visitor's latest
items in its session or its feature store, and needs neither scan.
"""

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from nearline.landing.log_positions import log_identity
from nearline.log import EVENTS, LogRecord, open_log
from nearline.recommend.arriving import Arriving
from nearline.recommend.recommender import MOST_HISTORY
from nearline.recommend.requests import Touch
from nearline.recommend.warehouse import ReleaseRead, published_release, read_history

if TYPE_CHECKING:
    from nearline.settings import Settings

_RECORDS_AT_ONCE = 20_000


def latest_touches(settings: "Settings", visitor_id: str, now: datetime) -> list[Touch]:
    """The latest touches of the person behind a visitor, oldest first; empty if unknown.

    Raises:
        NearlineError: nothing is published yet.
        LogUnavailableError: the log cannot be read.
    """
    release = published_release(settings)
    known = read_history(settings, release.folder, visitor_id, MOST_HISTORY)
    records = _records_of(settings, release, visitor_id)
    if not records:
        return known
    with closing(Arriving(settings, release.folder)) as arriving:
        since = [
            Touch(touch.item_id, touch.kind, touch.at)
            for touch in arriving.touches(records, now)
            if touch.visitor_id == visitor_id
        ]
    return [*known, *since][-MOST_HISTORY:]


def _records_of(
    settings: "Settings", release: ReleaseRead, visitor_id: str
) -> list[LogRecord]:
    """Records since the release that name the visitor."""
    if settings.log_kind == "sqlite" and not settings.log.exists():
        return []
    is_this_log = release.log == log_identity(settings)
    named = visitor_id.encode()
    found: list[LogRecord] = []
    with closing(open_log(settings, EVENTS)) as log:
        for partition in log.partitions():
            start = int(release.log_positions.get(str(partition), 0)) * is_this_log
            while records := log.read(partition, start, _RECORDS_AT_ONCE):
                found += [record for record in records if named in record.value]
                start = records[-1].offset + 1
    return found
