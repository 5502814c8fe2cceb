"""What many visitors share: which variant of a slot a request means, and what it says.

Belongs here: the key of a variant, made of segment, page and groups and never of a person;
who is in which groups; the body, and how long it may be kept. Not here: making and keeping
answers (`sharing`), or HTTP (`edge`).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson

from nearline.decisions.answers import choice_answer, item_answer
from nearline.decisions.deciding import HELD_OUT, Choice
from nearline.decisions.expressions import Expression
from nearline.decisions.knowing import Page
from nearline.decisions.policies import (
    EVERYBODY,
    Block,
    Policy,
    PolicySet,
    Sharing,
    Slot,
)
from nearline.decisions.vocabulary import CONTEXT, PRIMARY_SEGMENT, SEGMENT
from nearline.experiments.definitions import EVERYBODY as WHOEVER

PAGE_FIELDS = ("page_type", "item", "channel", "device_class")
"""What a variant may be of, of all that a page says: no text that could name somebody."""

# Of a body that is kept; another form is another key.
_FORM = 1
# How long an answer is kept that is less than was asked for.
_LESS_SECONDS = 5
# What a list of items stands on, besides conditions.
_OF_LISTS = frozenset({"item", "channel"})


@dataclass(frozen=True, slots=True)
class Variant:
    """What a shared answer is the answer to. `groups` are policy and group, sorted."""

    slot: str
    segment: str | None
    groups: tuple[tuple[str, str], ...]
    page: Page

    @property
    def path(self) -> str:
        """Where it is answered, always with the same parameters in the same order. It
        names the segment in any case, so that no header or cookie can say otherwise."""
        named = {
            "segment": self.segment or EVERYBODY,
            "groups": groups_text(self.groups),
            **{name: getattr(self.page, name) for name in PAGE_FIELDS},
        }
        query = urlencode(
            {name: value for name, value in named.items() if value}, safe=":~"
        )
        return f"/v1/variants/{self.slot}?{query}"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long who may keep an answer, in seconds."""

    browser_seconds: int
    edge_seconds: int
    while_revalidating_seconds: int
    if_error_seconds: int

    @property
    def cache_control(self) -> str:
        said = f"public, max-age={self.browser_seconds}, s-maxage={self.edge_seconds}"
        if self.while_revalidating_seconds:
            said += f", stale-while-revalidate={self.while_revalidating_seconds}"
        if self.if_error_seconds:
            said += f", stale-if-error={self.if_error_seconds}"
        return said


def variant_of(
    slot: Slot,
    policies: PolicySet,
    segment: str | None,
    groups: Mapping[str, str],
    page: Page,
) -> Variant:
    """The variant that is meant. What the slot does not differ by is left out of it, so
    that there are as many as there are answers: another segment, a group of a policy of
    other slots or of an experiment that is over, a part of the page that nothing reads."""
    shared = slot.shared
    is_known = shared is not None and segment in shared.segments
    own = _groups_by_policy(slot, policies)
    told = sorted(
        (name, group) for name, group in groups.items() if group in own.get(name, ())
    )
    read = _page_fields(slot, policies)
    said = {name: getattr(page, name) for name in PAGE_FIELDS if name in read}
    return Variant(slot.name, segment if is_known else None, tuple(told), Page(**said))


def groups_of(slot: Slot, policies: PolicySet, visitor_id: str) -> dict[str, str]:
    """In which group of each policy of a slot a visitor is, where it compares visitors."""
    found = {}
    for policy in _shareable(slot, policies):
        if policy.holds_out(visitor_id):
            found[policy.name] = HELD_OUT
        # Who is let into an experiment by what they are is of one person.
        elif policy.experiment is not None and policy.experiment.eligibility == WHOEVER:
            arm = policy.experiment.arm_of(visitor_id)
            if arm is not None:
                found[policy.name] = arm.name
    return found


