"""Experiments as they are written down: one YAML file each, and who is in which variant.

Belongs here: the form of a definition, its phases, layers and hold-outs, and the assigner
that follows. Not here: whether its names exist and whether it still is what ran
(`definition_check`), or what was decided in the end (`decided`).
"""

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from nearline.events.contract import Key, Name
from nearline.experiments.assignment import (
    BUCKET_COUNT,
    Allocation,
    Assigner,
    HoldOut,
    Slot,
)
from nearline.experiments.metrics import DECISION_LATENCY
from nearline.privacy.consents import Purpose
from nearline.yaml_forms import FORM_CONFIG, FileError, FileProblem, read_form

Unit = Literal["session", "visitor", "person"]
"""What is hashed, and what is a row of the analysis; each is made of the one before."""

HorizonKind = Literal["fixed", "always_valid", "group_sequential"]
Contaminated = Literal["drop", "first_seen"]

LAYERS_FILE = "_layers.yml"
GUIDE = "docs/experiments.md"

_SUFFIXES = (".yml", ".yaml")
_TINY = 1e-6

_Share = Annotated[float, Field(ge=0, le=1)]
_Margin = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Salt = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Variant = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Who may be in it: with all `consents` (analytics always), in one of `segments`."""

    consents: frozenset[Purpose] = frozenset()
    segments: tuple[str, ...] = ()

    def admits(
        self, consents: Container[str], segments: Collection[str] | None
    ) -> bool:
        """Whether somebody is let in; of whom no segments are known, into none."""
        return all(one in consents for one in self.consents) and (
            not self.segments or not set(self.segments).isdisjoint(segments or ())
        )


EVERYBODY = Eligibility()


@dataclass(frozen=True, slots=True)
class Phase:
    """What held from `starts_at` until the next phase. Units of two phases are not added
    up without that in mind: weights that change turn effects around.

    `variants` are buckets of 10,000, the rest of them sees no experiment.
    """

    number: int
    starts_at: datetime | None
    variants: Mapping[str, int]
    salt: str
    primary_metric: str
    metrics: tuple[str, ...] = ()
    guardrails: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentDefinition:
    """An experiment. Fields that a phase can change are here as they began.

    key             what exposures name; the file's name too
    unit            whose id is hashed
    analysed_by     whose rows are compared; made of whole units
    layer           its share of a layer, None: may meet any other experiment
    hold_outs       who never sees it, not even once it is decided: everybody's, its own
    starts_at       UTC; None has not begun
    metrics         further ones, which are reported and decide nothing
    guardrails      metric -> largest relative harm (0.02: at most 2 % worse); of the
                    time of decisions milliseconds
    expected_effect relative change of the primary metric that it is planned for
    looks           of a group-sequential horizon, as shares of the planned units
    contaminated    what becomes of those who were seen in more than one variant
    phases          the first is the definition's own; see `phase_at`
    version         12 hexadecimal digits of the file's content
    """

    key: str
    hypothesis: str
    owner: str
    unit: Unit
    control: str
    variants: Mapping[str, int]
    salt: str
    primary_metric: str
    layer: Slot | None = None
    hold_out_buckets: int = 0
    hold_outs: tuple[HoldOut, ...] = ()
    eligibility: Eligibility = EVERYBODY
    starts_at: datetime | None = None
    stops_at: datetime | None = None
    analysed_by: Unit = "visitor"
    metrics: tuple[str, ...] = ()
    guardrails: Mapping[str, float] = field(default_factory=dict)
    expected_effect: float | None = None
    horizon: HorizonKind = "fixed"
    looks: tuple[float, ...] = ()
    planned_units: int | None = None
    contaminated: Contaminated = "drop"
    phases: tuple[Phase, ...] = ()
    version: str = ""

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """Every metric of any phase once, the primary one first."""
        names = [self.primary_metric]
        for phase in self.phases:
            names += [phase.primary_metric, *phase.metrics, *phase.guardrails]
        return tuple(dict.fromkeys(names))

    @property
    def all_variants(self) -> tuple[str, ...]:
        """Every variant of any phase once, control first."""
        names = [name for phase in self.phases for name in phase.variants]
        return tuple(dict.fromkeys([self.control, *names]))

    def is_running(self, now: datetime) -> bool:
        """Whether it has begun and not stopped."""
        return (
            self.starts_at is not None
            and self.starts_at <= now
            and (self.stops_at is None or now < self.stops_at)
        )

    def phase_at(self, now: datetime) -> Phase:
        """The phase in force; the first one before the start."""
        return self.begun_phases(now)[-1]

    def begun_phases(self, now: datetime) -> tuple[Phase, ...]:
        """The phases that have begun, and in any case the first."""
        later = self.phases[1:]
        return (
            self.phases[0],
            *(one for one in later if one.starts_at and one.starts_at <= now),
        )

    def assigner_at(self, now: datetime) -> Assigner:
        """Who is in which variant at `now`, taken to run.

        A phase with other weights moves as few units as can be; one with another salt
        shuffles all of them anew.
        """
        first, *later = self.begun_phases(now)
        salt, allocation = first.salt, Allocation.from_weights(first.variants)
        for phase in later:
            if phase.salt == salt:
                allocation = allocation.reweigh(phase.variants)
            else:
                salt, allocation = phase.salt, Allocation.from_weights(phase.variants)
        return Assigner(salt, allocation, self.layer, self.hold_outs)


class _Form(BaseModel):
    model_config = FORM_CONFIG


def _moment(value: Any) -> Any:
    """A day is its first instant; a time without a zone is UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        return (
            value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        )
    raise ValueError("must be a day or a time, such as 2026-09-01 or 2026-09-01 08:00")


