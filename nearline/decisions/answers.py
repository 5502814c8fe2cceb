"""What is answered over HTTP: the form of the bodies, and how a decision becomes one.

Belongs here: the models that the OpenAPI document is made from, and the same as plain
values. Answers are not validated on their way out; a test holds them to the models.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nearline.decisions.deciding import Choice, ShownItem
from nearline.decisions.decision_events import models_of
from nearline.decisions.service import Decided, Decision
from nearline.decisions.vocabulary import SERVICE
from nearline.propensity.scoring import Score
from nearline.triggers.messages import written
from nearline.triggers.moments import milliseconds

WORDS_OF_FALLBACKS: Mapping[str, str] = {
    "store_unavailable": "the online store does not answer",
    "store_slow": "the online store took too long",
    "model_unavailable": "there is no model that can be read",
    "model_slow": "the list took too long to make",
    "model_failed": "the list could not be made",
    "nothing_eligible": "the rules leave no item",
    "caps_unavailable": "what was shown before cannot be counted",
    "caps_slow": "counting what was shown before took too long",
    "triggers_unavailable": "what triggers have to say cannot be read",
    "triggers_slow": "reading what triggers have to say took too long",
    "overloaded": "more is asked than can be answered now",
    "unknown_slot": "no policy file has this slot",
}
"""Why an answer holds less than was asked for."""

Answered = Literal["personal", "general", "popular", "default", "none"]


class AnswerForm(BaseModel):
    """An answer; later versions may have more fields."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ItemAnswer(AnswerForm):
    """An item in its place. `probability` is that of being anywhere in the list."""

    item_id: str
    reason: str
    sources: list[str]
    score: float
    probability: float
    place_probability: float
    is_explored: bool


class ContentAnswer(AnswerForm):
    """What to show: a message or banner with its content, items, or nothing."""

    kind: Literal["message", "banner", "items", "none"]
    block: str | None = None
    content: dict[str, Any] = {}
    items: list[ItemAnswer] = []


class MessageAnswer(AnswerForm):
    """The message of a trigger that the content is shown for, and what it is about.

    `data` has items and counts; nothing of a person.
    """

    message_id: str
    data: dict[str, Any]
    expires_at: str


class SlotAnswer(AnswerForm):
    """What a slot shows and why. Send `decision_id` along with what comes of it.

    It is null where no record is kept: without consent to analytics, for a slot that is
    not known, or where the queue of records is full.
    """

    decision_id: str | None
    content: ContentAnswer
    reason: str
    answer: Answered
    fallback: str | None = Field(description=", ".join(WORDS_OF_FALLBACKS))
    policy: str | None
    policy_version: str | None
    arms: dict[str, str]
    hold_out: bool
    probability: float
    is_explored: bool
    trigger: str | None
    message: MessageAnswer | None
    learnt: str | None
    models: dict[str, int]


class FreshnessAnswer(AnswerForm):
    """Seconds since the newest value of the visitor became known; null: none was read.
    `recommender_as_of`: up to when the recommender has seen events; null: its training."""

    feature_age_seconds: float | None
    recommender_as_of: str | None


class VersionsAnswer(AnswerForm):
    """`features` is the Feast service that was read; null: none was."""

    features: str | None
    recommender: int | None


class DecideAnswer(AnswerForm):
    """What to show in each slot that was asked for."""

    slots: dict[str, SlotAnswer]
    versions: VersionsAnswer
    freshness: FreshnessAnswer
    latency_ms: float


class RecommendAnswer(AnswerForm):
    """One list."""

    list_: SlotAnswer = Field(alias="list")
    versions: VersionsAnswer
    freshness: FreshnessAnswer
    latency_ms: float


class SharedItemAnswer(AnswerForm):
    """An item in its place."""

    item_id: str
    reason: str
    sources: list[str]


class SharedContentAnswer(AnswerForm):
    """What to show: a message or banner with its content, items, or nothing."""

    kind: Literal["message", "banner", "items", "none"]
    block: str | None
    content: dict[str, Any]
    items: list[SharedItemAnswer]


class VariantAnswer(AnswerForm):
    """What a slot shows to everybody of a segment, on a page, in these groups.

    There is no decision of one person in it, so no id and no odds. `groups` are the
    policies' that compare visitors, `arms` those of experiments that it was chosen in.
    """

    slot: str
    segment: str | None
    groups: dict[str, str]
    content: SharedContentAnswer
    reason: str
    answer: Answered
    fallback: str | None
    policy: str | None
    policy_version: str | None
    arms: dict[str, str]
    hold_out: bool
    models: dict[str, int]


class VariantOfVisitor(AnswerForm):
    """Where a slot's variant is; `path` is null where the slot has none to share."""

    path: str | None


