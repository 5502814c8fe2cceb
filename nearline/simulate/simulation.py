"""Runs the shop: one visitor after the other, events to the spool, truth beside them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from nearline.errors import InputError
from nearline.simulate.bots import BOT_CONSENT, run_bot_visit
from nearline.simulate.calendar import (
    DAY,
    HOUR,
    MINUTE,
    SESSION_GAP,
    Calendar,
    last_day_fits,
    make_calendar,
)
from nearline.simulate.catalogue import Catalogue, make_catalogue
from nearline.simulate.experiment import (
    CONTROL,
    TREATMENT,
    Chances,
    Truth,
    assign_variant,
    describe_truth,
    open_truth,
)
from nearline.simulate.people import (
    MAX_PURCHASE_RATE,
    Bot,
    Consent,
    Person,
    count_bots,
    make_bot,
    make_person,
)
from nearline.simulate.recording import Recorder, refusal_fields
from nearline.simulate.streams import Topic, open_stream
from nearline.simulate.visits import DeviceMemory, Visit
from nearline.simulate.writing import (
    RecordFile,
    Spool,
    prepare_folder,
    publish_folder,
)

LEAST_EFFECT = -0.9
MOST_EFFECT = 1 / MAX_PURCHASE_RATE - 1
_OFFLINE_RATE = 0.02
# Share of the work that is simulating; the rest is sorting and compressing.
_SIMULATING_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate.

    `visitors` counts devices and bots; `effect` is the treatment's relative change of
    the purchase probability of a checkout.
    """

    visitors: int
    days: int
    seed: int
    start: date
    effect: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written. `event_count` counts events once, `line_count` duplicates too.

    `session_count` is of all visitors, `bot_session_count` of it that of bots. Means and
    effect are those of conversion, null if no one was exposed.
    """

    event_count: int
    line_count: int
    duplicate_count: int
    late_count: int
    file_count: int
    visitor_count: int
    person_count: int
    bot_count: int
    session_count: int
    bot_session_count: int
    purchase_count: int
    exposed_visitor_count: int
    control_visitor_count: int
    treatment_visitor_count: int
    effect_parameter: float
    true_control_mean: float | None
    true_treatment_mean: float | None
    true_effect: float | None


def check_plan(plan: Plan) -> None:
    """Raises InputError, naming the option, for what cannot be simulated."""
    if plan.visitors < 1:
        raise InputError("--visitors: must be an integer of 1 or more")
    if plan.days < 1:
        raise InputError("--days: must be an integer of 1 or more")
    if plan.seed < 0:
        raise InputError("--seed: must be an integer of 0 or more")
    if not last_day_fits(plan.start, plan.days):
        raise InputError("--start, --days: the end is beyond the year 9999; use fewer")
    if not LEAST_EFFECT <= plan.effect <= MOST_EFFECT:
        raise InputError(
            f"--effect: must be a number from {LEAST_EFFECT:g} to {MOST_EFFECT:g}; "
            "beyond, a purchase probability would leave 0 to 1"
        )


def simulate(
    plan: Plan,
    out: Path,
    *,
    force: bool = False,
    advance: Callable[[float], None] = lambda share: None,
) -> Summary:
    """Writes `out/events` and `out/truth`; the same plan writes the same bytes.

    Args:
        force: replace the events and the truth that `out` holds.
        advance: told the share (0 to 1) of the work done since it was last called.

    Raises:
        InputError: the plan or the folder cannot be used.
    """
    check_plan(plan)
    unfinished = prepare_folder(out, force=force)
    try:
        shop = _Shop(plan, unfinished)
        shop.open(advance)
        summary = shop.close(advance)
        publish_folder(unfinished, out)
    finally:
        if unfinished.exists():
            shutil.rmtree(unfinished)
    return summary


class _Shop:
    """The run's state: files that are open and sums so far."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.calendar: Calendar = make_calendar(plan.start, plan.days)
        self.catalogue: Catalogue = make_catalogue(plan.seed)
        self.items = self.catalogue.items
        self.truth: Truth = open_truth(plan.effect)
        self.spool = Spool(folder / "spool")
        truth = folder / "truth"
        truth.mkdir()
        self.persons = RecordFile(truth / "persons.jsonl.gz")
        self.sessions = RecordFile(truth / "sessions.jsonl.gz")
        self.bots = RecordFile(truth / "bots.jsonl.gz")
        self.event_count = 0
        self.duplicate_count = 0
        self.late_count = 0
        self.person_count = 0
        self.session_count = 0
        self.bot_session_count = 0
        self.purchase_count = 0

    def open(self, advance: Callable[[float], None]) -> None:
        """Lets everybody come."""
        plan = self.plan
        bot_count = count_bots(plan.visitors)
        people_visitors = plan.visitors - bot_count
        per_visitor = _SIMULATING_SHARE / plan.visitors
        visitor = 0
        while visitor < people_visitors:
            person = make_person(
                plan.seed,
                self.person_count,
                visitor,
                people_visitors - visitor,
                self.calendar,
                self.catalogue,
            )
            self._host_person(person)
            self.person_count += 1
            visitor += len(person.devices)
            advance(len(person.devices) * per_visitor)
        for number in range(bot_count):
            self._host_bot(
                make_bot(plan.seed, number, people_visitors + number, self.calendar)
            )
            advance(per_visitor)

    def close(self, advance: Callable[[float], None]) -> Summary:
        """Writes what is left to write."""
        for file in (self.persons, self.sessions, self.bots):
            file.close()
        catalogue = RecordFile(self.folder / "truth" / "catalogue.jsonl.gz")
        for item in self.items:
            catalogue.add(
                {
                    "item_id": item.item_id,
                    "item_name": item.name,
                    "item_category": item.category,
                    "item_brand": item.brand,
                    "price_cents": item.price_cents,
                }
            )
        catalogue.close()
        (self.folder / "truth" / "experiment.json").write_bytes(
            orjson.dumps(describe_truth(self.truth), option=orjson.OPT_INDENT_2) + b"\n"
        )
        labels = self.calendar.day_labels
        file_count = self.spool.write_days(
            self.folder / "events",
            lambda day: f"received-{labels[day]}.jsonl.gz",
            lambda share: advance(share * (1 - _SIMULATING_SHARE)),
        )
        truth = self.truth
        return Summary(
            event_count=self.event_count,
            line_count=self.event_count + self.duplicate_count,
            duplicate_count=self.duplicate_count,
            late_count=self.late_count,
            file_count=file_count,
            visitor_count=self.plan.visitors,
            person_count=self.person_count,
            bot_count=count_bots(self.plan.visitors),
            session_count=self.session_count,
            bot_session_count=self.bot_session_count,
            purchase_count=self.purchase_count,
            exposed_visitor_count=truth.unit_count,
            control_visitor_count=truth.units[CONTROL],
            treatment_visitor_count=truth.units[TREATMENT],
            effect_parameter=truth.effect,
            true_control_mean=truth.mean(CONTROL),
            true_treatment_mean=truth.mean(TREATMENT),
            true_effect=truth.true_effect,
        )

    def _host_person(self, person: Person) -> None:
        memories = [DeviceMemory() for _ in person.devices]
        moments: list[list[int]] = [[] for _ in person.devices]
        chances: list[Chances | None] = [None for _ in person.devices]
        variants = [assign_variant(device.visitor_id) for device in person.devices]
        free_from = 0
        for number, (planned, place) in enumerate(person.visits):
            rng = open_stream(self.plan.seed, Topic.VISIT, person.number, number)
            started_at = planned
            if planned <= free_from:
                # One person does one thing at a time: the visit follows the last one,
                # close enough to belong to the same session on the same device.
                started_at = free_from + MINUTE + int(rng.random() * 20 * MINUTE)
            consent = _consent_at(person.consents, started_at)
            device, memory = person.devices[place], memories[place]
            if not consent.analytics:
                free_from = started_at
                if memory.consent is not consent:
                    memory.consent = consent
                    memory.is_signed_in = False
                    recorder = Recorder(self.spool, self.calendar, rng)
                    recorder.sender = refusal_fields(device, consent)
                    recorder.record("consent", started_at)
                    self._count(recorder)
                continue
            held_back = 0
            if device.source == "shop_app" and rng.random() < _OFFLINE_RATE:
                held_back = int((1 + rng.random() * 30) * HOUR)
            recorder = Recorder(self.spool, self.calendar, rng, held_back)
            visit = Visit(
                recorder,
                rng,
                self.catalogue,
                person,
                device,
                memory,
                consent,
                variants[place],
                started_at,
            )
            outcome = visit.run()
            free_from = outcome.ended_at
            if outcome.is_exposed and chances[place] is None:
                chances[place] = Chances()
            checkout = outcome.checkout
            known = chances[place]
            if checkout is not None and known is not None:
                effect = self.plan.effect
                known.add_checkout(checkout.probability, effect, checkout.revenue_cents)
                lift = 1.0 + effect if variants[place] == TREATMENT else 1.0
                if rng.random() < checkout.probability * lift:
                    visit.buy(checkout)
                    self.purchase_count += 1
            self._count(recorder)
            moments[place].extend(recorder.moments)
        for place, device in enumerate(person.devices):
            self._write_sessions(device.visitor_id, moments[place], is_bot=False)
            found = chances[place]
            if found is not None:
                self.truth.add(device.visitor_id, found)
        self.persons.add(self._describe_person(person))

    def _host_bot(self, bot: Bot) -> None:
        moments: list[int] = []
        free_from = -DAY
        for number, planned in enumerate(bot.visits):
            rng = open_stream(self.plan.seed, Topic.BOT, bot.number, number + 1)
            started_at = max(planned, free_from + HOUR)
            recorder = Recorder(self.spool, self.calendar, rng)
            free_from = run_bot_visit(
                recorder,
                rng,
                self.catalogue,
                self.items,
                bot,
                started_at,
                is_first=number == 0,
            )
            self._count(recorder)
            moments.extend(recorder.moments)
        self._write_sessions(bot.device.visitor_id, moments, is_bot=True)
        self.bots.add(
            {
                "visitor_id": bot.device.visitor_id,
                "is_declared": bot.declared_reason is not None,
                "bot_reason": bot.declared_reason,
                "consent_analytics": BOT_CONSENT.analytics,
            }
        )

    def _count(self, recorder: Recorder) -> None:
        self.event_count += recorder.event_count
        self.duplicate_count += recorder.duplicate_count
        self.late_count += recorder.late_count

    def _write_sessions(
        self, visitor_id: str, moments: list[int], *, is_bot: bool
    ) -> None:
        for started_at, ended_at, count in split_sessions(moments):
            self.sessions.add(
                {
                    "visitor_id": visitor_id,
                    "started_at": self.calendar.stamp(started_at),
                    "ended_at": self.calendar.stamp(ended_at),
                    "event_count": count,
                    "is_bot": is_bot,
                }
            )
            self.session_count += 1
            self.bot_session_count += is_bot

    def _describe_person(self, person: Person) -> dict[str, Any]:
        categories = self.catalogue.categories
        return {
            "person_id": person.person_id,
            "habit": person.habit.name,
            "user_id": person.user_id,
            "visitor_ids": [device.visitor_id for device in person.devices],
            "favourite_categories": [categories[at].name for at in person.categories],
            "favourite_brands": list(person.favourite_brands),
            "consents": [
                {
                    "since": self.calendar.stamp(consent.since),
                    "analytics": consent.analytics,
                    "personalization": consent.personalization,
                    "marketing": consent.marketing,
                }
                for consent in person.consents
            ],
        }


def split_sessions(moments: list[int]) -> list[tuple[int, int, int]]:
    """Start, end and number of events of each run without a gap above the rule's."""
    sessions: list[tuple[int, int, int]] = []
    started_at = ended_at = count = 0
    for moment in sorted(moments):
        if count and moment - ended_at > SESSION_GAP:
            sessions.append((started_at, ended_at, count))
            count = 0
        if not count:
            started_at = moment
        ended_at = moment
        count += 1
    if count:
        sessions.append((started_at, ended_at, count))
    return sessions


def _consent_at(consents: tuple[Consent, ...], moment: int) -> Consent:
    return next(consent for consent in reversed(consents) if consent.since <= moment)
