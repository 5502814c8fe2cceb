"""Takes direct identifiers out of an event in the contract's field names.

What can be left out is left out, so that the event itself survives: a title with a mail
address in it costs the title and not the page view. The names of what was left out are
kept under `properties.nearline_dropped`.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from nearline.events.addresses import REDACTED, reduce_path
from nearline.events.contract import (
    HOST_FIELDS,
    MAX_PROPERTIES_DEPTH,
    PATH_FIELDS,
    TEXT_FIELDS,
)
from nearline.events.identifiers import find_identifier
from nearline.events.personal_keys import LONGEST_KEY, names_person
from nearline.landing.formats import MASK, is_plain_name

DROPPED_NAMES = "nearline_dropped"
SHORTEST_ACCOUNT_ID = 4
"""Shorter ids are found in any text by chance."""

# Ids that a sender makes up freely. Their form lets an IP address and a phone number
# pass, so these are replaced by a keyed hash, which still joins.
_ID_FIELDS = (
    "event_id",
    "page_view_id",
    "source_session_id",
    "item_id",
    "order_id",
    "element_id",
    "content_id",
    "experiment_key",
    "variant_key",
    "consent_notice_version",
)
_MAX_TEXT_LENGTH = 256
MAX_PROPERTY_TEXT_LENGTH = 500
# Looked at beyond where a text is cut, so that the cut leaves no half of an identifier.
_LOOK_AHEAD = 64
# A quick look first: ids are all different, so a cache is no help. Letters, digits and
# `_ . : -` are all that an id may have.
_PERHAPS_IDENTIFIER = re.compile(
    r"[0-9]\.[0-9]+\.[0-9]|:.*:|[0-9]{3}[.-][0-9]{3}[.-][0-9]{4}"
)
# Every identifier, encoded or not, has one of these.
_SUSPECT = re.compile(r"[@%\\:0-9]")

# An address inside a text: its query and fragment may hold anything.
_QUERY = re.compile(r"(://[^\s?#]{0,1024})[?#]\S*")

_find_identifier = functools.lru_cache(maxsize=20_000)(find_identifier)

_DROP: Final = object()


def screen(event: dict[str, Any], hash_id: Callable[[str], str]) -> list[str]:
    """Drops identifiers from `event` in place; returns the names of what was dropped.

    Args:
        hash_id: keyed hash that takes the place of an id that is an identifier.
    """
    dropped: list[str] = []
    # The events of a page have the same texts: those that were clean once are not
    # looked at again.
    texts = tuple(map(event.get, _CLEANERS))
    if not _CLEAN.knows(texts):
        for name, clean in _CLEANERS.items():
            value = event.get(name)
            if not isinstance(value, str):
                continue
            cleaned = clean(value)
            if cleaned is None:
                del event[name]
                dropped.append(name)
            else:
                event[name] = cleaned
        if texts == tuple(map(event.get, _CLEANERS)):
            _CLEAN.add(texts)
    # All ids in one search: hardly ever is there something to see.
    ids = [value for value in map(event.get, _ID_FIELDS) if isinstance(value, str)]
    if _PERHAPS_IDENTIFIER.search("\n".join(ids)) is not None:
        for name in _ID_FIELDS:
            value = event.get(name)
            if isinstance(value, str) and is_identifying_id(value):
                event[name] = hash_id(value)
                dropped.append(name)
    items = event.get("items")
    if isinstance(items, list):
        for item in items:
            if isinstance(item, dict):
                _screen_item(item, hash_id, dropped)
    properties = event.get("properties")
    if isinstance(properties, dict):
        event["properties"] = _screened_object(properties, "properties", 1, dropped)
    return dropped


def _clean_text(text: str) -> str | None:
    """A text cut to its length, or None where it is dropped."""
    if len(text) <= _MAX_TEXT_LENGTH:
        return _clean_short_text(text)
    return _clean_any_text(text)


def _clean_any_text(text: str) -> str | None:
    is_one = holds_identifier(text, _MAX_TEXT_LENGTH)
    return None if is_one else _cut(text, _MAX_TEXT_LENGTH)


_clean_short_text = functools.lru_cache(maxsize=20_000)(_clean_any_text)


def _clean_host(host: str) -> str | None:
    return None if holds_identifier(host, _MAX_TEXT_LENGTH) else host


def _clean_path(path: str) -> str:
    # What is no path is refused by the contract.
    return reduce_path(path) if path.startswith("/") else path


_CLEANERS: Mapping[str, Callable[[str], str | None]] = {
    **dict.fromkeys(TEXT_FIELDS, _clean_text),
    **dict.fromkeys(HOST_FIELDS, _clean_host),
    **dict.fromkeys(PATH_FIELDS, _clean_path),
}


class _CleanTexts:
    """Texts that came together and needed no cleaning; forgets all when it is full."""

    _MOST = 20_000
    _LONGEST = 1_024

    def __init__(self) -> None:
        self._known: set[tuple[Any, ...]] = set()

    def knows(self, texts: tuple[Any, ...]) -> bool:
        try:
            return texts in self._known
        except TypeError:  # a list where a text should be
            return False

    def add(self, texts: tuple[Any, ...]) -> None:
        for text in texts:
            if not (text is None or isinstance(text, str)) or (
                text is not None and len(text) > self._LONGEST
            ):
                return
        if len(self._known) >= self._MOST:
            self._known.clear()
        self._known.add(texts)


_CLEAN = _CleanTexts()


def holds_identifier(text: str, cut_at: int) -> bool:
    """Whether what is left of `text` after the cut holds a whole or half identifier.

    Nothing longer is ever searched: the patterns take time by the square of the length,
    and the text is the sender's.
    """
    if _SUSPECT.search(text) is None:
        return False
    return _find_identifier(text[: cut_at + _LOOK_AHEAD]) is not None


def _cut(text: str, cut_at: int) -> str:
    text = text[:cut_at]
    return _QUERY.sub(r"\1", text) if "://" in text else text


def is_identifying_id(text: str) -> bool:
    """Whether an id is an IP address or a phone number."""
    # A longer one is no id, and the contract refuses it.
    return (
        len(text) <= LONGEST_KEY
        and _PERHAPS_IDENTIFIER.search(text) is not None
        and find_identifier(text) is not None
    )


def drop_account_ids(
    event: dict[str, Any], raw_ids: Sequence[str], hash_id: Callable[[str], str]
) -> list[str]:
    """Drops texts in which one of the sender's raw ids stands as a word, in place.

    A page may write the account's number into its address or title; the keyed hash
    would then be undone by its neighbour field.
    """
    pattern = _as_words(raw_ids)
    dropped: list[str] = []

    def holds(text: object) -> bool:
        return isinstance(text, str) and pattern.search(text) is not None

    for name in (*TEXT_FIELDS, *HOST_FIELDS, "content_type", "page_type"):
        if holds(event.get(name)):
            del event[name]
            dropped.append(name)
    for name in PATH_FIELDS:
        if holds(event.get(name)):
            event[name] = redact_account_ids(event[name], raw_ids)
    for name in _ID_FIELDS:
        if holds(event.get(name)):
            event[name] = hash_id(event[name])
            dropped.append(name)
    for item in event.get("items") or ():
        for name in ("item_category", "item_brand"):
            if holds(item.get(name)):
                del item[name]
                dropped.append("items")
        if holds(item["item_id"]):
            item["item_id"] = hash_id(item["item_id"])
            dropped.append("items")
    properties = event.get("properties")
    if properties is not None:
        event["properties"] = _without(properties, "properties", holds, dropped)
    return dropped


def redact_account_ids(address: str, raw_ids: Sequence[str]) -> str:
    """An address without the sender's raw ids, where they stand as words."""
    return _as_words(raw_ids).sub(REDACTED, address)


