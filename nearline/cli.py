"""The `nearline` command. Each room brings its own command; this file only names them.

A command is imported when it is called, so `--help` costs no import of a data library.
"""

import errno
import importlib
import json
import sys
from dataclasses import asdict, is_dataclass
from importlib.metadata import entry_points
from typing import Any

import click

from nearline.errors import NearlineError

_COMMANDS = {
    "simulate": "nearline.simulate.command:simulate",
    "truth": "nearline.simulate.truth_command:truth",
    "audience": "nearline.audience.command:audience",
    "ingest": "nearline.landing.command:ingest",
    "collector": "nearline.collector.command:collector",
    "deadletters": "nearline.deadletters.command:deadletters",
    "demo-shop": "nearline.demo_shop.command:demo_shop",
    "decide": "nearline.decisions.command:decide",
    "dashboards": "nearline.dashboards.command:dashboards",
    "experiment": "nearline.experiments.command:experiment",
    "live": "nearline.live.command:live",
    "up": "nearline.live.up_command:up",
    "identity": "nearline.identity.command:identity",
    "models": "nearline.models.command:models",
    "policy": "nearline.decisions.command:policy",
    "privacy": "nearline.privacy.command:privacy",
    "propensity": "nearline.propensity.command:propensity",
    "recommend": "nearline.recommend.command:recommend",
    "serve": "nearline.decisions.command:serve",
    "triggers": "nearline.triggers.command:triggers",
    "training-set": "nearline.training.command:training_set",
}
# What the user can mend; any other operating system error is a bug and shows its trace.
_STORAGE_PROBLEMS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
}
_ENTRY_POINT_GROUP = "nearline.commands"


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*_COMMANDS, *_plugged_in()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module, _, attribute = _COMMANDS[cmd_name].partition(":")
            command = getattr(importlib.import_module(module), attribute)
            assert isinstance(command, click.Command)
            return command
        plugged_in = _plugged_in().get(cmd_name)
        if plugged_in is None:
            return None
        command = plugged_in.load()
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        rows = [
            ("simulate", "Make a shop's events, with the truth beside them."),
            ("truth", "Compare what is published with a simulated shop's truth."),
            ("ingest", "Land files of events as raw Parquet."),
            ("collector", "Take events over HTTP into the event log."),
            ("demo-shop", "Serve a small shop that feeds the pipeline."),
            ("deadletters", "List, show, mend and replay refused events."),
            ("run", "Raw events to tables, features, results and pages."),
            ("live", "Keep online features seconds behind the events."),
            ("up", "Run collector, live features, decisions and the run together."),
            ("serve", "Answer what to show whom, over HTTP."),
            ("decide", "Show what a visitor would see now, and why."),
            ("policy", "Check policies; judge and learn them by the log."),
            ("experiment", "Say what a file of units or sums shows, with intervals."),
            ("dashboards", "Rebuild the pages from the published tables."),
            ("audience", "Hand a segment's people to another system."),
            ("identity", "Explain a person; take a link apart or restore it."),
            ("models", "List trained models; put another version in service."),
            ("privacy", "Suppress people, find pseudonyms, rotate the key."),
            ("propensity", "Train what predicts purchases; score a visitor."),
            ("recommend", "Learn, show and measure recommendations."),
            ("triggers", "Check, run and list triggers; look at their outbox."),
            ("training-set", "Labels, with features as known at each one's moment."),
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _plugged_in() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=_ENTRY_POINT_GROUP)}


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: nearline simulate --visitors 500 --out shop && "
    "nearline ingest shop/events --format nearline && nearline run",
)
@click.version_option(package_name="nearline")
def group() -> None:
    """Turn behaviour events into what a site shows next, and prove whether it helped.

    State lives under $NEARLINE_HOME (default: .nearline).
    """


def print_json(value: Any) -> None:
    """Prints a summary for machines: one JSON object on standard output."""
    plain = (
        asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    )
    click.echo(json.dumps(plain, indent=2, default=str))


def main() -> None:
    """Runs the command line; a known failure is one line and its exit code."""
    try:
        # Commands give nothing back; what comes is the code of an Exit that was raised.
        code = group(standalone_mode=False)
        if code:
            sys.exit(code)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except NearlineError as problem:
        click.echo(f"error: {problem}", err=True)
        sys.exit(problem.exit_code)
    except OSError as problem:
        if problem.errno not in _STORAGE_PROBLEMS:
            raise
        place = f" ({problem.filename})" if problem.filename else ""
        click.echo(f"error: {problem.strerror}{place}", err=True)
        sys.exit(NearlineError.exit_code)
