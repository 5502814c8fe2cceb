"""Who may send: write keys with their source and origins, and the limits of a request.

Kept in `$NEARLINE_HOME/collector.json`. A browser's write key is no secret (everybody who
looks at the page sees it): it names the source and is bound to origins. A server's is.
"""

import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from nearline.errors import InputError
from nearline.events.contract import Name
from nearline.replacement import replace_file
from nearline.settings import Settings

DEVELOPMENT_KEY = "dev"

Trust = Literal["browser", "server"]
WriteKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{3,64}$")]
Origin = Annotated[
    str,
    StringConstraints(pattern=r"^(\*|https?://[a-z0-9.-]+(:([0-9]{1,5}|\*))?)$"),
]
"""`https://shop.example`, with a port or `:*` for any port; `*` alone is any origin."""
QueryParameter = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.\[\]-]{1,64}$")
]

_BROWSER_EVENT_AGE_DAYS = 30.0
_Config = TypeVar("_Config", bound=BaseModel)


class Source(BaseModel):
    """One write key and what its holder may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    write_key: WriteKey
    source: Name
    trust: Trust = "browser"
    """What a server says about bots is taken from it, and an event of its own that has
    no id or comes late is accepted."""
    allowed_origins: frozenset[Origin] = frozenset()
    requires_consent: bool = True
    """Refuse whatever comes without consent to analytics."""
    events_per_second: Annotated[float, Field(gt=0)] = 2_000
    """Of one collector worker: two workers let through twice as many."""
    burst_events: Annotated[int, Field(ge=1)] = 10_000
    max_event_age_days: Annotated[float, Field(gt=0)] | None = None
    """Unset: 30 days for a browser, any age for a server."""

    @property
    def event_age_limit_days(self) -> float | None:
        if self.max_event_age_days is None and self.trust == "browser":
            return _BROWSER_EVENT_AGE_DAYS
        return self.max_event_age_days

    def allows_origin(self, origin: str) -> bool:
        """Whether a page of `origin` (the header's text) may use this key."""
        return is_origin_of(origin, self.allowed_origins)


def is_origin_of(origin: str, allowed: Collection[str]) -> bool:
    """Whether an `Origin` header's text is one of those allowed (see `Origin`)."""
    origin = origin.lower()
    if origin in allowed or "*" in allowed:
        return True
    host, _, port = origin.rpartition(":")
    return f"{host if port.isdigit() else origin}:*" in allowed


class CollectorConfig(BaseModel):
    """Sources and limits. Sizes are bytes after decompression."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[Source, ...]
    allowed_query_params: frozenset[QueryParameter] = frozenset()
    """Kept of a page's address under `properties.page_query`, beside `utm_*`."""
    search_params: tuple[QueryParameter, ...] = (
        "q",
        "s",
        "search",
        "query",
        "keyword",
    )
    """Where a `search` event without its term finds it in the page's address."""
    max_body_bytes: Annotated[int, Field(ge=1_000)] = 1_000_000
    max_batch_events: Annotated[int, Field(ge=1)] = 500
    max_event_bytes: Annotated[int, Field(ge=1_000, le=1_000_000)] = 65_536
    """Of one event as it is kept; Kafka and Kinesis refuse more than about a million."""
    clock_tolerance_seconds: Annotated[float, Field(ge=0)] = 5
    """A difference that the way through the network may well have made."""

    @model_validator(mode="after")
    def _keys_are_distinct(self) -> Self:
        keys = [source.write_key for source in self.sources]
        if len(set(keys)) < len(keys):
            raise ValueError("sources have a write_key in common; give each its own")
        return self

    def allows_origin(self, origin: str) -> bool:
        """Whether any key may be used from `origin`: all that a preflight can tell."""
        return any(source.allows_origin(origin) for source in self.sources)

    @property
    def is_development(self) -> bool:
        return any(source.write_key == DEVELOPMENT_KEY for source in self.sources)


THIS_MACHINE = frozenset({"http://localhost:*", "http://127.0.0.1:*"})

DEVELOPMENT_CONFIG = CollectorConfig(
    sources=(
        Source(write_key=DEVELOPMENT_KEY, source="web", allowed_origins=THIS_MACHINE),
    )
)
"""Used while there is no file: pages of this machine, and a key that all know."""


def load_collector_config(settings: Settings) -> CollectorConfig:
    """What `collector.json` says, or the development default where there is none.

    Raises:
        InputError: the file is no such configuration; names the entry and the fix.
    """
    found = read_config(
        settings.collector_config, CollectorConfig, "nearline collector new-key"
    )
    return found or DEVELOPMENT_CONFIG


def read_config(path: Path, form: type[_Config], new_key: str) -> _Config | None:
    """A file of keys and limits; None where there is none.

    Args:
        new_key: the command that makes keys.

    Raises:
        InputError: the file is no such configuration; names the entry and the fix.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return form.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError as problem:
        raise InputError(
            f"{path} is not JSON (line {problem.lineno}); mend it, "
            f"or move it away and make keys with `{new_key}`"
        ) from None
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in error["loc"]) or "the file"
        raise InputError(
            f"{path}: {place}: {error['msg'].removeprefix('Value error, ')}"
        ) from None


def write_config(path: Path, config: BaseModel) -> None:
    """Puts a file of keys in place, for its owner alone: the keys of servers are in it."""
    text = orjson.dumps(
        config.model_dump(mode="json", exclude_defaults=True),
        option=orjson.OPT_INDENT_2,
    )
    replace_file(path, lambda file: file.write(text + b"\n"))
    path.chmod(0o600)


def make_key(source: str) -> str:
    """A new key whose beginning says of which source it is."""
    return f"{source[:24]}_{secrets.token_urlsafe(18)}"


def holder_of_key(
    form: type[_Config], origins: Collection[str], **fields: object
) -> _Config:
    """The entry of a new key, from what was typed.

    Raises:
        InputError: the source or an origin is none.
    """
    allowed = frozenset(origin.rstrip("/").lower() for origin in origins)
    try:
        return form.model_validate({**fields, "allowed_origins": allowed})
    except ValidationError as problem:
        field = problem.errors(include_url=False, include_input=False)[0]["loc"][0]
        raise InputError(
            "--origin must look like https://shop.example or http://localhost:*"
            if field == "allowed_origins"
            else "--source must be lower-case letters, digits and _, and at most 64"
        ) from None


def add_write_key(
    settings: Settings,
    source: str,
    origins: list[str],
    trust: Trust = "browser",
    requires_consent: bool = True,
) -> str:
    """Makes a write key of `source`, adds it to `collector.json` and returns it."""
    write_key = make_key(source)
    added = holder_of_key(
        Source,
        origins,
        write_key=write_key,
        source=source,
        trust=trust,
        requires_consent=requires_consent,
    )
    path: Path = settings.collector_config
    kept = load_collector_config(settings) if path.exists() else None
    config = (
        kept.model_copy(update={"sources": (*kept.sources, added)})
        if kept
        else CollectorConfig(sources=(added,))
    )
    write_config(path, config)
    return write_key
