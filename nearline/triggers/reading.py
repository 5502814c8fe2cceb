"""Reads triggers from YAML files, and says what is wrong with file, place and fix.

Belongs here: how a trigger is written. What it means is `definitions`; what happens then
is `machine` and `engine`.
"""

import functools
import hashlib
import json
import re
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from nearline.audience.webhook import check_url
from nearline.decisions.expressions import (
    Expression,
    ExpressionError,
    Kind,
    parse_condition,
)
from nearline.decisions.vocabulary import (
    check_segments,
    known_features,
    known_segments,
    services_of,
)
from nearline.errors import InputError
from nearline.events.contract import Name
from nearline.experiments.assignment import BUCKET_COUNT
from nearline.privacy.consents import Purpose
from nearline.triggers.definitions import (
    CART_FILLED,
    Cap,
    Delivery,
    Match,
    On,
    OnEvents,
    OnFeature,
    OnFirstVisit,
    OnReturn,
    OnSegment,
    Per,
    Trigger,
    Triggers,
)

READY_MADE = Path(__file__).with_name("ready_made.yml")

EVENT_FIELDS = (
    "page_path",
    "page_type",
    "referrer_host",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "item_id",
    "item_category",
    "item_brand",
    "price_cents",
    "quantity",
    "items",
    "order_id",
    "revenue_cents",
    "link_host",
    "link_path",
    "element_id",
    "content_type",
    "content_id",
    "search_term",
    "engaged_seconds",
    "scroll_rate",
    "device_class",
)
"""Fields of the contract that a condition may name and a message may quote."""

_NUMBERS = frozenset(
    {"price_cents", "quantity", "revenue_cents", "engaged_seconds", "scroll_rate"}
)
_EVENT_KINDS: Mapping[str, Kind] = {
    name: "number" if name in _NUMBERS else "text"
    for name in EVENT_FIELDS
    if name != "items"
}
_FEATURES_HINT = "docs/features.md says where features are described"

PLACEHOLDERS = frozenset({"trigger", "item_id", "item_ids", "item_category", "count"})
"""What `$name` in a subject or text may be."""

GRACE_MS = 10_000
"""Of a trigger with a delay: a browser sends its events within so long."""

MOST_DAYS = 365
_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class _Loader(yaml.SafeLoader):
    """YAML in which `on`, `off`, `yes` and `no` are words: `on` is a key of ours."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf")
)


def _duration(value: Any) -> int:
    found = (
        re.fullmatch(r"([0-9]{1,6})\s*([smhd])", value)
        if isinstance(value, str)
        else None
    )
    if found is None:
        raise ValueError("must be a duration such as 45s, 30m, 12h or 7d")
    milliseconds = int(found[1]) * _UNITS[found[2]]
    if milliseconds > MOST_DAYS * _UNITS["d"]:
        raise ValueError(f"must be at most {MOST_DAYS}d")
    return milliseconds


def _some_time(value: int) -> int:
    if value == 0:
        raise ValueError("must be longer than 0")
    return value


def _where(value: Any) -> Expression:
    """A condition on an event's own fields."""
    return _parsed(value, _EVENT_KINDS, f"use one of {', '.join(_EVENT_KINDS)}")


def _holds(value: Any, info: ValidationInfo) -> Expression:
    """A condition on live features alone."""
    found = _of_features(value, _features(info), info)
    if not services_of(found):
        raise ValueError("asks for no feature; take `on: event`, or name one")
    return found


def _when(value: Any, info: ValidationInfo) -> Expression:
    """A condition on live features, and on what events tell of the cart."""
    kinds: dict[str, Kind] = {**_features(info), CART_FILLED: "flag"}
    return _of_features(value, kinds, info)


def _of_features(
    value: Any, kinds: Mapping[str, Kind], info: ValidationInfo
) -> Expression:
    found = _parsed(value, kinds, _FEATURES_HINT)
    assert info.context is not None
    try:
        check_segments(found, info.context["segments"]())
    except ExpressionError as problem:
        raise ValueError(str(problem)) from problem
    return found


