"""A client of the personalization API for Python, typed and safe to use from threads.

Belongs here: one call per path, and what an application shows while the service is away.
It needs urllib3 and nothing else of ours, so that an app need not load a model's library.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote
from uuid import uuid4

import urllib3

from nearline.errors import NearlineError

SERVICE_AWAY = "service_unavailable"
"""`fallback` of an answer that this client gave itself."""

_OUTCOME_TRIES = 3
_JSON = {"Content-Type": "application/json"}


class DecisionsRefusedError(NearlineError):
    """The service refuses the request: mend it. `field` and `fix` are its own words."""

    def __init__(self, status: int, error: str, field: str | None, fix: str) -> None:
        super().__init__(f"{field or 'request'}: {error}; {fix}")
        self.status = status
        self.field = field
        self.fix = fix


class DecisionsUnavailableError(NearlineError):
    """The service gave no answer in time; the same may work later."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What the visitor said yes to. Leave it out, and nothing is known or recorded."""

    analytics: bool = False
    personalization: bool = False
    marketing: bool = False
    notice_version: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What the page says of itself and of the visit."""

    consent: Consent = Consent()
    page_type: str | None = None
    page_path: str | None = None
    item: str | None = None
    channel: str | None = None
    campaign: str | None = None
    device_class: Literal["desktop", "mobile", "tablet", "tv", "other"] | None = None
    source_session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An item in its place, with a reason that may be shown."""

    item_id: str
    reason: str = ""
    probability: float = 1.0
    place_probability: float = 1.0
    is_explored: bool = False


@dataclass(frozen=True, slots=True)
class SlotContent:
    """What to show in a slot, and why. `fallback` says why it is less than was asked for.

    `trigger` is the one whose message is shown, `data` what that is about. Give
    `decision_id` to `outcomes`; it is None where no record is kept.
    """

    kind: Literal["message", "banner", "items", "none"] = "none"
    block: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    reason: str = ""
    answer: str = "none"
    decision_id: str | None = None
    fallback: str | None = None
    policy: str | None = None
    arms: Mapping[str, str] = field(default_factory=dict)
    hold_out: bool = False
    probability: float = 1.0
    trigger: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def item_ids(self) -> list[str]:
        return [item.item_id for item in self.items]


