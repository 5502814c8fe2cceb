"""Named stories of identifiers and the persons that they are, written by hand.

The names are those of `docs/identity.md`. Ids are short here (`v1` a visitor, `u1` an
account, `c1` a contact) and get the story's name, so that all stories live in one
warehouse and never meet. No test logic here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.dbt.nasty_visitors import HOUR, Row, at, event

SUPPRESSED = "an erased person"
"""Story whose `u2` is on the suppression list from the beginning."""


@dataclass(frozen=True)
class Scenario:
    """What happened, and who it was.

    `persons`: the account, contact or visitor that names each person, with everything
    that it holds. `refused`: links that do not hold, with their reason. `unlinked`:
    pairs that an operator took apart.
    """

    name: str
    events: Sequence[Row]
    persons: Mapping[str, str]
    refused: Mapping[str, str] = field(default_factory=dict)
    unlinked: Sequence[str] = ()

    def full(self, short: str) -> str:
        """`u1` of the story "second device" is `u_second_device_1`."""
        return _full(self.name, short)


def _full(name: str, short: str) -> str:
    return f"{short[0]}_{name.replace(' ', '_')}_{short[1:]}"


def _story(
    name: str,
    happenings: Iterable[tuple[int, str, Mapping[str, Any]]],
    persons: Mapping[str, str],
    refused: Mapping[str, str] | None = None,
    unlinked: Sequence[str] = (),
) -> Scenario:
    """Happenings are a day, an event's name, and who took part."""
    events = []
    for number, (day, event_name, fields) in enumerate(happenings):
        ids = {
            key: _full(name, value) if key in _IDS else value
            for key, value in fields.items()
        }
        visitor = ids.pop("visitor_id")
        event_id = f"{name.replace(' ', '_')}_{number:03}"
        # In the morning and each a minute later: the order of the list is the order of
        # what happened.
        occurred_at = at("08:00", day) + number * HOUR / 60
        events.append(event(event_id, visitor, occurred_at, event_name, **ids))
    return Scenario(name, events, persons, refused or {}, unlinked)


_IDS = {
    "visitor_id",
    "user_id",
    "contact_id",
    "previous_visitor_id",
    "previous_user_id",
}

Happening = tuple[int, str, Mapping[str, Any]]


def _seen(day: int, visitor: str, **fields: Any) -> Happening:
    return day, "page_view", {"visitor_id": visitor, **fields}


def _login(day: int, visitor: str, user: str, **fields: Any) -> Happening:
    return day, "identify", {"visitor_id": visitor, "user_id": user, **fields}


def _stated(day: int, record: str, contact: str) -> Happening:
    """What a source without sessions says of one of its records."""
    fields = {"visitor_id": record, "contact_id": contact, "source": "crm"}
    return day, "identify", fields


def _signed_in(day: int, visitor: str, user: str, **fields: Any) -> Happening:
    return _seen(day, visitor, user_id=user, **fields)


def _alias(day: int, visitor: str, user: str, previous: str) -> Happening:
    kind = "previous_user_id" if previous[0] == "u" else "previous_visitor_id"
    return day, "alias", {"visitor_id": visitor, "user_id": user, kind: previous}


def _numbers(first: int, last: int) -> list[str]:
    return [f"{number:02}" for number in range(first, last + 1)]


def _chain(users: int) -> list[Happening]:
    """Accounts in a row, each on its device, neighbours joined by an address."""
    happenings = [_login(0, f"v{n}", f"u{n}") for n in _numbers(1, users)]
    for number in range(1, users):
        for account in (number, number + 1):
            n = f"{account:02}"
            contact = f"c{number:02}"
            happenings.append(_signed_in(1, f"v{n}", f"u{n}", contact_id=contact))
    return happenings