_Moment = Annotated[datetime, BeforeValidator(_moment)]
_Variants = Annotated[dict[_Variant, _Share], Field(min_length=1)]


class _LayerForm(_Form):
    name: Name
    first: Annotated[int, Field(ge=0, lt=BUCKET_COUNT)]
    count: Annotated[int, Field(ge=1, le=BUCKET_COUNT)]


class _EligibilityForm(_Form):
    consents: list[Purpose] = []
    segments: list[Name] = []


class _MetricsForm(_Form):
    primary: Name
    secondary: list[Name] = []
    guardrails: dict[Name, _Margin] = {}


class _PhaseForm(_Form):
    starts_at: _Moment
    why: _Text
    variants: _Variants | None = None
    coverage: Annotated[float, Field(gt=0, le=1)] | None = None
    salt: _Salt | None = None
    metrics: _MetricsForm | None = None


class DefinitionForm(_Form):
    version: Literal[1]
    key: Key
    hypothesis: _Text
    owner: _Text
    unit: Unit
    analysed_by: Unit | None = None
    control: _Variant
    variants: _Variants
    coverage: Annotated[float, Field(gt=0, le=1)] = 1.0
    salt: _Salt | None = None
    layer: _LayerForm | None = None
    hold_out: _Share = 0.0
    eligibility: _EligibilityForm = _EligibilityForm()
    starts_at: _Moment | None = None
    stops_at: _Moment | None = None
    metrics: _MetricsForm
    expected_effect: float | None = None
    horizon: HorizonKind = "fixed"
    looks: list[Annotated[float, Field(gt=0, le=1)]] = []
    planned_units: Annotated[int, Field(ge=4)] | None = None
    contaminated: Contaminated = "drop"
    phases: list[_PhaseForm] = []


class _EverybodyForm(_Form):
    share: _Share
    salt: _Salt


class _OneLayerForm(_Form):
    hold_out: _Share = 0.0


class _LayersForm(_Form):
    version: Literal[1]
    hold_out: _EverybodyForm | None = None
    layers: dict[Name, _OneLayerForm] = {}