def _features(info: ValidationInfo) -> Mapping[str, Kind]:
    # `read_triggers` hands it in; it is called where a condition is met that asks.
    assert info.context is not None
    found: Mapping[str, Kind] = info.context["features"]()
    return found


def _parsed(value: Any, kinds: Mapping[str, Kind], hint: str) -> Expression:
    if not isinstance(value, str):
        raise ValueError("must be a condition as in SQL, such as price_cents >= 5000")
    try:
        return parse_condition(value, kinds, hint)
    except ExpressionError as problem:
        raise ValueError(str(problem)) from problem


def _own_url(url: str) -> str:
    try:
        check_url(url)
    except InputError as problem:
        raise ValueError(str(problem).removeprefix("--url ")) from problem
    return url


def _template(text: str) -> str:
    template = string.Template(text)
    if not template.is_valid():
        raise ValueError("has a $ that begins no name; write $$ for a dollar sign")
    unknown = set(template.get_identifiers()) - PLACEHOLDERS
    if unknown:
        raise ValueError(
            "uses a $name that there is not; use "
            + ", ".join(f"${name}" for name in sorted(PLACEHOLDERS))
        )
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ValueError("must be one line")
    return text


_Duration = Annotated[int, BeforeValidator(_duration)]
_Span = Annotated[int, BeforeValidator(_duration), AfterValidator(_some_time)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Where = Annotated[Expression, BeforeValidator(_where)]
_M = TypeVar("_M", bound=BaseModel)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class _Match(_Model):
    event: Name
    where: _Where | None = None

    def built(self) -> Match:
        return Match(self.event, self.where)


def _spelt_out(value: Any) -> Any:
    return {"event": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


_Matched = Annotated[_Match, BeforeValidator(_spelt_out)]
_Matches = Annotated[list[_Matched], BeforeValidator(_listed)]


class _On(_Model):
    event: Name | None = None
    where: _Where | None = None
    count: Annotated[int, Field(ge=1, le=100)] | None = None
    sequence: Annotated[list[_Matched], Field(min_length=2, max_length=5)] | None = None
    within: _Span | None = None
    per: Per = "visitor"
    back_after: _Span | None = None
    first_visit: _Matched | None = None
    holds: Annotated[Expression, BeforeValidator(_holds)] | None = None
    segment: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    change: Literal["entered", "left"] | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> "_On":
        kinds = ("event", "sequence", "back_after", "first_visit", "holds", "segment")
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"must have exactly one of {', '.join(kinds)}")
        also = {
            "event": {"where", "count", "within", "per"},
            "sequence": {"within", "per"},
            "holds": {"change"},
            "segment": {"change"},
        }.get(given[0], set())
        for name in sorted(self.model_fields_set - {given[0]} - also):
            raise ValueError(f"{name} does not go with {given[0]}; take it out")
        if (self.count or 1) > 1 and self.within is None:
            raise ValueError("count needs `within`, such as 24h")
        if self.sequence is not None and self.within is None:
            raise ValueError("sequence needs `within`, such as 30m")
        return self

    def built(self) -> On:
        is_leaving = self.change == "left"
        if self.event is not None:
            match = Match(self.event, self.where)
            return OnEvents((match,), self.count or 1, self.within, self.per)
        if self.sequence is not None:
            steps = tuple(step.built() for step in self.sequence)
            return OnEvents(steps, 1, self.within, self.per)
        if self.back_after is not None:
            return OnReturn(self.back_after)
        if self.first_visit is not None:
            return OnFirstVisit(self.first_visit.built())
        if self.holds is not None:
            return OnFeature(self.holds, is_leaving)
        assert self.segment is not None
        return OnSegment(self.segment, is_leaving)


class _Cap(_Model):
    count: Annotated[int, Field(ge=1, le=1_000)]
    per: _Span

    def built(self) -> Cap:
        return Cap(self.count, self.per)


class _HoldOut(_Model):
    share: _Share
    salt: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")] = ""


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "block": ("slot", "content"),
    "banner": ("content",),
    "webhook": ("url",),
    "email": ("subject", "text"),
}
_ALLOWED: Mapping[str, frozenset[str]] = {
    "block": frozenset({"slot", "content", "shows"}),
    "banner": frozenset({"slot", "content", "shows"}),
    "webhook": frozenset({"url"}),
    "email": frozenset({"subject", "text", "unsubscribe_url"}),
}


