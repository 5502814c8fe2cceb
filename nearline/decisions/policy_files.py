"""Reads policies from YAML files, and says of each mistake in which file, field and why.

Belongs here: the form of the files and the check that names in them belong to something.
All mistakes are found at once; who serves takes a folder without any or not at all.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from nearline.decisions.caps import MOST_SHOWS, Cap, parse_period
from nearline.decisions.expressions import (
    Expression,
    ExpressionError,
    Kind,
    parse_condition,
    parse_score,
)
from nearline.decisions.policies import (
    EVERYBODY,
    Arm,
    Block,
    BlockKind,
    Experiment,
    Listing,
    Policy,
    PolicySet,
    Sharing,
    Slot,
    SlotKind,
)
from nearline.decisions.vocabulary import (
    check_segments,
    known_names,
    known_segments,
    reads_features,
)
from nearline.errors import InputError
from nearline.events.contract import Key, Name
from nearline.experiments.registry import Registered, load_running
from nearline.privacy.consents import Purpose
from nearline.recommend.requests import Policy as ListRules
from nearline.settings import Settings
from nearline.yaml_forms import FORM_CONFIG, FileError, FileProblem, read_form

if TYPE_CHECKING:
    from nearline.triggers.definitions import Trigger, Triggers

MOST_ITEMS = 50
"""Of one list; the record of a decision holds as many candidates."""

_SUFFIXES = (".yml", ".yaml")
_LEAST_SHARE = 1e-4
_MOST_KEPT_SECONDS = 7 * 86_400

Share = Annotated[float, Field(ge=0, le=1)]
Salt = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Count = Annotated[int, Field(ge=1, le=MOST_ITEMS)]
Period = Annotated[timedelta, BeforeValidator(parse_period)]


class _Form(BaseModel):
    model_config = FORM_CONFIG


class _CapForm(_Form):
    shows: Annotated[int, Field(ge=1, le=MOST_SHOWS)]
    per: Period


Caps = Annotated[list[_CapForm], Field(min_length=1, max_length=5)]


class _ListForm(_Form):
    count: Count | None = None
    category: str | None = None
    exploration_share: Share | None = None
    relevance_share: Share | None = None
    most_per_brand: Annotated[int, Field(ge=1)] | None = None
    hide_seen: bool | None = None
    hide_bought: bool | None = None


class _DefaultForm(_Form):
    block: Name | None = None
    items: Annotated[list[Key], Field(max_length=MOST_ITEMS)] = []


class _SharedForm(_Form):
    segments: Annotated[list[Name], Field(max_length=20)] = []
    browser_seconds: Annotated[int, Field(ge=0, le=_MOST_KEPT_SECONDS)] = 30
    edge_seconds: Annotated[int, Field(ge=1, le=_MOST_KEPT_SECONDS)] = 60
    stale_seconds: Annotated[int, Field(ge=0, le=_MOST_KEPT_SECONDS)] = 86_400


class _SlotForm(_Form):
    kind: SlotKind
    policies: list[Name] = []
    count: Count = 5
    caps: Caps | None = None
    default: _DefaultForm = _DefaultForm()
    shared: _SharedForm | None = None


class _BlockForm(_Form):
    kind: BlockKind
    content: dict[str, Any] = {}
    when: str | None = None
    score: str | None = None
    reason: Annotated[str, Field(max_length=256)] | None = None
    list_: Annotated[_ListForm | None, Field(alias="list")] = None
    caps: Caps | None = None


class _ArmForm(_Form):
    share: Share | None = None
    blocks: list[Name] | None = None
    list_: Annotated[_ListForm | None, Field(alias="list")] = None
    default: bool = False


class _ExperimentForm(_Form):
    key: Key
    salt: Salt | None = None
    arms: Annotated[dict[Name, _ArmForm], Field(min_length=1)]


class _PolicyForm(_Form):
    needs: list[Purpose] = []
    caps: Caps | None = None
    trigger: Name | None = None
    when: str | None = None
    hold_out: Share = 0.0
    experiment: _ExperimentForm | None = None
    blocks: list[Name] = []
    explore: Share = 0.0
    learnt: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    list_: Annotated[_ListForm | None, Field(alias="list")] = None
    reason: Annotated[str, Field(max_length=256)] | None = None


class _FileForm(_Form):
    version: Literal[1]
    slots: dict[Name, _SlotForm] = {}
    blocks: dict[Name, _BlockForm] = {}
    policies: dict[Name, _PolicyForm] = {}


class PolicyError(FileError):
    """Policies that cannot be used, with everything that is wrong in them."""


def load_policies(settings: Settings, now: datetime) -> PolicySet:
    """The policies of this installation; the shipped ones where it has none.

    Experiments that they take from their definitions are as they stand at `now`, and
    noted as running: what ran cannot be changed afterwards.

    Raises:
        PolicyError: something is wrong in them, or in the definitions that they name: one
            that changed while it ran, too.
    """
    return read_policies(
        policy_paths(settings),
        known_names(settings.dbt_project),
        lambda: load_triggers(settings),
        known_segments(settings.dbt_project),
        experiments=lambda: load_running(settings, now),
    )


def load_triggers(settings: Settings) -> "Triggers":
    """The triggers of this installation.

    Raises:
        InputError: something is wrong in them.
    """
    from nearline.triggers.reading import read_triggers

    return read_triggers(settings.triggers, settings.dbt_project)


def policy_paths(settings: Settings) -> list[Path]:
    """The files that are served: of the folder of the settings, or the shipped one."""
    folder = settings.policy_folder
    if folder.is_dir():
        return files_of(folder)
    return [Path(str(files("nearline.decisions") / "default_policies" / "shop.yml"))]


def files_of(path: Path) -> list[Path]:
    """A file, or all policy files of a folder in the order of their names.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES)
    if not found:
        raise InputError(
            f"{path} holds no policy file (.yml); see docs/decisions-api.md"
        )
    return found