def _devices() -> list[Scenario]:
    return [
        _story(
            "first login",
            [_seen(0, "v1"), _seen(1, "v1"), _login(2, "v1", "u1"), _seen(3, "v1")],
            {"u1": "u1 v1"},
        ),
        _story(
            "signed in without a login",
            [_seen(0, "v1"), _signed_in(2, "v1", "u1")],
            {"u1": "u1 v1"},
        ),
        _story(
            "second device",
            [_login(0, "v1", "u1"), _signed_in(1, "v2", "u1"), _seen(2, "v2")],
            {"u1": "u1 v1 v2"},
        ),
        _story(
            "visitor who never signs in",
            [_seen(0, "v1"), _seen(1, "v2")],
            {"v1": "v1", "v2": "v2"},
        ),
        _story(
            "login without consent",
            [
                _seen(0, "v1"),
                _login(1, "v1", "u1", consent_analytics=False),
                _seen(2, "v1"),
            ],
            {"v1": "v1"},
        ),
        _story(
            "shared tablet",
            [
                _login(0, "v2", "u1"),
                *[_login(day, "v1", "u1") for day in (0, 1, 2)],
                *[_login(day, "v1", "u2") for day in (1, 3)],
                _seen(4, "v1"),
            ],
            {"u1": "u1 v2", "u2": "u2", "v1": "v1"},
            {"v1 u1": "shared_device", "v1 u2": "shared_device"},
        ),
        _story(
            "dominated tablet",
            [
                *[_login(day, "v1", "u1") for day in (0, 1, 2, 3)],
                _login(2, "v1", "u2"),
                # However much happens on a day, it is one day.
                *[_signed_in(2, "v1", "u2") for _ in range(9)],
                _seen(4, "v1"),
            ],
            {"u1": "u1 v1", "u2": "u2"},
            {"v1 u2": "guest_on_device"},
        ),
        _story(
            "account switch",
            [
                *[_login(day, "v1", "u1") for day in (0, 1)],
                *[_login(day, "v1", "u2") for day in (2, 3, 4)],
                _seen(5, "v1"),
            ],
            {"u1": "u1", "u2": "u2", "v1": "v1"},
            {"v1 u1": "shared_device", "v1 u2": "shared_device"},
        ),
        _story(
            "account switch long ago",
            [
                _login(0, "v1", "u1"),
                *[_login(day, "v1", "u2") for day in (1, 2, 3, 4)],
                _seen(5, "v1"),
            ],
            {"u1": "u1", "u2": "u2 v1"},
            {"v1 u1": "guest_on_device"},
        ),
        _story(
            "two accounts of one person on one device",
            [
                _login(0, "v1", "u1", contact_id="c1"),
                _login(1, "v1", "u2", contact_id="c1"),
            ],
            {"u1": "c1 u1 u2 v1"},
        ),
        _story(
            "cookies deleted every week",
            [_login(int(n), f"v{n}", "u1") for n in _numbers(1, 22)],
            {
                "u1": "u1 " + " ".join(f"v{n}" for n in _numbers(1, 20)),
                "v21": "v21",
                "v22": "v22",
            },
            {"v21 u1": "too_many_visitors", "v22 u1": "too_many_visitors"},
        ),
        _story(
            "shared account",
            [
                _login(0 if int(n) <= 6 else int(n), f"v{n}", "u1")
                for n in _numbers(1, 21)
            ],
            {"u1": "u1"} | {f"v{n}": f"v{n}" for n in _numbers(1, 21)},
            {f"v{n} u1": "shared_account" for n in _numbers(1, 21)},
        ),
        _story(
            "as many devices as one person may have",
            [_login(0, f"v{n}", "u1") for n in _numbers(1, 20)],
            {"u1": "u1 " + " ".join(f"v{n}" for n in _numbers(1, 20))},
        ),
        _story(
            "device of a shared account and of somebody",
            [
                *[
                    _login(0 if int(n) <= 6 else int(n), f"v{n}", "u1")
                    for n in _numbers(1, 21)
                ],
                _login(9, "v21", "u2"),
            ],
            {"u1": "u1", "u2": "u2"} | {f"v{n}": f"v{n}" for n in _numbers(1, 21)},
            {f"v{n} u1": "shared_account" for n in _numbers(1, 21)}
            | {"v21 u2": "shared_device"},
        ),
    ]


def _aliases() -> list[Scenario]:
    return [
        _story(
            "alias chain",
            [
                _login(0, "v1", "u2"),
                _alias(1, "v1", "u3", "u2"),
                _alias(2, "v2", "u1", "u3"),
            ],
            {"u2": "u1 u2 u3 v1 v2"},
        ),
        _story(
            "alias both ways",
            [_alias(0, "v1", "u1", "u2"), _alias(1, "v1", "u2", "u1")],
            {"u1": "u1 u2 v1"},
        ),
        _story(
            "alias of a visitor",
            [_seen(0, "v1"), _alias(1, "v2", "u1", "v1")],
            {"u1": "u1 v1 v2"},
        ),
        _story(
            "alias of a visitor of somebody else",
            [_login(0, "v1", "u1"), _alias(1, "v2", "u2", "v1")],
            {"u1": "u1", "u2": "u2 v2", "v1": "v1"},
            {"v1 u1": "shared_device", "v1 u2": "shared_device"},
        ),
        _story(
            "too many aliases",
            [
                _login(0, "v01", "u01"),
                *[
                    _alias(1, f"v{n:02}", f"u{n:02}", f"u{n - 1:02}")
                    for n in range(2, 27)
                ],
            ],
            {f"u{n}": f"u{n} v{n}" for n in _numbers(1, 26)},
            {f"u{n:02} u{n + 1:02}": "person_too_large" for n in range(1, 26)},
        ),
    ]