class VariantsAnswer(AnswerForm):
    """Which variants a visitor sees. Private: do not keep it for others.

    `segment` and `groups` (empty: none) are what an edge may be told in their stead, for
    `valid_seconds`. `fallback` says why nothing is known, if something was away.
    """

    slots: dict[str, VariantOfVisitor]
    segment: str
    groups: str
    valid_seconds: int
    fallback: str | None


class ScoreOfTarget(AnswerForm):
    """A probability, 0 to 1, and the version that gave it; null and why there is none."""

    probability: float | None
    version: int | None
    problems: list[str]
    reason: str | None


class ScoreAnswer(AnswerForm):
    """Scores by target."""

    scores: dict[str, ScoreOfTarget]


class SegmentAnswer(AnswerForm):
    """A segment that a person is in, since when (UTC), and whether it is the first one."""

    segment: str
    since: str
    is_primary: bool


class SegmentsAnswer(AnswerForm):
    """Segments as of the published release; null: nothing is published."""

    segments: list[SegmentAnswer]
    as_of: str | None
    reason: str | None


class OutcomesAnswer(AnswerForm):
    """How many outcomes are durably kept; `not_kept` had no consent to analytics."""

    accepted: int
    not_kept: int


class ProblemAnswer(AnswerForm):
    """Why a request is refused, and what to do."""

    error: str
    field: str | None
    fix: str


ANSWERS: tuple[type[AnswerForm], ...] = (
    DecideAnswer,
    RecommendAnswer,
    ScoreAnswer,
    SegmentsAnswer,
    OutcomesAnswer,
    VariantsAnswer,
    VariantAnswer,
    ProblemAnswer,
)


def decide_answer(decided: Decided) -> dict[str, Any]:
    """The body of `/v1/decide`."""
    slots = {name: slot_answer(one) for name, one in decided.decisions.items()}
    return {"slots": slots, **_about(decided)}


def recommend_answer(decided: Decided) -> dict[str, Any]:
    """The body of `/v1/recommend`."""
    (decision,) = decided.decisions.values()
    return {"list": slot_answer(decision), **_about(decided)}


def score_answer(scores: Mapping[str, Score]) -> dict[str, Any]:
    """The body of `/v1/score`."""
    return {
        "scores": {
            key: {
                "probability": one.probability,
                "version": one.version,
                "problems": list(one.problems),
                "reason": one.reason,
            }
            for key, one in scores.items()
        }
    }


def slot_answer(decision: Decision) -> dict[str, Any]:
    """What one slot shows."""
    choice = decision.choice
    message = choice.message
    return {
        "decision_id": decision.decision_id,
        **choice_answer(choice, _item_with_odds),
        "probability": choice.probability,
        "is_explored": choice.is_explored,
        "trigger": None if message is None else message.trigger,
        "message": None
        if message is None
        else {
            "message_id": message.message_id,
            "data": dict(message.data),
            "expires_at": written(milliseconds(message.expires_at)),
        },
        "learnt": choice.learnt,
    }


def choice_answer(
    choice: Choice, item_answer: Callable[[ShownItem], dict[str, Any]]
) -> dict[str, Any]:
    """What is said of a choice, whoever it is for."""
    block = choice.block
    return {
        "content": {
            "kind": _kind_of(choice),
            "block": None if block is None else block.name,
            "content": {} if block is None else dict(block.content),
            "items": [item_answer(item) for item in choice.items],
        },
        "reason": choice.reason,
        "answer": choice.outcome,
        "fallback": choice.fallback,
        "policy": choice.policy,
        "policy_version": choice.policy_version,
        "arms": dict(choice.arms),
        "hold_out": choice.is_held_out,
        "models": models_of(choice),
    }


def item_answer(item: ShownItem) -> dict[str, Any]:
    """An item in its place, without odds."""
    return {
        "item_id": item.item_id,
        "reason": item.reason,
        "sources": list(item.sources),
    }


def _item_with_odds(item: ShownItem) -> dict[str, Any]:
    return {
        **item_answer(item),
        "score": item.score,
        "probability": item.probability,
        "place_probability": item.place_probability,
        "is_explored": item.is_explored,
    }


def _kind_of(choice: Choice) -> str:
    """What a choice shows: the kind of its block, a list of items, or nothing."""
    if choice.block is not None:
        return choice.block.kind
    return "items" if choice.items else "none"


def _about(decided: Decided) -> dict[str, Any]:
    known = decided.known
    return {
        "versions": {
            "features": None if known.features is None else SERVICE,
            "recommender": decided.lists.version,
        },
        "freshness": {
            "feature_age_seconds": known.feature_age_seconds,
            "recommender_as_of": decided.lists.as_of,
        },
        "latency_ms": round(decided.latency_ms, 3),
    }
