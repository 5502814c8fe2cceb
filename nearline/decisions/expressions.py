"""Conditions of policies and triggers, and scores: a small part of SQL, checked when read.

Belongs here: from text to a function of named values. The words are SQL's, as in the dbt
models that define the features: null is "not known", and a condition that comes out as null
is not met. Unlike in SQL, what cannot be reckoned (a division by zero) is null. Nothing is
evaluated but the operators listed here; there is no call of Python, no attribute, no
subquery. Not here: which names there are (`vocabulary`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from nearline.errors import InputError

Kind: TypeAlias = Literal["number", "text", "flag", "moment", "span", "texts", "null"]
Values: TypeAlias = Mapping[str, Any]
Evaluate: TypeAlias = Callable[[Values], Any]

NOW = "now()"
"""The name under which the values hold the moment of deciding."""

# Of sqlglot's tree: its classes have no attributes that a type checker knows of.
_Node: TypeAlias = Any

_MOST_CHARACTERS = 2_000
# Each costs some frames of the stack when it is reckoned.
_MOST_LEVELS = 100
_WORDS: Mapping[Kind, str] = {
    "number": "a number",
    "text": "text",
    "flag": "true or false",
    "moment": "a time",
    "span": "a length of time",
    "texts": "a list of texts",
    "null": "null",
}
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "neq": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": lambda left, right: left + right,
    "sub": lambda left, right: left - right,
    "mul": lambda left, right: left * right,
}
# Of two kinds, by the operator: what comes out.
_SUMS: Mapping[tuple[str, Kind, Kind], Kind] = {
    **{(key, "number", "number"): "number" for key in ("add", "sub", "mul", "div")},
    ("sub", "moment", "moment"): "span",
    ("add", "moment", "span"): "moment",
    ("sub", "moment", "span"): "moment",
    ("add", "span", "span"): "span",
    ("sub", "span", "span"): "span",
}
_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 7 * 86_400,
}


class ExpressionError(InputError):
    """Text that is no condition or score; says what and the fix, without the text."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression. `names` are the values that it reads."""

    text: str
    kind: Kind
    names: frozenset[str]
    _evaluate: Evaluate = field(compare=False, repr=False)

    def is_met(self, values: Values) -> bool:
        """Whether a condition holds; one that is not known does not."""
        return self._evaluate(values) is True

    def value(self, values: Values) -> Any:
        """What comes out; None where it is not known."""
        return self._evaluate(values)


@dataclass(frozen=True, slots=True)
class _Part:
    kind: Kind
    evaluate: Evaluate


def parse_condition(
    text: str,
    kinds: Mapping[str, Kind],
    hint: str = "see docs/decisions-api.md",
) -> Expression:
    """A condition over named values.

    Args:
        kinds: the names that there are, with what each of them holds.
        hint: what is said of a name that there is not, and none is like.

    Raises:
        ExpressionError: it is no condition over these names.
    """
    return _parse(text, kinds, "flag", hint)


def parse_score(text: str, kinds: Mapping[str, Kind]) -> Expression:
    """A number over named values; see `parse_condition`."""
    return _parse(text, kinds, "number", "see docs/decisions-api.md")


def _parse(text: str, kinds: Mapping[str, Kind], wanted: Kind, hint: str) -> Expression:
    from sqlglot import parse
    from sqlglot.errors import SqlglotError

    if len(text) > _MOST_CHARACTERS:
        raise ExpressionError(f"is longer than {_MOST_CHARACTERS} characters; split it")
    try:
        found = parse(text, read="duckdb")
    except (SqlglotError, RecursionError):
        raise ExpressionError(
            "cannot be read; write it as in SQL, such as cart_item_count > 0 and "
            "last_page_type = 'product'"
        ) from None
    if len(found) != 1 or found[0] is None:
        raise ExpressionError("is empty, or more than one expression; write one")
    names: set[str] = set()
    part = _Compiler(kinds, names, hint).part(found[0])
    if part.kind != wanted:
        raise ExpressionError(f"is {_WORDS[part.kind]}; it has to be {_WORDS[wanted]}")
    return Expression(text, part.kind, frozenset(names), part.evaluate)


