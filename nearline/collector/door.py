"""An event as it was sent becomes an event as it is kept, or a dead letter.

Everything here is a function of the event, its source and the request's facts: no clock
is read and nothing is written. What leaves holds no identifier in the clear, whether it
was accepted or not.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

import orjson
from pydantic import TypeAdapter, ValidationError

from nearline.collector.config import CollectorConfig, Source
from nearline.collector.ga4_shape import as_id, to_contract
from nearline.collector.screening import (
    SHORTEST_ACCOUNT_ID,
    drop_account_ids,
    is_identifying_id,
    mask_account_ids,
    note_dropped,
    screen,
)
from nearline.collector.senders import judge_sender
from nearline.events import Event
from nearline.events.addresses import reduce_addresses
from nearline.events.contract import (
    FIRST_YEAR,
    LAST_YEAR,
    SCHEMA_VERSION,
    Key,
    Moment,
)
from nearline.events.log_form import to_log_form, written
from nearline.events.upgrading import upgrade_event
from nearline.landing.formats import MASK, Rejection, type_name
from nearline.landing.nearline_format import NearlineFormat, content_hash
from nearline.privacy.pseudonyms import Pseudonymizer

InputForm = Literal["event", "segment"]

NO_CONSENT = Rejection(
    "consent_analytics",
    "no analytics consent: nothing of the event was kept; send it with "
    "consent_analytics true, or not at all",
)
_FORMAT = NearlineFormat()
_ID = re.compile(get_args(Key)[1].pattern)
_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)

# Set at the door and nowhere else.
_DOOR_FIELDS = (
    "received_at",
    "clock_skew_seconds",
    "pseudonym_key_id",
)
# All that a `consent` event needs; without consent to analytics nothing else is kept.
_CONSENT_FIELDS = frozenset(
    {
        "event_id",
        "event_name",
        "schema_version",
        "occurred_at",
        "sent_at",
        "visitor_id",
        "user_id",
        "consent_analytics",
        "consent_personalization",
        "consent_marketing",
        "consent_notice_version",
    }
)
_VISITOR_FIELDS = ("visitor_id", "previous_visitor_id")
_USER_FIELDS = ("user_id", "previous_user_id")
_PERSON_FIELDS = (*_VISITOR_FIELDS, *_USER_FIELDS, "contact_id")
# Differ from one sending of the same event to the next.
_SENDING_FIELDS = frozenset(
    {"occurred_at", "sent_at", "received_at", "clock_skew_seconds"}
)
_REPLAY_SECONDS = 86_400
_LONGEST_RAW_ID = 512
_LONGEST_KEY = 64
_CACHE_SIZE = 50_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the request says about every event in it.

    `sent_at` is the batch's own, as it came; `user_agent` is the header.
    """

    received_at: datetime
    sent_at: Any = None
    user_agent: str | None = None
    form: InputForm = "event"


