"""Why somebody is taken for one person: members, the links that hold them, and others.

Read from the published tables alone, and from the operator's list for what the next run
will change.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.errors import InputError
from nearline.identity.unlinks import Link, Unlink
from nearline.publication.tables import open_release, scan

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Step:
    """One link on the way from a member to the identifier that names the person."""

    identifier: str
    linked_to: str
    link_reason: str
    link_source: str
    link_event_id: str
    linked_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """One identifier of a person; the one without steps names the person."""

    identifier_type: str
    identifier: str
    first_linked_at: datetime
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class RefusedLink:
    """A link of a member that does not hold, with its evidence."""

    link: Link
    refused_reason: str
    link_reason: str
    link_source: str
    first_seen_at: datetime
    last_seen_at: datetime
    day_count: int
    event_count: int
    operator_reason: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A person as published, and which of its links the next run will take or give."""

    person_id: str
    members: tuple[Member, ...]
    refused_links: tuple[RefusedLink, ...]
    to_be_unlinked: tuple[Link, ...]
    to_be_relinked: tuple[Link, ...]

    def in_words(self) -> str:
        """Lines for a terminal."""
        lines = [f"Person {self.person_id}: {_count(len(self.members), 'identifier')}"]
        for member in self.members:
            lines.append(f"  {member.identifier_type} {member.identifier}")
            if not member.steps:
                lines.append(f"    first seen {_moment(member.first_linked_at)}")
            lines += [
                f"    {'then ' if place else ''}linked to {step.linked_to} by "
                f"{step.link_reason}, {_moment(step.linked_at)}, {step.link_source} "
                f"(event {step.link_event_id})"
                for place, step in enumerate(member.steps)
            ]
        if self.refused_links:
            lines.append("Links that do not hold:")
        for refused in self.refused_links:
            lines.append(
                f"  {refused.link.identifier} and {refused.link.other_identifier}: "
                f"{refused.refused_reason}"
                + (f" ({refused.operator_reason})" if refused.operator_reason else "")
            )
            lines.append(
                f"    {refused.link_reason}, {refused.link_source}, "
                f"{_count(refused.event_count, 'event')} on "
                f"{_count(refused.day_count, 'day')}, "
                f"{_moment(refused.first_seen_at)} to {_moment(refused.last_seen_at)}"
            )
        for links, verb in (
            (self.to_be_unlinked, "unlinks"),
            (self.to_be_relinked, "relinks"),
        ):
            lines += [
                f"The next `nearline run` {verb} "
                f"{link.identifier} and {link.other_identifier}"
                for link in links
            ]
        return "\n".join(lines)


def explain(
    published: Path, identifier: str, unlinks: list[Unlink]
) -> tuple[Explanation, ...]:
    """The person behind an identifier, or of a person id.

    More than one only where a visitor and an account happen to have the same id.

    Raises:
        InputError: nothing is published yet, or not this identifier.
    """
    connection, release = open_release(published)
    persons = connection.execute(
        f"select distinct person_id from {scan(release, 'bridge_identities')} "
        "where $id in (identifier, person_id) order by all",
        {"id": identifier},
    ).fetchall()
    if not persons:
        raise InputError(
            "ID is not in the published bridge_identities; give a visitor, user, "
            "contact or person id as the tables have it (`nearline privacy pseudonym` "
            "finds it for a raw one)"
        )
    return tuple(
        _explain_person(connection, release, person_id, unlinks)
        for (person_id,) in persons
    )


def find_links(published: Path, one: str, other: str) -> list[Link]:
    """The published links between two identifiers, given in any order.

    Raises:
        InputError: nothing is published yet, an identifier is not, or no event names
            both.
    """
    connection, release = open_release(published)
    for name, identifier in (("A", one), ("B", other)):
        known = connection.execute(
            f"select 1 from {scan(release, 'bridge_identities')} "
            "where identifier = $id limit 1",
            {"id": identifier},
        ).fetchall()
        if not known:
            raise InputError(
                f"{name} is not in the published bridge_identities; give a visitor, "
                "user or contact id as the tables have it"
            )
    rows = connection.execute(
        f"select {_LINK} from {scan(release, 'fct_identity_links')} as links "
        "where (identifier, other_identifier) in (($one, $other), ($other, $one)) "
        "order by all",
        {"one": one, "other": other},
    ).fetchall()
    if not rows:
        raise InputError(
            "no event names both A and B, so there is no link to take apart; "
            "`nearline identity explain A` shows the links on the way from A"
        )
    return [Link(*row) for row in rows]


_LINK = "identifier_type, identifier, other_identifier_type, other_identifier"


def _explain_person(
    connection: "duckdb.DuckDBPyConnection",
    release: Path,
    person_id: str,
    unlinks: list[Unlink],
) -> Explanation:
    bridge = _rows(
        connection,
        f"select * from {scan(release, 'bridge_identities')} where person_id = $id "
        "order by linked_to is not null, identifier_type, linked_at, identifier",
        person_id,
    )
    links = _rows(
        connection,
        f"""
        with members as (
            select identifier_type, identifier
            from {scan(release, "bridge_identities")} where person_id = $id
        )
        select * from {scan(release, "fct_identity_links")} as links
        where (identifier_type, identifier) in (from members)
            or (other_identifier_type, other_identifier) in (from members)
        order by first_seen_at, {_LINK}
        """,
        person_id,
    )
    listed = {unlinked.link: unlinked for unlinked in unlinks}
    by_key = {(row["identifier_type"], row["identifier"]): row for row in bridge}
    return Explanation(
        person_id=person_id,
        members=tuple(
            Member(
                row["identifier_type"],
                row["identifier"],
                row["linked_at"],
                _steps(row, by_key),
            )
            for row in bridge
        ),
        refused_links=tuple(
            _refused(row, listed.get(_link(row))) for row in links if not row["is_held"]
        ),
        to_be_unlinked=tuple(
            _link(row)
            for row in links
            if _link(row) in listed and row["refused_reason"] != "unlinked"
        ),
        to_be_relinked=tuple(
            _link(row)
            for row in links
            if _link(row) not in listed and row["refused_reason"] == "unlinked"
        ),
    )


def _steps(
    row: dict[str, Any], by_key: dict[tuple[str, str], dict[str, Any]]
) -> tuple[Step, ...]:
    steps = []
    while row["linked_to"] is not None:
        steps.append(
            Step(
                row["identifier"],
                row["linked_to"],
                row["link_reason"],
                row["link_source"],
                row["link_event_id"],
                row["linked_at"],
            )
        )
        row = by_key[row["linked_to_type"], row["linked_to"]]
    return tuple(steps)


def _refused(row: dict[str, Any], unlinked: Unlink | None) -> RefusedLink:
    return RefusedLink(
        _link(row),
        row["refused_reason"],
        row["link_reason"],
        row["link_source"],
        row["first_seen_at"],
        row["last_seen_at"],
        row["day_count"],
        row["event_count"],
        unlinked.reason if unlinked is not None else None,
    )


def _link(row: dict[str, Any]) -> Link:
    return Link(*(row[name] for name in _LINK.split(", ")))


def _rows(
    connection: "duckdb.DuckDBPyConnection", query: str, person_id: str
) -> list[dict[str, Any]]:
    found = connection.execute(query, {"id": person_id})
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _moment(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
