"""`nearline simulate`: options in, a line of what was written out."""

import time
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.progress import progress_bar
from nearline.settings import load_settings

if TYPE_CHECKING:
    from nearline.simulate.live.running import LivePlan, LiveSummary

_STOPPED = 130
_OF_FILES = ("days", "start", "effect")
_OF_LIVE = (
    "collector",
    "key",
    "slot",
    "seconds",
    "pace",
    "care",
    "shop_seed",
    "connections",
)


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
    help="Devices and bots; thirty days make about 80 events of each. With --live: people "
    "who come, once each.",
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
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for events/ and truth/. With --live it need not be given: then the truth "
    "is in $NEARLINE_HOME/simulated.",
)
@click.option(
    "--force", is_flag=True, help="Replace the events and the truth in a folder in use."
)
@click.option(
    "--live",
    metavar="URL",
    help="Of `nearline serve`, such as http://localhost:8090: people visit now, over "
    "HTTP, and react to what they are shown.",
)
@click.option(
    "--collector",
    default="http://localhost:8080",
    show_default=True,
    metavar="URL",
    help="With --live: of `nearline collector`.",
)
@click.option(
    "--key",
    default="dev",
    show_default=True,
    help="With --live: of the collector and of the decisions service.",
)
@click.option(
    "--slot",
    default="home_carousel",
    show_default=True,
    help="With --live: the slot of items that people look at.",
)
@click.option(
    "--seconds",
    type=float,
    default=600,
    show_default=True,
    metavar="S",
    help="With --live: time in which people come.",
)
@click.option(
    "--pace",
    type=float,
    default=10,
    show_default=True,
    help="With --live: people look at pages so many times shorter; 1 is as long as people.",
)
@click.option(
    "--care",
    type=float,
    default=2,
    show_default=True,
    help="With --live: how much it matters to people whether they like what is shown, 0 "
    "(not at all) to 4.",
)
@click.option(
    "--shop-seed",
    type=int,
    default=7,
    show_default=True,
    metavar="S",
    help="With --live: seed of the shop that is on sale; --seed is that of the people.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    metavar="N",
    help="With --live: most requests at a time, to each of the two.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def simulate(
    context: click.Context,
    visitors: int,
    days: int,
    seed: int,
    start: str,
    effect: float,
    out: Path | None,
    force: bool,
    live: str | None,
    collector: str,
    key: str,
    slot: str,
    seconds: float,
    pace: float,
    care: float,
    shop_seed: int,
    connections: int,
    as_json: bool,
) -> None:
    """Write a shop's events to DIR/events and what is true of them to DIR/truth.

    The events hold persons with one to three devices, consent choices, log-ins, bots,
    late and duplicated events, and one A/B experiment with a known true effect. The same
    options write the same bytes. The pipeline never reads the truth.

    With --live people visit a running collector and decisions service instead, and what
    they click and buy depends on what they are shown; see docs/closed-loop.md. DIR/truth
    then says what personal answers are worth to them. The same seed brings the same
    people, who mean to do the same.
    """
    _check_options(context, is_live=live is not None)
    if live is not None:
        from nearline.simulate.live.running import LivePlan

        _visit(
            LivePlan(
                decisions_url=live,
                collector_url=collector,
                key=key,
                slot=slot,
                visitors=visitors,
                seconds=seconds,
                pace=pace,
                care=care,
                seed=seed,
                shop_seed=shop_seed,
                connections=connections,
            ),
            out,
            force=force,
            as_json=as_json,
        )
        return
    if out is None:
        raise InputError("--out: is missing; name a folder for events/ and truth/")
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


def _check_options(context: click.Context, *, is_live: bool) -> None:
    """Refuses an option that would be passed over."""
    for name in _OF_FILES if is_live else _OF_LIVE:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{option}: goes {'without' if is_live else 'with'} --live; leave it out"
            )


def _visit(plan: "LivePlan", out: Path | None, *, force: bool, as_json: bool) -> None:
    from nearline.simulate.live.running import run_live

    if out is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        out = load_settings().home / "simulated" / stamp
    with progress_bar("Visiting", plan.visitors) as bar:
        summary = run_live(plan, out, force=force, advance=bar.advance)
    if as_json:
        print_json({**asdict(summary), "out": str(out)})
    else:
        click.echo("\n".join(_live_words(summary)))
        click.echo(f"truth in {out}; after `nearline run`: nearline truth {out}")
    if summary.is_stopped:
        raise click.exceptions.Exit(_STOPPED)


def _live_words(summary: "LiveSummary") -> list[str]:
    counts = summary.counts
    lines = [
        f"{summary.visitor_count:,} people in {summary.seconds:,.0f} s: "
        f"{counts.get('events', 0):,} events, {counts.get('decisions', 0):,} decisions, "
        f"{summary.refused_count:,} allowed nothing",
        f"in the trial of {summary.slot}: {summary.unit_count:,}, of them "
        f"{summary.held_out_count:,} held out; {summary.click_count:,} clicked, "
        f"{summary.cart_count:,} used the cart, {summary.purchase_count:,} bought",
    ]
    for experiment, arms in summary.arms.items():
        sizes = ", ".join(f"{arm} {count:,}" for arm, count in arms.items())
        lines.append(f"experiment {experiment}: {sizes}")
    if summary.true_effects:
        effects = summary.true_effects
        lines.append(
            "true effect of personal answers, in percentage points: "
            f"{100 * effects['click']:+.2f} on clicks, "
            f"{100 * effects['conversion']:+.2f} on conversion"
        )
    if summary.decide_p50_ms is not None:
        lines.append(
            f"decisions answered after {summary.decide_p50_ms:.0f} ms at the median, "
            f"{summary.decide_p99_ms:.0f} ms at the 99th percentile"
        )
    lines += [
        f"problem: {what}: {count:,} times" for what, count in summary.problems.items()
    ]
    if summary.is_stopped:
        lines.append("stopped before everybody had been")
    return lines


def _read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError("--start: not a date; write it as YYYY-MM-DD") from None
