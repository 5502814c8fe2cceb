"""How old the features are that an app was given.

Belongs here: reading what a Feast response says of time. Nothing is asked of the store.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nearline.online.values import microseconds

if TYPE_CHECKING:
    from feast.online_response import OnlineResponse
    from google.protobuf.timestamp_pb2 import Timestamp

_MICROSECOND = timedelta(microseconds=1)


def feature_ages(
    response: "OnlineResponse", now: datetime
) -> dict[str, list[timedelta | None]]:
    """How long each feature had been known at `now`, one entry per row that was asked.

    Names are the response's, entity keys left out. All features of a view have one age:
    the time since the view's values of that entity last changed, which includes falling
    back to zero at the end of a window. None: nothing is known, or it has expired. Ages
    are exact to what the store keeps, a microsecond in Redis and a second in SQLite.
    """
    now_us = microseconds(now)
    ages: dict[str, list[timedelta | None]] = {}
    for name, column in zip(
        response.proto.metadata.feature_names.val, response.proto.results, strict=True
    ):
        moments = [known_us(moment) for moment in column.event_timestamps]
        # What an app sent along comes back with a value and no time.
        is_feature = all(
            moment or value.WhichOneof("val") is None
            for moment, value in zip(moments, column.values, strict=True)
        )
        if is_feature:
            ages[name] = [
                (now_us - moment) * _MICROSECOND if moment else None
                for moment in moments
            ]
    return ages


def known_us(moment: "Timestamp") -> int:
    """A response's event time in microseconds since 1970; 0 where nothing is known."""
    at_us: int = moment.seconds * 1_000_000 + moment.nanos // 1_000
    return at_us