def _contacts() -> list[Scenario]:
    return [
        _story(
            "CRM merge of two accounts",
            [
                _login(0, "v1", "u1"),
                _login(1, "v2", "u2", contact_id="c1"),
                _signed_in(2, "v1", "u1", contact_id="c1"),
                _seen(3, "v2"),
            ],
            {"u1": "c1 u1 u2 v1 v2"},
        ),
        _story(
            "merge over two addresses",
            [
                _login(0, "v1", "u1", contact_id="c1"),
                _login(1, "v2", "u2", contact_id="c1"),
                _signed_in(2, "v2", "u2", contact_id="c2"),
                _login(3, "v3", "u3", contact_id="c2"),
            ],
            {"u1": "c1 c2 u1 u2 u3 v1 v2 v3"},
        ),
        _story(
            "newsletter before the account",
            [
                _seen(0, "v1", contact_id="c1"),
                _login(5, "v2", "u1", contact_id="c1"),
            ],
            {"u1": "c1 u1 v1 v2"},
        ),
        _story(
            "newsletter without an account",
            [_seen(0, "v1", contact_id="c1"), _seen(1, "v2", contact_id="c1")],
            {"c1": "c1 v1 v2"},
        ),
        _story(
            "address typed in on the device of somebody",
            [_login(0, "v1", "u1"), *[_seen(d, "v1", contact_id="c1") for d in (1, 2)]],
            {"u1": "u1 v1", "c1": "c1"},
            {"v1 c1": "guest_on_device"},
        ),
        _story(
            "own address typed in on the own device",
            [
                _login(0, "v1", "u1"),
                _seen(1, "v1", contact_id="c1"),
                _signed_in(2, "v1", "u1", contact_id="c1"),
            ],
            {"u1": "c1 u1 v1"},
        ),
        _story(
            "address of three accounts",
            [_login(0, f"v{n}", f"u{n}", contact_id="c1") for n in (1, 2, 3)],
            {"u1": "c1 u1 u2 u3 v1 v2 v3"},
        ),
        _story(
            "role address",
            [
                *[_login(0, f"v{n}", f"u{n}", contact_id="c1") for n in (1, 2, 3, 4)],
                _seen(1, "v5", contact_id="c1"),
            ],
            {f"u{n}": f"u{n} v{n}" for n in (1, 2, 3, 4)} | {"c1": "c1", "v5": "v5"},
            {f"c1 u{n}": "shared_contact" for n in (1, 2, 3, 4)}
            | {"v5 c1": "shared_contact"},
        ),
        _story(
            "contact of a CRM",
            [_stated(0, "v1", "c1"), _login(1, "v2", "u1", contact_id="c1")],
            {"u1": "c1 u1 v1 v2"},
        ),
        _story(
            "address of five records of a CRM",
            [_stated(0, f"v{n}", "c1") for n in (1, 2, 3, 4, 5)],
            {"c1": "c1 v1 v2 v3 v4 v5"},
        ),
        _story(
            "placeholder in a CRM",
            [
                *[_stated(0, f"v{n}", "c1") for n in (1, 2, 3, 4, 5, 6)],
                _login(1, "v7", "u1", contact_id="c1"),
            ],
            {f"v{n}": f"v{n}" for n in (1, 2, 3, 4, 5, 6)}
            | {"c1": "c1", "u1": "u1 v7"},
            {f"v{n} c1": "shared_contact" for n in (1, 2, 3, 4, 5, 6)}
            | {"c1 u1": "shared_contact"},
        ),
        _story(
            "record of which the address changed",
            [_stated(0, "v1", "c1"), _stated(1, "v1", "c2")],
            {"c1": "c1", "c2": "c2", "v1": "v1"},
            {"v1 c1": "shared_device", "v1 c2": "shared_device"},
        ),
        _story(
            "record whose account has both addresses",
            [
                _stated(0, "v1", "c1"),
                _stated(1, "v1", "c2"),
                _signed_in(2, "v2", "u1", contact_id="c1"),
                _signed_in(3, "v2", "u1", contact_id="c2"),
            ],
            {"u1": "c1 c2 u1 v1 v2"},
        ),
        _story(
            "account of many addresses",
            [_login(0, "v1", "u1", contact_id=f"c{n}") for n in (1, 2, 3, 4)],
            {"u1": "u1 v1"} | {f"c{n}": f"c{n}" for n in (1, 2, 3, 4)},
            {f"c{n} u1": "too_many_contacts" for n in (1, 2, 3, 4)},
        ),
        _story(
            "giant component",
            [*_chain(18), _alias(2, "v01", "u02", "u01")],
            {"u01": "u01 u02 v01 v02"}
            | {f"u{n}": f"u{n} v{n}" for n in _numbers(3, 18)}
            | {f"c{n}": f"c{n}" for n in _numbers(1, 17)},
            {
                f"c{c:02} u{u:02}": "person_too_large"
                for c in range(1, 18)
                for u in (c, c + 1)
            },
        ),
        _story(
            "as large as a person may be",
            _chain(17),
            {
                "u01": " ".join(
                    [
                        *[f"c{n}" for n in _numbers(1, 16)],
                        *[f"u{n}" for n in _numbers(1, 17)],
                        *[f"v{n}" for n in _numbers(1, 17)],
                    ]
                )
            },
        ),
    ]


