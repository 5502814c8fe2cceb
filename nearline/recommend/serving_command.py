"""`nearline recommend train|for|live|feedback`: learn, show a list, and what it was worth.

Belongs here: options and words. Not here: measuring models on a file (`command`).
"""

import logging
import signal
import sys
import threading
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from nearline.cli import print_json
from nearline.errors import NearlineError
from nearline.progress import progress_bar
from nearline.settings import load_settings

if TYPE_CHECKING:
    from nearline.recommend.feedback import Taking, Worth
    from nearline.recommend.following import Step
    from nearline.recommend.requests import Answer
    from nearline.recommend.training import Training

_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)


@click.command(
    epilog="Example: nearline recommend train --json",
    short_help="Learn from the published tables; serve it unless it is bad.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed is other starting points of what is learnt by chance.",
)
@_json_option
def train(seed: int, as_json: bool) -> None:
    """Learn from what `nearline run` published, as a new version in the registry.

    It serves from then on, unless its lists are worse beyond noise than those of what
    serves now, or than what is popular, or unless inputs drifted; `nearline models list`
    says which. `nearline models rollback recommender` puts the one before back. Used are
    item views, carts and purchases with consent to personalization, no bots. Dagster does
    the same every day.
    """
    from nearline.models.page import build_models_page
    from nearline.recommend.training import train as run

    settings = load_settings()
    with progress_bar("Learning", 1.0) as bar:
        done = run(
            settings,
            seed=seed,
            now=datetime.now(UTC),
            code_version=version("nearline"),
            advance=bar.advance,
        )
    page = build_models_page(settings.models, settings.site)
    if as_json:
        print_json(done)
    else:
        click.echo("\n".join(_training_words(done)))
        click.echo(f"Cards: {page}")


@click.command(
    name="for",
    epilog="Example: nearline recommend for v_3b1de39e5a7fcdc2 --count 5 --explain",
    short_help="Show a visitor's list, with the reason of each item.",
)
@click.argument("visitor")
@click.option(
    "--item", metavar="ITEM", help="Item of the page that the list stands on."
)
@click.option(
    "--count", type=click.IntRange(min=1), default=10, show_default=True, metavar="N"
)
@click.option("--channel", metavar="NAME", help="How they came, if nobody knows them.")
@click.option("--category", metavar="NAME", help="Items of this category alone.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed draws other items to explore.",
)
@click.option(
    "--explain", is_flag=True, help="Show scores, sources, odds and versions."
)
@_json_option
def recommend_for(
    visitor: str,
    item: str | None,
    count: int,
    channel: str | None,
    category: str | None,
    seed: int,
    explain: bool,
    as_json: bool,
) -> None:
    """Show what VISITOR (a pseudonym, v_…) would be recommended now.

    What the visitor did is read from the published tables and, since then, from the event
    log. Somebody of whom nothing is known gets what trends.
    """
    import numpy as np

    from nearline.recommend.requests import Request
    from nearline.recommend.serving import ServingRecommender
    from nearline.recommend.visitors import latest_touches

    settings = load_settings()
    serving = ServingRecommender(settings)
    recommender = serving.current()
    if recommender is None:
        raise NearlineError(f"{serving.reason}; run `nearline recommend train`")
    answer = recommender.recommend(
        Request(
            history=latest_touches(settings, visitor, datetime.now(UTC)),
            item=item,
            count=count,
            channel=channel,
            category=category,
        ),
        np.random.default_rng(seed),
    )
    if as_json:
        print_json(answer)
    else:
        click.echo("\n".join(_answer_words(answer, explain)))


@click.command(
    name="feedback",
    epilog="Example: nearline recommend feedback --taken carted --json",
    short_help="Say what choosing was worth, beside items shown by chance.",
)
@click.option(
    "--taken",
    type=click.Choice(["viewed", "carted", "bought"]),
    default="viewed",
    show_default=True,
    help="What counts, by the same visitor within a day.",
)
@_json_option
def recommend_feedback(taken: "Taking", as_json: bool) -> None:
    """Compare items that a version chose with items that it showed by chance.

    From the decisions that `nearline serve` logged, as `nearline run` published them. Both
    kinds stand in the same places before the same people, so how many times as often the
    chosen ones are taken is what the choice did.
    """
    from nearline.recommend.feedback import read_worth
    from nearline.recommend.warehouse import published_release

    settings = load_settings()
    found = read_worth(settings, published_release(settings).folder, taken, seed=0)
    if as_json:
        print_json({"taken": taken, "versions": [asdict(one) for one in found]})
    elif not found:
        click.echo(
            "no list of a recommender is on record yet; `nearline serve` shows them, and "
            "`nearline run` a day later knows what came of it"
        )
    else:
        click.echo(
            "\n".join(line for one in found for line in _worth_words(one, taken))
        )