class _Delivery(_Model):
    to: Literal["block", "banner", "webhook", "email"]
    slot: Name | None = None
    content: Name | None = None
    shows: Annotated[int, Field(ge=1, le=1_000)] | None = None
    url: Annotated[str, AfterValidator(_own_url)] | None = None
    subject: (
        Annotated[
            str,
            Field(min_length=1, max_length=200),
            AfterValidator(_one_line),
            AfterValidator(_template),
        ]
        | None
    ) = None
    text: (
        Annotated[
            str, Field(min_length=1, max_length=20_000), AfterValidator(_template)
        ]
        | None
    ) = None
    unsubscribe_url: Annotated[str, AfterValidator(_own_url)] | None = None

    @model_validator(mode="after")
    def _has_its_own(self) -> "_Delivery":
        for name in _NEEDED[self.to]:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is missing; {self.to} needs it")
        for name in sorted(self.model_fields_set - {"to"} - _ALLOWED[self.to]):
            raise ValueError(f"{name} does not go with {self.to}; take it out")
        return self

    def built(self) -> Delivery:
        return Delivery(
            channel=self.to,
            slot=self.slot or ("banner" if self.to == "banner" else None),
            content=self.content,
            shows=self.shows,
            url=self.url,
            subject=self.subject,
            text=self.text,
            unsubscribe_url=self.unsubscribe_url,
        )


class _Trigger(_Model):
    description: str = ""
    on: _On
    when: Annotated[Expression, BeforeValidator(_when)] | None = None
    after: _Duration = 0
    wait_for_late: _Duration | None = None
    restarted_by: _Matches = Field(default_factory=list)
    cancelled_by: _Matches = Field(default_factory=list)
    cooldown: _Duration = 0
    rearm: Literal["always", "never"] | _Matches = "always"
    expiry: _Span = 3_600_000
    cap: _Cap | None = None
    hold_out: _Share | _HoldOut = 0.0
    consent: Purpose = "personalization"
    deliver: Annotated[list[_Delivery], Field(min_length=1, max_length=5)]

    @model_validator(mode="after")
    def _agrees(self) -> "_Trigger":
        is_of_events = self.on.holds is None and self.on.segment is None
        if not is_of_events:
            for name in ("after", "wait_for_late", "restarted_by", "cancelled_by"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name} goes with events; take it out, or use `on: event`"
                    )
        if self.restarted_by and not self.after:
            raise ValueError("restarted_by needs `after`, such as 30m")
        for delivery in self.deliver:
            if delivery.to != "email":
                continue
            if self.consent != "marketing":
                raise ValueError("an e-mail needs `consent: marketing`")
            if delivery.unsubscribe_url is None:
                raise ValueError("an e-mail needs `unsubscribe_url`")
        return self

    def built(self, name: str, version: str) -> Trigger:
        held = self.hold_out
        if not isinstance(held, _HoldOut):
            held = _HoldOut(share=held)
        grace = self.wait_for_late
        if grace is None:
            grace = GRACE_MS if self.after else 0
        rearm: tuple[Match, ...] | None = ()
        if self.rearm == "always":
            rearm = None
        elif not isinstance(self.rearm, str):
            rearm = _built(self.rearm)
        return Trigger(
            name=name,
            on=self.on.built(),
            version=version,
            description=self.description,
            when=self.when,
            after_ms=self.after,
            grace_ms=grace,
            restarted_by=_built(self.restarted_by),
            cancelled_by=_built(self.cancelled_by),
            cooldown_ms=self.cooldown,
            rearm=rearm,
            expiry_ms=self.expiry,
            cap=None if self.cap is None else self.cap.built(),
            hold_out_buckets=round(held.share * BUCKET_COUNT),
            hold_out_salt=held.salt,
            consent=self.consent,
            deliver=tuple(delivery.built() for delivery in self.deliver),
        )


