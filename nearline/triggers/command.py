"""`nearline triggers`: check and run what is said to visitors, and look at the outbox.

Belongs here: options and words.
"""

import logging
import signal
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.settings import Settings, load_settings

if TYPE_CHECKING:
    from nearline.triggers.definitions import Trigger
    from nearline.triggers.running import Step

_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)
_STATES = ("waiting", "sending", "sent", "withdrawn", "refused", "expired", "dead")


@click.group(
    epilog="Example: nearline triggers check && nearline triggers run",
    short_help="Check, run and list triggers; look at their outbox.",
)
def triggers() -> None:
    """Say something at the right moment, once; see docs/triggers.md."""


@triggers.command(epilog="Example: nearline triggers check")
@_json_option
def check(as_json: bool) -> None:
    """Check the triggers' files; the first mistake ends with file, place and fix.

    Settings that deliveries will need, and segments that nobody is in, are warnings.
    """
    from nearline.triggers.reading import read_triggers

    settings = load_settings()
    found = read_triggers(settings.triggers, settings.dbt_project)
    warnings = _warnings(settings, found.triggers)
    if as_json:
        print_json(
            {
                "folder": str(settings.triggers),
                "triggers": [trigger.name for trigger in found.triggers],
                "warnings": warnings,
            }
        )
        return
    names = ", ".join(trigger.name for trigger in found.triggers)
    count = len(found.triggers)
    click.echo(f"{count} trigger{'' if count == 1 else 's'}: {names or 'none'}")
    for warning in warnings:
        click.echo(f"warning: {warning}")


@triggers.command(name="list", epilog="Example: nearline triggers list --ready-made")
@click.option("--ready-made", is_flag=True, help="List what `like` may name instead.")
@_json_option
def list_command(ready_made: bool, as_json: bool) -> None:
    """List triggers, with how often each fired."""
    from nearline.triggers import reading

    if ready_made:
        known = reading.ready_made()
        if as_json:
            print_json(dict(known))
        else:
            for name, given in known.items():
                click.echo(f"{name:28} {given['description']}")
        return
    settings = load_settings()
    found = reading.read_triggers(settings.triggers, settings.dbt_project)
    fired = _fired(settings)
    if as_json:
        print_json(
            [
                {
                    "name": trigger.name,
                    "version": trigger.version,
                    "description": trigger.description,
                    "channels": [one.channel for one in trigger.deliver],
                    "consent": trigger.consent,
                    "hold_out": trigger.hold_out_buckets / 10_000,
                    **fired.get(trigger.name, {"fired": 0, "held_out": 0}),
                }
                for trigger in found.triggers
            ]
        )
        return
    if not found.triggers:
        click.echo(
            f"no triggers in {settings.triggers}; docs/triggers.md has the first"
        )
    for trigger in found.triggers:
        counts = fired.get(trigger.name, {"fired": 0, "held_out": 0})
        channels = ", ".join(one.channel for one in trigger.deliver)
        click.echo(
            f"{trigger.name:28} {channels}: {counts['fired']:,} fired, "
            f"{counts['held_out']:,} of them held out"
        )
        if trigger.description:
            click.echo(f"    {trigger.description}")


@triggers.command(epilog="Example: nearline triggers outbox --state dead --retry all")
@click.option(
    "--state", type=click.Choice(_STATES), help="Only messages of this state."
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N"
)
@click.option(
    "--retry",
    metavar="MESSAGE_ID",
    help="Put a dead message back, or `all` of them, before listing.",
)
@_json_option
def outbox(state: str | None, limit: int, retry: str | None, as_json: bool) -> None:
    """Show messages, the newest first, with what became of each.

    Whose they are and what they say is not shown.
    """
    from nearline.triggers.outbox import count_messages, read_messages, retry_dead

    settings, now = load_settings(), datetime.now(UTC)
    retried = None
    if retry is not None:
        retried = retry_dead(settings, None if retry == "all" else retry, now)
        if retry != "all" and not retried:
            raise InputError("--retry names no dead message; `--state dead` lists them")
    counts = count_messages(settings, now)
    messages = read_messages(settings, state=state, limit=limit, now=now)
    if as_json:
        print_json(
            {
                "counts": counts,
                "retried": retried,
                "messages": [
                    {name: getattr(message, name) for name in message.__slots__}
                    for message in messages
                ],
            }
        )
        return
    if retried is not None:
        click.echo(f"{retried:,} put back")
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    click.echo(listed or "no messages")
    for message in messages:
        attempts = ""
        if message.attempt_count:
            attempts = f", attempt {message.attempt_count}"
        problem = f": {message.problem}" if message.problem else ""
        click.echo(
            f"{message.message_id}  {message.fired_at:%Y-%m-%d %H:%M:%S}  "
            f"{message.trigger}  {message.channel}  {message.state}{attempts}{problem}"
        )


