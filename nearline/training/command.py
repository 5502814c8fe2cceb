"""`nearline training-set`: labels, with what was known at each one's moment."""

import importlib
import warnings
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.cli import print_json
from nearline.progress import Bar, progress_bar
from nearline.settings import load_settings

if TYPE_CHECKING:
    from nearline.training.sets import TrainingSet

_MOST_FEATURES_SHOWN = 8


@click.command(
    name="training-set",
    epilog="Example: nearline training-set --service visitor_features_v1 --labels "
    '"select visitor_id, started_at as event_timestamp, purchase_count > 0 as bought '
    'from fct_sessions" --out bought.parquet',
    short_help="Labels, with features as known at each one's moment.",
)
@click.option(
    "--labels",
    required=True,
    metavar="SQL_OR_FILE",
    help="A SELECT over the published tables, or a file (.sql, .csv, .parquet).",
)
@click.option("--service", required=True, help="A registered feature service.")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, .parquet or .csv.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the card as JSON.")
def training_set(labels: str, service: str, out: Path, as_json: bool) -> None:
    """Write labels and the features that an app would have seen at their moments.

    Labels give the service's keys (visitor_id, item_id), event_timestamp in UTC, and
    whatever is to be learnt. No row sees what became known after its moment. The file
    holds pseudonyms and is out of erasure's reach: keep it no longer than you need it.
    """
    from nearline.training.sets import build_training_set

    with ExitStack() as stack:
        hush_libraries(stack)
        bars: list[Bar] = []
        done = build_training_set(
            load_settings(),
            labels,
            service,
            out,
            now=datetime.now(UTC),
            on_start=lambda rows: bars.append(
                stack.enter_context(progress_bar("training set", rows))
            ),
            on_rows=lambda rows: bars[0].advance(rows),
        )
    if as_json:
        print_json(asdict(done))
    else:
        click.echo("\n".join(_words(done, out)))


def hush_libraries(stack: ExitStack) -> None:
    """Feast shows every deprecation inside the libraries that it uses, once loaded."""
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("feast")
    warnings.simplefilter("ignore", DeprecationWarning)


def _words(done: "TrainingSet", out: Path) -> list[str]:
    from nearline.training.sets import CARD_SUFFIX

    lines = [
        f"{done.row_count:,} rows, {len(done.features)} features of {done.service}, "
        f"release {done.release_id}",
    ]
    if done.unknown_row_count:
        lines.append(
            f"  {done.unknown_row_count:,} of them are after {done.data_up_to}, up to "
            "which the release has data: their features are null, since what was known "
            "then is not known here"
        )
    missing = sorted(
        (
            (share, name)
            for name, share in done.missing_share.items()
            if share is not None and share > 0
        ),
        reverse=True,
    )
    if missing:
        shown = ", ".join(
            f"{name} {share:.1%}" for share, name in missing[:_MOST_FEATURES_SHOWN]
        )
        more = len(missing) - _MOST_FEATURES_SHOWN
        lines.append(f"  null: {shown}" + (f" and {more} more" if more > 0 else ""))
    lines += [f"Data: {out}", f"Card: {out}{CARD_SUFFIX}"]
    return lines
