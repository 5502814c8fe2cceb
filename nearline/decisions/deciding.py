"""Chooses what a slot shows: eligibility, trigger, condition, arm, candidates, exploration.

Belongs here: the chain itself, as a function of what is known. Every choice states the
odds that it was made with, given its arm. Not here: budgets, threads and stores
(`service`), or how a list of items is made (`nearline.recommend`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, Protocol

from nearline.decisions.caps import Capped, CappedKind, period_ms
from nearline.decisions.knowing import Known
from nearline.decisions.learnt import LearntOdds
from nearline.decisions.policies import (
    Arm,
    Block,
    Listing,
    Needs,
    Policy,
    PolicySet,
    Slot,
)
from nearline.decisions.vocabulary import SEGMENTS
from nearline.privacy.consents import PURPOSES
from nearline.recommend.requests import Policy as ListRules
from nearline.recommend.requests import Request

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from nearline.recommend.requests import Answer
    from nearline.triggers.outbox import PendingBlock

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

HELD_OUT = "hold-out"
"""The group of a policy's hold-out; no arm of an experiment can be named so."""

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
    """One thing that was asked of a policy on the way, and what came of it; of the slot
    as a whole where `policy` is empty."""

    policy: str
    asked: str
    found: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What one slot shows, and all that is needed to judge it later.

    `candidates` are id, score and the probability of being in the answer, those chosen
    first; `probability` is that of the first place's content. `message` is the trigger's
    that it is shown for; `learnt` the version of the learnt policy whose odds it was drawn
    with. `counted` are the things with caps that are used up by it, `at_cap` those that
    had been.
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
    message: "PendingBlock | None" = None
    learnt: str | None = None
    is_plain: bool = False
    """Its policy is to follow what was learnt, and there is nothing that can be read."""
    counted: tuple[Capped, ...] = ()
    at_cap: tuple[CappedKind, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(slots=True)
class _Way:
    """What was found on the way to a choice."""

    steps: list[Step] = field(default_factory=list)
    at_cap: list[CappedKind] = field(default_factory=list)

    def note(self, policy: str, asked: str, found: str) -> None:
        self.steps.append(Step(policy, asked, found))


NOTHING_LEARNT: "Mapping[Path, LearntOdds]" = {}


def choose_all(
    slots: Sequence[Slot],
    policies: PolicySet,
    known: Known,
    lists: Lists,
    rng: "np.random.Generator",
    learnt: "Mapping[Path, LearntOdds]" = NOTHING_LEARNT,
) -> list[Choice]:
    """What each slot shows. What one of them shows counts for the caps of the next."""
    choices = []
    for slot in slots:
        choice = choose(slot, policies, known, lists, rng, learnt)
        if known.shown is not None:
            shown = known.shown.plus(choice.counted, known.now_ms)
            known = replace(known, shown=shown)
        choices.append(choice)
    return choices


def choose(
    slot: Slot,
    policies: PolicySet,
    known: Known,
    lists: Lists,
    rng: "np.random.Generator",
    learnt: "Mapping[Path, LearntOdds]" = NOTHING_LEARNT,
) -> Choice:
    """What `slot` shows to whom `known` is about; always something that can be shown.

    Args:
        learnt: what the files hold that policies name; see `LearntFiles`.
    """
    way = _Way()
    away = _away(policies.needs_of(slot), known)
    names = slot.policies if _may_be_shown(slot.capped, "", known, way) else ()
    for name in names:
        policy = policies.policies[name]
        if not _is_eligible(policy, known, way):
            continue
        message = _message(slot, policy, known, way)
        if policy.trigger is not None and message is None:
            continue
        if not _applies(policy, known, way):
            continue
        if _is_held_out(policy, known):
            way.note(name, "hold-out", "is of the share that never sees it")
            shown = show_default(slot, policies, known, lists)
            held = replace(shown, is_held_out=True)
            return _finished(held, slot, policy, known, way, away)
        arm = _arm(policy, known, way)
        experiment = policy.experiment
        arms = {}
        if arm is not None and experiment is not None and experiment.is_counted:
            arms[experiment.key] = arm.name
        if arm is not None and arm.is_default:
            shown = show_default(slot, policies, known, lists)
        elif slot.kind == "items":
            listing = (arm and arm.listing) or policy.listing or Listing()
            shown = _listed(slot, listing, _beside(message, known), lists, rng)
        else:
            own = policy.blocks if arm is None or arm.blocks is None else arm.blocks
            able = [
                block
                for block in (policies.blocks[one] for one in own)
                if known.meets(block.when)
                and _may_be_shown(block.capped, name, known, way)
            ]
            if not able:
                way.note(name, "blocks", "none of them may be shown")
                continue
            drawn = _drawn(policy, able, message, known, rng, learnt, way)
            shown = _block(slot, policy, drawn, message, known, lists, rng)
        if arm is None or not arm.is_default:
            shown = replace(shown, message=message)
        return _finished(replace(shown, arms=arms), slot, policy, known, way, away)
    shown = show_default(slot, policies, known, lists)
    return _finished(shown, slot, None, known, way, away)


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


def _away(needs: Needs, known: Known) -> str | None:
    """Why the policies of a slot know less than they ask for, if they do."""
    if known.features_problem is not None and needs.services - known.read:
        return known.features_problem
    if needs.things and known.shown is None and known.shown_problem is not None:
        return known.shown_problem
    if needs.has_triggers and known.pending is None:
        return known.pending_problem
    return None


def _is_eligible(policy: Policy, known: Known, way: _Way) -> bool:
    for purpose in sorted(policy.needs):
        if not getattr(known.consents, purpose):
            way.note(policy.name, f"consent to {purpose}", "not given")
            return False
    return _may_be_shown(policy.capped, policy.name, known, way)


def _may_be_shown(thing: Capped, policy: str, known: Known, way: _Way) -> bool:
    """Whether the caps of a thing leave something; not where it cannot be told."""
    if not thing.caps:
        return True
    asked = f"cap of {thing.kind} {thing.name}"
    if known.shown is None:
        way.note(policy, asked, known.shown_problem or "nothing is counted")
        return False
    reached = known.shown.reached(thing, known.now_ms)
    if reached is not None:
        way.at_cap.append(thing.kind)
        way.note(policy, asked, f"reached: {reached}")
        return False
    used = [
        f"{known.shown.count(thing.key, known.now_ms - period_ms(cap))} of {cap}"
        for cap in thing.caps
    ]
    way.note(policy, asked, ", ".join(used))
    return True


def _message(
    slot: Slot, policy: Policy, known: Known, way: _Way
) -> "PendingBlock | None":
    """The newest message of the policy's trigger that waits for this slot."""
    if policy.trigger is None:
        return None
    asked = f"trigger {policy.trigger}"
    if known.pending is None:
        way.note(policy.name, asked, known.pending_problem or "was not asked for")
        return None
    for one in known.pending:
        is_of_it = (one.trigger, one.slot) == (policy.trigger, slot.name)
        if is_of_it and getattr(known.consents, one.purpose):
            way.note(policy.name, asked, f"waits since {one.fired_at:%d %B %H:%M:%S}")
            return one
    way.note(policy.name, asked, "no message waits")
    return None


def _beside(message: "PendingBlock | None", known: Known) -> Known:
    """A list for a message is made beside the item that it is about."""
    item = message.data.get("item_id") if message is not None else None
    if item is None or known.page.item is not None:
        return known
    return replace(known, page=replace(known.page, item=item))


def _applies(policy: Policy, known: Known, way: _Way) -> bool:
    if policy.when is not None:
        if not known.can_tell(policy.when):
            found = known.features_problem or "no features were read"
        else:
            found = "met" if policy.when.is_met(known.values) else "not met"
        way.note(policy.name, f"when {policy.when.text}", found)
        return found == "met"
    return True


def _is_held_out(policy: Policy, known: Known) -> bool:
    if known.groups is not None:
        return known.groups.get(policy.name) == HELD_OUT
    return _is_measured(known) and policy.holds_out(known.visitor_id)


def _is_measured(known: Known) -> bool:
    """Whether what comes of a choice can be known; else nobody need be compared."""
    return known.consents.analytics


def _arm(policy: Policy, known: Known, way: _Way) -> Arm | None:
    experiment = policy.experiment
    if experiment is None:
        return None
    if known.groups is not None:
        arm = experiment.arms.get(known.groups.get(policy.name, ""))
    elif experiment.is_counted and not _is_measured(known):
        return None
    else:
        consents = [one for one in PURPOSES if getattr(known.consents, one)]
        if not experiment.eligibility.admits(consents, known.values.get(SEGMENTS)):
            way.note(policy.name, f"experiment {experiment.key}", "is not let in")
            return None
        arm = experiment.arm_of(known.visitor_id)
    found = "sees no experiment" if arm is None else f"arm {arm.name}"
    way.note(policy.name, f"experiment {experiment.key}", found)
    return arm


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Blocks in their order, with their scores and odds; `place` is the one drawn."""

    blocks: Sequence[Block]
    scores: Sequence[float]
    odds: Sequence[float]
    place: int
    learnt: str | None = None
    is_plain: bool = False


def _drawn(
    policy: Policy,
    able: Sequence[Block],
    message: "PendingBlock | None",
    known: Known,
    rng: "np.random.Generator",
    learnt: "Mapping[Path, LearntOdds]",
    way: _Way,
) -> _Drawn:
    """One of the blocks that may be shown, and with which odds it is that one."""
    scores = {block.name: _score(block, known) for block in able}
    led_by = None if message is None else message.content
    ranked = sorted(able, key=lambda one: (one.name != led_by, -scores[one.name]))
    held = None if policy.learnt is None else learnt.get(policy.learnt)
    if policy.learnt is not None and held is None:
        way.note(policy.name, f"learnt {policy.learnt.name}", "cannot be read")
    if held is not None:
        context = _context(held.context, policy, known)
        found = held.odds([block.name for block in ranked], context)
        ranked.sort(key=lambda block: -found[block.name])
        odds = [found[block.name] for block in ranked]
        said = f"version {held.version}"
        if held.context is not None:
            said += f", {held.context} {context or 'none'}"
        way.note(policy.name, f"learnt {policy.learnt.name}", said)  # type: ignore[union-attr]
        if not _is_measured(known):
            odds = [1.0, *(0.0 for _ in ranked[1:])]
    else:
        share = policy.explore_share if _is_measured(known) else 0.0
        odds = [share / len(ranked)] * len(ranked)
        odds[0] += 1 - share
    place = 0
    if odds[0] < 1:
        drawn = rng.random() * sum(odds)
        place = next((n for n, upto in enumerate(accumulate(odds)) if drawn < upto), 0)
    return _Drawn(
        ranked,
        [scores[block.name] for block in ranked],
        odds,
        place,
        learnt=None if held is None else held.version,
        is_plain=policy.learnt is not None and held is None,
    )


def _context(name: str | None, policy: Policy, known: Known) -> str | None:
    """The value of what a learnt policy looks at."""
    return {
        "segment": known.segment,
        "source": known.source,
        "trigger_name": policy.trigger,
    }.get(name or "")


def _block(
    slot: Slot,
    policy: Policy,
    drawn: _Drawn,
    message: "PendingBlock | None",
    known: Known,
    lists: Lists,
    rng: "np.random.Generator",
) -> Choice:
    """The block that was drawn, with its list where it is one of items."""
    ranked, scores, odds, place = (
        drawn.blocks, drawn.scores, drawn.odds, drawn.place,
    )  # fmt: skip
    block = ranked[place]
    others = [number for number in range(len(ranked)) if number != place]
    is_personal = message is not None or (
        known.is_known
        and (
            block.is_personal
            or (policy.when is not None and "personalization" in policy.needs)
        )
    )
    choice = Choice(
        slot=slot.name,
        outcome="personal" if is_personal else "general",
        reason=block.reason or policy.reason or f"chosen by policy {policy.name}",
        block=block,
        candidates=tuple(
            (ranked[n].name, scores[n], odds[n]) for n in (place, *others)
        )[:MOST_CANDIDATES],
        chosen=(block.name,),
        probability=odds[place],
        place_probabilities=(odds[place],),
        is_explored=place != 0,
        learnt=drawn.learnt,
        is_plain=drawn.is_plain,
    )
    if block.listing is None:
        return choice
    made = _listed(slot, block.listing, _beside(message, known), lists, rng)
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
    slot: Slot,
    policy: Policy | None,
    known: Known,
    way: _Way,
    away: str | None,
) -> Choice:
    reason = choice.reason
    is_by_policy = choice.outcome in ("personal", "general") and choice.block is None
    if is_by_policy and policy is not None and policy.reason is not None:
        reason = policy.reason
    return replace(
        choice,
        policy=None if policy is None else policy.name,
        policy_version=slot.version if policy is None else policy.version,
        reason=reason,
        fallback=choice.fallback or away,
        counted=() if policy is None else _counted(choice, slot, policy),
        at_cap=tuple(way.at_cap),
        steps=tuple(way.steps),
    )


def _counted(choice: Choice, slot: Slot, policy: Policy) -> tuple[Capped, ...]:
    """What of a choice counts for caps.

    Who is held out, or in an arm that shows the default, uses up the caps of slot and
    policy like everybody else: otherwise the policy would apply to them for longer, and
    the groups could not be compared.
    """
    things = [slot.capped, policy.capped]
    if choice.block is not None and choice.block.name in policy.block_names:
        things.append(choice.block.capped)
    return tuple(thing for thing in things if thing.caps)
