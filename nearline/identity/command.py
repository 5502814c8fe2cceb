"""`nearline identity`: why somebody is one person, and how to take a link apart."""

from dataclasses import asdict
from datetime import UTC, datetime

import click
from pydantic import TypeAdapter, ValidationError

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.events.contract import Pseudonym
from nearline.events.identifiers import find_identifier
from nearline.identity.explanation import explain, find_links
from nearline.identity.unlinks import Link, read_unlinks, relink, unlink
from nearline.settings import load_settings

_MOST_REASON_CHARACTERS = 300


@click.group(
    epilog="Example: nearline identity explain v_1f0a9c2b",
    short_help="Explain a person; take a link apart or restore it.",
)
def identity() -> None:
    """Who is whom, and why; see docs/identity.md."""


@identity.command(
    name="explain", epilog="Example: nearline identity explain v_1f0a9c2b"
)
@click.argument("identifier", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def explain_command(identifier: str, as_json: bool) -> None:
    """Show the person behind ID: a visitor, user, contact or person id.

    Each member with the links that lead to the account that names the person: when, by
    what kind of event, from which source; then the links that were refused, and why.
    """
    _check_pseudonym("ID", identifier)
    settings = load_settings()
    persons = explain(settings.published, identifier, read_unlinks(settings))
    if as_json:
        print_json({"persons": [asdict(person) for person in persons]})
    else:
        click.echo("\n\n".join(person.in_words() for person in persons))


@identity.command(
    name="unlink",
    epilog="Example: nearline identity unlink v_1f0a9c2b u_77d0e1f4 "
    '--reason "sold the phone"',
)
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--reason", required=True, metavar="TEXT", help="Why, without names.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def unlink_command(one: str, other: str, reason: str, as_json: bool) -> None:
    """Take the link between A and B apart, whatever events say of it.

    From the next `nearline run` on the pair counts for nothing, as if no event had
    named both. Events and features that were written under the pseudonyms stay.
    """
    for name, identifier in (("A", one), ("B", other)):
        _check_pseudonym(name, identifier)
    reason = reason.strip()
    if not 0 < len(reason) <= _MOST_REASON_CHARACTERS:
        raise InputError(
            f"--reason must have 1 to {_MOST_REASON_CHARACTERS} characters"
        )
    kind = find_identifier(reason)
    if kind is not None:
        raise InputError(f"--reason must hold no {kind.value}; say it without")
    settings = load_settings()
    links = find_links(settings.published, one, other)
    now = datetime.now(UTC)
    is_new = [unlink(settings, link, reason, now) for link in links]
    _report(links, any(is_new), as_json, "unlinked", "was unlinked before")


@identity.command(
    name="relink", epilog="Example: nearline identity relink v_1f0a9c2b u_77d0e1f4"
)
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def relink_command(one: str, other: str, as_json: bool) -> None:
    """Undo `unlink`: the evidence for A and B counts again from the next run on."""
    for name, identifier in (("A", one), ("B", other)):
        _check_pseudonym(name, identifier)
    settings = load_settings()
    links = [
        unlinked.link
        for unlinked in read_unlinks(settings)
        if {unlinked.link.identifier, unlinked.link.other_identifier} == {one, other}
    ]
    if not links:
        raise InputError("A and B were not unlinked, so there is nothing to undo")
    is_new = [relink(settings, link) for link in links]
    _report(links, any(is_new), as_json, "relinked", "was relinked before")


def _check_pseudonym(name: str, identifier: str) -> None:
    try:
        TypeAdapter(Pseudonym).validate_python(identifier)
    except ValidationError:
        # What was given is not repeated: it may be somebody's address.
        raise InputError(
            f"{name} must be a pseudonym (8 to 64 letters, digits, _ or -), as "
            "bridge_identities holds it"
        ) from None


def _report(
    links: list[Link], is_new: bool, as_json: bool, done: str, before: str
) -> None:
    if as_json:
        print_json({"is_new": is_new, "links": [asdict(link) for link in links]})
    elif is_new:
        click.echo(f"{done}; takes effect with the next `nearline run`")
    else:
        click.echo(f"{before}; nothing changed")
