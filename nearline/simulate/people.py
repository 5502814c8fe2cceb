"""Who comes: persons with devices, consent, accounts and interests; and bots.

What they do in a visit does not belong here (see `visits.py`, `bots.py`).
"""

from dataclasses import dataclass
from random import Random

from nearline.simulate.calendar import DAY, Calendar
from nearline.simulate.catalogue import BRANDS, Catalogue
from nearline.simulate.streams import (
    Topic,
    cumulate,
    draw_index,
    draw_poisson,
    make_pseudonym,
    open_stream,
)

CONSENT_NOTICE_VERSION = "2026-06"

MAX_PURCHASE_RATE = 0.5
"""Highest purchase probability at a checkout; bounds the effect from above."""

BOT_SHARE = 0.025
_DECLARED_BOT_SHARE = 0.6
_BOT_REASONS = ("declared_user_agent", "known_datacenter", "monitoring_service")


@dataclass(frozen=True, slots=True)
class Habit:
    """A way of using the shop; persons scatter around it.

    Rates are probabilities: `cart_rate` per product page, `checkout_rate` per visit with
    a cart, `purchase_rate` per checkout.
    """

    name: str
    share: float
    visits_per_day: float
    bounce_rate: float
    listings: float
    products: float
    cart_rate: float
    checkout_rate: float
    purchase_rate: float
    account_rate: float
    device_shares: tuple[float, float, float]


# Shares make every rule segment occur: few visits and pages (casual), carts that are
# left (abandoner), more than three purchases in thirty days (regular).
HABITS = (
    Habit("casual", 0.46, 0.05, 0.3, 1.0, 1.1, 0.12, 0.65, 0.4, 0.15, (0.8, 0.2, 0)),
    Habit("browser", 0.25, 0.22, 0.15, 2.0, 1.7, 0.04, 0.4, 0.38, 0.4, (0.5, 0.4, 0.1)),
    Habit("abandoner", 0.14, 0.2, 0.1, 1.7, 1.7, 0.16, 0.1, 0.3, 0.4, (0.6, 0.3, 0.1)),
    Habit("buyer", 0.12, 0.16, 0.1, 1.7, 1.7, 0.16, 0.6, 0.42, 0.7, (0.6, 0.3, 0.1)),
    Habit("regular", 0.03, 0.6, 0.04, 2.0, 2.0, 0.3, 0.9, 0.48, 0.9, (0.7, 0.25, 0.05)),
)
_HABIT_SHARES = cumulate([habit.share for habit in HABITS])


@dataclass(frozen=True, slots=True)
class Device:
    """One browser or one installed app: what the contract calls a visitor."""

    visitor_id: str
    source: str
    device_class: str


