"""`nearline privacy`: what a privacy officer does from the command line."""

from contextlib import closing
from datetime import UTC, datetime

import click
from pydantic import TypeAdapter, ValidationError

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.events.contract import Pseudonym
from nearline.privacy.pseudonyms import Pseudonymizer, load_keyring, rotate_key
from nearline.privacy.suppression import KeyType, Reason, count_suppressed, suppress
from nearline.settings import Settings, load_settings


@click.group(
    epilog="Example: nearline privacy suppress --visitor v_1f0a9c --reason erased",
    short_help="Suppress a visitor or a user, find pseudonyms, rotate the key.",
)
def privacy() -> None:
    """Decide whose data may be used."""


@privacy.command(
    name="suppress",
    epilog="Example: nearline privacy suppress --visitor v_1f0a9c --reason erased",
)
@click.option("--visitor", "visitor_id", help="A visitor id, as in fct_events.")
@click.option("--user", "user_id", help="A user id, as in fct_events.")
@click.option("--contact", "contact_id", help="A contact id, as in bridge_identities.")
@click.option(
    "--reason",
    type=click.Choice(["erased", "opted_out"]),
    default="opted_out",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def suppress_command(
    visitor_id: str | None,
    user_id: str | None,
    contact_id: str | None,
    reason: Reason,
    as_json: bool,
) -> None:
    """Leave a person's rows out of every table from the next run on.

    Rows that name the visitor, user or contact, also as who somebody was before.

    The next `nearline run` rebuilds the warehouse without them.
    """
    keys: dict[KeyType, str | None] = {
        "visitor": visitor_id,
        "user": user_id,
        "contact": contact_id,
    }
    given = [(kind, key) for kind, key in keys.items() if key is not None]
    if len(given) != 1:
        raise InputError("give either --visitor or --user or --contact")
    [(key_type, key)] = given
    try:
        TypeAdapter(Pseudonym).validate_python(key)
    except ValidationError:
        raise InputError(
            f"--{key_type} must be a pseudonym (8 to 64 letters, digits, _ or -), "
            "as the tables hold it"
        ) from None
    settings = load_settings()
    is_new = suppress(settings, key_type, key, reason, datetime.now(UTC))
    _forget_shown(settings)
    if as_json:
        print_json({"is_new": is_new, "suppressed_count": count_suppressed(settings)})
    else:
        click.echo(
            "listed; the next `nearline run` leaves the rows out"
            if is_new
            else "was listed before; nothing changed"
        )


def _forget_shown(settings: Settings) -> None:
    """Counts for frequency caps go at once: no run rebuilds them."""
    from nearline.decisions.showings import forget_suppressed, open_showings

    try:
        with closing(open_showings(settings)) as showings:
            forget_suppressed(settings, showings)
    except Exception as problem:
        # Whatever Redis or SQLite raises: the key is listed, and `nearline serve` tries.
        click.echo(
            "warning: counts of what was shown cannot be deleted now "
            f"({type(problem).__name__}); `nearline serve` deletes them when it can",
            err=True,
        )


@privacy.command(
    name="pseudonym",
    epilog="Example: echo 4711 | nearline privacy pseudonym --user",
)
@click.option("--user", "is_user", is_flag=True, help="The identifier is an account's.")
@click.option("--contact", "is_contact", is_flag=True, help="It is a contact's.")
@click.option("--source", help="The identifier is a visitor's, of this source.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def pseudonym_command(
    is_user: bool, is_contact: bool, source: str | None, as_json: bool
) -> None:
    """Show what an identifier on standard input became, under every key.

    It is read from there so that it stays out of the shell's history.
    """
    if is_user + is_contact + (source is not None) != 1:
        raise InputError("give either --user or --contact or --source")
    identifier = click.get_text_stream("stdin").readline().strip()
    if not identifier:
        raise InputError("standard input is empty; write the identifier to it")

    def derive(keyed: Pseudonymizer) -> str:
        if source is not None:
            return keyed.visitor(source, identifier)
        return keyed.user(identifier) if is_user else keyed.contact(identifier)

    found = {keyed.key_id: derive(keyed) for keyed in load_keyring(load_settings())}
    if as_json:
        print_json({"pseudonyms": found})
    else:
        for key_id, pseudonym in found.items():
            click.echo(f"{pseudonym}  (key {key_id})")


@privacy.command(name="rotate-key", epilog="Example: nearline privacy rotate-key")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def rotate_key_command(as_json: bool) -> None:
    """Make a new key for pseudonyms; every visitor starts anew under it.

    Collectors take it at their next start. Former keys are kept in the keys folder, so
    that people are still found for access and erasure; delete one to make its
    pseudonyms unlinkable for good.
    """
    key_id = rotate_key(load_settings()).key_id
    if as_json:
        print_json({"key_id": key_id})
    else:
        click.echo(f"made key {key_id}; restart the collectors to use it")