class _Compiler:
    """From sqlglot's tree to functions; whatever is not named here is refused."""

    def __init__(self, kinds: Mapping[str, Kind], names: set[str], hint: str) -> None:
        self._hint = hint
        self._kinds = kinds
        self._names = names
        self._depth = 0

    def part(self, node: _Node) -> _Part:
        self._depth += 1
        if self._depth > _MOST_LEVELS:
            raise ExpressionError("is nested too deeply; split it")
        try:
            return self._part(node)
        finally:
            self._depth -= 1

    def _part(self, node: _Node) -> _Part:
        make = getattr(self, f"on_{node.key}", None)
        if make is None:
            if node.key in _COMPARISONS:
                return self._compared(node)
            if node.key in _ARITHMETIC or node.key == "div":
                return self._summed(node)
            raise ExpressionError(
                f"has {node.key.upper()}, which is not taken here; take comparisons, "
                "and/or/not, in, between, is null, + - * /, now(), interval, coalesce, "
                "len, list_contains, starts_with"
            )
        part: _Part = make(node)
        return part

    def on_paren(self, node: _Node) -> _Part:
        return self.part(node.this)

    def on_column(self, node: _Node) -> _Part:
        name = ".".join(part.name for part in node.parts)
        kind = self._kinds.get(name)
        if kind is None:
            near = get_close_matches(name, self._kinds, 1)
            hint = f"did you mean {near[0]}?" if near else self._hint
            raise ExpressionError(f"knows no {name}; {hint}")
        self._names.add(name)
        return _Part(kind, lambda values: values.get(name))

    def on_literal(self, node: _Node) -> _Part:
        if node.is_string:
            return _constant("text", node.this)
        number = float(node.this)
        return _constant("number", int(number) if number.is_integer() else number)

    def on_boolean(self, node: _Node) -> _Part:
        return _constant("flag", bool(node.this))

    def on_null(self, node: _Node) -> _Part:
        return _constant("null", None)

    def on_currenttimestamp(self, node: _Node) -> _Part:
        return _Part("moment", lambda values: values[NOW])

    def on_anonymous(self, node: _Node) -> _Part:
        if node.name.lower() != "now" or node.expressions:
            raise ExpressionError(
                "calls a function that is not taken here; take now(), coalesce, len, "
                "list_contains, starts_with"
            )
        return self.on_currenttimestamp(node)

    def on_interval(self, node: _Node) -> _Part:
        unit = (node.text("unit") or "").lower().removesuffix("s")
        seconds = _SECONDS.get(unit)
        try:
            span = timedelta(seconds=float(node.name) * (seconds or 0))
        except (ValueError, OverflowError):
            seconds = None
        if seconds is None:
            raise ExpressionError(
                "has an interval that cannot be read; write interval 30 minutes"
            )
        return _constant("span", span)

    def on_neg(self, node: _Node) -> _Part:
        inner = self._of_kind(node.this, "number")
        return _Part("number", _known(lambda value: -value, inner.evaluate))

    def on_not(self, node: _Node) -> _Part:
        inner = self._of_kind(node.this, "flag")
        return _Part("flag", _known(lambda value: not value, inner.evaluate))

    def on_and(self, node: _Node) -> _Part:
        return self._joined(node, decisive=False)

    def on_or(self, node: _Node) -> _Part:
        return self._joined(node, decisive=True)

    def _joined(self, node: _Node, decisive: bool) -> _Part:
        left = self._of_kind(node.left, "flag").evaluate
        right = self._of_kind(node.right, "flag").evaluate

        def evaluate(values: Values) -> Any:
            first = left(values)
            if first is decisive:
                return decisive
            second = right(values)
            if second is decisive or first is not None:
                return second
            return None

        return _Part("flag", evaluate)

    def _compared(self, node: _Node) -> _Part:
        left, right = self.part(node.left), self.part(node.right)
        if "null" in (left.kind, right.kind):
            raise ExpressionError("compares with null; write is null or is not null")
        self._check_same(left.kind, right.kind)
        if left.kind in ("flag", "texts") and node.key not in ("eq", "neq"):
            raise ExpressionError(f"orders {_WORDS[left.kind]}; it has no order")
        compare = _COMPARISONS[node.key]
        return _Part("flag", _known(compare, left.evaluate, right.evaluate))

    def _summed(self, node: _Node) -> _Part:
        left, right = self.part(node.left), self.part(node.right)
        kind = _SUMS.get((node.key, left.kind, right.kind))
        if kind is None:
            raise ExpressionError(
                f"reckons with {_WORDS[left.kind]} and {_WORDS[right.kind]}; take "
                "numbers, or times and intervals"
            )
        reckon = _bounded(_ARITHMETIC.get(node.key, _divided))
        return _Part(kind, _known(reckon, left.evaluate, right.evaluate))

    def on_is(self, node: _Node) -> _Part:
        inner = self.part(node.this)
        wanted = node.expression
        if wanted.key == "null":
            return _Part("flag", lambda values: inner.evaluate(values) is None)
        if wanted.key == "boolean" and inner.kind == "flag":
            flag = bool(wanted.this)
            return _Part("flag", lambda values: inner.evaluate(values) is flag)
        raise ExpressionError("has an IS; write is null, is true or is false")

    def on_in(self, node: _Node) -> _Part:
        inner = self.part(node.this)
        held = node.args.get("field")
        if held is not None:
            return self._within(inner, held)
        members = [self.part(member) for member in node.expressions]
        if not members:
            raise ExpressionError("has an IN without a list; write in ('a', 'b')")
        for member in members:
            self._check_same(inner.kind, member.kind)

        def evaluate(values: Values) -> Any:
            value = inner.evaluate(values)
            if value is None:
                return None
            found = [member.evaluate(values) for member in members]
            return True if value in found else None if None in found else False

        return _Part("flag", evaluate)

    def _within(self, inner: _Part, node: _Node) -> _Part:
        """`'a' in segments`: of a list that is a value itself."""
        texts = self._of_kind(node, "texts")
        self._check_same(inner.kind, "text")
        return _Part(
            "flag",
            _known(lambda one, held: one in held, inner.evaluate, texts.evaluate),
        )

    def on_between(self, node: _Node) -> _Part:
        parts = [self.part(node.args[name]) for name in ("this", "low", "high")]
        for part in parts[1:]:
            self._check_same(parts[0].kind, part.kind)
        if parts[0].kind not in ("number", "moment", "span", "text"):
            raise ExpressionError(f"orders {_WORDS[parts[0].kind]}; it has no order")
        return _Part(
            "flag",
            _known(
                lambda value, low, high: low <= value <= high,
                *(part.evaluate for part in parts),
            ),
        )

    def on_coalesce(self, node: _Node) -> _Part:
        parts = [self.part(one) for one in (node.this, *node.expressions)]
        kinds = [part.kind for part in parts if part.kind != "null"]
        for kind in kinds[1:]:
            self._check_same(kinds[0], kind)

        def evaluate(values: Values) -> Any:
            found = (part.evaluate(values) for part in parts)
            return next((value for value in found if value is not None), None)

        return _Part(kinds[0] if kinds else "null", evaluate)

    def on_length(self, node: _Node) -> _Part:
        inner = self.part(node.this)
        if inner.kind not in ("text", "texts"):
            raise ExpressionError(
                f"has len of {_WORDS[inner.kind]}; take a list or text"
            )
        return _Part("number", _known(len, inner.evaluate))

    def on_arraycontains(self, node: _Node) -> _Part:
        texts = self._of_kind(node.this, "texts")
        text = self._of_kind(node.expression, "text")
        return _Part(
            "flag",
            _known(lambda held, one: one in held, texts.evaluate, text.evaluate),
        )

    def on_startswith(self, node: _Node) -> _Part:
        text = self._of_kind(node.this, "text")
        start = self._of_kind(node.expression, "text")
        return _Part("flag", _known(str.startswith, text.evaluate, start.evaluate))

    def _of_kind(self, node: _Node, kind: Kind) -> _Part:
        part = self.part(node)
        if part.kind not in (kind, "null"):
            raise ExpressionError(
                f"has {_WORDS[part.kind]} where {_WORDS[kind]} belongs"
            )
        return part

    def _check_same(self, left: Kind, right: Kind) -> None:
        if left != right:
            raise ExpressionError(
                f"compares {_WORDS[left]} with {_WORDS[right]}; compare like with like"
            )


def _constant(kind: Kind, value: Any) -> _Part:
    return _Part(kind, lambda values: value)


def _known(function: Callable[..., Any], *parts: Evaluate) -> Evaluate:
    """As SQL does: null where one of the values is."""

    def evaluate(values: Values) -> Any:
        found = [part(values) for part in parts]
        return None if None in found else function(*found)

    return evaluate


def _bounded(reckon: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """What no number or time can hold is not known."""

    def evaluate(left: Any, right: Any) -> Any:
        try:
            found = reckon(left, right)
        except OverflowError:
            return None
        is_number = isinstance(found, int | float)
        return None if is_number and not math.isfinite(found) else found

    return evaluate


def _divided(left: float, right: float) -> float | None:
    return left / right if right else None