def read_triggers(folder: Path, dbt_project: Path) -> Triggers:
    """The triggers of all `*.yml` files of a folder; none where there is no folder.

    Args:
        dbt_project: says which features conditions may ask for; it is read where one does.

    Raises:
        InputError: a file cannot be read as triggers; it names file, place and fix.
    """
    project: dict[str, Callable[[], Any]] = {
        "features": functools.cache(lambda: known_features(dbt_project)),
        "segments": functools.cache(lambda: known_segments(dbt_project)),
    }
    found: dict[str, tuple[Path, Trigger]] = {}
    caps: list[Cap] = []
    for path in sorted(folder.glob("*.yml")):
        content = _read_yaml(path)
        unknown = set(content) - {"triggers", "caps"}
        if unknown:
            raise InputError(
                f"{path.name}: a file has the keys `triggers` and `caps` alone; "
                "take the others out"
            )
        for number, cap in enumerate(_listing(path, content, "caps")):
            caps.append(_checked(_Cap, cap, path, f"caps.{number}").built())
        triggers = content.get("triggers") or {}
        if not isinstance(triggers, dict):
            raise InputError(f"{path.name}: `triggers` must be a mapping by name")
        for name, given in triggers.items():
            trigger = _trigger(path, name, given, project)
            if name in found:
                raise InputError(
                    f"{path.name}: {name} is in {found[name][0].name}, too; rename one"
                )
            found[name] = (path, trigger)
    return Triggers.of([trigger for _, trigger in found.values()], tuple(caps))


@functools.cache
def ready_made() -> Mapping[str, Mapping[str, Any]]:
    """What `like` may name, as it is written."""
    content: dict[str, dict[str, Any]] = _read_yaml(READY_MADE)
    return content


def _trigger(
    path: Path, name: Any, given: Any, project: Mapping[str, Callable[[], Any]]
) -> Trigger:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise InputError(
            f"{path.name}: a trigger's name is lower case letters, digits and _"
        )
    if not isinstance(given, dict):
        raise InputError(f"{path.name}, {name}: must be a mapping with `deliver`")
    like = given.get("like")
    if like is not None:
        known = ready_made()
        if not isinstance(like, str) or like not in known:
            raise InputError(
                f"{path.name}, {name}.like: there is no such ready-made trigger; "
                f"use one of {', '.join(sorted(known))}"
            )
        given = {**known[like], **{key: given[key] for key in given if key != "like"}}
    checked = _checked(_Trigger, given, path, name, project)
    content = json.dumps(given, sort_keys=True, default=str).encode()
    return checked.built(name, hashlib.sha256(content).hexdigest()[:12])


def _checked(
    model: type[_M],
    given: Any,
    path: Path,
    place: str,
    context: Mapping[str, Any] | None = None,
) -> _M:
    try:
        return model.model_validate(given, context=context)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        parts = [place, *(str(part) for part in error["loc"])]
        reason = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            reason = "there is no such key; mend its spelling or take it out"
        raise InputError(f"{path.name}, {'.'.join(parts)}: {reason}") from problem


def _listing(path: Path, content: Mapping[str, Any], key: str) -> list[Any]:
    value = content.get(key) or []
    if not isinstance(value, list):
        raise InputError(f"{path.name}: `{key}` must be a list")
    return value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f", line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path.name}{place}: is not YAML; mend it") from problem
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as problem:
        raise InputError(f"{path.name} is not YAML in UTF-8; mend it") from problem
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path.name}: must be a mapping with the key `triggers`")
    return content


def _built(given: list[_Match]) -> tuple[Match, ...]:
    return tuple(match.built() for match in given)