def read_policies(
    paths: Iterable[Path],
    names: Mapping[str, Kind],
    triggers: "Callable[[], Triggers] | None" = None,
    segments: Collection[str] | None = None,
    *,
    with_learnt: bool = False,
    experiments: Callable[[], Mapping[str, Registered]] = dict,
) -> PolicySet:
    """Policies of several files as one set.

    Args:
        names: what conditions may use (`vocabulary.known_names`).
        triggers: reads the triggers that policies may name, where some do; without,
            their names are not checked.
        with_learnt: whether files of learnt policies are checked, too. Who serves does
            without: they come and go, and plain order serves meanwhile.
        experiments: reads those that are defined, by key, once a policy names one.

    Raises:
        PolicyError: something is wrong; all of it is listed.
    """
    reading = _Reading(names, triggers, segments, with_learnt, cache(experiments))
    for path in paths:
        reading.add(path)
    reading.check()
    if reading.problems:
        raise PolicyError(reading.problems)
    return PolicySet(
        reading.slots,
        reading.blocks,
        reading.policies,
        reading.version(),
        reading.changes_at,
    )


class _Reading:
    """What was read so far, and what was wrong with it."""

    def __init__(
        self,
        names: Mapping[str, Kind],
        read_triggers: "Callable[[], Triggers] | None",
        segments: Collection[str] | None,
        with_learnt: bool,
        experiments: Callable[[], Mapping[str, Registered]],
    ) -> None:
        self.slots: dict[str, Slot] = {}
        self.blocks: dict[str, Block] = {}
        self.policies: dict[str, Policy] = {}
        self.problems: list[FileProblem] = []
        self.changes_at: datetime | None = None
        self._experiments = experiments
        self._names = names
        self._read_triggers = read_triggers
        self._triggers: Mapping[str, Trigger] | None = None
        self._segments = segments
        self._with_learnt = with_learnt
        self._file = ""
        self._folder = Path()
        self._files: dict[tuple[str, str], str] = {}
        self._versions: list[str] = []

    def add(self, path: Path) -> None:
        self._file, self._folder = path.name, path.parent
        read = read_form(path, _FileForm, "docs/decisions-api.md")
        self.problems += read.problems
        if read.form is None:
            return
        form, version = read.form, read.version
        self._versions.append(version)
        for name, slot in form.slots.items():
            self._note("slots", name)
            self.slots[name] = Slot(
                name=name,
                kind=slot.kind,
                version=version,
                policies=tuple(slot.policies),
                default_block=slot.default.block,
                default_items=tuple(slot.default.items),
                count=slot.count,
                caps=_caps(slot.caps),
                shared=None if slot.shared is None else _sharing(slot.shared),
            )
        for name, block in form.blocks.items():
            self._note("blocks", name)
            self.blocks[name] = self._block(name, block)
        for name, policy in form.policies.items():
            self._note("policies", name)
            self.policies[name] = self._policy(name, policy, version)

    def version(self) -> str:
        """One version of all files: a block may be in another file than its policy."""
        return hashlib.sha256(" ".join(self._versions).encode()).hexdigest()[:12]

    def check(self) -> None:
        """Whether every name that is used belongs to something that fits."""
        if self._read_triggers is not None and any(
            policy.trigger for policy in self.policies.values()
        ):
            try:
                self._triggers = self._read_triggers().by_name
            except InputError as problem:
                self._file = "triggers"
                self._add("", f"cannot be read, and policies name some: {problem}")
        for slot in self.slots.values():
            self._file = self._files["slots", slot.name]
            self._check_slot(slot, f"slots.{slot.name}")
        for policy in self.policies.values():
            self._file = self._files["policies", policy.name]
            place = f"policies.{policy.name}"
            self._check_known(policy.blocks, self.blocks, f"{place}.blocks", "block")
            for arm in (policy.experiment.arms if policy.experiment else {}).values():
                place_of_arm = f"{place}.experiment.arms.{arm.name}.blocks"
                self._check_known(arm.blocks or (), self.blocks, place_of_arm, "block")
            if policy.trigger and self._triggers is not None:
                used, place = (policy.trigger,), f"{place}.trigger"
                self._check_known(used, self._triggers, place, "trigger")
            if policy.learnt is not None and self._with_learnt:
                self._check_learnt(policy, policy.learnt, f"{place}.learnt")

    def _check_learnt(self, policy: Policy, path: Path, place: str) -> None:
        from nearline.decisions.learnt import read_learnt

        try:
            found = read_learnt(path)
        except InputError as problem:
            self._add(place, str(problem))
            return
        users = [one.name for one in self.slots.values() if policy.name in one.policies]
        if users and found.slot is not None and found.slot not in users:
            self._add(
                place,
                f"was learnt for slot {found.slot}; learn one for {', '.join(users)}",
            )

    def _check_message(self, slot: Slot, policy: Policy, place: str) -> None:
        """Whether the policy's trigger has something to say in a slot."""
        trigger = (self._triggers or {}).get(policy.trigger or "")
        if trigger is None:
            return
        said = [one for one in trigger.deliver if one.slot == slot.name]
        if not said:
            self._add(
                place,
                f"the trigger of policy {policy.name} delivers nothing to this slot; "
                f"give {trigger.name} a delivery {{to: block, slot: {slot.name}, "
                "content: ...}",
            )
        for one in said:
            if slot.kind == "block" and one.content not in policy.block_names:
                self._add(
                    place,
                    f"trigger {trigger.name} has the content {one.content} here, which "
                    f"is no block of policy {policy.name}",
                )

    def _check_slot(self, slot: Slot, place: str) -> None:
        if slot.shared is not None and EVERYBODY in slot.shared.segments:
            self._add(
                f"{place}.shared.segments",
                f"{EVERYBODY} is who is in none of them; leave it out",
            )
        self._check_known(slot.policies, self.policies, f"{place}.policies", "policy")
        default = (slot.default_block,) if slot.default_block else ()
        self._check_known(default, self.blocks, f"{place}.default.block", "block")
        if slot.kind == "block" and not slot.default_block:
            self._add(
                f"{place}.default.block",
                "is missing; name the block that is shown when nothing else can be",
            )
        block = self.blocks.get(slot.default_block or "")
        if block is not None and block.kind == "items" and slot.kind == "block":
            self._add(
                f"{place}.default.block",
                "is a block of items; name a message or banner, which needs no model",
            )
        for name in slot.policies:
            policy = self.policies.get(name)
            if policy is None:
                continue
            if slot.kind == "block" and not policy.blocks:
                self._add(
                    f"{place}.policies",
                    f"policy {name} has no blocks to choose from; give it `blocks`, or "
                    "make the slot one of items",
                )
            if slot.kind == "items" and policy.blocks:
                self._add(
                    f"{place}.policies",
                    f"policy {name} chooses among blocks; take it for a slot of blocks",
                )
            self._check_message(slot, policy, f"{place}.policies")

    def _check_known(
        self, used: Iterable[str], known: Mapping[str, Any], place: str, what: str
    ) -> None:
        for name in used:
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                self._add(place, f"there is no {what} {name}; there are {there}")

    def _block(self, name: str, form: _BlockForm) -> Block:
        place = f"blocks.{name}"
        if form.kind != "items" and form.list_ is not None:
            self._add(f"{place}.list", "only a block of items has one; leave it out")
        try:
            orjson.dumps(form.content)
        except TypeError:
            self._add(
                f"{place}.content",
                "cannot be sent as JSON; take texts, numbers, lists, and names as keys",
            )
        return Block(
            name=name,
            kind=form.kind,
            content=form.content,
            when=self._parsed(parse_condition, form.when, f"{place}.when"),
            score=self._parsed(parse_score, form.score, f"{place}.score"),
            reason=form.reason,
            listing=_listing(form.list_ or _ListForm())
            if form.kind == "items"
            else None,
            caps=_caps(form.caps),
        )

    def _policy(self, name: str, form: _PolicyForm, version: str) -> Policy:
        place = f"policies.{name}"
        when = self._parsed(parse_condition, form.when, f"{place}.when")
        needs = set(form.needs)
        # What is counted or waits for a visitor is kept of the visitor, too.
        if reads_features(when) or form.caps or form.trigger:
            needs.add("personalization")
        listing = None if form.list_ is None else _listing(form.list_)
        if form.blocks and form.list_ is not None:
            self._add(
                f"{place}.list", "goes with a slot of items; leave out list or blocks"
            )
        if form.explore and not form.blocks:
            self._add(
                f"{place}.explore",
                "is of blocks; for items set list.exploration_share",
            )
        if form.learnt is not None and not form.blocks:
            self._add(f"{place}.learnt", "is of blocks; give the policy `blocks`")
        return Policy(
            name=name,
            version=version,
            needs=frozenset(needs),
            caps=_caps(form.caps),
            trigger=form.trigger,
            when=when,
            hold_out_share=form.hold_out,
            experiment=self._experiment(form, f"{place}.experiment"),
            blocks=tuple(form.blocks),
            explore_share=form.explore,
            learnt=None if form.learnt is None else self._folder / form.learnt,
            listing=listing,
            reason=form.reason,
        )

    def _experiment(self, policy: _PolicyForm, place: str) -> Experiment | None:
        form = policy.experiment
        if form is None:
            return None
        arms = {
            name: self._arm(name, arm, policy, place) for name, arm in form.arms.items()
        }
        shares = {
            name: arm.share for name, arm in form.arms.items() if arm.share is not None
        }
        if not shares and form.salt is None:
            return self._defined(form.key, arms, place)
        for name in sorted(set(arms) - set(shares)):
            self._add(
                f"{place}.arms.{name}.share", "is missing; the other arms have one"
            )
        total = sum(shares.values())
        if not _LEAST_SHARE <= total <= 1 + 1e-9:
            self._add(
                f"{place}.arms", f"shares add up to {total:g}; they make at most 1"
            )
            return None
        return Experiment.of_shares(
            form.key,
            form.salt or _salt_of(form.key),
            {name: (share, arms[name]) for name, share in shares.items()},
        )

    def _arm(self, name: str, form: _ArmForm, policy: _PolicyForm, place: str) -> Arm:
        listing = None
        if form.list_ is not None:
            # What the arm does not say is as the policy has it.
            whole = (policy.list_ or _ListForm()).model_dump(exclude_none=True)
            own = form.list_.model_dump(exclude_none=True)
            listing = _listing(_ListForm.model_validate(whole | own))
        blocks = None if form.blocks is None else tuple(form.blocks)
        if blocks is not None and not policy.blocks:
            self._add(f"{place}.arms.{name}.blocks", "the policy is one of items")
        return Arm(name, blocks, listing, form.default)

    def _defined(
        self, key: str, arms: Mapping[str, Arm], place: str
    ) -> Experiment | None:
        """An experiment without shares is one that is defined in a file of its own."""
        try:
            experiments = self._experiments()
        except FileError as problem:
            self.problems += [
                one for one in problem.problems if one not in self.problems
            ]
            return None
        registered = experiments.get(key)
        if registered is None:
            there = ", ".join(sorted(experiments)) or "none"
            self._add(
                f"{place}.key",
                f"is of no defined experiment (there: {there}); define it, or give "
                "each arm a share",
            )
            return None
        definition = registered.definition
        if definition.unit != "visitor":
            self._add(
                f"{place}.key",
                f"is assigned by {definition.unit}, and a decision knows the visitor "
                "alone; make its unit visitor and set analysed_by",
            )
        if set(arms) != set(definition.all_variants):
            self._add(
                f"{place}.arms",
                "have to be the variants of its definition: "
                + ", ".join(definition.all_variants),
            )
        standing = registered.standing
        # What is kept of a shared answer was made as the experiment stood then.
        self._versions.append(repr(standing))
        if standing.changes_at is not None:
            self.changes_at = min(
                standing.changes_at, self.changes_at or standing.changes_at
            )
        return Experiment(
            key, standing.assigner, arms, standing.is_counted, definition.eligibility
        )

    def _parsed(
        self,
        parse: Callable[[str, Mapping[str, Kind]], Expression],
        text: str | None,
        place: str,
    ) -> Expression | None:
        if text is None:
            return None
        try:
            found = parse(text, self._names)
            if self._segments is not None:
                check_segments(found, self._segments)
        except ExpressionError as problem:
            self._add(place, str(problem))
            return None
        return found

    def _note(self, kind: str, name: str) -> None:
        first = self._files.setdefault((kind, name), self._file)
        if first != self._file:
            self._add(f"{kind}.{name}", f"is also in {first}; give it another name")

    def _add(self, field: str, message: str) -> None:
        self.problems.append(FileProblem(self._file, field, message))


def _caps(forms: "list[_CapForm] | None") -> tuple[Cap, ...]:
    return tuple(Cap(form.shows, form.per) for form in forms or ())


def _listing(form: _ListForm) -> Listing:
    said = form.model_dump(exclude_none=True)
    rules = {one.name for one in fields(ListRules)} & set(said)
    return Listing(
        count=form.count,
        rules=replace(ListRules(), **{name: said[name] for name in rules}),
        category=form.category,
    )


def _sharing(form: _SharedForm) -> Sharing:
    return Sharing(
        segments=tuple(dict.fromkeys(form.segments)),
        browser_seconds=form.browser_seconds,
        edge_seconds=form.edge_seconds,
        stale_seconds=form.stale_seconds,
    )


def _salt_of(key: str) -> str:
    """A key may hold a colon, a salt may not."""
    return key.replace(":", ".")
