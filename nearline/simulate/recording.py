"""Writes what happens in one visit as lines of JSON, and lets them arrive.

Lines are put together from texts made beforehand: that costs a fifth of building and
dumping a dictionary. `received_at` and `event_id` come first, so that lines in the order
of their bytes are in the order of arrival. The events' meaning does not belong here.
"""

from random import Random
from typing import Protocol

from nearline.events.contract import SCHEMA_VERSION
from nearline.simulate.calendar import DAY, MINUTE, SECOND, Calendar
from nearline.simulate.people import CONSENT_NOTICE_VERSION, Consent, Device
from nearline.simulate.streams import draw_between

LATE_SHARE = 0.025
DUPLICATE_SHARE = 0.008
LATE_AFTER = 10 * MINUTE
"""What the summary calls late."""

_LATE_LEAST, _LATE_MOST = 2 * MINUTE, 3 * DAY
_AGAIN_LEAST, _AGAIN_MOST = 1 * SECOND, 1 * DAY
_USUAL_LEAST, _USUAL_SPREAD = 40, 1_800


class Outbox(Protocol):
    """Takes a line for the day (since the start) on which it is received."""

    def put(self, day: int, line: str) -> None: ...


class Recorder:
    """Events of one visit on one device.

    `sender` and `page` are the JSON fields that every event carries for the time being,
    each opening with a comma.
    """

    __slots__ = (
        "calendar",
        "duplicate_count",
        "event_count",
        "held_back",
        "late_count",
        "moments",
        "outbox",
        "page",
        "rng",
        "sender",
        "visit_key",
    )

    def __init__(
        self, outbox: Outbox, calendar: Calendar, rng: Random, held_back: int = 0
    ) -> None:
        self.outbox = outbox
        self.calendar = calendar
        self.rng = rng
        self.held_back = held_back
        self.visit_key = f"{rng.getrandbits(64):016x}"
        self.sender = ""
        self.page = ""
        self.event_count = 0
        self.duplicate_count = 0
        self.late_count = 0
        self.moments: list[int] = []

    def record(self, name: str, at: int, fields: str = "") -> None:
        """One event at `at`, with `fields` beside those of sender and page."""
        random = self.rng.random
        stamp = self.calendar.stamp
        number = self.event_count
        self.event_count = number + 1
        self.moments.append(at)
        rest = (
            f'","event_id":"e_{self.visit_key}{number:03x}","event_name":"{name}",'
            f'"schema_version":"{SCHEMA_VERSION}","occurred_at":"{stamp(at)}"'
            f"{self.sender}{self.page}{fields}}}"
        )
        luck = random()
        if luck >= LATE_SHARE:
            delay = self.held_back + _USUAL_LEAST + int(luck * _USUAL_SPREAD)
        else:
            delay = self.held_back + draw_between(
                luck / LATE_SHARE, _LATE_LEAST, _LATE_MOST
            )
        if delay > LATE_AFTER:
            self.late_count += 1
        received = at + delay
        self.outbox.put(received // DAY, f'{{"received_at":"{stamp(received)}{rest}')
        luck = random()
        if luck < DUPLICATE_SHARE:
            received += draw_between(luck / DUPLICATE_SHARE, _AGAIN_LEAST, _AGAIN_MOST)
            self.outbox.put(
                received // DAY, f'{{"received_at":"{stamp(received)}{rest}'
            )
            self.duplicate_count += 1


def sender_fields(
    device: Device,
    consent: Consent,
    user_id: str | None = None,
    bot_reason: str | None = None,
) -> str:
    """The fields that say who sends, and under which consent."""
    user = f',"user_id":"{user_id}"' if user_id else ""
    bot = f',"bot_reason":"{bot_reason}"' if bot_reason else ""
    return (
        f',"source":"{device.source}","visitor_id":"{device.visitor_id}"{user}'
        f',"device_class":"{device.device_class}"{bot}{_consent_fields(consent)}'
    )


def refusal_fields(device: Device, consent: Consent) -> str:
    """All that may be kept of a refusal: who refused, where and under which notice."""
    return (
        f',"source":"{device.source}","visitor_id":"{device.visitor_id}"'
        f"{_consent_fields(consent)}"
    )


def page_fields(
    page_view_id: str, page_type: str, path: str, title: str, arrival: str = ""
) -> str:
    """The fields of a page; `arrival` holds referrer and utm fields on a landing page."""
    return (
        f',"page_view_id":"{page_view_id}","page_path":"{path}"'
        f',"page_title":"{title}","page_type":"{page_type}"{arrival}'
    )


def _consent_fields(consent: Consent) -> str:
    flag = ("false", "true")
    return (
        f',"consent_analytics":{flag[consent.analytics]}'
        f',"consent_personalization":{flag[consent.personalization]}'
        f',"consent_marketing":{flag[consent.marketing]}'
        f',"consent_notice_version":"{CONSENT_NOTICE_VERSION}"'
    )
