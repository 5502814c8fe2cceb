"""`nearline recommend`: a table in, what each model reaches on it out.

Belongs here: measuring on a file. What learns and serves is `serving_command`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.progress import progress_bar
from nearline.recommend.serving_command import (
    recommend_feedback,
    recommend_for,
    recommend_live,
    train,
)

if TYPE_CHECKING:
    from nearline.recommend.evaluation import Evaluation
    from nearline.recommend.intervals import Estimate
    from nearline.recommend.measuring import ModelResult
    from nearline.recommend.session_evaluation import SessionEvaluation

_Command = TypeVar("_Command", bound=Callable[..., None])
_MEASURES_ACROSS = 6

_seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed is another split, other ties and other resamples.",
)
_model_option = click.option(
    "--model",
    "models",
    multiple=True,
    default=["all"],
    show_default=True,
    metavar="NAME",
    help="A model's name; several with commas or by repeating the option; or all.",
)
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)


def _lengths_option(default: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--k",
        "lengths",
        default=default,
        show_default=True,
        metavar="K,K",
        help="Lengths of lists.",
    )


@click.group(
    epilog="Example: nearline recommend evaluate ratings.csv --model popularity,nearline",
    short_help="Learn, show and measure recommendations.",
)
def recommend() -> None:
    """Learn recommendations from what is published, and measure models on your own data."""


for _command in (train, recommend_for, recommend_live, recommend_feedback):
    recommend.add_command(_command)


@recommend.command(
    epilog="Example: nearline recommend evaluate ratings.csv --split temporal "
    "--test-share 0.25 --seed 7 --k 10,20 --model popularity,ease,nearline",
    short_help="On (user_id, item_id, timestamp): find what was hidden of each user.",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--split",
    default="random-per-user",
    show_default=True,
    metavar="NAME",
    help="random-per-user, leave-one-out (each user's latest) or temporal (the latest "
    "of all).",
)
@click.option(
    "--test-share",
    type=float,
    default=0.25,
    show_default=True,
    metavar="SHARE",
    help="Share that is hidden, between 0 and 1; leave-one-out has no use for it.",
)
@_seed_option
@_lengths_option("10,20")
@_model_option
@click.option(
    "--min-rating",
    type=float,
    metavar="R",
    help="Leave out interactions rated lower; without it a bad rating counts, too.",
)
@_json_option
def evaluate(
    file: Path,
    split: str,
    test_share: float,
    seed: int,
    lengths: str,
    models: tuple[str, ...],
    min_rating: float | None,
    as_json: bool,
) -> None:
    """Hide a part of each user's items in FILE, and see which model finds them.

    FILE is .csv, .csv.gz or .parquet with user_id, item_id, timestamp and, if you like,
    rating and, of the item, category, brand, price and title. Every item is ranked, those
    aside that the user had before. Intervals (95 %) are bootstrapped over users.
    """
    from nearline.recommend.evaluation import evaluate as run

    with progress_bar("Evaluating", 1.0) as bar:
        done = run(
            file,
            _names(models),
            split=split,
            test_share=test_share,
            seed=seed,
            k=_lengths(lengths),
            min_rating=min_rating,
            advance=bar.advance,
        )
    if as_json:
        print_json(done)
    else:
        click.echo("\n".join(_words(done)))


@recommend.command(
    name="evaluate-sessions",
    epilog="Example: nearline recommend evaluate-sessions --train week1.csv "
    "--test week2.csv --k 20 --model session-knn,nearline",
    short_help="On (session_id, item_id, timestamp): predict each next item.",
)
@click.option("--train", required=True, type=click.Path(path_type=Path), metavar="FILE")
@click.option("--test", required=True, type=click.Path(path_type=Path), metavar="FILE")
@_seed_option
@_lengths_option("20")
@_model_option
@_json_option
def evaluate_sessions(
    train: Path,
    test: Path,
    seed: int,
    lengths: str,
    models: tuple[str, ...],
    as_json: bool,
) -> None:
    """Learn from the sessions of --train; in those of --test predict each next item.

    Files are .csv, .csv.gz or .parquet with session_id, item_id, timestamp. At every
    position of a session a model sees the items before it and ranks every item, seen
    ones too. Items that --train does not hold are taken out of --test. Intervals (95 %)
    are bootstrapped over sessions.
    """
    from nearline.recommend.session_evaluation import evaluate_sessions as run

    with progress_bar("Evaluating", 1.0) as bar:
        done = run(
            train,
            test,
            _names(models),
            seed=seed,
            k=_lengths(lengths),
            advance=bar.advance,
        )
    if as_json:
        print_json(done)
    else:
        click.echo("\n".join(_session_words(done)))


def _names(models: tuple[str, ...]) -> list[str]:
    return [
        name.strip() for given in models for name in given.split(",") if name.strip()
    ]


def _lengths(stated: str) -> list[int]:
    try:
        return [int(part) for part in stated.split(",")]
    except ValueError:
        raise InputError("--k: give whole numbers from 1 on, such as 10,20") from None


def _words(done: "Evaluation") -> list[str]:
    lines = [
        f"{done.file}: {done.user_count:,} users measured, {done.item_count:,} items, "
        f"{done.train_count:,} interactions in training, {done.test_count:,} in test",
        f"split {done.split}"
        + ("" if done.test_share is None else f", test share {done.test_share:g}")
        + f", seed {done.seed}; {done.confidence_level:.0%} intervals over users",
    ]
    if done.cold_user_count:
        lines.append(
            f"  {done.cold_user_count:,} users have nothing in training and are not "
            "measured"
        )
    if done.unknown_target_share:
        lines.append(
            f"  {done.unknown_target_share:.1%} of the test is of items that training "
            "does not hold: missed by every model"
        )
    lines += [
        f"  {count:,} rows left out: {why}" for why, count in done.left_out.items()
    ]
    return lines + _refusals(done.refused) + _tables(done.models)


def _session_words(done: "SessionEvaluation") -> list[str]:
    lines = [
        f"{done.test_file}: {done.position_count:,} next items predicted in "
        f"{done.session_count:,} sessions; {done.train_count:,} interactions of "
        f"{done.item_count:,} items in {done.train_file}",
        f"seed {done.seed}; {done.confidence_level:.0%} intervals over sessions",
    ]
    if done.unknown_item_count:
        lines.append(
            f"  {done.unknown_item_count:,} rows of the test taken out: {done.train_file} "
            "does not hold their items"
        )
    for file, left_out in (
        (done.train_file, done.train_left_out),
        (done.test_file, done.test_left_out),
    ):
        lines += [
            f"  {file}: {count:,} rows left out: {why}"
            for why, count in left_out.items()
        ]
    return lines + _refusals(done.refused) + _tables(done.models)


def _refusals(refused: Mapping[str, str]) -> list[str]:
    return [f"  {name} is missing: {reason}" for name, reason in refused.items()]


def _tables(results: "Mapping[str, ModelResult]") -> list[str]:
    """Models down, a few measures across, each value with its interval below it."""
    first = next(iter(results.values())).measures
    margin = max(len(name) for name in results) + 1
    lines: list[str] = []
    for k, measures in first.items():
        names = list(measures)
        for start in range(0, len(names), _MEASURES_ACROSS):
            across = names[start : start + _MEASURES_ACROSS]
            lines += ["", f"@{k}".ljust(margin) + "".join(f"{n:>18}" for n in across)]
            for model, result in results.items():
                cells = [result.measures[k][name] for name in across]
                lines.append(
                    model.ljust(margin) + "".join(f"{_value(e):>18}" for e in cells)
                )
                lines.append(
                    " " * margin + "".join(f"{_interval(e):>18}" for e in cells)
                )
    return lines


def _value(estimate: "Estimate") -> str:
    return "-" if estimate.value is None else f"{estimate.value:.4f}"


def _interval(estimate: "Estimate") -> str:
    if estimate.ci_low is None or estimate.ci_high is None:
        return ""
    return f"{estimate.ci_low:.4f}-{estimate.ci_high:.4f}"
