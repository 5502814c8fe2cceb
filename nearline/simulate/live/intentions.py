"""Who comes when, and what each person means to do: the same for the same seed.

Belongs here: all that is drawn before a service is asked, so that what is shown changes
only what people do with it. Not here: doing it (`visit`).
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal, cast

from nearline.simulate.calendar import Calendar, make_calendar
from nearline.simulate.catalogue import Catalogue, Item
from nearline.simulate.choosing import choose_category, choose_item
from nearline.simulate.people import Consent, make_person
from nearline.simulate.reactions import Luck, Taste
from nearline.simulate.streams import (
    Topic,
    draw_lognormal,
    make_pseudonym,
    open_stream,
)

DeviceClass = Literal["desktop", "mobile", "tablet", "tv", "other"]

_MOST_LOOKS = 6
_SEARCH_SHARE = 0.5
_MEDIAN_DWELL_SECONDS = 28.0
_LONGEST_DWELL_SECONDS = 120.0
# Who somebody is takes part 0 of a person's stream.
_PART = 1


@dataclass(frozen=True, slots=True)
class Look:
    """A product page that is opened by itself, for how long and how far down."""

    item: Item
    dwell_seconds: float
    scroll_rate: float


@dataclass(frozen=True, slots=True)
class Intention:
    """One person's visit as it is meant to be. Times are those of people, in seconds.

    `cookie` is the raw id that a browser would hold; `arrives_at` is 0 to 1 of the time in
    which people come.
    """

    number: int
    cookie: str
    arrives_at: float
    consent: Consent
    device_class: DeviceClass
    comes_from_search: bool
    taste: Taste
    looks: tuple[Look, ...]
    pause_seconds: float
    luck: Luck

    @property
    def is_measured(self) -> bool:
        """Whether a personal answer may be given to them and what comes of it be known."""
        return self.consent.analytics and self.consent.personalization


def make_crowd(seed: int, count: int, catalogue: Catalogue) -> list[Intention]:
    """Everybody of the crowd `seed`, in the order in which they come.

    A larger crowd of the same seed has the same people and more.
    """
    # A person's visits over days are not used here: everybody comes once, now.
    calendar = make_calendar(date(2000, 1, 1), 1)
    crowd = [_intend(seed, number, calendar, catalogue) for number in range(count)]
    return sorted(crowd, key=lambda one: one.arrives_at)


def _intend(
    seed: int, number: int, calendar: Calendar, catalogue: Catalogue
) -> Intention:
    person = make_person(seed, number, number, 1, calendar, catalogue)
    rng = open_stream(seed, Topic.PERSON, number, _PART)
    look_count = 2 + int(rng.expovariate(1 / person.habit.products))
    return Intention(
        number=number,
        cookie=make_pseudonym("cookie", seed, number),
        arrives_at=rng.random(),
        consent=person.consents[0],
        device_class=cast(DeviceClass, person.devices[0].device_class),
        comes_from_search=rng.random() < _SEARCH_SHARE,
        taste=Taste(
            tuple(catalogue.categories[place].name for place in person.categories),
            person.favourite_brands,
        ),
        looks=tuple(
            Look(
                choose_item(rng, person, choose_category(rng, catalogue, person)),
                1
                + min(
                    draw_lognormal(rng, _MEDIAN_DWELL_SECONDS, 0.5),
                    _LONGEST_DWELL_SECONDS,
                ),
                round(0.2 + 0.8 * rng.random(), 2),
            )
            for _ in range(min(look_count, _MOST_LOOKS))
        ),
        pause_seconds=3 + 4 * rng.random(),
        luck=Luck.drawn(rng),
    )
