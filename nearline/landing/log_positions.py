"""Where the landing goes on in the event log, as the raw folder itself proves it."""

import secrets
from collections.abc import Iterable, Mapping

from nearline.landing.landings import Landing, OffsetRange
from nearline.replacement import create_file
from nearline.settings import Settings

Positions = Mapping[tuple[str, int], int]
"""Next offset by topic and partition."""


def landed_positions(landings: Iterable[Landing], identity: str) -> Positions:
    """The next offsets after what these landings hold of the log `identity`."""
    positions: dict[tuple[str, int], int] = {}
    for landing in landings:
        if landing.log == identity:
            for place, offset in next_offsets(landing.ranges).items():
                positions[place] = max(offset, positions.get(place, 0))
    return positions


def next_offsets(ranges: Iterable[OffsetRange]) -> dict[tuple[str, int], int]:
    """The offsets after these ranges."""
    return {(range_.topic, range_.partition): range_.last + 1 for range_ in ranges}


def of_topic(positions: Positions, topic: str) -> dict[int, int]:
    """Positions of one topic, by partition."""
    return {
        partition: offset
        for (of, partition), offset in positions.items()
        if of == topic
    }


def log_identity(settings: Settings) -> str:
    """Tells the log in use from any other, so that their offsets are never mixed."""
    if settings.log_kind == "kafka":
        return f"kafka/{settings.kafka_topic_prefix}"
    if settings.log_kind == "kinesis":
        return f"kinesis/{settings.kinesis_region}/{settings.kinesis_stream_prefix}"
    return f"sqlite/{_embedded_log_id(settings)}"


def _embedded_log_id(settings: Settings) -> str:
    """An id that lies in the log's folder and goes when somebody deletes it: a log that
    starts anew counts from the beginning again."""
    path = settings.log / "id"
    if not path.exists():
        create_file(path, secrets.token_hex(8))
    return path.read_text()
