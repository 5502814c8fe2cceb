"""Changes to a record: values at a path, paths dropped, a JSON merge patch (RFC 7396).

A path is written with dots, list positions from 0: `items.0.quantity`. A key with a dot
in it is reached by a patch only.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from nearline.errors import InputError
from nearline.landing.formats import MASK


@dataclass(frozen=True, slots=True)
class Fix:
    """One value for one path, as it was written."""

    path: tuple[str, ...]
    text: str

    def value(self, is_text: bool) -> Any:
        """The text as JSON where it is some; as it stands where text is asked for.

        So `currency=EUR`, `currency="EUR"` and `schema_version=1.1` all give text.
        """
        try:
            value = orjson.loads(self.text)
        except orjson.JSONDecodeError:
            return self.text
        return self.text if is_text and not isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to a record, in this order: the patch, the drops, the fixes."""

    patch: dict[str, Any] = field(default_factory=dict)
    drops: tuple[tuple[str, ...], ...] = ()
    fixes: tuple[Fix, ...] = ()

    def apply(
        self, record: dict[str, Any], text_paths: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """A changed copy.

        Args:
            text_paths: paths that hold text, with `*` for any position in a list.

        Raises:
            InputError: a path leads through something that is no object or list.
        """
        changed: dict[str, Any] = merge(copy.deepcopy(record), self.patch)
        for path in self.drops:
            _drop(changed, path)
        for fix in self.fixes:
            pattern = ".".join("*" if part.isdigit() else part for part in fix.path)
            _put(changed, fix.path, fix.value(pattern in text_paths))
        return changed


def parse_fix(text: str) -> Fix:
    """`path=value` as it is given on a command line."""
    if not text.isprintable():
        raise InputError("a fix has a character that cannot be printed; leave it out")
    path, equals, value = text.partition("=")
    if not equals:
        raise InputError("a fix has no '='; write it as 'path=value'")
    return Fix(parse_path(path), value)


def parse_path(text: str) -> tuple[str, ...]:
    """The parts of a path."""
    parts = tuple(text.strip().split("."))
    if not all(parts):
        raise InputError("a path has an empty part; write it like items.0.quantity")
    return parts


def read_patch(path: Path) -> dict[str, Any]:
    """The merge patch in a file."""
    try:
        patch = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as problem:
        raise InputError(f"{path.name} cannot be read as JSON; mend it") from problem
    if not isinstance(patch, dict):
        raise InputError(
            f"{path.name} is no JSON object; a merge patch is one, such as "
            '{"currency": "EUR", "mood": null}'
        )
    return patch


def merge(target: Any, patch: Any) -> Any:
    """`target` with the patch applied: null drops a key, objects merge, all else replaces
    (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def masked_paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Where a record still holds the mask in place of a value or a key."""
    if value == MASK:
        yield ".".join(path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == MASK:
                yield ".".join((*path, key))
            else:
                yield from masked_paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from masked_paths(inner, (*path, str(number)))


def _put(record: dict[str, Any], path: Sequence[str], value: Any) -> None:
    place: Any = record
    for depth, part in enumerate(path[:-1], start=1):
        if isinstance(place, dict):
            place = place.setdefault(part, {})
        else:
            place = place[_position(place, path[:depth])]
    if isinstance(place, dict):
        place[path[-1]] = value
    elif isinstance(place, list) and path[-1] == str(len(place)):
        place.append(value)
    else:
        place[_position(place, path)] = value


def _drop(record: dict[str, Any], path: Sequence[str]) -> None:
    place: Any = record
    for depth, part in enumerate(path[:-1], start=1):
        if isinstance(place, dict):
            if part not in place:
                return
            place = place[part]
        else:
            place = place[_position(place, path[:depth])]
    if isinstance(place, dict):
        place.pop(path[-1], None)
    else:
        del place[_position(place, path)]


def _position(place: Any, path: Sequence[str]) -> int:
    """The position that the last part of `path` names in the list `place`."""
    above, part = ".".join(path[:-1]), path[-1]
    if not isinstance(place, list):
        raise InputError(f"{above} is no object or list, so it has no part to change")
    if not (part.isascii() and part.isdigit() and int(part) < len(place)):
        raise InputError(
            f"{above} is a list of {len(place)}; name a position from 0, as {above}.0"
        )
    return int(part)
