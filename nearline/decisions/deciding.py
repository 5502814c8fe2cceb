"""Chooses what a slot shows: eligibility, condition, arm, candidates, order, exploration.

Belongs here: the chain itself, as a function of what is known. Every choice states the
odds that it was made with, given its arm. Not here: budgets, threads and stores
(`service`), or how a list of items is made (`nearline.recommend`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from nearline.decisions.knowing import Known
from nearline.decisions.policies import (
    Arm,
    Block,
    Listing,
    Policy,
    PolicySet,
    Slot,
)
from nearline.decisions.vocabulary import SEGMENTS
from nearline.privacy.consents import PURPOSES
from nearline.recommend.requests import Policy as ListRules
from nearline.recommend.requests import Request

if TYPE_CHECKING:
    import numpy as np

    from nearline.recommend.requests import Answer

Outcome = Literal["personal", "general", "popular", "default", "none"]
"""By what the content was chosen.

    personal  what the visitor did
    general   the page and what trends: the same for everybody who is not known
    popular   sales of the published tables, without a model
    default   what the slot's file names as its default
    none      nothing: there is no such slot, or it has no default
"""

MOST_CANDIDATES = 50

MODEL_AWAY = "model_unavailable"
NOTHING_ELIGIBLE = "nothing_eligible"
UNKNOWN_SLOT = "unknown_slot"

_WORDS: Mapping[Outcome, str] = {
    "personal": "chosen by what the visitor did",
    "general": "what is popular and trends now",
    "popular": "what people buy most",
    "default": "default content",
    "none": "nothing to show",
}


class Lists(Protocol):
    """Makes lists of items. None: there is no model to make one with."""

    @property
    def version(self) -> int | None: ...

    @property
    def popular(self) -> Sequence[str]:
        """Items by how much they are bought, from the published tables; may be empty."""
        ...

    def recommend(
        self, request: Request, rules: ListRules, rng: "np.random.Generator"
    ) -> "Answer | None": ...

    def knows(self, item_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item in its place, with why, and the odds of it being there."""

    item_id: str
    score: float
    reason: str
    sources: tuple[str, ...]
    probability: float
    place_probability: float
    is_explored: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was asked of a policy on the way, and what came of it."""

    policy: str
    asked: str
    found: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What one slot shows, and all that is needed to judge it later.

    `candidates` are id, score and the probability of being in the answer, those chosen
    first; `probability` is that of the first place's content.
    """

    slot: str
    outcome: Outcome
    reason: str
    block: Block | None = None
    items: tuple[ShownItem, ...] = ()
    policy: str | None = None
    policy_version: str | None = None
    candidates: tuple[tuple[str, float, float], ...] = ()
    chosen: tuple[str, ...] = ()
    probability: float = 1.0
    place_probabilities: tuple[float, ...] = ()
    is_explored: bool = False
    arms: Mapping[str, str] = field(default_factory=dict)
    is_held_out: bool = False
    recommender_version: int | None = None
    page_item: str | None = None
    fallback: str | None = None
    steps: tuple[Step, ...] = ()


def choose(
    slot: Slot,
    policies: PolicySet,
    known: Known,
    lists: Lists,
    rng: "np.random.Generator",
) -> Choice:
    """What `slot` shows to whom `known` is about; always something that can be shown."""
    steps: list[Step] = []
    for name in slot.policies:
        policy = policies.policies[name]
        if not _applies(policy, known, steps):
            continue
        if _is_measured(known) and policy.holds_out(known.visitor_id):
            steps.append(Step(name, "hold-out", "is of the share that never sees it"))
            shown = show_default(slot, policies, known, lists)
            return _finished(
                replace(shown, is_held_out=True), policy, policy.version, known, steps
            )
        arm = _arm(policy, known, steps)
        experiment = policy.experiment
        arms = {}
        if arm is not None and experiment is not None and experiment.is_counted:
            arms[experiment.key] = arm.name
        if arm is not None and arm.is_default:
            shown = show_default(slot, policies, known, lists)
        elif slot.kind == "items":
            listing = (arm and arm.listing) or policy.listing or Listing()
            shown = _listed(slot, listing, known, lists, rng)
        else:
            names = policy.blocks if arm is None or arm.blocks is None else arm.blocks
            blocks = [policies.blocks[one] for one in names]
            found = _block(slot, policy, blocks, known, lists, rng)
            if found is None:
                steps.append(Step(name, "blocks", "none of them may be shown"))
                continue
            shown = found
        return _finished(
            replace(shown, arms=arms), policy, policy.version, known, steps
        )
    shown = show_default(slot, policies, known, lists)
    return _finished(shown, None, slot.version, known, steps)