def groups_text(groups: Sequence[tuple[str, str]]) -> str:
    """Groups as a parameter, header or cookie holds them: `policy:group~policy:group`.
    A comma would be none of the characters of a cookie."""
    return "~".join(f"{policy}:{group}" for policy, group in groups)


def read_groups(text: str) -> dict[str, str]:
    """Policy and group, of such a text."""
    return dict(part.split(":", 1) for part in text.split("~")) if text else {}


def cache_key(
    variant: Variant, policies: PolicySet, recommender_version: int | None
) -> str:
    """Under what an answer is kept. What it was made by is part of it, so that a new
    policy or model is never answered with what the one before had made."""
    said = (_FORM, variant.path, policies.version, recommender_version)
    return hashlib.sha256(repr(said).encode()).hexdigest()


def variant_body(variant: Variant, choice: Choice) -> bytes:
    """What everybody who shares the variant is answered. No odds: there is only one
    answer; no id: there is no decision for one person."""
    return orjson.dumps(
        {
            "slot": variant.slot,
            "segment": variant.segment,
            "groups": dict(variant.groups),
            **choice_answer(choice, item_answer),
        }
    )


def entity_tag(body: bytes) -> str:
    """The ETag of a body, a strong one: equal tags are equal bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def lifetime(
    shared: Sharing, age_seconds: float, is_whole: bool, names_segment: bool
) -> Lifetime:
    """How long an answer may be kept.

    Args:
        age_seconds: since it was made; what is kept on the way counts from then on.
        is_whole: not so where something was away: then it is soon asked for again.
        names_segment: the URL says which variant it is. Where a header does, which an
            edge sets, a browser has to ask again: its own key is the URL alone.
    """
    if not is_whole:
        return Lifetime(0, _LESS_SECONDS, 0, 0)
    left = max(int(shared.edge_seconds - age_seconds), 1)
    return Lifetime(
        browser_seconds=min(shared.browser_seconds, left) if names_segment else 0,
        edge_seconds=left,
        while_revalidating_seconds=min(shared.edge_seconds, shared.stale_seconds),
        if_error_seconds=shared.stale_seconds,
    )


def _shareable(slot: Slot, policies: PolicySet) -> Iterator[Policy]:
    """Policies that may fill a shared answer: their condition asks for nothing of a
    person but the segment, and they need no consent that a segment does not tell. What
    was shown to somebody, or waits for somebody, is of a person too."""
    if slot.caps:
        return
    for name in slot.policies:
        policy = policies.policies[name]
        names = _names((policy.when,))
        tells = all(
            one.startswith(CONTEXT) or one in (PRIMARY_SEGMENT, SEGMENT)
            for one in names
        )
        is_of_one = policy.caps or policy.trigger is not None
        if tells and not is_of_one and policy.needs <= {"personalization"}:
            yield policy


def _groups_by_policy(slot: Slot, policies: PolicySet) -> dict[str, set[str]]:
    found = {}
    for policy in _shareable(slot, policies):
        groups = set(policy.experiment.arms) if policy.experiment else set()
        if policy.hold_out_share:
            groups.add(HELD_OUT)
        found[policy.name] = groups
    return found


def _page_fields(slot: Slot, policies: PolicySet) -> frozenset[str]:
    """What of the page the slot's answers differ by."""
    blocks: list[Block] = []
    read: set[str] = set()
    for policy in _shareable(slot, policies):
        blocks += [policies.blocks[name] for name in policy.block_names]
        read |= _names((policy.when,))
    for block in blocks:
        read |= _names((block.when, block.score))
    makes_lists = slot.kind == "items" or any(block.listing for block in blocks)
    of_page = frozenset(one.removeprefix(CONTEXT) for one in read)
    return of_page | (_OF_LISTS if makes_lists else frozenset())


def _names(expressions: Sequence[Expression | None]) -> set[str]:
    return {name for one in expressions if one is not None for name in one.names}
