"""Persons in plain Python, from the rules of `docs/identity.md`: a second opinion.

One pass over a list in memory, with a union-find; nothing is shared with the SQL.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from tests.dbt.reference_sessions import SOURCES_WITHOUT_SESSIONS, parse

Row = dict[str, Any]
Identifier = tuple[str, str]
"""Its type (visitor, user or contact) and the id."""
Pair = tuple[Identifier, Identifier]

MAX_VISITORS_PER_USER = 20
MAX_VISITORS_PER_USER_A_DAY = 5
MAX_USERS_PER_CONTACT = 3
MAX_RECORDS_PER_CONTACT = 5
MAX_CONTACTS_PER_USER = 3
MAX_IDENTIFIERS_PER_PERSON = 50
SHARED_DEVICE_DOMINANCE = Fraction(8, 10)


@dataclass
class Evidence:
    """What is known of a pair."""

    events: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    """Moment and reason by event id."""
    days: set[date] = field(default_factory=set)
    is_of_snapshots: bool = True
    """Whether sources without sessions alone know of it."""

    @property
    def first_seen_at(self) -> datetime:
        return min(moment for moment, _ in self.events.values())


@dataclass(frozen=True)
class Persons:
    """Who names the person of each identifier, and what became of each link."""

    named_by: dict[Identifier, Identifier]
    verdicts: dict[Pair, str | None]
    """Reason of refusal; None where the link holds."""
    evidence: dict[Pair, Evidence]


class Groups:
    """Union-find."""

    def __init__(self) -> None:
        self._parents: dict[Hashable, Any] = {}

    def find(self, member: Any) -> Any:
        while (parent := self._parents.get(member, member)) != member:
            member = parent
        return member

    def join(self, one: Any, other: Any) -> None:
        self._parents[self.find(one)] = self.find(other)


def find_persons(
    events: Iterable[Row], unlinked: Collection[frozenset[str]] = ()
) -> Persons:
    """Persons of deduplicated events; `unlinked` holds pairs of ids."""
    consented = [event for event in events if event.get("consent_analytics")]
    evidence = _gather(consented)
    verdicts: dict[Pair, str | None] = dict.fromkeys(evidence)
    for pair in evidence:
        if frozenset((pair[0][1], pair[1][1])) in unlinked:
            verdicts[pair] = "unlinked"
    _refuse_contacts(verdicts, evidence)
    _refuse_visitors(verdicts, evidence)
    accounts = _join_accounts(verdicts, evidence)
    owners = _attach_devices(verdicts, evidence, accounts)
    named_by = _name(accounts, evidence)
    for event in consented:
        visitor = ("visitor", event["visitor_id"])
        named_by[visitor] = visitor
    for one, _ in evidence:
        named_by.setdefault(one, one)
    for visitor, account in owners.items():
        named_by[visitor] = named_by[account]
    return Persons(named_by, verdicts, evidence)


def _gather(events: Iterable[Row]) -> dict[Pair, Evidence]:
    evidence: dict[Pair, Evidence] = defaultdict(Evidence)
    for event in events:
        for one, other, reason in _pairs(event):
            seen = evidence[one, other]
            moment = parse(event["occurred_at"])
            known = seen.events.get(event["event_id"])
            # Of two reasons in one event the first in the alphabet.
            if known is None or reason < known[1]:
                seen.events[event["event_id"]] = moment, reason
            seen.days.add(moment.date())
            if event["source"] not in SOURCES_WITHOUT_SESSIONS:
                seen.is_of_snapshots = False
    return dict(evidence)


def _pairs(event: Row) -> Iterable[tuple[Identifier, Identifier, str]]:
    visitor = ("visitor", event["visitor_id"])
    user = ("user", event["user_id"]) if event.get("user_id") else None
    contact = ("contact", event["contact_id"]) if event.get("contact_id") else None
    if user:
        is_login = event["event_name"] == "identify"
        yield visitor, user, "identify" if is_login else "signed_in_event"
    if contact:
        yield (contact, user, "contact") if user else (visitor, contact, "contact")
    if event["event_name"] == "alias" and user:
        if previous := event.get("previous_visitor_id"):
            yield ("visitor", previous), user, "alias"
        previous = event.get("previous_user_id")
        if previous and previous != user[1]:
            one, other = sorted([user, ("user", previous)])
            yield one, other, "alias"


def _refuse_contacts(
    verdicts: dict[Pair, str | None], evidence: dict[Pair, Evidence]
) -> None:
    def held(kind: str, other_kind: str) -> list[Pair]:
        return [
            (one, other)
            for (one, other), verdict in verdicts.items()
            if verdict is None and (one[0], other[0]) == (kind, other_kind)
        ]

    users: dict[Identifier, list[Pair]] = defaultdict(list)
    for pair in held("contact", "user"):
        users[pair[0]].append(pair)
    records: dict[Identifier, list[Pair]] = defaultdict(list)
    for pair in held("visitor", "contact"):
        if evidence[pair].is_of_snapshots:
            records[pair[1]].append(pair)
    shared = {c for c, pairs in users.items() if len(pairs) > MAX_USERS_PER_CONTACT}
    shared |= {
        c for c, pairs in records.items() if len(pairs) > MAX_RECORDS_PER_CONTACT
    }
    for pair in held("contact", "user") + held("visitor", "contact"):
        if shared & set(pair):
            verdicts[pair] = "shared_contact"
    contacts: dict[Identifier, list[Pair]] = defaultdict(list)
    for pair in held("contact", "user"):
        contacts[pair[1]].append(pair)
    for pairs in contacts.values():
        if len(pairs) > MAX_CONTACTS_PER_USER:
            verdicts.update(dict.fromkeys(pairs, "too_many_contacts"))


def _refuse_visitors(
    verdicts: dict[Pair, str | None], evidence: dict[Pair, Evidence]
) -> None:
    devices: dict[Identifier, list[Pair]] = defaultdict(list)
    for pair, verdict in verdicts.items():
        if verdict is None and pair[0][0] == "visitor":
            devices[pair[1]].append(pair)
    for pairs in devices.values():
        if len(pairs) <= MAX_VISITORS_PER_USER:
            continue
        a_day: dict[date, int] = defaultdict(int)
        for pair in pairs:
            for day in evidence[pair].days:
                a_day[day] += 1
        if max(a_day.values()) > MAX_VISITORS_PER_USER_A_DAY:
            verdicts.update(dict.fromkeys(pairs, "shared_account"))
            continue
        pairs.sort(key=lambda pair: (evidence[pair].first_seen_at, pair[0]))
        for pair in pairs[MAX_VISITORS_PER_USER:]:
            verdicts[pair] = "too_many_visitors"


def _join_accounts(
    verdicts: dict[Pair, str | None], evidence: dict[Pair, Evidence]
) -> dict[Identifier, frozenset[Identifier]]:
    """Every account and contact with all that are the same person."""
    nodes = {each for pair in evidence for each in pair if each[0] != "visitor"}
    links = [p for p, v in verdicts.items() if v is None and p[0][0] != "visitor"]

    def joined(pairs: Iterable[Pair]) -> dict[Identifier, frozenset[Identifier]]:
        groups = Groups()
        for one, other in pairs:
            groups.join(one, other)
        members: dict[Identifier, set[Identifier]] = defaultdict(set)
        for node in nodes:
            members[groups.find(node)].add(node)
        return {node: frozenset(members[groups.find(node)]) for node in nodes}

    devices: dict[Identifier, set[Identifier]] = defaultdict(set)
    for (one, other), verdict in verdicts.items():
        if verdict is None and one[0] == "visitor":
            devices[other].add(one)

    def is_too_large(group: frozenset[Identifier]) -> bool:
        of_group = set().union(*(devices[member] for member in group))
        return len(group) + len(of_group) > MAX_IDENTIFIERS_PER_PERSON

    by_all = joined(links)
    by_alias = joined(pair for pair in links if pair[0][0] == "user")
    found = {}
    for node in nodes:
        group = by_all[node]
        if is_too_large(group):
            group = by_alias[node]
        found[node] = frozenset({node}) if is_too_large(group) else group
    for one, other in links:
        if found[one] != found[other]:
            verdicts[one, other] = "person_too_large"
    return found


def _attach_devices(
    verdicts: dict[Pair, str | None],
    evidence: dict[Pair, Evidence],
    accounts: dict[Identifier, frozenset[Identifier]],
) -> dict[Identifier, Identifier]:
    """The account by which each device that somebody owns is held."""
    by_visitor: dict[Identifier, list[Pair]] = defaultdict(list)
    for pair, verdict in verdicts.items():
        if pair[0][0] == "visitor" and verdict not in ("unlinked", "shared_contact"):
            by_visitor[pair[0]].append(pair)
    owners = {}
    for visitor, pairs in by_visitor.items():
        logins = [pair for pair in pairs if pair[1][0] == "user"]
        days: dict[frozenset[Identifier], set[date]] = defaultdict(set)
        for pair in logins or pairs:
            days[accounts[pair[1]]] |= evidence[pair].days
        total = sum(map(len, days.values()))
        person = max(days, key=lambda group: len(days[group]))
        is_owned = len(days[person]) >= SHARED_DEVICE_DOMINANCE * total
        for pair in pairs:
            if verdicts[pair] is not None:
                continue
            if not is_owned:
                verdicts[pair] = "shared_device"
            elif pair[1] not in person:
                verdicts[pair] = "guest_on_device"
            else:
                owners[visitor] = pair[1]
    return owners


def _name(
    accounts: dict[Identifier, frozenset[Identifier]], evidence: dict[Pair, Evidence]
) -> dict[Identifier, Identifier]:
    seen: dict[Identifier, list[datetime]] = defaultdict(list)
    for pair, known in evidence.items():
        for member in pair:
            seen[member].append(known.first_seen_at)
    first = {member: min(moments) for member, moments in seen.items()}
    return {
        account: min(group, key=lambda each: (each[0] != "user", first[each], each[1]))
        for account, group in accounts.items()
    }
