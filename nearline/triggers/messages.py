"""A firing as messages: ids that stay the same, and content with its values filled in.

Belongs here: what is written into the outbox. Not here: when (`engine`), or how it gets
out (`deliveries`).
"""

import hashlib
import json
import string
from collections.abc import Mapping, Sequence
from typing import Any

from nearline.triggers.definitions import KEY_FIELDS, Delivery, OnEvents, Trigger
from nearline.triggers.machine import Armed, Fact, cart_of, matches
from nearline.triggers.moments import moment_of


def firing_id(trigger: str, visitor_id: str, key: str, occasion_id: str) -> str:
    """The same for the same occasion, whoever works it out and when: the event id and
    the root of all idempotency keys."""
    content = json.dumps([trigger, visitor_id, key, occasion_id]).encode()
    return f"trg_{hashlib.sha256(content).hexdigest()[:32]}"


def message_id(firing: str, place: int) -> str:
    return f"{firing}_{place}"


def context(trigger: Trigger, armed: Armed, facts: Sequence[Fact]) -> dict[str, Any]:
    """What a message may quote: items and counts, nothing of a person."""
    fields = armed.occasion.fields
    cart = cart_of(facts, armed.due)
    items = list(cart) if trigger.needs_cart else []
    if not items and fields.get("item_id") is not None:
        items = [fields["item_id"]]
    count = None
    if isinstance(trigger.on, OnEvents) and len(trigger.on.steps) == 1:
        on, per = trigger.on, KEY_FIELDS[trigger.on.per]
        count = sum(
            matches(on.steps[0], fact)
            and fact.at <= armed.due
            and (on.within_ms is None or armed.occasion.at - fact.at <= on.within_ms)
            and (per is None or str(fact.fields.get(per)) == armed.key)
            for fact in facts
        )
    return {
        "trigger": trigger.name,
        "item_id": fields.get("item_id") or (items[0] if items else None),
        "item_ids": items,
        "item_category": fields.get("item_category"),
        "count": count,
    }


def content_of(
    delivery: Delivery, trigger: Trigger, armed: Armed, quoted: Mapping[str, Any]
) -> dict[str, Any]:
    """What is kept of one delivery until it is out."""
    if delivery.channel in ("block", "banner"):
        return {
            "slot": delivery.slot,
            "content": delivery.content,
            "shows": delivery.shows,
            "data": dict(quoted),
        }
    if delivery.channel == "webhook":
        return {
            "url": delivery.url,
            "data": dict(quoted),
            "version": trigger.version,
            "due_at": written(armed.due),
        }
    texts = {
        name: " ".join(value) if isinstance(value, list) else value
        for name, value in quoted.items()
    }
    given = {name: "" if value is None else value for name, value in texts.items()}
    assert delivery.subject is not None
    assert delivery.text is not None
    return {
        "subject": string.Template(delivery.subject).substitute(given),
        "text": string.Template(delivery.text).substitute(given),
        "unsubscribe_url": delivery.unsubscribe_url,
    }


def fired_event(
    firing: str,
    trigger: Trigger | None,
    *,
    name: str,
    version: str,
    visitor_id: str,
    key: str,
    due: int,
    fired_at: int,
    is_held_out: bool,
    source: str,
) -> dict[str, Any]:
    """A firing as an event of the contract, its consent left to the source's setting:
    stated here, it would count as a later word than the visitor's own."""
    moment = written(fired_at)
    return {
        "event_id": firing,
        "event_name": "trigger_fired",
        "schema_version": "1.2",
        "occurred_at": moment,
        "received_at": moment,
        "source": source,
        "visitor_id": visitor_id,
        "properties": {
            "trigger": name,
            "trigger_version": version,
            "key": key or None,
            "due_at": written(due),
            "hold_out": is_held_out,
            "channels": []
            if trigger is None or is_held_out
            else [delivery.channel for delivery in trigger.deliver],
        },
    }


def written(moment: int) -> str:
    """Milliseconds since 1970 as the contract writes a moment."""
    return f"{moment_of(moment).isoformat(timespec='milliseconds')[:-6]}Z"
