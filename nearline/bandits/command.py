"""`nearline policy evaluate` and `learn`: policies judged by, and learnt from, the log.

The group that they hang in is `nearline.decisions.command`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.settings import load_settings

if TYPE_CHECKING:
    from nearline.bandits.evaluation import Contender
    from nearline.bandits.logged import LoggedDecisions
    from nearline.bandits.policies import Policy
    from nearline.bandits.reading import ReadDecisions

_Command = TypeVar("_Command", bound=Callable[..., None])

_ALWAYS = "always:"
_DEFAULT_EPSILON = {"epsilon-greedy": 0.1, "thompson": 0.0}
_DEFAULT_REWARD = "clicked"

# Enough to be tried first or last, and outweighed by a day of any slot worth learning.
_PRIOR_DECISIONS = 20
# What units did in an experiment is not what decisions of a slot give: it may guide, not
# decide.
_MOST_PRIOR_DECISIONS = 1_000


def _data_options(command: _Command) -> _Command:
    for option in reversed(
        (
            click.option(
                "--data",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="CSV or Parquet of decisions; default: what is published.",
            ),
            click.option("--slot", metavar="SLOT", help="Whose decisions; see above."),
            click.option(
                "--reward",
                default=_DEFAULT_REWARD,
                show_default=True,
                metavar="NAME",
                help="clicked, response, added, purchased or revenue; with --data, a column.",
            ),
            click.option(
                "--context",
                metavar="COL",
                help="Learn and model by it: segment, source or trigger_name; with "
                "--data, a column.",
            ),
            click.option(
                "--unit",
                metavar="COL",
                help="With --data: whose decisions are not independent; default: "
                "person_id or visitor_id.",
            ),
            click.option(
                "--epsilon",
                type=click.FloatRange(0, 1),
                help="Share of decisions that a learning policy draws from all alike. "
                "Default: 0.1 of epsilon-greedy, 0 of thompson.",
            ),
            click.option(
                "--json", "as_json", is_flag=True, help="Print one JSON object."
            ),
        )
    ):
        command = option(command)
    return command


@click.command(
    epilog="Example: nearline policy evaluate --data decisions.parquet --slot home "
    "--policy always:banner_b --reward is_clicked --json",
    short_help="What a policy would have given, with its interval.",
)
@click.option(
    "--policy",
    "policy_name",
    required=True,
    metavar="POLICY",
    help="uniform, always:CHOICE, epsilon-greedy, thompson, or a policy's JSON file.",
)
@_data_options
@click.option(
    "--clip",
    type=click.FloatRange(min=1),
    metavar="W",
    help="Count weights above W as W: narrower, and biased.",
)
@click.option(
    "--least-probability",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="P",
    help="No choice was ever drawn with lower odds, by design: adds an interval that "
    "holds for any number of decisions.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed is other folds and other resamples.",
)
def evaluate(
    policy_name: str,
    data: Path | None,
    slot: str | None,
    reward: str,
    context: str | None,
    unit: str | None,
    epsilon: float | None,
    clip: float | None,
    least_probability: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """Say what POLICY would have given, from decisions that were logged with their odds.

    --slot is needed unless --data holds one slot alone. A policy that learns is judged on
    decisions that it did not learn from. "Cannot conclude" is a result, too, and no
    failure; the exit code is 2 for bad input alone.
    """
    from nearline.bandits.evaluation import evaluate_policy
    from nearline.bandits.policy_files import LEARNING, Learnt, read_policy_file
    from nearline.bandits.report import as_document, describe

    is_file = not (
        policy_name in ("uniform", *LEARNING) or policy_name.startswith(_ALWAYS)
    )
    held = read_policy_file(Path(policy_name)) if is_file else None
    if isinstance(held, Learnt):
        context = context or held.context
    # What a policy learnt from says nothing of how good it is.
    after = held.outcomes.learnt_until if isinstance(held, Learnt) else None
    read = _read(data, slot, reward, context, unit, after)
    if held is None:
        contender = _contender(policy_name, epsilon, read.decisions)
    else:
        contender = _ready(held.policy() if isinstance(held, Learnt) else held)
    found = evaluate_policy(
        read.decisions,
        contender,
        clip=clip,
        least_probability=least_probability,
        seed=seed,
    )
    if as_json:
        print_json(as_document(found, slot, reward, read.source))
    else:
        click.echo("\n".join(describe(found, slot, reward)))


@click.command(
    epilog="Example: nearline policy learn --slot home --policy thompson --epsilon 0.05 "
    "--out home.json # again with --start home.json adds what came since",
    short_help="Count what each choice gave, into a policy's file.",
)
@click.option(
    "--policy",
    "kind",
    type=click.Choice(["epsilon-greedy", "thompson"]),
    required=True,
)
@_data_options
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A policy learnt before: decisions since then are added to it.",
)
@click.option(
    "--prior",
    metavar="KEY",
    help="A finished experiment, from whose published results it starts; see "
    "docs/off-policy.md.",
)
@click.option(
    "--prior-decisions",
    type=click.IntRange(1, _MOST_PRIOR_DECISIONS),
    default=_PRIOR_DECISIONS,
    show_default=True,
    metavar="N",
    help="With --prior: an arm weighs as much as N decisions, at most as its units.",
)
@click.option(
    "--prior-metric",
    metavar="NAME",
    help="With --prior: a metric that is a share. Default: conversion for purchased, "
    "add_to_cart for added.",
)
@click.option(
    "--prior-arm",
    "prior_arms",
    multiple=True,
    metavar="ARM=CHOICE",
    help="With --prior: which choice an arm is, where it has another name; repeatable.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", required=True,
    help="Where the policy goes.",
)  # fmt: skip
def learn(
    kind: str,
    data: Path | None,
    slot: str | None,
    reward: str,
    context: str | None,
    unit: str | None,
    epsilon: float | None,
    start: Path | None,
    prior: str | None,
    prior_decisions: int,
    prior_metric: str | None,
    prior_arms: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """Learn a policy for --slot from logged outcomes; see docs/off-policy.md for its file."""
    from nearline.bandits.outcomes import count_outcomes, require_share_like
    from nearline.bandits.policy_files import Learnt, read_policy_file, write_learnt
    from nearline.bandits.priors import read_prior

    if prior is None and (prior_metric is not None or prior_arms):
        raise InputError("--prior-metric and --prior-arm go with --prior; name it")
    for option, given in (("--start", start), ("--data", data)):
        if prior is not None and given is not None:
            raise InputError(
                f"--prior does not go with {option}: a policy starts from an experiment "
                "once, and by what is published; leave one of them out"
            )
    before = None
    if start is not None:
        found = read_policy_file(start)
        if not isinstance(found, Learnt):
            raise InputError(f"--start {start.name} is no policy that learns")
        if (found.slot, found.reward, found.context) != (slot, reward, context):
            raise InputError(
                f"--start {start.name} is of another slot, reward or context; give the "
                "same, or learn anew"
            )
        if data is not None:
            raise InputError(
                "--start goes with what is published: a file does not say what was "
                "counted already; leave one of them out"
            )
        before = found
    after = None if before is None else before.outcomes.learnt_until
    read = _read(data, slot, reward, context, unit, after)
    if kind == "thompson":
        require_share_like(read.decisions)
    if prior is not None:
        require_share_like(read.decisions, "--prior")
    outcomes = count_outcomes(read.decisions, read.until)
    if before is not None:
        outcomes = before.outcomes + outcomes
    begun = None if before is None else before.prior
    if prior is not None and slot is not None:
        begun = read_prior(
            load_settings(),
            prior,
            slot,
            reward,
            prior_decisions,
            datetime.now(UTC),
            metric=prior_metric,
            renamed=_renamed(prior_arms),
            choices=read.decisions.situations.actions,
        )
    learnt = Learnt(
        kind, _epsilon(kind, epsilon), slot, reward, context, outcomes, begun
    )
    write_learnt(learnt, out)
    if as_json:
        print_json({**learnt.as_json(), "added": len(read.decisions), "file": str(out)})
        return
    click.echo(
        f"{kind} knows {outcomes.decision_count:,} decisions, {len(read.decisions):,} "
        f"of them new: {out}"
    )
    if begun is not None:
        starts = ", ".join(
            f"{action} {tally.reward_sum / tally.decision_count:.3g} "
            f"(weight {tally.decision_count})"
            for action, tally in sorted(begun.tallies.items())
        )
        click.echo(f"it started from {begun.metric} of {begun.experiment}: {starts}")


def _renamed(texts: tuple[str, ...]) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for text in texts:
        arm, sign, choice = text.partition("=")
        if not sign or not arm or not choice or arm in renamed:
            raise InputError(f"--prior-arm {text}: write ARM=CHOICE, each arm once")
        renamed[arm] = choice
    return renamed


def _read(
    data: Path | None,
    slot: str | None,
    reward: str,
    context: str | None,
    unit: str | None,
    after: datetime | None,
) -> "ReadDecisions":
    from nearline.bandits.reading import read_file, read_published

    if data is not None:
        return read_file(data, reward, slot=slot, context=context, unit=unit)
    if slot is None:
        raise InputError("--slot is missing; name the slot whose decisions count")
    if unit is not None:
        raise InputError("--unit goes with --data; what is published goes by person")
    return read_published(load_settings(), slot, reward, context, after)


def _contender(
    name: str, epsilon: float | None, decisions: "LoggedDecisions"
) -> "Contender":
    from nearline.bandits.evaluation import Contender
    from nearline.bandits.outcomes import count_outcomes, require_share_like
    from nearline.bandits.policies import Always, Uniform
    from nearline.bandits.policy_files import learning_policy

    if name == "uniform":
        return _ready(Uniform())
    if name.startswith(_ALWAYS):
        action = name.removeprefix(_ALWAYS)
        if len(decisions) and action not in decisions.situations.actions:
            raise InputError(
                f"--policy {name}: it was never a candidate; there are "
                + ", ".join(decisions.situations.actions[:20])
            )
        return _ready(Always(action))
    if name == "thompson":
        require_share_like(decisions)
    share = _epsilon(name, epsilon)
    return Contender(
        name,
        lambda rows: learning_policy(name, count_outcomes(rows), share),
        is_learnt=True,
    )


def _ready(decided: "Policy") -> "Contender":
    from nearline.bandits.evaluation import Contender

    return Contender.ready(decided)


def _epsilon(kind: str, given: float | None) -> float:
    return _DEFAULT_EPSILON[kind] if given is None else given