def _decided() -> list[Scenario]:
    return [
        _story(
            SUPPRESSED,
            [
                _login(0, "v1", "u1", contact_id="c1"),
                _login(1, "v2", "u2", contact_id="c1"),
                _alias(2, "v3", "u3", "u2"),
                _login(3, "v3", "u3"),
            ],
            {"u1": "c1 u1 v1", "u3": "u3 v3"},
        ),
        _story(
            "device unlinked",
            [_login(0, "v1", "u1"), _login(1, "v2", "u1"), _seen(2, "v2")],
            {"u1": "u1 v1", "v2": "v2"},
            {"v2 u1": "unlinked"},
            ["v2 u1"],
        ),
        _story(
            "guest unlinked from a shared tablet",
            [
                _login(0, "v1", "u1"),
                _login(1, "v1", "u2"),
                _seen(2, "v1"),
            ],
            {"u1": "u1 v1", "u2": "u2"},
            {"v1 u2": "unlinked"},
            ["v1 u2"],
        ),
        _story(
            "merge unlinked",
            [
                _login(0, "v1", "u1", contact_id="c1"),
                _login(1, "v2", "u2", contact_id="c1"),
            ],
            {"u1": "u1 v1", "u2": "c1 u2 v2"},
            {"c1 u1": "unlinked"},
            ["c1 u1"],
        ),
    ]


SCENARIOS: list[Scenario] = [*_devices(), *_aliases(), *_contacts(), *_decided()]

_TAKEN_BACK = [
    event("taken_back_1", "v_login_taken_back_1", at("09:00")),
    event(
        "taken_back_2",
        "v_login_taken_back_1",
        at("12:00"),
        delay=HOUR,
        user_id="u_login_taken_back_1",
    ),
]
_LATE_LOGIN = [
    event("late_login_1", "v_late_login_1", at("09:00")),
    event("late_login_2", "v_late_login_1", at("09:00", 1)),
]

FIRST: list[Row] = [*_TAKEN_BACK, *_LATE_LOGIN]
"""What must land before `LAST`; all other events may land in any order."""

LAST: list[Row] = [
    # Another version of the event, received earlier: nobody signed in.
    event("taken_back_2", "v_login_taken_back_1", at("12:00"), delay=HOUR / 60),
    event(
        "late_login_3",
        "v_late_login_1",
        at("08:00"),
        "identify",
        user_id="u_late_login_1",
        delay=72 * HOUR,
    ),
]

SCENARIOS += [
    Scenario("login taken back", [], {"v1": "v1"}),
    Scenario("late login", [], {"u1": "u1 v1"}),
]


def crowd(seed: int, groups: int) -> list[Row]:
    """Groups of a few identifiers that meet at random: whatever the stories forgot.

    Moments are whole hours, so that many are equal.
    """
    rng = Random(seed)
    events = []
    for group in range(groups):
        # From one device and account to a crowd on a few.
        pools = [rng.randint(1, most) for most in (5, 5, 5)]
        for number in range(rng.randint(2, 25)):
            visitors, users, contacts = (
                [f"{kind}_crowd_{group}_{n}" for n in range(size)]
                for kind, size in zip("vuc", pools, strict=True)
            )
            fields: Row = {}
            name = "page_view"
            if rng.random() < 0.7:
                fields["user_id"] = rng.choice(users)
                name = rng.choice(["page_view", "identify", "alias"])
            if name == "alias":
                kind = rng.choice(["previous_user_id", "previous_visitor_id"])
                fields[kind] = rng.choice(users if "user" in kind else visitors)
            if rng.random() < 0.25:
                fields["contact_id"] = rng.choice(contacts)
            moment = at(f"{rng.randint(8, 11):02}:00", rng.randint(0, 5))
            event_id = f"crowd_{group}_{number}"
            events.append(event(event_id, rng.choice(visitors), moment, name, **fields))
    return events