@triggers.command(epilog="Example: nearline triggers run")
@click.option(
    "--until-idle",
    is_flag=True,
    help="Take what the log holds, decide and send what is due, then end.",
)
@_json_option
def run(until_idle: bool, as_json: bool) -> None:
    """Follow the event log, fire triggers and deliver their messages, until stopped.

    One process works in a home; another waits until it is gone. Killed at any moment, the
    next one goes on where it was, and nothing fires twice. Changed files are taken up
    within a second. The release of a `nearline run` has to be there.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    settings = load_settings()
    from nearline.triggers.running import (
        Deliveries,
        Follower,
        deliver_due,
        follow,
        only_one,
    )

    stopping = threading.Event()
    started = time.monotonic()
    totals: Counter[str] = Counter(records=0, events=0, fired=0)

    def waiting() -> None:
        click.echo("triggers   another process is at work; waiting for it", err=True)

    # The lock comes first: until then, Ctrl+C and SIGTERM end the process by themselves.
    with only_one(settings, waiting):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        follower = Follower(settings)
        deliveries = Deliveries(settings)

        def note(step: "Step") -> None:
            totals.update(records=step.records, events=step.events, fired=step.fired)
            if step.fired:
                deliveries.wake()
                if sys.stderr.isatty() and not as_json:
                    _say(totals)

        try:
            if not as_json:
                names = ", ".join(one.name for one in follower.triggers.triggers)
                click.echo(f"triggers   {names or 'none'}", err=True)
            if not until_idle:
                deliveries.start()
            follow(follower, stopping, until_idle=until_idle, on_step=note)
            tried = deliver_due(settings, time.time) if until_idle else None
        finally:
            if not until_idle:
                deliveries.stop()
            counts = follower.counts()
            follower.close()
    if as_json:
        print_json(
            {
                **totals,
                "sent_or_tried": tried,
                "since_the_state_began": counts,
                "seconds": round(time.monotonic() - started, 3),
            }
        )
    else:
        _say(totals)


def _say(totals: "Counter[str]") -> None:
    click.echo(
        f"triggers   {totals['records']:,} records, {totals['fired']:,} fired", err=True
    )


def _fired(settings: Settings) -> dict[str, dict[str, int]]:
    from contextlib import closing

    from nearline.triggers.state import connect, state_path

    if not state_path(settings).exists():
        return {}
    with closing(connect(state_path(settings))) as connection:
        rows = connection.execute(
            "select trigger_name, count(*), sum(is_held_out) from firings "
            "group by trigger_name"
        )
        return {name: {"fired": fired, "held_out": held} for name, fired, held in rows}


def _warnings(settings: Settings, found: "tuple[Trigger, ...]") -> list[str]:
    """What will keep messages from getting out, as far as settings tell it."""
    warnings: list[str] = []
    channels = {one.channel for trigger in found for one in trigger.deliver}
    if "webhook" in channels and settings.trigger_secret is None:
        warnings.append("NEARLINE_TRIGGER_SECRET is not set; webhooks wait for it")
    if "email" in channels:
        from nearline.triggers.mail import mail_server

        try:
            mail_server(settings)
        except InputError as problem:
            warnings.append(f"{problem}; e-mails wait for it")
        if settings.trigger_addresses is None:
            warnings.append(
                "NEARLINE_TRIGGER_ADDRESSES is not set; e-mails wait for it"
            )
    return warnings + _segment_warnings(settings, found)


def _segment_warnings(settings: Settings, found: "tuple[Trigger, ...]") -> list[str]:
    from nearline.triggers.definitions import OnSegment

    named: list[tuple[str, Any]] = [
        (trigger.name, trigger.on.segment)
        for trigger in found
        if isinstance(trigger.on, OnSegment)
    ]
    if not named or not settings.published.exists():
        return []
    from nearline.triggers.released import Released

    released = Released(settings.published.resolve())
    try:
        known = released.segments()
    finally:
        released.close()
    return [
        f"{trigger}: nobody is in the segment {segment}; there are {', '.join(known)}"
        for trigger, segment in named
        if segment not in known
    ]
