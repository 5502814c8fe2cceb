"""From the event log to raw Parquet: every record once, whatever dies in between.

Where to go on is what the raw folder itself proves: the cards of earlier landings name
the offsets that they hold, and a landing appears with its card or not at all. The
position that is committed to the log afterwards is for those who watch it; a crash
before it changes nothing.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta

from nearline.errors import NearlineError
from nearline.landing.landings import (
    Landing,
    landing_draft,
    list_landings,
    place_landing,
    utc_now,
    written_moment,
)
from nearline.landing.log_files import LogFiles
from nearline.landing.log_positions import (
    Positions,
    landed_positions,
    log_identity,
    next_offsets,
    of_topic,
)
from nearline.locking import file_lock
from nearline.log import DEADLETTERS, EVENTS, EventLog, LogRecord, open_log
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings

TOPICS = (EVENTS, DEADLETTERS)
CONSUMER = "landing"

MAX_RECORDS = 200_000
"""Of one landing: what is lost and done again when a landing is killed."""

_READ_RECORDS = 5_000
_FORMAT_NAME = "nearline"


def land_log(
    settings: Settings,
    on_progress: Callable[[int], None] = lambda landed: None,
    *,
    clock: Callable[[], datetime] = utc_now,
    max_records: int = MAX_RECORDS,
) -> list[Landing]:
    """Lands what the event log holds beyond the last landing; none where it is none.

    One process lands at a time, a second one waits. What is appended meanwhile is left
    to the next call.

    Args:
        on_progress: called after each landing with the number of records landed so far.
        max_records: most records of one landing.

    Raises:
        LogUnavailableError: the log is away; what was landed before stays.
    """
    if not _has_log(settings):
        return []
    identity = log_identity(settings)
    landings: list[Landing] = []
    # Held from reading positions to the last landing: nobody takes a record twice.
    with file_lock(settings.raw / ".log.lock"), _opened(settings) as logs:
        known = list_landings(settings)
        positions = dict(landed_positions(known, identity))
        ends = _ends(logs)
        if settings.log_kind != "kinesis":  # its sequence numbers never start anew
            _check_not_replaced(settings, positions, ends)
        while True:
            landing = _land_stretch(
                settings, identity, logs, positions, ends, clock(), max_records
            )
            if landing is None:
                break
            landings.append(landing)
            positions.update(next_offsets(landing.ranges))
            on_progress(sum(_record_count(landing) for landing in landings))
        for topic, log in logs.items():
            log.commit(CONSUMER, of_topic(positions, topic))
        _remove_old(settings, identity, logs, [*known, *landings], clock())
    return landings


def find_unlanded(settings: Settings) -> Positions:
    """Where the log holds records that are not landed: the next offsets to read."""
    if not _has_log(settings):
        return {}
    landed = landed_positions(list_landings(settings), log_identity(settings))
    with _opened(settings) as logs:
        starts = {
            (topic, partition): landed.get((topic, partition), 0)
            for topic, log in logs.items()
            for partition in log.partitions()
        }
        return {
            place: start
            for place, start in starts.items()
            if logs[place[0]].read(place[1], start, 1)
        }


def _has_log(settings: Settings) -> bool:
    """Whether there can be anything: reading must not make an embedded log."""
    return settings.log_kind != "sqlite" or settings.log.exists()


@contextmanager
def _opened(settings: Settings) -> Iterator[dict[str, EventLog]]:
    with ExitStack() as opened:
        yield {
            topic: opened.enter_context(closing(open_log(settings, topic)))
            for topic in TOPICS
        }


def _ends(logs: Mapping[str, EventLog]) -> Positions:
    return {
        (topic, partition): end
        for topic, log in logs.items()
        for partition, end in log.ends().items()
    }


def _check_not_replaced(
    settings: Settings, positions: Positions, ends: Positions
) -> None:
    """Offsets of a log that was made anew would be taken for landed ones."""
    way_out = (
        "set another NEARLINE_KAFKA_TOPIC_PREFIX"
        if settings.log_kind == "kafka"
        else f"delete {settings.log / 'id'}"
    )
    for (topic, partition), end in ends.items():
        if positions.get((topic, partition), 0) > end:
            raise NearlineError(
                f"the event log was replaced: partition {partition} of topic {topic} "
                f"ends before what was landed from it. To land what it holds now, "
                f"{way_out}"
            )


def _record_count(landing: Landing) -> int:
    return landing.accepted_count + landing.rejected_count


def _land_stretch(
    settings: Settings,
    identity: str,
    logs: Mapping[str, EventLog],
    positions: Positions,
    ends: Positions,
    now: datetime,
    max_records: int,
) -> Landing | None:
    """One landing of up to `max_records` records; None where nothing is left."""
    records = itertools.islice(
        _records(logs, positions, ends, max_records), max_records
    )
    first = next(records, None)
    if first is None:
        return None
    pseudonymizer = load_pseudonymizer(settings)
    with landing_draft(settings, _FORMAT_NAME) as draft:
        with LogFiles(draft, identity, pseudonymizer, now) as files:
            for topic, record in itertools.chain([first], records):
                files.add(topic, record)
        landing = Landing(
            landing_id=0,
            format=_FORMAT_NAME,
            source_file=f"log:{settings.log_kind}",
            digest="",
            accepted_count=files.accepted_count,
            rejected_count=files.rejected_count,
            landed_at=written_moment(now),
            log=identity,
            ranges=files.ranges(),
        )
        return place_landing(settings, draft, landing)


def _records(
    logs: Mapping[str, EventLog], positions: Positions, ends: Positions, limit: int
) -> Iterator[tuple[str, LogRecord]]:
    for (topic, partition), end in ends.items():
        position = positions.get((topic, partition), 0)
        while position < end:
            batch = logs[topic].read(partition, position, min(limit, _READ_RECORDS))
            if not batch:
                break
            for record in batch:
                yield topic, record
            position = batch[-1].offset + 1


def _remove_old(
    settings: Settings,
    identity: str,
    logs: Mapping[str, EventLog],
    landings: Iterable[Landing],
    now: datetime,
) -> None:
    """Retention: what has been landed for long enough leaves the log."""
    oldest = written_moment(now - timedelta(days=settings.log_retention_days))
    kept_long = [
        landing
        for landing in landings
        if landing.landed_at is not None and landing.landed_at < oldest
    ]
    positions = landed_positions(kept_long, identity)
    for topic, log in logs.items():
        if before := of_topic(positions, topic):
            log.remove_before(before)