_DEVICE_KINDS = (
    ("shop_web", "desktop"),
    ("shop_web", "mobile"),
    ("shop_app", "mobile"),
    ("shop_web", "tablet"),
)
_DEVICE_KIND_SHARES = cumulate([0.38, 0.34, 0.2, 0.08])


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agrees to from `since` on, asked on each device at its next visit."""

    since: int
    analytics: bool
    personalization: bool
    marketing: bool


@dataclass(frozen=True, slots=True)
class Person:
    """One human being and what moves them."""

    number: int
    habit: Habit
    devices: tuple[Device, ...]
    user_id: str | None
    consents: tuple[Consent, ...]
    """In order of time; the first holds from the beginning."""
    categories: tuple[int, ...]
    category_shares: list[float]
    favourite_brands: tuple[str, ...]
    cart_rate: float
    checkout_rate: float
    purchase_rate: float
    visits: tuple[tuple[int, int], ...]
    """Planned start and position of the device, in order of time."""

    @property
    def person_id(self) -> str:
        return f"person_{self.number}"


@dataclass(frozen=True, slots=True)
class Bot:
    """A machine. Without `declared_reason` only its pace gives it away."""

    number: int
    device: Device
    declared_reason: str | None
    visits: tuple[int, ...]


def count_bots(visitors: int) -> int:
    """How many of the visitors are bots: some, as soon as there are twenty visitors."""
    return max(2, round(visitors * BOT_SHARE)) if visitors >= 20 else 0


def make_person(
    seed: int,
    number: int,
    first_visitor: int,
    most_devices: int,
    calendar: Calendar,
    catalogue: Catalogue,
) -> Person:
    """Person `number`, with visitor numbers from `first_visitor` on."""
    rng = open_stream(seed, Topic.PERSON, number)
    habit = HABITS[draw_index(rng, _HABIT_SHARES)]
    device_count = 1 + draw_index(rng, cumulate(habit.device_shares))
    has_account = rng.random() < habit.account_rate
    consents = _draw_consents(rng, calendar.days)
    categories = tuple(rng.sample(range(len(catalogue.categories)), 3))
    brands = tuple(rng.sample(BRANDS, 2))
    scatter = 0.6 + 0.8 * rng.random()
    # Most knew the shop before; the others find it on some day.
    first_day = 0 if rng.random() < 0.6 else int(rng.random() * calendar.days)
    rate = habit.visits_per_day * (0.4 + 1.2 * rng.random())
    devices = tuple(
        Device(
            make_pseudonym("v", seed, first_visitor + place),
            *_DEVICE_KINDS[draw_index(rng, _DEVICE_KIND_SHARES)],
        )
        for place in range(min(device_count, most_devices))
    )
    visit_count = max(
        draw_poisson(rng, rate * (calendar.days - first_day)), len(devices)
    )
    starts = sorted(calendar.draw_moment(rng, first_day) for _ in range(visit_count))
    # Every device is used at least once: a visitor without an event is none.
    places = list(range(len(devices)))
    while len(places) < visit_count:
        places.append(min(int(rng.expovariate(1.2)), len(devices) - 1))
    rng.shuffle(places)
    return Person(
        number=number,
        habit=habit,
        devices=devices,
        user_id=make_pseudonym("u", seed, number) if has_account else None,
        consents=consents,
        categories=categories,
        category_shares=cumulate([0.6, 0.27, 0.13]),
        favourite_brands=brands,
        cart_rate=habit.cart_rate * scatter,
        checkout_rate=min(1.0, habit.checkout_rate * (0.8 + 0.4 * rng.random())),
        purchase_rate=habit.purchase_rate
        - (MAX_PURCHASE_RATE - habit.purchase_rate) * (2 * rng.random() - 1),
        visits=tuple(zip(starts, places, strict=True)),
    )


def make_bot(seed: int, number: int, visitor: int, calendar: Calendar) -> Bot:
    """Bot `number` under visitor number `visitor`; two in five are undeclared."""
    rng = open_stream(seed, Topic.BOT, number)
    is_declared = number % 5 < 5 * _DECLARED_BOT_SHARE
    visit_count = 1 + draw_poisson(rng, (0.1 if is_declared else 0.06) * calendar.days)
    return Bot(
        number=number,
        device=Device(
            make_pseudonym("v", seed, visitor),
            "shop_web",
            "other" if is_declared else "desktop",
        ),
        declared_reason=rng.choice(_BOT_REASONS) if is_declared else None,
        # Machines keep no hours.
        visits=tuple(
            sorted(int(rng.random() * calendar.days * DAY) for _ in range(visit_count))
        ),
    )


def _draw_consents(rng: Random, days: int) -> tuple[Consent, ...]:
    choice, mind, moment = rng.random(), rng.random(), int(rng.random() * days * DAY)
    marketing = rng.random() < 0.6
    if choice < 0.12:
        first = Consent(0, False, False, False)
        later = Consent(moment, True, True, False) if mind < 0.15 else None
    elif choice < 0.32:
        first = Consent(0, True, False, False)
        later = Consent(moment, True, True, marketing) if mind < 0.08 else None
    else:
        first = Consent(0, True, True, marketing)
        later = None
        if mind < 0.03:
            later = Consent(moment, False, False, False)
        elif mind < 0.06:
            later = Consent(moment, True, False, False)
    return (first,) if later is None else (first, later)
