"""What the event log is told of a decision, and of what came of it.

Belongs here: the contract's events `decision` and `response` in the log's form. Not here:
when and how they are written (`decision_log`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

from nearline.decisions.deciding import Choice
from nearline.decisions.knowing import Consents, Known
from nearline.decisions.learnt import ODDS_DIGITS
from nearline.events.contract import SCHEMA_VERSION, Event
from nearline.events.log_form import to_log_form
from nearline.log.protocol import NewRecord

_DIGITS = ODDS_DIGITS


@dataclass(frozen=True, slots=True)
class Sender:
    """Through whom it was asked. `key_id`: which key made the visitor's pseudonym here."""

    source: str
    key_id: str | None = None
    bot_reason: str | None = None
    source_session_id: str | None = None


def new_decision_id() -> str:
    """An id of a decision: its event's."""
    return f"d_{uuid4().hex}"


def decision_record(
    decision_id: str,
    choice: Choice,
    known: Known,
    sender: Sender,
    latency_ms: float,
) -> NewRecord:
    """The event of one slot's decision.

    Raises:
        pydantic.ValidationError: it does not keep to the contract.
    """
    properties: dict[str, Any] = {
        "slot": choice.slot,
        "policy": choice.policy,
        "policy_version": choice.policy_version,
        "candidates": [
            [name, round(score, _DIGITS), round(odds, _DIGITS)]
            for name, score, odds in choice.candidates
        ],
        "chosen": list(choice.chosen),
        "probability": round(choice.probability, _DIGITS),
        "place_probabilities": [
            round(odds, _DIGITS) for odds in choice.place_probabilities
        ],
        "is_explored": choice.is_explored,
        "arms": dict(choice.arms),
        "hold_out": choice.is_held_out,
        "trigger": None if choice.message is None else choice.message.trigger,
        "models": models_of(choice),
        "segment": known.segment,
        "feature_age_seconds": _rounded(known.feature_age_seconds),
        "latency_ms": round(latency_ms, 3),
        "fallback": choice.fallback,
        "answer": choice.outcome,
    }
    if choice.block is not None and choice.items:
        properties["items"] = [item.item_id for item in choice.items]
    if choice.message is not None:
        properties["message_id"] = choice.message.message_id
    if choice.learnt is not None:
        properties["learnt"] = choice.learnt
    if choice.page_item is not None:
        properties["page_item"] = choice.page_item
    return _record(
        decision_id,
        "decision",
        known.visitor_id,
        known.now,
        known.consents,
        sender,
        properties,
    )


def response_record(
    event_id: str,
    visitor_id: str,
    now: datetime,
    consents: Consents,
    sender: Sender,
    properties: Mapping[str, Any],
) -> NewRecord:
    """The event of an outcome that an application reports."""
    return _record(event_id, "response", visitor_id, now, consents, sender, properties)


def models_of(choice: Choice) -> dict[str, int]:
    """Versions of the models that a choice was made with."""
    version = choice.recommender_version
    return {} if version is None else {"recommender": version}


def _record(
    event_id: str,
    event_name: str,
    visitor_id: str,
    now: datetime,
    consents: Consents,
    sender: Sender,
    properties: Mapping[str, Any],
) -> NewRecord:
    event = Event(
        event_id=event_id,
        event_name=event_name,
        schema_version=SCHEMA_VERSION,
        occurred_at=now,
        received_at=now,
        source=sender.source,
        visitor_id=visitor_id,
        source_session_id=sender.source_session_id,
        bot_reason=sender.bot_reason,
        pseudonym_key_id=sender.key_id,
        consent_analytics=consents.analytics,
        consent_personalization=consents.personalization,
        consent_marketing=consents.marketing,
        consent_notice_version=consents.notice_version,
        properties=dict(properties),
    )
    return NewRecord(visitor_id, orjson.dumps(to_log_form(event)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
