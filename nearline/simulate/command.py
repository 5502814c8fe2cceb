"""`nearline simulate`: options in, a line of what was written out."""

import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.progress import progress_bar


@click.command(
    epilog="Example: nearline simulate --visitors 2000 --days 30 --seed 7 "
    "--start 2026-09-01 --out shop",
    short_help="Make a shop's events, with the truth beside them.",
)
@click.option(
    "--visitors",
    type=int,
    default=2000,
    show_default=True,
    metavar="N",
    help="Devices and bots; thirty days make about 80 events of each.",
)
@click.option(
    "--days",
    type=int,
    default=30,
    show_default=True,
    metavar="D",
    help="Days of visits.",
)
@click.option(
    "--seed",
    type=int,
    default=7,
    show_default=True,
    metavar="S",
    help="Another seed is another shop.",
)
@click.option(
    "--start",
    default="2026-09-01",
    show_default=True,
    metavar="DATE",
    help="First day, YYYY-MM-DD, UTC.",
)
@click.option(
    "--effect",
    type=float,
    default=0.15,
    show_default=True,
    metavar="RATE",
    help="The experiment's treatment multiplies the purchase probability by 1 + this; "
    "-0.9 to 1.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for events/ and truth/.",
)
@click.option(
    "--force", is_flag=True, help="Replace the events and the truth in a folder in use."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def simulate(
    visitors: int,
    days: int,
    seed: int,
    start: str,
    effect: float,
    out: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Write a shop's events to DIR/events and what is true of them to DIR/truth.

    The events hold persons with one to three devices, consent choices, log-ins, bots,
    late and duplicated events, and one A/B experiment with a known true effect. The same
    options write the same bytes. The pipeline never reads the truth.
    """
    from nearline.simulate.simulation import Plan
    from nearline.simulate.simulation import simulate as run

    plan = Plan(visitors, days, seed, _read_date(start), effect)
    began = time.perf_counter()
    with progress_bar("Simulating", 1.0) as bar:
        summary = run(plan, out, force=force, advance=bar.advance)
    seconds = time.perf_counter() - began
    rate = summary.line_count / seconds
    if as_json:
        print_json(
            {
                **asdict(summary),
                "seconds": round(seconds, 3),
                "events_per_second": round(rate),
                "out": str(out),
            }
        )
        return
    click.echo(
        f"{summary.line_count:,} events ({summary.duplicate_count:,} of them sent twice) "
        f"of {summary.visitor_count:,} visitors in {summary.session_count:,} sessions, "
        f"{summary.file_count} files in {out / 'events'}"
    )
    if summary.true_effect is None:
        click.echo(
            "no visitor was exposed to the experiment; take more visitors or days"
        )
    else:
        click.echo(
            f"true effect on conversion: {100 * summary.true_effect:+.2f} percentage points "
            f"({summary.true_control_mean:.2%} to {summary.true_treatment_mean:.2%}, "
            f"{summary.exposed_visitor_count:,} exposed visitors)"
        )
    click.echo(f"{seconds:.1f} s, {rate:,.0f} events a second")


def _read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError("--start: not a date; write it as YYYY-MM-DD") from None