def show_default(
    slot: Slot,
    policies: PolicySet,
    known: Known,
    lists: Lists,
    fallback: str | None = None,
) -> Choice:
    """What a slot shows when no policy fills it, or none can be asked: needs no model."""
    if slot.kind == "block":
        block = policies.blocks[slot.default_block or ""]
        return Choice(
            slot=slot.name,
            outcome="default",
            reason=block.reason or _WORDS["default"],
            block=block,
            policy_version=slot.version,
            candidates=((block.name, 0.0, 1.0),),
            chosen=(block.name,),
            place_probabilities=(1.0,),
            fallback=fallback,
        )
    return _simple_list(slot, slot.count, known, lists, fallback)


def no_such_slot(name: str) -> Choice:
    """The answer for a slot that no file has."""
    return Choice(name, "none", "there is no such slot", fallback=UNKNOWN_SLOT)


def _applies(policy: Policy, known: Known, steps: list[Step]) -> bool:
    for purpose in sorted(policy.needs):
        if not getattr(known.consents, purpose):
            steps.append(Step(policy.name, f"consent to {purpose}", "not given"))
            return False
    if policy.when is not None:
        if not known.can_tell(policy.when):
            found = known.features_problem or "no features were read"
        else:
            found = "met" if policy.when.is_met(known.values) else "not met"
        steps.append(Step(policy.name, f"when {policy.when.text}", found))
        return found == "met"
    return True


def _is_measured(known: Known) -> bool:
    """Whether what comes of a choice can be known; else nobody need be compared."""
    return known.consents.analytics


def _arm(policy: Policy, known: Known, steps: list[Step]) -> Arm | None:
    experiment = policy.experiment
    if experiment is None or (experiment.is_counted and not _is_measured(known)):
        return None
    consents = [one for one in PURPOSES if getattr(known.consents, one)]
    arm = None
    found = "is not let in"
    if experiment.eligibility.admits(consents, known.values.get(SEGMENTS)):
        arm = experiment.arm_of(known.visitor_id)
        found = "sees no experiment" if arm is None else f"arm {arm.name}"
    steps.append(Step(policy.name, f"experiment {experiment.key}", found))
    return arm


def _block(
    slot: Slot,
    policy: Policy,
    blocks: Sequence[Block],
    known: Known,
    lists: Lists,
    rng: "np.random.Generator",
) -> Choice | None:
    """The best block that may be shown, or now and then another; None where none may."""
    able = [block for block in blocks if known.meets(block.when)]
    if not able:
        return None
    scores = {block.name: _score(block, known) for block in able}
    ranked = sorted(able, key=lambda block: -scores[block.name])
    share = policy.explore_share if _is_measured(known) else 0.0
    odds = [share / len(ranked)] * len(ranked)
    odds[0] += 1 - share
    place = 0
    if len(ranked) > 1 and rng.random() < share:
        place = int(rng.integers(len(ranked)))
    block = ranked[place]
    others = [number for number in range(len(ranked)) if number != place]
    is_personal = known.is_known and (
        block.is_personal
        or (policy.when is not None and "personalization" in policy.needs)
    )
    choice = Choice(
        slot=slot.name,
        outcome="personal" if is_personal else "general",
        reason=block.reason or policy.reason or f"chosen by policy {policy.name}",
        block=block,
        candidates=tuple(
            (ranked[n].name, scores[ranked[n].name], odds[n]) for n in (place, *others)
        )[:MOST_CANDIDATES],
        chosen=(block.name,),
        probability=odds[place],
        place_probabilities=(odds[place],),
        is_explored=place != 0,
    )
    if block.listing is None:
        return choice
    made = _listed(slot, block.listing, known, lists, rng)
    return replace(
        choice,
        items=made.items,
        outcome=made.outcome if made.outcome != "general" else choice.outcome,
        recommender_version=made.recommender_version,
        page_item=made.page_item,
        fallback=made.fallback,
    )