@click.command(
    name="live",
    epilog="Example: nearline recommend live --write-every 5",
    short_help="Keep recommendations seconds behind the events.",
)
@click.option("--until-idle", is_flag=True, help="Read what the log holds, then end.")
@click.option(
    "--write-every",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Put a newer file in place so often at most.",
)
@_json_option
def recommend_live(until_idle: bool, write_every: float, as_json: bool) -> None:
    """Follow the event log and keep item-to-item lists, trends and new items up to date.

    It begins where the data of the serving version end, and goes over to a new version by
    itself. Nothing is lost if it is killed: the next one reads the log again from there.
    """
    from nearline.recommend.following import Follower, follow

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    totals: Counter[str] = Counter(records=0, touches=0, files=0)
    follower = Follower(load_settings(), write_every=write_every)

    def note(step: "Step") -> None:
        totals.update(
            records=step.records, touches=step.touches, files=int(step.is_written)
        )
        if step.is_written and sys.stderr.isatty() and not as_json:
            click.echo(_live_words(totals, follower.model_version), err=True)

    try:
        follow(follower, stopping, until_idle=until_idle, on_step=note)
    finally:
        follower.close()
    if as_json:
        print_json({**totals, "model_version": follower.model_version})
    else:
        click.echo(_live_words(totals, follower.model_version), err=True)


def _live_words(totals: "Counter[str]", model_version: int | None) -> str:
    if model_version is None:
        return "nothing to follow yet; run `nearline recommend train`"
    return (
        f"recommend  {totals['records']:,} records, {totals['touches']:,} views and "
        f"carts since recommender v{model_version}"
    )


def _worth_words(worth: "Worth", taken: str) -> list[str]:
    if worth.problem is None:
        verdict = (
            "worse than chance"
            if worth.is_worse_than_chance
            else "better than chance"
            if worth.is_better_than_chance
            else "no better and no worse than chance, as far as can be told"
        )
    else:
        verdict = f"cannot tell: {worth.problem}"
    lines = [f"recommender v{worth.version}: {verdict}"]
    if worth.problem is None:
        times = worth.times
        lines.append(
            f"  chosen items were {taken} {times.value:.2f} times as often as drawn ones "
            f"(95 % interval {times.ci_low:.2f} to {times.ci_high:.2f})"
        )
    for kind, count, share in (
        ("chosen", worth.chosen_count, worth.chosen_taken),
        ("drawn", worth.drawn_count, worth.drawn_taken),
    ):
        if share.value is not None:
            lines.append(f"  {kind:<7} {count:>9,} shown, {share.value:.2%} {taken}")
    return lines


def _training_words(done: "Training") -> list[str]:
    lines = [
        f"recommender v{done.version}: {done.interaction_count:,} views, carts and "
        f"purchases of {done.person_count:,} people, {done.item_count:,} items "
        f"(release {done.release_id})",
        "weights    "
        + ", ".join(f"{name} {weight:.2f}" for name, weight in done.weights.items()),
    ]
    for name, found in (
        ("blend", done.ndcg),
        (f"champion v{done.champion}", done.champion_ndcg),
        ("popularity", done.popularity_ndcg),
    ):
        if found is not None and found.value is not None:
            lines.append(
                f"nDCG@20    {found.value:.3f} ({found.ci_low:.3f}-{found.ci_high:.3f}) "
                f"{name}"
            )
    verdict = "serves" if done.is_serving else "REFUSED, what served goes on"
    return [*lines, f"{verdict}: {done.reason}"]


def _answer_words(answer: "Answer", explain: bool) -> list[str]:
    lines = []
    width = max((len(item.item_id) for item in answer.items), default=0)
    for place, item in enumerate(answer.items, 1):
        lines.append(f"{place:>2}  {item.item_id.ljust(width)}  {item.reason}")
        if explain:
            lines.append(
                f"    {' ' * width}  score {item.score:.3f}, odds {item.probability:.3f}, "
                f"from {', '.join(item.sources)}"
            )
    if not lines:
        lines.append("no item")
    if explain or answer.outcome != "personal":
        lines.append(f"outcome    {answer.outcome}")
    if answer.relaxed:
        lines.append(f"relaxed    {', '.join(answer.relaxed)}")
    if explain:
        fresh = answer.versions.get("fresh") or "the training"
        lines += [
            f"about      {answer.focus_item_id or 'no item in particular'}",
            f"made by    {answer.versions.get('recommender')}, with events up to {fresh}",
            f"candidates {len(answer.candidates)}",
        ]
    return lines
