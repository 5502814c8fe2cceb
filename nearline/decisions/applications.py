"""Which applications may ask for decisions: keys with their source, origins and limits.

Kept in `$NEARLINE_HOME/applications.json`. A browser's key is no secret and says little: it
may ask what to show to whom holds the cookie, by the cookie's own raw id. A server's key is
a secret; it may also ask for scores and segments, and name visitors by their pseudonym.
"""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nearline.collector.config import (
    DEVELOPMENT_KEY,
    THIS_MACHINE,
    Origin,
    Trust,
    WriteKey,
    holder_of_key,
    is_origin_of,
    make_key,
    read_config,
    write_config,
)
from nearline.events.contract import Name
from nearline.settings import Settings

# Pseudonyms that a door of ours made, or a simulated shop.
_PSEUDONYM = re.compile(r"v_[A-Za-z0-9_-]{8,62}")


class Application(BaseModel):
    """One key and what its holder may ask for.

    `source` is the collector's source that the application's visitors come from: their
    ids are hashed alike, so that a decision meets what the collector took.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: WriteKey
    source: Name
    trust: Trust = "browser"
    allowed_origins: frozenset[Origin] = frozenset()
    requests_per_second: Annotated[float, Field(gt=0)] = 500
    """Of one worker: two workers let through twice as many."""
    burst_requests: Annotated[int, Field(ge=1)] = 2_000

    @property
    def is_trusted(self) -> bool:
        return self.trust == "server"

    def allows_origin(self, origin: str) -> bool:
        """Whether a page of `origin` (the header's text) may use this key."""
        return is_origin_of(origin, self.allowed_origins)

    def names_pseudonym(self, visitor: str) -> bool:
        """Whether a request's visitor is a pseudonym already. From a browser it never is:
        pseudonyms are no secret, and would open what the cookie's raw id is needed for."""
        return self.is_trusted and _PSEUDONYM.fullmatch(visitor) is not None


class Applications(BaseModel):
    """All applications, and the limits of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    applications: tuple[Application, ...]
    max_body_bytes: Annotated[int, Field(ge=1_000)] = 64_000
    max_slots: Annotated[int, Field(ge=1, le=100)] = 20

    @model_validator(mode="after")
    def _keys_are_distinct(self) -> Self:
        keys = [one.key for one in self.applications]
        if len(set(keys)) < len(keys):
            raise ValueError("applications have a key in common; give each its own")
        return self

    def allows_origin(self, origin: str) -> bool:
        """Whether any key may be used from `origin`: all that a preflight can tell."""
        return any(one.allows_origin(origin) for one in self.applications)

    @property
    def is_development(self) -> bool:
        return any(one.key == DEVELOPMENT_KEY for one in self.applications)


DEVELOPMENT_APPLICATIONS = Applications(
    applications=(
        Application(
            key=DEVELOPMENT_KEY,
            source="web",
            trust="server",
            allowed_origins=THIS_MACHINE,
        ),
    )
)
"""Used while there is no file: all that a server may, with a key that everybody knows."""


def load_applications(settings: Settings) -> Applications:
    """What `applications.json` says, or the development default where there is none.

    Raises:
        InputError: the file is no such configuration; names the entry and the fix.
    """
    found = read_config(settings.applications, Applications, "nearline serve new-key")
    return found or DEVELOPMENT_APPLICATIONS


def add_application(
    settings: Settings, source: str, origins: list[str], trust: Trust = "browser"
) -> str:
    """Makes a key for `source`, adds it to `applications.json` and returns it."""
    key = make_key(source)
    added = holder_of_key(Application, origins, key=key, source=source, trust=trust)
    kept = load_applications(settings) if settings.applications.exists() else None
    config = (
        kept.model_copy(update={"applications": (*kept.applications, added)})
        if kept
        else Applications(applications=(added,))
    )
    write_config(settings.applications, config)
    return key