@dataclass(frozen=True, slots=True)
class Score:
    """A probability, 0 to 1; None and the reason where there is none."""

    probability: float | None
    version: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a decision, such as a click; `content` is the item or block."""

    decision_id: str
    kind: str
    content: str | None = None
    reward: float | None = None
    event_id: str | None = None


class DecisionsClient:
    """Asks one service with one key; keeps its connections open."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = 0.5,
        defaults: Mapping[str, SlotContent] | None = None,
        connections: int = 10,
        agent: str | None = None,
    ) -> None:
        """Nothing is connected to yet.

        Args:
            timeout_seconds: for one request as a whole; an application waits no longer.
            defaults: by slot, what is shown while the service is away.
            agent: User-Agent of the browser that is spoken for; with a browser's key, who
                names a program is taken for a machine.
        """
        self._url = url.rstrip("/")
        self._headers = {"X-Nearline-Key": key}
        if agent is not None:
            self._headers["User-Agent"] = agent
        self._timeout = urllib3.Timeout(total=timeout_seconds)
        self._defaults = dict(defaults or {})
        self._pool = urllib3.PoolManager(maxsize=connections, retries=False)

    def decide(
        self, visitor: str, slots: Sequence[str], context: Context | None = None
    ) -> dict[str, SlotContent]:
        """What to show in each slot. An outage is no error: then it is the defaults.

        Raises:
            DecisionsRefusedError: the key or the request is wrong.
        """
        body = {"visitor": visitor, "slots": list(slots), **_context(context)}
        try:
            answer = self._post("/v1/decide", body)
        except DecisionsUnavailableError:
            return {name: self._default(name) for name in slots}
        return {name: _slot(one) for name, one in answer["slots"].items()}

    def recommend(
        self,
        visitor: str,
        count: int = 10,
        context: Context | None = None,
        *,
        category: str | None = None,
        unavailable: Sequence[str] = (),
    ) -> SlotContent:
        """A list by no policy. During an outage it is the default of slot `recommend`.

        Raises:
            DecisionsRefusedError: the key or the request is wrong.
        """
        body = {
            "visitor": visitor,
            "count": count,
            "category": category,
            "unavailable": list(unavailable),
            **_context(context),
        }
        try:
            return _slot(self._post("/v1/recommend", body)["list"])
        except DecisionsUnavailableError:
            return self._default("recommend")

    def score(self, visitor: str, context: Context | None = None) -> dict[str, Score]:
        """How likely the visitor is to buy, by target; needs a server's key.

        Raises:
            DecisionsRefusedError: the key or the request is wrong.
            DecisionsUnavailableError: no answer in time.
        """
        answer = self._post("/v1/score", {"visitor": visitor, **_context(context)})
        return {
            name: Score(one["probability"], one["version"], one["reason"])
            for name, one in answer["scores"].items()
        }

    def segments(
        self,
        visitor: str,
        purpose: Literal["personalization", "marketing"] = "personalization",
    ) -> list[str]:
        """Names of the segments that the visitor is in, the primary one first; needs a
        server's key. Raises as `score` does."""
        path = f"/v1/segments/{quote(visitor, safe='')}?purpose={purpose}"
        answer = self._request("GET", path, None)
        return [one["segment"] for one in answer["segments"]]

    def outcomes(
        self,
        visitor: str,
        outcomes: Sequence[Outcome],
        context: Context | None = None,
    ) -> int:
        """Reports what came of decisions; returns how many are durably kept. Tried again
        where there is no answer, and counted once all the same. Raises as `score` does."""
        sent = [
            replace(one, event_id=one.event_id or f"r_{uuid4().hex}")
            for one in outcomes
        ]
        body = {
            "visitor": visitor,
            "outcomes": [_without_none(asdict(one)) for one in sent],
            **_context(context),
        }
        for number in range(_OUTCOME_TRIES):
            try:
                return int(self._post("/v1/outcomes", body)["accepted"])
            except DecisionsUnavailableError:
                if number + 1 == _OUTCOME_TRIES:
                    raise
        return 0

    def close(self) -> None:
        self._pool.clear()

    def _default(self, slot: str) -> SlotContent:
        return replace(
            self._defaults.get(slot, SlotContent()),
            fallback=SERVICE_AWAY,
            answer="default" if slot in self._defaults else "none",
        )

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._request("POST", path, json.dumps(body).encode())

    def _request(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        try:
            response = self._pool.request(
                method,
                f"{self._url}{path}",
                body=body,
                headers=self._headers | (_JSON if body else {}),
                timeout=self._timeout,
            )
            status, content = response.status, json.loads(response.data)
        except (urllib3.exceptions.HTTPError, ValueError) as problem:
            raise DecisionsUnavailableError(
                f"no answer from the service ({type(problem).__name__})"
            ) from problem
        if status == 429 or status >= 500:
            raise DecisionsUnavailableError(f"the service answers {status}")
        if status != 200:
            raise DecisionsRefusedError(
                status, content["error"], content["field"], content["fix"]
            )
        found: dict[str, Any] = content
        return found


def _context(context: Context | None) -> dict[str, Any]:
    if context is None:
        return {}
    return {"context": _without_none(asdict(context))}


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _slot(answer: Mapping[str, Any]) -> SlotContent:
    shown = answer["content"]
    return SlotContent(
        kind=shown["kind"],
        block=shown["block"],
        content=shown["content"],
        items=tuple(
            Item(
                item_id=one["item_id"],
                reason=one["reason"],
                probability=one["probability"],
                place_probability=one["place_probability"],
                is_explored=one["is_explored"],
            )
            for one in shown["items"]
        ),
        reason=answer["reason"],
        answer=answer["answer"],
        decision_id=answer["decision_id"],
        fallback=answer["fallback"],
        policy=answer["policy"],
        arms=answer["arms"],
        hold_out=answer["hold_out"],
        probability=answer["probability"],
        trigger=answer["trigger"],
        data=(answer["message"] or {}).get("data", {}),
    )