def definition_paths(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that define an experiment each, by name."""
    return tuple(
        sorted(
            path
            for path in (folder.iterdir() if folder.is_dir() else ())
            if path.suffix in _SUFFIXES and not path.name.startswith("_")
        )
    )


def load_definitions(folder: Path) -> tuple[ExperimentDefinition, ...]:
    """The experiments of a folder by key; none where there is no folder.

    Raises:
        FileError: something is wrong in the files; all of it is listed.
    """
    reading = _Reading(folder)
    for path in definition_paths(folder):
        reading.add(path)
    reading.check_layers()
    reading.check_salts()
    if reading.problems:
        raise FileError(reading.problems)
    return tuple(sorted(reading.found.values(), key=lambda one: one.key))


class _Reading:
    """What was read so far, and what was wrong with it."""

    def __init__(self, folder: Path) -> None:
        self.found: dict[str, ExperimentDefinition] = {}
        self.problems: list[FileProblem] = []
        self._file = LAYERS_FILE
        self._files: dict[str, str] = {}
        path = folder / LAYERS_FILE
        form = self._form(path, _LayersForm)[0] if path.is_file() else None
        self._layers = {} if form is None else form.layers
        everybody = None if form is None else form.hold_out
        self._hold_outs: tuple[HoldOut, ...] = ()
        if everybody is not None and everybody.share:
            buckets = self._buckets(everybody.share, "hold_out.share")
            self._hold_outs = (HoldOut(everybody.salt, buckets),)

    def add(self, path: Path) -> None:
        self._file = path.name
        form, version = self._form(path, DefinitionForm)
        if form is None:
            return
        if form.key != path.stem:
            self._add("key", f"has to be the file's name, {path.stem}")
        if ":" in form.key:
            self._add("key", "must hold no colon: its salt may not")
            return
        self._check(form)
        self._files[form.key] = path.name
        self.found[form.key] = self._built(form, version)

    def check_layers(self) -> None:
        """Whether nobody can be in two experiments of a layer at once."""
        in_layers = [one for one in self.found.values() if one.layer is not None]
        for definition in in_layers:
            self._file = self._files[definition.key]
            self._check_layer(definition)
        for one, other in combinations(in_layers, 2):
            if _meet_in_layer(one, other) and _meet_in_time(one, other):
                self._file = self._files[other.key]
                self._add(
                    "layer",
                    f"shares buckets with {one.key} ({_span(one.layer)}) while both "
                    "run; move one, or stop it before the other starts",
                )

    def check_salts(self) -> None:
        """Whether each salt has one use: two of one salt put everybody in the same buckets,
        and what one experiment does looks like the other's."""
        uses = {f"layer.{name}": f"layer {name}" for name in self._layers}
        uses |= {one.salt: "everybody's hold-out" for one in self._hold_outs}
        for definition in self.found.values():
            self._file = self._files[definition.key]
            own = {phase.salt for phase in definition.phases}
            own |= {one.salt for one in definition.hold_outs} - {
                one.salt for one in self._hold_outs
            }
            for salt in sorted(own & set(uses)):
                self._add("salt", f"is that of {uses[salt]}, too; take another")
            uses |= dict.fromkeys(own, definition.key)

    def _check_layer(self, definition: ExperimentDefinition) -> None:
        slot = definition.layer
        assert slot is not None
        name = slot.layer.removeprefix("layer.")
        form = self._layers.get(name)
        if form is None:
            there = ", ".join(sorted(self._layers)) or "none"
            self._add(
                "layer.name", f"is not in {LAYERS_FILE} (there: {there}); add it there"
            )
            return
        self._file, file = LAYERS_FILE, self._file
        end = BUCKET_COUNT - self._buckets(form.hold_out, f"layers.{name}.hold_out")
        self._file = file
        if slot.first + slot.count > end:
            self._add(
                "layer",
                f"reaches beyond bucket {end - 1:,}, the last that the layer has "
                f"({BUCKET_COUNT:,} less its hold-out); take fewer",
            )

    def _check(self, form: DefinitionForm) -> None:
        self._check_times(form)
        if form.analysed_by is not None and _rank(form.analysed_by) < _rank(form.unit):
            self._add(
                "analysed_by",
                f"must be {form.unit} or made of whole {form.unit}s: rows of one "
                f"{form.unit} are not independent; use a ratio metric",
            )
        if form.expected_effect == 0:
            self._add("expected_effect", "must not be 0; leave it out if none is known")
        if (form.horizon == "group_sequential") != bool(form.looks):
            self._add(
                "looks",
                "go with `horizon: group_sequential`, which needs them, such as "
                "[0.5, 1]",
            )
        elif form.looks and (
            form.looks[-1] != 1
            or any(b <= a for a, b in zip(form.looks, form.looks[1:], strict=False))
        ):
            self._add("looks", "must grow and end with 1, such as [0.25, 0.5, 1]")
        self._check_metrics(form.metrics, "metrics")
        self._check_variants(form.variants, form.control, "variants")
        for number, phase in enumerate(form.phases):
            place = f"phases.{number}"
            if phase.metrics is not None:
                self._check_metrics(phase.metrics, f"{place}.metrics")
            if phase.variants is not None:
                self._check_variants(phase.variants, form.control, f"{place}.variants")
            if phase.model_fields_set <= {"starts_at", "why"}:
                self._add(
                    place,
                    "changes nothing; give it variants, coverage, salt or metrics",
                )

    def _check_times(self, form: DefinitionForm) -> None:
        starts, stops = form.starts_at, form.stops_at
        if stops is not None and (starts is None or stops <= starts):
            self._add("stops_at", "must be after starts_at")
        before = starts
        for number, phase in enumerate(form.phases):
            if before is None:
                self._add(
                    f"phases.{number}.starts_at", "needs a starts_at of the whole"
                )
                return
            if phase.starts_at <= before:
                self._add(
                    f"phases.{number}.starts_at",
                    "must be after the start and after the phase before",
                )
            if stops is not None and phase.starts_at >= stops:
                self._add(f"phases.{number}.starts_at", "must be before stops_at")
            before = phase.starts_at

    def _check_metrics(self, form: _MetricsForm, place: str) -> None:
        if form.primary in form.secondary:
            self._add(
                f"{place}.secondary", f"has the primary one, {form.primary}; drop it"
            )
        if form.primary in form.guardrails:
            self._add(
                f"{place}.guardrails",
                f"has the primary metric, {form.primary}: its verdict sees harm already",
            )
        for name, margin in form.guardrails.items():
            if margin >= 1 and name != DECISION_LATENCY.name:
                self._add(
                    f"{place}.guardrails.{name}",
                    "input should be less than 1: 0.05 allows 5 % worse",
                )

    def _check_variants(
        self, variants: Mapping[str, float], control: str, place: str
    ) -> None:
        if control not in variants:
            self._add(place, f"has no {control}, the control")
        if len(variants) < 2:
            self._add(place, "must be two or more: the control and what is tried")
        total = sum(variants.values())
        if abs(total - 1) > _TINY:
            self._add(
                place,
                f"shares add up to {total:g} and not to 1; for a part of everybody "
                "set coverage",
            )

    def _built(self, form: DefinitionForm, version: str) -> ExperimentDefinition:
        own = self._buckets(form.hold_out, "hold_out")
        hold_outs = self._hold_outs
        if own:
            hold_outs += (HoldOut(f"hold_out.{form.key}", own),)
        phases = self._phases(form)
        first, layer = phases[0], form.layer
        return ExperimentDefinition(
            key=form.key,
            hypothesis=form.hypothesis,
            owner=form.owner,
            unit=form.unit,
            control=form.control,
            variants=first.variants,
            salt=first.salt,
            primary_metric=first.primary_metric,
            layer=None
            if layer is None
            else Slot(f"layer.{layer.name}", layer.first, layer.count),
            hold_out_buckets=own,
            hold_outs=hold_outs,
            eligibility=Eligibility(
                frozenset(form.eligibility.consents), tuple(form.eligibility.segments)
            ),
            starts_at=form.starts_at,
            stops_at=form.stops_at,
            analysed_by=form.analysed_by or form.unit,
            metrics=first.metrics,
            guardrails=first.guardrails,
            expected_effect=form.expected_effect,
            horizon=form.horizon,
            looks=tuple(form.looks),
            planned_units=form.planned_units,
            contaminated=form.contaminated,
            phases=phases,
            version=version,
        )

    def _phases(self, form: DefinitionForm) -> tuple[Phase, ...]:
        """Each phase whole: what it does not say is as in the one before."""
        shares, coverage = form.variants, form.coverage
        phase = Phase(
            number=0,
            starts_at=form.starts_at,
            variants=self._weights(shares, coverage, "variants"),
            salt=form.salt or form.key,
            primary_metric=form.metrics.primary,
            metrics=tuple(form.metrics.secondary),
            guardrails=form.metrics.guardrails,
        )
        phases = [phase]
        for number, change in enumerate(form.phases):
            shares = change.variants or shares
            coverage = change.coverage or coverage
            phase = replace(
                phase,
                number=number + 1,
                starts_at=change.starts_at,
                variants=self._weights(shares, coverage, f"phases.{number}.variants"),
                salt=change.salt or phase.salt,
                why=change.why,
            )
            if change.metrics is not None:
                phase = replace(
                    phase,
                    primary_metric=change.metrics.primary,
                    metrics=tuple(change.metrics.secondary),
                    guardrails=change.metrics.guardrails,
                )
            phases.append(phase)
        return tuple(phases)

    def _weights(
        self, shares: Mapping[str, float], coverage: float, place: str
    ) -> dict[str, int]:
        return {
            name: self._buckets(share * coverage, f"{place}.{name}")
            for name, share in shares.items()
        }

    def _buckets(self, share: float, place: str) -> int:
        """Whole buckets: a share rounded differently somewhere is another experiment."""
        exact = share * BUCKET_COUNT
        if abs(exact - round(exact)) > _TINY:
            self._add(
                place,
                f"makes {exact:g} of {BUCKET_COUNT:,} buckets; take a share that makes "
                "a whole number",
            )
        return round(exact)

    def _form(self, path: Path, model: type[_M]) -> tuple[_M | None, str]:
        read = read_form(path, model, GUIDE)
        self.problems += read.problems
        return read.form, read.version

    def _add(self, field: str, message: str) -> None:
        self.problems.append(FileProblem(self._file, field, message))


def _rank(unit: Unit) -> int:
    return get_args(Unit).index(unit)


def _meet_in_layer(one: ExperimentDefinition, other: ExperimentDefinition) -> bool:
    a, b = one.layer, other.layer
    return (
        a is not None
        and b is not None
        and a.layer == b.layer
        and a.first < b.first + b.count
        and b.first < a.first + a.count
    )


def _meet_in_time(one: ExperimentDefinition, other: ExperimentDefinition) -> bool:
    """Both run at one moment; a draft is taken to run whenever the other does."""
    a, b = one.starts_at, other.starts_at
    if a is None or b is None:
        return True
    return (other.stops_at is None or a < other.stops_at) and (
        one.stops_at is None or b < one.stops_at
    )


def _span(slot: Slot | None) -> str:
    assert slot is not None
    return f"buckets {slot.first:,} to {slot.first + slot.count - 1:,}"
