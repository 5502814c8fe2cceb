"""`nearline propensity`: train what predicts purchases, and ask it of a visitor."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.progress import progress_bar
from nearline.propensity.targets import SERVICE, TARGETS, find_target
from nearline.settings import load_settings
from nearline.training.command import hush_libraries

if TYPE_CHECKING:
    from nearline.propensity.learning import Learnt

_Command = TypeVar("_Command", bound=Callable[..., None])

_MOST_ROWS = 1_000_000

_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)


def _target_option(what: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--target",
        "targets",
        type=click.Choice(tuple(TARGETS)),
        multiple=True,
        default=tuple(TARGETS),
        help=f"{what}: purchase later in the session, or within 7 days. Default: both.",
    )


@click.group(
    epilog="Example: nearline propensity train && nearline propensity score v_1f0a9c2b",
    short_help="Train what predicts purchases; score a visitor.",
)
def propensity() -> None:
    """How likely a visitor is to buy; see docs/propensity.md."""


@propensity.command(epilog="Example: nearline propensity train --target session")
@_target_option("What to train")
@click.option(
    "--max-rows",
    type=click.IntRange(min=1, max=_MOST_ROWS),
    default=20_000,
    show_default=True,
    help="Labelled moments at most.",
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True)
@click.option("--hold", is_flag=True, help="Leave what passes the gate a challenger.")
@_json_option
def train(
    targets: tuple[str, ...], max_rows: int, seed: int, hold: bool, as_json: bool
) -> None:
    """Train on the published release; judge, and promote what passes the gate.

    Data that no model can be made of are said in a line and are no failure.
    """
    from nearline.models.page import build_models_page
    from nearline.propensity.learning import learn

    settings = load_settings()
    found = []
    with ExitStack() as stack:
        hush_libraries(stack)
        bar = stack.enter_context(progress_bar("training", len(targets)))
        for key in targets:
            found.append(
                learn(
                    settings,
                    find_target(key),
                    now=datetime.now(UTC),
                    max_rows=max_rows,
                    seed=seed,
                    is_held=hold,
                )
            )
            bar.advance(1)
    page = build_models_page(settings.models, settings.site)
    if as_json:
        print_json({"models": [one.as_json() for one in found]})
    else:
        click.echo("\n".join(line for one in found for line in _words(one)))
        click.echo(f"Cards: {page}")


@propensity.command(epilog="Example: nearline propensity score v_1f0a9c2b")
@click.argument("visitor")
@_target_option("What to score")
@_json_option
def score(visitor: str, targets: tuple[str, ...], as_json: bool) -> None:
    """Score VISITOR (a pseudonym) by its online features, as known now."""
    from nearline.online.reading import FeatureReader
    from nearline.propensity.scoring import PropensityScorer

    settings = load_settings()
    scorers = {key: PropensityScorer(settings, find_target(key)) for key in targets}
    with ExitStack() as stack:
        hush_libraries(stack)
        reader = FeatureReader(settings, SERVICE)
        (features,) = reader.read([visitor])
        reader.close()
    if all(moment is None for moment in features.event_timestamps.values()):
        raise InputError("VISITOR has no features online; is it a visitor's pseudonym?")
    now = datetime.now(UTC)
    scores = {key: one.score(features.values, now) for key, one in scorers.items()}
    if as_json:
        print_json(
            {
                "visitor": visitor,
                "scores": {key: asdict(one) for key, one in scores.items()},
            }
        )
        return
    for key, one in scores.items():
        words = find_target(key).words
        if one.probability is None:
            click.echo(f"{words}: not known, {one.reason}")
        else:
            aside = f"; {'; '.join(one.problems)}" if one.problems else ""
            click.echo(f"{words}: {one.probability:.1%} (v{one.version}{aside})")


def _words(one: "Learnt") -> list[str]:
    if one.card is None:
        return [f"{one.model}: not trained: {one.reason}"]
    facts = one.card.facts
    state = "serves" if one.is_promoted else "challenger"
    if one.judgement is not None and not one.judgement.is_passed:
        state = "refused"
    lines = [
        f"{one.model} v{one.card.version} {state}: {one.reason}",
        f"  {facts.details['chosen'].replace('_', ' ')}, "
        + ", ".join(
            f"{name.replace('_', ' ')} {count:,}"
            for name, count in facts.row_counts.items()
        ),
    ]
    for name, metrics in (("this version", facts.metrics), *facts.beside.items()):
        shown = ", ".join(
            f"{key.replace('_', ' ')} {value.in_words()}"
            for key, value in metrics.items()
        )
        lines.append(f"  {name.replace('_', ' ')}: {shown}")
    return lines
