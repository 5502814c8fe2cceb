"""`nearline experiment check`, `list` and `decide`: options and words."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.settings import Settings, load_settings

if TYPE_CHECKING:
    from nearline.experiments.decision_record import ExperimentDecision
    from nearline.experiments.definitions import ExperimentDefinition
    from nearline.experiments.registry import Registered
    from nearline.yaml_forms import FileProblem

_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object."
)


@click.command(epilog="Example: nearline experiment check dbt_project/experiments")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@_json_option
def check(folder: Path | None, as_json: bool) -> None:
    """Say whether the experiments of FOLDER can run, and are what ran.

    Without FOLDER: those of NEARLINE_EXPERIMENTS, by default dbt_project/experiments. Every
    mistake is listed with its file, field and fix, and the exit code is then 2. What is
    without mistakes is noted in $NEARLINE_HOME/experiments: weights, salt, metrics and the
    rest of an experiment that runs change by a new phase or not at all. Of another FOLDER
    nothing is noted.
    """
    from nearline.decisions.vocabulary import known_segments
    from nearline.experiments.definition_check import unknown_names
    from nearline.experiments.metrics import load_metrics
    from nearline.experiments.registry import (
        changes_of_running,
        gone_experiments,
        load_registry,
        note_running,
    )
    from nearline.yaml_forms import FileError

    settings, now = _settings(folder), datetime.now(UTC)
    problems: tuple[FileProblem, ...] = ()
    definitions: tuple[ExperimentDefinition, ...] = ()
    try:
        registry = load_registry(settings, now)
        definitions = tuple(one.definition for one in registry.values())
        names = [metric.name for metric in load_metrics(settings.dbt_project)]
        problems = tuple(
            unknown_names(definitions, names, known_segments(settings.dbt_project))
        )
        problems += changes_of_running(settings, definitions, now)
        if folder is None:
            problems += gone_experiments(settings, definitions, now)
        if folder is None and not problems:
            note_running(settings, definitions, now)
    except FileError as problem:
        problems = problem.problems
    if as_json:
        print_json(
            {
                "folder": str(settings.experiment_folder),
                "experiments": [one.key for one in definitions],
                "problems": [asdict(one) for one in problems],
            }
        )
    elif problems:
        click.echo("\n".join(f"error: {one}" for one in problems), err=True)
    else:
        count = len(definitions)
        click.echo(f"{count} experiment{'s' * (count != 1)}, without mistakes")
    if problems:
        raise click.exceptions.Exit(InputError.exit_code)


@click.command("list", epilog="Example: nearline experiment list --past")
@click.option(
    "--past", is_flag=True, help="Those that were decided, with what was learnt."
)
@_json_option
def list_experiments(past: bool, as_json: bool) -> None:
    """List the experiments that are defined, and where each stands."""
    from nearline.experiments.registry import load_registry, past_experiments

    registry = load_registry(load_settings(), datetime.now(UTC))
    shown = past_experiments(registry) if past else tuple(registry.values())
    if as_json:
        print_json({"experiments": [_document(one) for one in shown]})
        return
    if not shown:
        click.echo(
            "no experiment was decided yet" if past else "no experiment is defined"
        )
    for one in shown:
        click.echo("\n".join(_lines(one, past)))


@click.command(
    epilog="Example: nearline experiment buckets checkout_reassurance --json"
)
@click.argument("key")
@_json_option
def buckets(key: str, as_json: bool) -> None:
    """Print which buckets see which variant now, for whoever assigns elsewhere.

    The JSON is what assignment.js in a page takes, or an implementation of your own;
    docs/experiments.md says bit for bit how a bucket comes about. It holds until
    `changes_at`.
    """
    from nearline.experiments.registry import find_registered, load_running

    settings, now = load_settings(), datetime.now(UTC)
    one = find_registered(load_running(settings, now), key, settings)
    standing = one.standing
    if as_json:
        print_json(
            {
                "key": key,
                "state": standing.state,
                "is_counted": standing.is_counted,
                "changes_at": standing.changes_at,
                "unit": one.definition.unit,
                "salt": standing.assigner.salt,
                "spans": [asdict(span) for span in standing.assigner.allocation.spans],
                "slot": None
                if standing.assigner.slot is None
                else asdict(standing.assigner.slot),
                "hold_outs": [asdict(held) for held in standing.assigner.hold_outs],
            }
        )
        return
    click.echo(f"{key} {standing.state}, salt {standing.assigner.salt}")
    for span in standing.assigner.allocation.spans:
        click.echo(
            f"  {span.first:>5} to {span.first + span.count - 1}  {span.variant}"
        )


@click.command(
    epilog="Example: nearline experiment decide checkout_reassurance --ship treatment "
    "--why 'More buy, and nothing before the checkout changes.' --by checkout"
)
@click.argument("key")
@click.option(
    "--ship", metavar="VARIANT", help="Everybody sees this variant from now on."
)
@click.option("--stop", is_flag=True, help="Nobody sees any of it from now on.")
@click.option("--why", required=True, help="What was learnt, for whoever comes later.")
@click.option("--by", required=True, metavar="NAME", help="Who answers for it.")
@_json_option
def decide(
    key: str, ship: str | None, stop: bool, why: str, by: str, as_json: bool
) -> None:
    """Record what was decided about an experiment, and roll it out.

    A line is added to _decisions.jsonl beside the definitions: commit and deploy it with
    them. Policies that take their arms from the experiment follow within seconds; hold-outs
    stay held out. Deciding again replaces what was decided, and both stay on record.
    """
    from nearline.experiments.decision_record import append_decision
    from nearline.experiments.registry import make_decision

    settings = load_settings()
    if stop == (ship is not None):
        raise InputError("give either --ship VARIANT or --stop")
    decision = make_decision(settings, key, ship, why, by, datetime.now(UTC))
    append_decision(settings.experiment_folder, decision)
    if as_json:
        print_json(asdict(decision))
        return
    click.echo(f"{key}: {_told(decision)}")
    click.echo(f"added to {settings.experiment_folder}; commit and deploy it", err=True)


def _settings(folder: Path | None) -> Settings:
    settings = load_settings()
    if folder is None:
        return settings
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one of the definitions")
    return settings.model_copy(update={"experiments": folder})


def _document(one: "Registered") -> dict[str, Any]:
    definition, changes_at = one.definition, one.standing.changes_at
    return {
        "key": definition.key,
        "state": one.standing.state,
        "changes_at": changes_at,
        "hypothesis": definition.hypothesis,
        "owner": definition.owner,
        "unit": definition.unit,
        "analysed_by": definition.analysed_by,
        "control": definition.control,
        "variants": dict(one.phase.variants),
        "phase": one.phase.number,
        "starts_at": definition.starts_at,
        "stops_at": definition.stops_at,
        "primary_metric": one.phase.primary_metric,
        "decision": None if one.decision is None else asdict(one.decision),
    }


def _lines(one: "Registered", past: bool) -> list[str]:
    definition = one.definition
    lines = [f"{definition.key}  {one.standing.state}  ({definition.owner})"]
    lines.append(f"  {definition.hypothesis}")
    if not past:
        shares = ", ".join(
            f"{name} {count / 100:g} %" for name, count in one.phase.variants.items()
        )
        lines.append(f"  {shares} of {definition.unit}s; {one.phase.primary_metric}")
    if one.decision is not None:
        lines.append(f"  {_told(one.decision)}")
        lines += [f"  {finding.verdict}" for finding in one.decision.findings[:1]]
    return lines


def _told(decision: "ExperimentDecision") -> str:
    what = "stopped" if decision.variant is None else f"ships {decision.variant}"
    when = f"{decision.decided_at:%Y-%m-%d}"
    return f"{what} since {when}, by {decision.by}: {decision.why}"
