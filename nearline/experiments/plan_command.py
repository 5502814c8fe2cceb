"""`nearline experiment plan`: how many units, for how long, and what could be seen."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli import print_json

if TYPE_CHECKING:
    from nearline.experiments.baseline import Baseline

_HISTORY_DAYS = 14
"""Two whole weeks, as long as experiments commonly run; weekdays weigh alike."""

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command(
    epilog="Example: nearline experiment plan --rate 0.04 --effect 0.05 --per-day 3000 "
    "# or, by what is published: nearline experiment plan checkout_reassurance"
)
@click.argument("key", required=False)
@click.option("--rate", type=_SHARE, help="Baseline of a proportion, as 0.04.")
@click.option("--mean", type=float, help="Baseline of a mean or ratio; with --sd.")
@click.option(
    "--sd", type=_POSITIVE, help="Standard deviation of one unit's value; with --mean."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="History, one row per unit, to take the baseline from; with --metric.",
)
@click.option(
    "--metric",
    metavar="NAME=KIND(COL)",
    help="mean(COL), proportion(COL), ratio(NUM,DEN) or winsorized(COL,0.999).",
)
@click.option(
    "--effect", type=float, help="Relative change to be seen (0.05 is 5 % more)."
)
@click.option(
    "--units", type=click.IntRange(min=4), help="Instead: units of both arms."
)
@click.option(
    "--per-day", type=_POSITIVE, help="New units a day, for the days it takes."
)
@click.option(
    "--variant-share",
    type=_SHARE,
    default=0.5,
    show_default=True,
    help="Of the units of both arms.",
)
@click.option(
    "--days",
    type=click.IntRange(min=1),
    metavar="N",
    help="With KEY: days of history to plan by, and as many before as covariate "
    f"[default: {_HISTORY_DAYS}]",
)
@click.option(
    "--for-days",
    type=click.IntRange(min=1),
    metavar="N",
    help="With KEY: how long it runs; default: from its start to its stop.",
)
@click.option("--power", type=_SHARE, default=0.8, show_default=True)
@click.option("--confidence", type=_SHARE, default=0.95, show_default=True)
@click.option(
    "--missing",
    type=click.Choice(["refuse", "zero"]),
    default="refuse",
    show_default=True,
    help="What an empty cell means.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan(key: str | None, as_json: bool, **options: Any) -> None:
    """Units and days that an effect needs, or the smallest effect that units can show.

    One look at the end, two-sided. The baseline comes from numbers or from a file of
    history that observes a unit for as long as the experiment will; with KEY, an experiment
    that is defined, from the published tables.
    """
    if key is not None:
        _plan_defined(key, as_json, options)
        return
    for name in ("days", "for_days"):
        if options[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise _needless(f"{option} goes with the KEY of a defined experiment")
    from nearline.experiments.plan import plan_for_effect, plan_for_units

    baseline = _baseline(options)
    if (options["effect"] is None) == (options["units"] is None):
        raise _wrong("there must be one aim", "give either --effect or --units")
    common = {
        "power": options["power"],
        "confidence_level": options["confidence"],
        "variant_share": options["variant_share"],
        "units_per_day": options["per_day"],
    }
    if options["units"] is None:
        made = plan_for_effect(baseline, options["effect"], **common)
    else:
        made = plan_for_units(baseline, options["units"], **common)
    if as_json:
        print_json(made)
    else:
        click.echo(made.sentence)


def _plan_defined(key: str, as_json: bool, options: dict[str, Any]) -> None:
    from nearline.experiments.definition_check import unknown_names
    from nearline.experiments.definition_plan import describe_plan, plan_definition
    from nearline.experiments.history import History
    from nearline.experiments.metrics import load_metrics
    from nearline.experiments.registry import find_registered, load_registry
    from nearline.settings import load_settings
    from nearline.yaml_forms import FileError

    for name in ("rate", "mean", "sd", "data", "metric", "units", "per_day"):
        if options[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise _needless(
                f"{option} does not go with KEY, whose history is published"
            )
    settings = load_settings()
    registry = load_registry(settings, datetime.now(UTC))
    definition = find_registered(registry, key, settings).definition
    metrics = load_metrics(settings.dbt_project)
    names = [metric.name for metric in metrics]
    problems = list(unknown_names([definition], names, definition.eligibility.segments))
    if problems:
        raise FileError(problems)
    days = options["days"] or _HISTORY_DAYS
    with History(settings, definition, days) as history:
        made = plan_definition(
            definition,
            metrics,
            history,
            effect=options["effect"],
            days=options["for_days"],
            power=options["power"],
            confidence_level=options["confidence"],
        )
    if as_json:
        print_json(made)
    else:
        click.echo("\n".join(describe_plan(made)))


def _baseline(options: dict[str, Any]) -> "Baseline":
    from nearline.experiments.baseline import Baseline, read_baseline
    from nearline.experiments.expressions import parse_metric
    from nearline.experiments.power import deviation_of_proportion

    ways = [
        options["rate"] is not None,
        options["mean"] is not None or options["sd"] is not None,
        options["data"] is not None or options["metric"] is not None,
    ]
    if sum(ways) == 1:
        if options["rate"] is not None:
            rate = options["rate"]
            return Baseline(rate, deviation_of_proportion(rate), True)
        if options["mean"] is not None and options["sd"] is not None:
            return Baseline(options["mean"], options["sd"])
        if options["data"] is not None and options["metric"] is not None:
            return read_baseline(
                options["data"],
                parse_metric(options["metric"]),
                is_missing_zero=options["missing"] == "zero",
            )
    raise _wrong(
        "there must be one baseline",
        "give --rate, or --mean with --sd, or --data with --metric",
    )


def _needless(why: str) -> Exception:
    from nearline.experiments.findings import AnalysisError

    return AnalysisError("needless_option", why, "leave it out")


def _wrong(why: str, what_to_do: str) -> Exception:
    from nearline.experiments.findings import AnalysisError

    return AnalysisError("missing_option", why, what_to_do)
