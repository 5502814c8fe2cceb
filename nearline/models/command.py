"""`nearline models`: which versions there are, which serves, and putting another in."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from nearline.models.cards import Estimate, ModelCard
    from nearline.models.registry import ModelState

_MOST_ENTRIES_SHOWN = 5

_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)
_reason_option = click.option(
    "--reason", default="by hand", metavar="TEXT", help="Why, for whoever looks later."
)


@click.group(
    epilog="Example: nearline models list && nearline models rollback propensity_7d",
    short_help="List trained models; put another version in service.",
)
def models() -> None:
    """Trained models and their versions; see docs/models.md."""


@models.command(name="list", epilog="Example: nearline models list --json")
@_json_option
def list_command(as_json: bool) -> None:
    """Show every model: champion, challenger, versions on disk, and what was last decided
    of one of them, why, and how good it was beside the champion of then."""
    from nearline.models.registry import read_state, registered_names, versions

    folder = load_settings().models
    found = {
        name: (read_state(folder, name), versions(folder, name))
        for name in registered_names(folder)
    }
    if as_json:
        print_json(
            {
                "models": [
                    {
                        **_as_json(name, state),
                        "versions": on_disk,
                        "decided": _decision_as_json(folder, name, state),
                    }
                    for name, (state, on_disk) in found.items()
                ]
            }
        )
    elif not found:
        click.echo("no model is registered yet; `nearline propensity train` makes some")
    else:
        for name, (state, on_disk) in found.items():
            click.echo(
                f"{name}: champion {_version(state.champion)}, "
                f"challenger {_version(state.challenger)}, on disk "
                f"{', '.join(map(_version, on_disk))}"
            )
            for line in _decision_words(folder, name, state):
                click.echo(f"  {line}")


@models.command(epilog="Example: nearline models show propensity_7d 3")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1), required=False)
@_json_option
def show(name: str, version: int | None, as_json: bool) -> None:
    """Show the card of a version (by default the champion's), and what was decided."""
    from nearline.models.cards import card_as_json, read_card
    from nearline.models.registry import check_version, version_folder

    folder = load_settings().models
    state = _known_state(name)
    chosen = version or state.champion or state.challenger
    if chosen is None:
        raise InputError(f"model {name} has no champion; give a version")
    check_version(folder, name, chosen, state)
    card = read_card(version_folder(folder, name, chosen))
    if as_json:
        print_json({**card_as_json(card), "role": _role(chosen, state)})
    else:
        click.echo("\n".join(_words(card, state)))


@models.command(
    epilog='Example: nearline models promote propensity_7d 4 --reason "new"'
)
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@_reason_option
@_json_option
def promote(name: str, version: int, reason: str, as_json: bool) -> None:
    """Put a version in service, whatever the gate said of it.

    What served goes on until the new one is in its place, and is what `rollback`
    returns to.
    """
    from nearline.models.registry import promote as promote_version

    state = promote_version(
        load_settings().models, name, version, reason, datetime.now(UTC)
    )
    _report(name, state, as_json)


@models.command(epilog='Example: nearline models rollback propensity_7d --reason "odd"')
@click.argument("name")
@_reason_option
@_json_option
def rollback(name: str, reason: str, as_json: bool) -> None:
    """Put the champion before the present one back in service."""
    from nearline.models.registry import rollback as roll_back

    state = roll_back(load_settings().models, name, reason, datetime.now(UTC))
    _report(name, state, as_json)


def _known_state(name: str) -> "ModelState":
    from nearline.models.registry import read_state, registered_names

    folder = load_settings().models
    known = registered_names(folder)
    if name not in known:
        raise InputError(
            f"there is no model {name!r}; registered: {', '.join(known) or 'none'}"
        )
    return read_state(folder, name)


def _report(name: str, state: "ModelState", as_json: bool) -> None:
    from nearline.models.page import build_models_page

    settings = load_settings()
    build_models_page(settings.models, settings.site)
    if as_json:
        print_json(_as_json(name, state))
    else:
        before = ", ".join(f"v{v}" for v in reversed(state.champions_before)) or "none"
        click.echo(f"{name}: v{state.champion} serves; before it: {before}")


def _as_json(name: str, state: "ModelState") -> dict[str, Any]:
    return {
        "name": name,
        "champion": state.champion,
        "challenger": state.challenger,
        "champions_before": list(state.champions_before),
    }


def _decision_as_json(
    folder: "Path", name: str, state: "ModelState"
) -> dict[str, Any] | None:
    decision = state.last_decision()
    if decision is None:
        return None
    card = _card_of(folder, name, decision.version, state)
    return {
        **asdict(decision),
        "metrics": _plain(card.facts.metrics) if card else {},
        "beside_champion": _plain(card.facts.champions_metrics()) if card else {},
    }


def _plain(metrics: Mapping[str, "Estimate"]) -> dict[str, Any]:
    return {name: asdict(estimate) for name, estimate in metrics.items()}


def _decision_words(folder: "Path", name: str, state: "ModelState") -> list[str]:
    decision = state.last_decision()
    if decision is None:
        return []
    lines = [
        f"v{decision.version} {decision.action.replace('_', ' ')} {decision.at[:10]}: "
        f"{decision.reason}"
    ]
    card = _card_of(folder, name, decision.version, state)
    champions = card.facts.champions_metrics() if card else {}
    if card and champions:
        lines += [
            f"{measure} {_estimate(own)}, the champion's {_estimate(champions[measure])}"
            for measure, own in card.facts.metrics.items()
            if measure in champions
        ]
    return lines


def _card_of(
    folder: "Path", name: str, version: int, state: "ModelState"
) -> "ModelCard | None":
    """None where it is gone or damaged; the list goes on without its figures."""
    from nearline.models.cards import BrokenVersionError
    from nearline.models.registry import check_version

    try:
        return check_version(folder, name, version, state)
    except (InputError, BrokenVersionError):
        return None


def _version(version: int | None) -> str:
    return "none" if version is None else f"v{version}"


def _role(version: int, state: "ModelState") -> str:
    if version == state.champion:
        return "champion"
    if version == state.challenger:
        return "challenger"
    return "former champion" if version in state.champions_before else "kept"


def _words(card: "ModelCard", state: "ModelState") -> list[str]:
    facts = card.facts
    lines = [
        f"{card.name} v{card.version} ({_role(card.version, state)}), "
        f"trained {card.trained_at}",
        f"  data {facts.data_from or 'none'} to {facts.data_up_to or 'none'}, "
        f"release {facts.release_id}, code {facts.code_version}, seed {facts.seed}",
        f"  {len(facts.features)} features"
        + (f" of {facts.feature_service}" if facts.feature_service else "")
        + "; "
        + ", ".join(f"{name} {count:,}" for name, count in facts.row_counts.items()),
    ]
    compared: Mapping[str, Mapping[str, Any]] = {
        "this version": facts.metrics,
        **facts.beside,
    }
    for name, metrics in compared.items():
        shown = ", ".join(f"{key} {_estimate(value)}" for key, value in metrics.items())
        lines.append(f"  {name}: {shown}")
    entries = [entry for entry in state.entries if entry.version == card.version]
    for entry in entries[-_MOST_ENTRIES_SHOWN:]:
        why = f": {entry.reason}" if entry.reason else ""
        lines.append(f"  {entry.at} {entry.action.replace('_', ' ')}{why}")
    return lines


def _estimate(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "not defined"
    if estimate.ci_low is None or estimate.ci_high is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ({estimate.ci_low:.4g} to {estimate.ci_high:.4g})"