def mask_account_ids(fields: dict[str, Any], raw_ids: Sequence[str]) -> dict[str, Any]:
    """A refused event without texts in which one of the sender's raw ids stands."""
    pattern = _as_words(raw_ids)

    def masked(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                MASK if pattern.search(key) else key: masked(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [masked(inner) for inner in value]
        text = value if isinstance(value, str) else _digits(value)
        return MASK if text is not None and pattern.search(text) else value

    return {name: masked(value) for name, value in fields.items()}


def note_dropped(event: dict[str, Any], dropped: list[str]) -> None:
    """Writes the names of dropped fields into the event's properties."""
    properties = event.get("properties", {})
    # What is no object is refused by the contract, and must be.
    if dropped and isinstance(properties, dict):
        known = properties.get(DROPPED_NAMES)
        before = known if isinstance(known, list) else []
        names = {name for name in before if isinstance(name, str)}
        event["properties"] = {**properties, DROPPED_NAMES: sorted({*names, *dropped})}


def _as_words(raw_ids: Sequence[str]) -> re.Pattern[str]:
    words = "|".join(re.escape(raw_id) for raw_id in raw_ids)
    return re.compile(rf"(?<![A-Za-z0-9])({words})(?![A-Za-z0-9])", re.IGNORECASE)


def _screen_item(
    item: dict[str, Any], hash_id: Callable[[str], str], dropped: list[str]
) -> None:
    for name in ("item_category", "item_brand"):
        text = item.get(name)
        if isinstance(text, str):
            cleaned = _clean_text(text)
            if cleaned is None:
                del item[name]
                dropped.append("items")
            else:
                item[name] = cleaned
    item_id = item.get("item_id")
    if isinstance(item_id, str) and is_identifying_id(item_id):
        item["item_id"] = hash_id(item_id)
        dropped.append("items")


def _screened_object(
    values: dict[str, Any], place: str, depth: int, dropped: list[str]
) -> dict[str, Any]:
    kept = {}
    for key, value in values.items():
        if names_person(key):
            dropped.append(_place(place, key))
            continue
        value = _screened(value, place, key, depth, dropped)
        if value is not _DROP:
            kept[key] = value
    return kept


def _screened(value: Any, place: str, key: str, depth: int, dropped: list[str]) -> Any:
    if isinstance(value, str):
        if holds_identifier(value, MAX_PROPERTY_TEXT_LENGTH):
            dropped.append(_place(place, key))
            return _DROP
        return _cut(value, MAX_PROPERTY_TEXT_LENGTH)
    # Deeper than the contract allows: it refuses the event.
    if depth > MAX_PROPERTIES_DEPTH:
        return value
    if isinstance(value, dict):
        return _screened_object(value, _place(place, key), depth + 1, dropped)
    if isinstance(value, list):
        screened = [_screened(inner, place, key, depth + 1, dropped) for inner in value]
        return [inner for inner in screened if inner is not _DROP]
    return value


def _without(
    value: Any, place: str, holds: Callable[[object], bool], dropped: list[str]
) -> Any:
    """JSON of a depth that the contract allows, without texts and keys that `holds`."""
    if isinstance(value, dict):
        kept = {}
        for key, inner in value.items():
            if key == DROPPED_NAMES:
                kept[key] = inner
            elif holds(key) or holds(inner) or holds(_digits(inner)):
                dropped.append(_place(place, "" if holds(key) else key))
            else:
                kept[key] = _without(inner, _place(place, key), holds, dropped)
        return kept
    if isinstance(value, list):
        count = len(value)
        value = [
            _without(inner, place, holds, dropped)
            for inner in value
            if not (holds(inner) or holds(_digits(inner)))
        ]
        if len(value) < count:
            dropped.append(place)
    return value


def _digits(value: object) -> str | None:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_integer else None


def _place(place: str, key: str) -> str:
    """A path of names; a key that is no plain name may itself say who it was."""
    is_shown = len(key) <= LONGEST_KEY and is_plain_name(key)
    return f"{place}.{key if is_shown else '(unnamed)'}"