class Accepted(NamedTuple):
    """An event as the log keeps it. `sent_id` is the id to answer with.

    A tuple: a frozen dataclass takes four times as long to make.
    """

    sent_id: str | None
    event_id: str
    visitor_id: str
    value: bytes
    is_bot: bool
    dropped_count: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an event is not taken, and its dead letter."""

    sent_id: str | None
    field: str
    reason: str
    deadletter_id: str
    value: bytes
    has_no_consent: bool = False


class Door:
    """Admits events under one configuration and one key of the keyed hash."""

    def __init__(self, config: CollectorConfig, pseudonymizer: Pseudonymizer) -> None:
        self._pseudonymizer = pseudonymizer
        self._kept_params = config.allowed_query_params | set(config.search_params)
        self._page_params = config.allowed_query_params
        self._search_params = config.search_params
        self._clock_tolerance = config.clock_tolerance_seconds
        self._max_event_bytes = config.max_event_bytes
        # Most events of a batch are of one visitor. Raw ids stay in memory only.
        self._visitor = functools.lru_cache(_CACHE_SIZE)(pseudonymizer.visitor)
        self._user = functools.lru_cache(_CACHE_SIZE)(pseudonymizer.user)

    def admit(self, sent: Any, source: Source, arrival: Arrival) -> Accepted | Refused:
        """One event through the door.

        Args:
            sent: the event as parsed from JSON; is not changed.
        """
        if not isinstance(sent, dict):
            reason = f"must be an object with the event's fields; got {type_name(sent)}"
            return self.refuse(Rejection("(event)", reason), source, arrival)
        fields, failure = _known_form(sent)
        sent_id = answerable_id(fields.get("event_id"))
        if (
            source.requires_consent
            and fields.get("consent_analytics") is not True
            and fields.get("event_name") != "consent"
        ):
            return self._refused(fields, NO_CONSENT, source, arrival, sent_id)

        event, raw_ids, dropped = self._canonical(fields, source, arrival)
        checked = failure or _checked(event)
        if isinstance(checked, Rejection):
            return self._refused(event, checked, source, arrival, sent_id, raw_ids)
        limit_days = source.event_age_limit_days
        age = arrival.received_at - checked.occurred_at
        if limit_days is not None and age > timedelta(days=limit_days):
            reason = (
                f"is more than {limit_days:g} days before its arrival; "
                "import old events with `nearline ingest`"
            )
            rejection = Rejection("occurred_at", reason, checked.event_name)
            return self._refused(event, rejection, source, arrival, sent_id, raw_ids)

        kept = to_log_form(checked, event)
        value = orjson.dumps(kept)
        for raw_id in raw_ids:
            if orjson.dumps(raw_id)[1:-1] not in value:
                continue
            hash_id = functools.partial(self._visitor, source.source)
            found = drop_account_ids(kept, raw_ids, hash_id)
            if found:
                dropped += found
                note_dropped(kept, found)
            value = orjson.dumps(kept)
            break
        if len(value) > self._max_event_bytes:
            reason = (
                f"has more than {self._max_event_bytes} bytes; "
                "leave out properties or items"
            )
            rejection = Rejection("(event)", reason, checked.event_name)
            event = {**event, "properties": MASK, "items": MASK}
            return self._refused(event, rejection, source, arrival, sent_id, raw_ids)
        return Accepted(
            sent_id or (kept["event_id"] if not sent.get("event_id") else None),
            kept["event_id"],
            kept["visitor_id"],
            value,
            "bot_reason" in kept,
            len(dropped),
        )

    def refuse(
        self,
        rejection: Rejection,
        source: Source,
        arrival: Arrival,
        event_id: object = None,
    ) -> Refused:
        """The dead letter of what cannot be read as an event at all."""
        sent_id = answerable_id(event_id)
        return self._refused({}, rejection, source, arrival, sent_id)

    def _canonical(
        self, fields: dict[str, Any], source: Source, arrival: Arrival
    ) -> tuple[dict[str, Any], list[str], list[str]]:
        """The event in the contract's fields, its raw ids, and what was dropped."""
        event = fields
        for name in _DOOR_FIELDS:
            event.pop(name, None)
        user_agent = event.pop("user_agent", None)
        if (
            event.get("event_name") == "consent"
            and event.get("consent_analytics") is not True
        ):
            event = {name: event[name] for name in event if name in _CONSENT_FIELDS}
        elif isinstance(user_agent, str) or source.trust == "browser":
            agent = user_agent if isinstance(user_agent, str) else arrival.user_agent
            self._mark_sender(event, agent or "", source)
        dropped = self._reduce_addresses(event)
        to_contract(event)
        for name in ("properties", "items"):
            # Text would be read as JSON by the check, past the screening.
            if isinstance(event.get(name), str):
                event[name] = MASK
        hash_id = functools.partial(self._visitor, source.source)
        dropped += screen(event, hash_id)
        if dropped:
            note_dropped(event, dropped)
        raw_ids = self._hash_persons(event, source.source)
        event["source"] = source.source
        if source.trust == "server" or arrival.form == "segment":
            event.setdefault("occurred_at", written(arrival.received_at))
            if "event_id" not in event:
                # Of the content, so that a batch that is sent again has the same ids.
                # Before the clock is corrected: that differs between two sendings.
                event["event_id"] = _content_id(event)
        self._correct_clock(event, source, arrival)
        return event, raw_ids, dropped

    def _mark_sender(
        self, event: dict[str, Any], user_agent: str, source: Source
    ) -> None:
        sender = judge_sender(user_agent)
        # A browser's own word on being a bot counts for nothing.
        said = event.pop("bot_reason", None)
        reason = said if said and source.trust == "server" else sender.bot_reason
        if reason:
            event["bot_reason"] = reason
        if sender.device_class and "device_class" not in event:
            event["device_class"] = sender.device_class

    def _reduce_addresses(self, event: dict[str, Any]) -> list[str]:
        reduced = reduce_addresses(
            event.pop("page_url", None),
            event.pop("referrer", None),
            event.pop("link_url", None),
            self._kept_params,
        )
        for name, value in reduced.fields.items():
            event.setdefault(name, value)
        params = reduced.params
        if params:
            if event.get("event_name") == "search" and "search_term" not in event:
                for name in self._search_params:
                    if name in params:
                        event["search_term"] = params[name]
                        break
            kept = {name: params[name] for name in params if name in self._page_params}
            properties = event.get("properties", {})
            if kept and isinstance(properties, dict):
                event["properties"] = {"page_query": kept, **properties}
        return list(reduced.dropped)

    def _hash_persons(self, event: dict[str, Any], source: str) -> list[str]:
        """Replaces raw ids by pseudonyms; returns those that no text may hold."""
        raw_ids = []
        hashed = False
        for name in _PERSON_FIELDS:
            raw_id = as_id(event.get(name))
            if raw_id is None:
                continue
            if (
                not isinstance(raw_id, str)
                or not raw_id.strip()
                or len(raw_id) > _LONGEST_RAW_ID
            ):
                # No id: masked, so that the contract refuses it.
                event[name] = raw_id if not isinstance(raw_id, str) else MASK
                continue
            if name in _VISITOR_FIELDS:
                event[name] = self._visitor(source, raw_id)
            elif name in _USER_FIELDS:
                event[name] = self._user(raw_id)
            else:
                event[name] = self._pseudonymizer.contact(raw_id)
            hashed = True
            if len(raw_id) >= SHORTEST_ACCOUNT_ID:
                raw_ids.append(raw_id)
        if hashed:
            event["pseudonym_key_id"] = self._pseudonymizer.key_id
        return raw_ids

    def _correct_clock(
        self, event: dict[str, Any], source: Source, arrival: Arrival
    ) -> None:
        event["received_at"] = arrival.received_at
        if arrival.sent_at is not None:
            event.setdefault("sent_at", arrival.sent_at)
        occurred_at = _moment(event.get("occurred_at"))
        sent_at = _moment_often(event.get("sent_at"))
        if sent_at is not None:
            event["sent_at"] = sent_at
        if occurred_at is not None:
            event["occurred_at"] = occurred_at
        if occurred_at is None or sent_at is None:
            return
        skew = (sent_at - arrival.received_at).total_seconds()
        if source.trust == "server" and skew < -_REPLAY_SECONDS:
            # No server's clock is a day late: what it sent then is sent once more.
            return
        if abs(skew) > self._clock_tolerance:
            event["clock_skew_seconds"] = round(skew, 3)
            event["occurred_at"] = occurred_at - (sent_at - arrival.received_at)
            event["sent_at"] = arrival.received_at

    def _refused(
        self,
        event: Mapping[str, Any],
        rejection: Rejection,
        source: Source,
        arrival: Arrival,
        sent_id: str | None,
        raw_ids: Sequence[str] = (),
    ) -> Refused:
        has_no_consent = rejection is NO_CONSENT
        kept: dict[str, Any] = {}
        if event and not has_no_consent:
            kept = _FORMAT.kept_of(event, rejection, self._pseudonymizer)
            if raw_ids:
                kept = mask_account_ids(kept, raw_ids)
        letter = {
            "received_at": written(arrival.received_at),
            "source": source.source,
            "input": arrival.form,
            "schema_version": _FORMAT.version_of(event),
            "event_name": _FORMAT.event_name_of(event),
            "field": rejection.field,
            "reason": rejection.reason,
            "fields": kept,
        }
        # The same for the same event sent again; where nothing is kept, of the event's
        # id, hashed.
        own = {"id": self._visitor(source.source, sent_id or "")} | kept
        deadletter_id = content_hash(
            {name: own[name] for name in own if name not in _SENDING_FIELDS}
            | {"field": rejection.field, "reason": rejection.reason}
        )
        value = orjson.dumps({"deadletter_id": deadletter_id, **letter})
        return Refused(
            sent_id,
            rejection.field,
            rejection.reason,
            deadletter_id,
            value,
            has_no_consent,
        )


