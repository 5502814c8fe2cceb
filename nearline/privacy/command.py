"""`nearline privacy`: what a privacy officer does from the command line."""

from datetime import UTC, datetime

import click
from pydantic import TypeAdapter, ValidationError

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.events.contract import Pseudonym
from nearline.privacy.suppression import KeyType, Reason, count_suppressed, suppress
from nearline.settings import load_settings


@click.group(
    epilog="Example: nearline privacy suppress --visitor v_1f0a9c --reason erased",
    short_help="Suppress what is kept of a visitor or a user.",
)
def privacy() -> None:
    """Decide whose data may be used."""


@privacy.command(
    name="suppress",
    epilog="Example: nearline privacy suppress --visitor v_1f0a9c --reason erased",
)
@click.option("--visitor", "visitor_id", help="A visitor id, as in fct_events.")
@click.option("--user", "user_id", help="A user id, as in fct_events.")
@click.option(
    "--reason",
    type=click.Choice(["erased", "opted_out"]),
    default="opted_out",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def suppress_command(
    visitor_id: str | None, user_id: str | None, reason: Reason, as_json: bool
) -> None:
    """Leave a visitor's or a user's rows out of every table from the next run on.

    The next `nearline run` rebuilds the warehouse without them.
    """
    if (visitor_id is None) == (user_id is None):
        raise InputError("give either --visitor or --user")
    key_type: KeyType = "visitor" if visitor_id is not None else "user"
    key = visitor_id or user_id or ""
    try:
        TypeAdapter(Pseudonym).validate_python(key)
    except ValidationError:
        raise InputError(
            f"--{key_type} must be a pseudonym (8 to 64 letters, digits, _ or -), "
            "as fct_events holds it"
        ) from None
    settings = load_settings()
    is_new = suppress(settings, key_type, key, reason, datetime.now(UTC))
    if as_json:
        print_json({"is_new": is_new, "suppressed_count": count_suppressed(settings)})
    else:
        click.echo(
            "listed; the next `nearline run` leaves the rows out"
            if is_new
            else "was listed before; nothing changed"
        )