def _score(block: Block, known: Known) -> float:
    if block.score is None or not known.can_tell(block.score):
        return 0.0
    return float(block.score.value(known.values) or 0.0)


def _listed(
    slot: Slot,
    listing: Listing,
    known: Known,
    lists: Lists,
    rng: "np.random.Generator",
) -> Choice:
    """A list of items by the model, or where it makes none by sales."""
    count = listing.count or slot.count
    rules = listing.rules
    if not _is_measured(known):
        rules = replace(rules, exploration_share=0.0)
    request = Request(
        history=known.history,
        item=known.page.item,
        count=count,
        channel=known.page.channel,
        category=listing.category,
        unavailable=known.unavailable,
    )
    answer = lists.recommend(request, rules, rng)
    if answer is None or not answer.items:
        why = MODEL_AWAY if answer is None else NOTHING_ELIGIBLE
        return _simple_list(slot, count, known, lists, why)
    items = tuple(
        ShownItem(
            item_id=one.item_id,
            score=one.score,
            reason=one.reason,
            sources=one.sources,
            probability=one.probability,
            place_probability=one.place_probability,
            is_explored=one.is_explored,
        )
        for one in answer.items
    )
    chosen = tuple(item.item_id for item in items)
    rest = (one for one in answer.candidates.items() if one[0] not in set(chosen))
    candidates = [(item.item_id, item.score, item.probability) for item in items]
    candidates += [(one, answer.scores.get(one, 0.0), odds) for one, odds in rest]
    outcome: Outcome = "personal" if known.history else "general"
    page_item = known.page.item
    return Choice(
        slot=slot.name,
        outcome=outcome,
        reason=_WORDS[outcome],
        items=items,
        candidates=tuple(candidates[:MOST_CANDIDATES]),
        chosen=chosen,
        probability=items[0].place_probability,
        place_probabilities=tuple(item.place_probability for item in items),
        is_explored=any(item.is_explored for item in items),
        recommender_version=lists.version,
        page_item=page_item if page_item and lists.knows(page_item) else None,
    )


def _simple_list(
    slot: Slot,
    count: int,
    known: Known,
    lists: Lists,
    fallback: str | None,
) -> Choice:
    """The slot's own items, or those that are bought most; nothing is drawn."""
    outcome: Outcome = "default" if slot.default_items else "popular"
    source = slot.default_items or lists.popular
    left_out = {*known.unavailable, known.page.item}
    chosen = tuple(item for item in source if item not in left_out)[:count]
    if not chosen:
        outcome = "none"
    reason = _WORDS[outcome]
    return Choice(
        slot=slot.name,
        outcome=outcome,
        reason=reason,
        items=tuple(
            ShownItem(item, 0.0, reason, (outcome,), 1.0, 1.0) for item in chosen
        ),
        policy_version=slot.version,
        candidates=tuple((item, 0.0, 1.0) for item in chosen),
        chosen=chosen,
        place_probabilities=(1.0,) * len(chosen),
        fallback=fallback,
    )


def _finished(
    choice: Choice,
    policy: Policy | None,
    version: str,
    known: Known,
    steps: Sequence[Step],
) -> Choice:
    reason = choice.reason
    is_by_policy = choice.outcome in ("personal", "general") and choice.block is None
    if is_by_policy and policy is not None and policy.reason is not None:
        reason = policy.reason
    return replace(
        choice,
        policy=None if policy is None else policy.name,
        policy_version=version,
        reason=reason,
        fallback=choice.fallback or known.features_problem,
        steps=tuple(steps),
    )
