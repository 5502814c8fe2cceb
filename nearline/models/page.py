"""`site/models.html`: the card of each model that serves, for people.

Belongs here: which facts are shown and how they are drawn, without a script. Only what the
card says is on the page, so it names nobody. A model whose card has no calibration curve
or importances is shown without those.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from nearline.errors import InputError
from nearline.models.cards import BrokenVersionError, ModelCard
from nearline.models.registry import (
    Entry,
    ModelState,
    check_version,
    read_state,
    registered_names,
)
from nearline.replacement import replace_file

PAGE_NAME = "models.html"

_MOST_IMPORTANCES = 12
_MOST_ENTRIES = 6
_PLOT_SIZE = 260
_LEAST_SCALE = 0.05


@dataclass(frozen=True, slots=True)
class _Dot:
    """A point of the calibration plot in its pixels."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True, slots=True)
class _Bar:
    label: str
    share: float
    text: str


@dataclass(frozen=True, slots=True)
class _View:
    name: str
    role: str
    facts: tuple[tuple[str, str], ...]
    measures: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    dots: tuple[_Dot, ...]
    scale: str
    bars: tuple[_Bar, ...]
    left_out: tuple[tuple[str, str], ...]
    challenger: str | None
    challenger_rows: tuple[tuple[str, tuple[str, ...]], ...]
    entries: tuple[Entry, ...]


def build_models_page(models: Path, site: Path) -> Path:
    """Writes the page from the registry at `models`, replacing it in one step."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    views = [
        view for name in registered_names(models) if (view := _view_of(models, name))
    ]
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        _text("nearline.models", "page.html.j2")
    )
    html = template.render(
        style=Markup(_text("nearline.dashboards", "page.css")),
        views=views,
        size=_PLOT_SIZE,
    )
    path = site / PAGE_NAME
    replace_file(path, lambda file: file.write(html.encode()))
    return path


def _view_of(models: Path, name: str) -> _View | None:
    """The card of what serves, or the challenger's where nothing does yet."""
    try:
        state = read_state(models, name)
    except BrokenVersionError:
        return None
    found = _first_whole(models, name, state)
    if found is None:
        return None
    version, card = found
    if version in state.serving_order():
        role = "serves"
        if version != state.champion:
            role = f"serves, since the champion v{state.champion} cannot be read"
    else:
        role = "challenger; nothing serves yet"
    details = card.facts.details
    measures = tuple(card.facts.metrics)
    challenger = _challenger_of(models, name, state, version)
    dots, scale = _dots(details.get("calibration_curve", []))
    return _View(
        name=name,
        role=f"v{version} {role}",
        facts=_facts(card),
        measures=tuple(one.replace("_", " ") for one in measures),
        rows=_rows("this version", card, measures),
        dots=dots,
        scale=scale,
        bars=_bars(details.get("importances", [])),
        left_out=tuple(sorted(details.get("left_out", {}).items())),
        challenger=None if challenger is None else f"v{challenger.version}",
        challenger_rows=()
        if challenger is None
        else _rows(f"v{challenger.version}", challenger, measures),
        entries=state.entries[::-1][:_MOST_ENTRIES],
    )


def _challenger_of(
    models: Path, name: str, state: ModelState, shown: int
) -> ModelCard | None:
    """The card of the challenger, where it is whole and not what is shown anyhow."""
    if state.challenger is None or state.challenger == shown:
        return None
    try:
        return check_version(models, name, state.challenger, state)
    except (BrokenVersionError, InputError):
        return None


def _rows(
    label: str, card: ModelCard, measures: tuple[str, ...]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A version's measures, then those of what it stands beside."""
    return tuple(
        (
            name.replace("_", " "),
            tuple(
                metrics[one].in_words() if one in metrics else "not measured"
                for one in measures
            ),
        )
        for name, metrics in ((label, card.facts.metrics), *card.facts.beside.items())
    )


def _first_whole(
    models: Path, name: str, state: ModelState
) -> tuple[int, ModelCard] | None:
    challenger = () if state.challenger is None else (state.challenger,)
    for version in (*state.serving_order(), *challenger):
        try:
            return version, check_version(models, name, version, state)
        except (BrokenVersionError, InputError):
            continue
    return None


def _facts(card: ModelCard) -> tuple[tuple[str, str], ...]:
    facts = card.facts
    counts = ", ".join(
        f"{name.replace('_', ' ')} {count:,}"
        for name, count in facts.row_counts.items()
    )
    kind = str(facts.details.get("chosen", "")).replace("_", " ")
    return (
        ("Trained", card.trained_at),
        ("Moments", f"{facts.data_from or 'none'} to {facts.data_up_to or 'none'}"),
        ("Release and code", f"{facts.release_id}, {facts.code_version}"),
        ("Rows", counts),
        *(
            (("Features", f"{len(facts.features)} of {facts.feature_service}"),)
            if facts.feature_service
            else ()
        ),
        *((("Kind", kind),) if kind else ()),
    )


def _dots(curve: list[Mapping[str, Any]]) -> tuple[tuple[_Dot, ...], str]:
    most = max(
        [_LEAST_SCALE, *(max(p["ci_high"], p["mean_score"]) for p in curve)],
    )

    def pixel(share: float) -> float:
        return float(round(_PLOT_SIZE * share / most, 1))

    dots = tuple(
        _Dot(
            x=pixel(point["mean_score"]),
            y=_PLOT_SIZE - pixel(point["bought_rate"]),
            low=_PLOT_SIZE - pixel(point["ci_low"]),
            high=_PLOT_SIZE - pixel(point["ci_high"]),
            title=(
                f"said {point['mean_score']:.1%}, seen {point['bought_rate']:.1%} "
                f"({point['ci_low']:.1%} to {point['ci_high']:.1%}) "
                f"of {point['row_count']:,} rows"
            ),
        )
        for point in curve
    )
    return dots, f"{100 * most:.0f} %"


def _bars(importances: list[Mapping[str, Any]]) -> tuple[_Bar, ...]:
    shown = [one for one in importances if (one["value"] or 0) > 0][:_MOST_IMPORTANCES]
    most = max((one["value"] for one in shown), default=1.0)
    return tuple(
        _Bar(
            label=one["feature"],
            share=round(100 * one["value"] / most, 1),
            text=f"{one['value']:.4f} ({one['ci_low']:.4f} to {one['ci_high']:.4f})",
        )
        for one in shown
    )


@cache
def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
