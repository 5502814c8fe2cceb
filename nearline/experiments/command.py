"""`nearline experiment`: what a file of units, or of sums, says about an experiment."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nearline.cli import print_json
from nearline.experiments.plan_command import plan
from nearline.experiments.registry_command import (
    buckets,
    check,
    decide,
    list_experiments,
)
from nearline.experiments.report_command import report

if TYPE_CHECKING:
    from nearline.experiments.analysis import ExperimentData, Question
    from nearline.experiments.inference import Horizon

_EXAMPLE = (
    "nearline experiment analyze --data units.csv --unit user_id --variant arm "
    "--control a --metric 'revenue=mean(revenue)'"
)
_ONLY_WITH_DATA = (
    "unit", "variant", "metrics", "covariate", "stratum", "day", "segments", "missing"
)  # fmt: skip


@click.group(epilog=f"Example: {_EXAMPLE} # or: nearline experiment COMMAND --help")
def experiment() -> None:
    """Say what an experiment shows, with intervals, or why it shows nothing."""


for _command in (plan, check, list_experiments, buckets, decide, report):
    experiment.add_command(_command)


@experiment.command(epilog=f"Example: {_EXAMPLE} --covariate revenue_before --json")
@click.argument("key", required=False)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV or Parquet of one row per unit.",
)
@click.option(
    "--summary",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV or Parquet of sums: variant, n, sum, sum_squares[, denominator_sum, "
    "denominator_sum_squares, cross_product][, metric].",
)
@click.option("--unit", metavar="COL", help="Column of the unit's id.")
@click.option("--variant", metavar="COL", help="Column of the variant.")
@click.option(
    "--control",
    metavar="NAME",
    help="The control; default: the variant 'control', else the first by name.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME=KIND(COL)",
    help="mean(COL), proportion(COL), ratio(NUM,DEN), winsorized(COL,0.999) or "
    "quantile(COL,0.9). The first is the primary one.",
)
@click.option(
    "--covariate", metavar="COL", help="Measured before the start; removes variance."
)
@click.option("--stratum", metavar="COL", help="Group known before the start.")
@click.option("--day", metavar="COL", help="Day of arrival; checked for novelty.")
@click.option(
    "--segment",
    "segments",
    multiple=True,
    metavar="COL",
    help="Check the arms' sizes in each group of it, too.",
)
@click.option(
    "--weights", metavar="A=0.5,B=0.5", help="Planned shares; default: equal."
)
@click.option("--sequential", is_flag=True, help="Valid at every look, at any time.")
@click.option(
    "--planned-units",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --sequential: where its interval is to be narrowest; default 10000.",
)
@click.option(
    "--looks",
    metavar="0.5,1",
    help="Planned looks so far, as shares of the planned units; the last is now.",
)
@click.option(
    "--spending",
    type=click.Choice(["obrien-fleming", "pocock"]),
    default="obrien-fleming",
    show_default=True,
    help="With --looks: how early it may stop.",
)
@click.option(
    "--correction",
    type=click.Choice(["holm", "benjamini-hochberg", "none"]),
    default="holm",
    show_default=True,
    help="For several variants.",
)
@click.option(
    "--guardrail",
    "guardrails",
    multiple=True,
    metavar="METRIC=MARGIN",
    help="A metric that must not be worse by more than a share of control (0.02).",
)
@click.option(
    "--lower-is-better", "lower", multiple=True, metavar="METRIC", help="As latency is."
)
@click.option(
    "--effect",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SHARE",
    help="Smallest relative change of the primary metric that matters (0.02).",
)
@click.option(
    "--prior-sd",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Normal prior of the difference around 0; default: flat.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.999, min_open=True),
    default=0.95,
    show_default=True,
    help="Of the intervals.",
)
@click.option(
    "--missing",
    type=click.Choice(["refuse", "zero"]),
    default="refuse",
    show_default=True,
    help="What an empty cell of a metric or covariate means.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def analyze(key: str | None, as_json: bool, **options: Any) -> None:
    """Compare variants with control: difference, relative lift, intervals, verdict.

    Of a file (--data, --summary), or of the experiment KEY of the published release, as
    its definition asks.

    Health comes first: arms whose sizes are not as planned withhold the verdict, never
    the estimates. Data that cannot answer give a named problem, not a number. Fields
    of the JSON and sources of the methods: docs/experiments.md.
    """
    from nearline.experiments.analysis import answer
    from nearline.experiments.conclusion import conclude
    from nearline.experiments.document import build_document, build_refusal
    from nearline.experiments.findings import AnalysisError
    from nearline.experiments.report import describe

    if key is not None:
        _print_published(key, options, as_json=as_json)
        return
    try:
        question = _question(options)
        answered = answer(_read(options, question), question)
    except AnalysisError as refusal:
        if as_json:
            print_json(build_refusal(refusal.finding))
        raise
    conclusion = conclude(answered, question)
    if as_json:
        print_json(build_document(answered, question, conclusion))
    else:
        click.echo("\n".join(describe(answered, question, conclusion)))


def _print_published(key: str, options: dict[str, Any], *, as_json: bool) -> None:
    """An experiment of the release: its definition says all that options could."""
    from nearline.experiments.document import build_refusal
    from nearline.experiments.findings import AnalysisError
    from nearline.experiments.report_command import print_published

    try:
        context = click.get_current_context()
        for name in options:
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise AnalysisError(
                    "needless_option",
                    f"--{name.replace('_', '-')} does not go with an experiment's key",
                    "leave it out: the definition says how its data are read",
                )
        print_published(key, as_json=as_json)
    except AnalysisError as refusal:
        if as_json:
            print_json(build_refusal(refusal.finding))
        raise


def _read(options: dict[str, Any], question: "Question") -> "ExperimentData":
    from nearline.experiments.findings import AnalysisError

    data, summary = options["data"], options["summary"]
    if (data is None) == (summary is None):
        raise AnalysisError(
            "missing_option",
            "there must be one file",
            "give either --data or --summary",
        )
    if data is not None:
        return _read_units(data, options, question)
    from nearline.experiments.summary_experiment import read_summary

    for name in _ONLY_WITH_DATA:
        if options[name] and options[name] != "refuse":
            raise AnalysisError(
                "needless_option",
                f"--{name.removesuffix('s')} goes with --data",
                "leave it out: sums know no single units",
            )
    return read_summary(summary)


def _read_units(
    path: Path, options: dict[str, Any], question: "Question"
) -> "ExperimentData":
    from nearline.experiments.expressions import SYNTAX, parse_metrics
    from nearline.experiments.findings import AnalysisError
    from nearline.experiments.unit_experiment import Columns, read_experiment

    for name in ("unit", "variant", "metrics"):
        if not options[name]:
            raise AnalysisError(
                "missing_option",
                f"--data needs --{name.removesuffix('s')}",
                SYNTAX if name == "metrics" else "name the column that holds it",
            )
    columns = Columns(
        unit=options["unit"],
        variant=options["variant"],
        metrics=parse_metrics(options["metrics"]),
        covariate=options["covariate"],
        stratum=options["stratum"],
        day=options["day"],
        segments=options["segments"],
        is_missing_zero=options["missing"] == "zero",
    )
    return read_experiment(path, columns, question.weights)


def _question(options: dict[str, Any]) -> "Question":
    from nearline.experiments.analysis import Question

    weights = options["weights"]
    return Question(
        control=options["control"],
        weights=None if weights is None else _weights(weights),
        horizon=_horizon(options),
        correction=options["correction"],
        guardrails=_shares("guardrail", options["guardrails"]),
        lower_is_better=frozenset(options["lower"]),
        least_effect=options["effect"],
        prior_standard_deviation=options["prior_sd"],
    )


def _horizon(options: dict[str, Any]) -> "Horizon":
    from nearline.experiments.findings import AnalysisError
    from nearline.experiments.inference import FixedHorizon
    from nearline.experiments.sequential import (
        DEFAULT_TUNED_UNIT_COUNT,
        AlwaysValid,
        GroupSequential,
        Spending,
    )

    level = options["confidence"]
    if options["looks"] is None:
        if not options["sequential"]:
            return FixedHorizon(level)
        tuned = options["planned_units"] or DEFAULT_TUNED_UNIT_COUNT
        return AlwaysValid(level, tuned)
    if options["sequential"]:
        raise AnalysisError(
            "needless_option",
            "--sequential and --looks are two ways of looking",
            "give one of them, the one planned before the start",
        )
    try:
        looks = tuple(float(share) for share in options["looks"].split(","))
        if not all(math.isfinite(share) for share in looks):
            raise ValueError
        return GroupSequential(looks, level, Spending(options["spending"]))
    except ValueError as error:
        raise AnalysisError(
            "unreadable_looks",
            f"--looks {options['looks']!r} is no list of numbers",
            "give growing shares of the planned units, as 0.25,0.5",
        ) from error


def _weights(text: str) -> dict[str, float]:
    weights = _shares("weights", text.split(","))
    if not any(weights.values()):
        raise _unreadable("weights", text)
    return weights


def _shares(option: str, texts: Sequence[str]) -> dict[str, float]:
    shares = {}
    for text in texts:
        name, sign, number = text.rpartition("=")
        try:
            share = float(number)
        except ValueError as error:
            raise _unreadable(option, text) from error
        if not sign or not 0 <= share < math.inf or name.strip() in shares:
            raise _unreadable(option, text)
        shares[name.strip()] = share
    return shares


def _unreadable(option: str, text: str) -> Exception:
    from nearline.experiments.findings import AnalysisError

    form = "A=0.5,B=0.5, each once" if option == "weights" else "METRIC=0.02"
    return AnalysisError(
        f"unreadable_{option}",
        f"--{option} {text!r} does not read as shares",
        f"write --{option} {form}",
    )
