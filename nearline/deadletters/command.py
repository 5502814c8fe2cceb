"""`nearline deadletters`: what was refused, why, and how it gets in after all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import orjson

from nearline.cli import print_json
from nearline.deadletters.letters import DeadLetter, find_letters, get_letters
from nearline.deadletters.patching import (
    Changes,
    masked_paths,
    parse_fix,
    parse_path,
    read_patch,
)
from nearline.deadletters.replay import Outcome, Status, replay
from nearline.errors import InputError
from nearline.landing.from_log import land_log
from nearline.log import LogUnavailableError
from nearline.settings import Settings, load_settings

_MOST_REFUSALS_SHOWN = 20
_HEADINGS = ("ID", "REFUSED AT (UTC)", "SOURCE", "EVENT", "REPLAYED", "WHY")


@click.group(
    epilog="Example: nearline deadletters list --reason currency",
    short_help="Show, mend and replay events that were refused.",
)
def deadletters() -> None:
    """Events that the door refused: kept without personal data, mended, sent again."""


@deadletters.command(
    name="list", epilog="Example: nearline deadletters list --source web --open"
)
@click.option("--reason", metavar="TEXT", help="Only where field or reason holds TEXT.")
@click.option("--source", help="Only of this source of events.")
@click.option("--open", "is_open", is_flag=True, help="Only what was not replayed.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="At most this many, the latest first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_command(
    reason: str | None, source: str | None, is_open: bool, limit: int, as_json: bool
) -> None:
    """List dead letters, the latest first."""
    settings = _prepared()
    found = find_letters(
        settings, reason=reason, source=source, is_open=is_open, limit=limit + 1
    )
    letters = found[:limit]
    if as_json:
        print_json({"deadletters": [_summary(letter) for letter in letters]})
        return
    if not letters:
        click.echo("no dead letters")
        return
    rows = [_HEADINGS, *(_line(letter) for letter in letters)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())
    if len(found) > limit:
        click.echo(f"more than {limit}; see all with a higher --limit")


@deadletters.command(name="show", epilog="Example: nearline deadletters show 3-17")
@click.argument("deadletter_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show_command(deadletter_id: str, as_json: bool) -> None:
    """Show one dead letter and what has to be mended."""
    (letter,) = get_letters(_prepared(), [deadletter_id])
    if as_json:
        print_json({**_summary(letter), "fields": letter.fields})
        return
    for name, value in _summary(letter).items():
        click.echo(f"{name + ':':<16}{'-' if value is None else value}")
    click.echo(orjson.dumps(letter.fields, option=orjson.OPT_INDENT_2).decode())
    for path in masked_paths(letter.fields):
        click.echo(f"masked: {path}; give --fix '{path}=…' or --drop '{path}'")


@deadletters.command(
    name="replay",
    epilog="Example: nearline deadletters replay 3-17 --fix currency=EUR "
    "--fix items.0.quantity=2 --drop mood",
)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Replay all that are open.")
@click.option(
    "--reason",
    metavar="TEXT",
    help="Replay all that are open where field or reason holds TEXT.",
)
@click.option(
    "--fix",
    "fixes",
    multiple=True,
    metavar="PATH=VALUE",
    help="Set a value: JSON, or else text.",
)
@click.option(
    "--drop", "drops", multiple=True, metavar="PATH", help="Leave a field out."
)
@click.option(
    "--patch",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON merge patch (RFC 7396): null drops, objects merge, all else replaces.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def replay_command(
    ids: tuple[str, ...],
    is_all: bool,
    reason: str | None,
    fixes: tuple[str, ...],
    drops: tuple[str, ...],
    patch: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Mend dead letters and send them again, through the same checks as at the door.

    Each is replayed once. The next `nearline run` puts it into the tables. A letter
    that is still refused stays as it is, and the exit code is 2.
    """
    if bool(ids) + is_all + (reason is not None) != 1:
        raise InputError("give ids, or --all, or --reason")
    settings = _prepared()
    changes = Changes(
        patch=read_patch(patch) if patch else {},
        drops=tuple(map(parse_path, drops)),
        fixes=tuple(map(parse_fix, fixes)),
    )
    letters = (
        get_letters(settings, ids)
        if ids
        else find_letters(settings, reason=reason, is_open=True)
    )
    outcomes = replay(settings, letters, changes, is_dry_run=dry_run)
    counts = Counter(outcome.status for outcome in outcomes)
    if as_json:
        print_json(
            {
                "is_dry_run": dry_run,
                "replayed_count": counts["replayed"],
                "replayed_before_count": counts["replayed_before"],
                "refused_count": counts["refused"],
                "results": [asdict(outcome) for outcome in outcomes],
            }
        )
    else:
        _say(counts, dry_run)
    refused = [outcome for outcome in outcomes if outcome.status == "refused"]
    if refused:
        raise InputError(_refusals(refused))


def _prepared() -> Settings:
    """Settings, with what the log holds landed, so that every letter can be found."""
    settings = load_settings()
    try:
        land_log(settings)
    except LogUnavailableError as problem:
        click.echo(f"{problem}; what it holds beyond is not shown", err=True)
    return settings


def _summary(letter: DeadLetter) -> dict[str, object]:
    summary = asdict(letter)
    del summary["fields"], summary["is_from_log"]
    for name in ("received_at", "replayed_at"):
        if summary[name] is not None:
            summary[name] = f"{summary[name].isoformat(timespec='seconds')}Z"
    return summary


def _line(letter: DeadLetter) -> Sequence[str]:
    at = letter.received_at
    return (
        letter.deadletter_id,
        "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}",
        letter.source or letter.source_format,
        letter.event_name or "-",
        "-" if letter.replayed_at is None else f"{letter.replayed_at:%Y-%m-%d %H:%M}",
        f"{letter.field}: {letter.reason}",
    )


def _say(counts: Counter[Status], is_dry_run: bool) -> None:
    verb = "would be replayed" if is_dry_run else "replayed"
    words = [f"{counts['replayed']:,} {verb}"]
    if counts["replayed_before"]:
        words.append(f"{counts['replayed_before']:,} already replayed, left alone")
    if counts["refused"]:
        words.append(f"{counts['refused']:,} refused")
    click.echo("; ".join(words))
    if counts["replayed"] and not is_dry_run:
        click.echo("the next `nearline run` puts them into the tables")


def _refusals(refused: Sequence[Outcome]) -> str:
    lines = [
        f"{outcome.deadletter_id}: {outcome.field} {outcome.reason}"
        for outcome in refused[:_MOST_REFUSALS_SHOWN]
    ]
    if len(refused) > len(lines):
        lines.append(f"and {len(refused) - len(lines):,} more")
    return "\nerror: ".join(lines)