def _known_form(sent: dict[str, Any]) -> tuple[dict[str, Any], Rejection | None]:
    """A copy in our major version, without nulls, and why it could not be made."""
    fields = dict(sent)
    if None in sent.values():
        fields = {name: value for name, value in sent.items() if value is not None}
    if fields.get("schema_version") == SCHEMA_VERSION:
        return fields, None
    try:
        # Before anything is hashed or dropped: an old form has fields of its own.
        return dict(upgrade_event(fields)), None
    except Exception as problem:
        # A shop's own code: what it cannot take must not hold up other events.
        reason = f"its upgrader failed ({type(problem).__name__}); mend it and replay"
        return fields, Rejection("schema_version", reason)


def answerable_id(event_id: object) -> str | None:
    """An event's id if it may be shown in an answer: of an id's form, and no person's."""
    if not isinstance(event_id, str) or not _ID.fullmatch(event_id):
        return None
    return None if is_identifying_id(event_id) else event_id


def _content_id(event: Mapping[str, Any]) -> str | None:
    own = {
        name: event[name] for name in event if name not in ("sent_at", "received_at")
    }
    try:
        return content_hash(own)
    except TypeError:
        # Nested too deeply to be written, and refused for that.
        return None


def _moment(value: object) -> datetime | None:
    """A time that says its zone, in UTC; None for anything else."""
    if not isinstance(value, str) or value[4:5] != "-":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        try:
            return _MOMENT.validate_python(value)
        except ValidationError:
            return None
    if moment.tzinfo is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        return None
    return moment.astimezone(UTC)


def _moment_often(value: object) -> datetime | None:
    is_short = isinstance(value, str) and len(value) <= _LONGEST_KEY
    return _cached_moment(value) if is_short else None


_cached_moment = functools.lru_cache(maxsize=100)(_moment)


def _checked(event: dict[str, Any]) -> Event | Rejection:
    """The contract's verdict. The screening is done already, so an event that is right
    is not searched again; one that is not is given to who words the reason."""
    try:
        return Event.model_validate(event)
    except ValidationError:
        for name in [name for name in event if len(name) > _LONGEST_KEY]:
            # No field's name; it is neither searched nor kept.
            del event[name]
            event[MASK] = MASK
        return _FORMAT.to_event(event)
