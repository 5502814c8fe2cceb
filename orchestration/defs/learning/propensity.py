"""Propensity models: trained, judged, promoted; the challenger scored in the shadow.

Jobs of their own, not part of `nearline run`: labels take days to become known, so that a
training at every run would learn nothing new, and a run is to be short.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from nearline.propensity.targets import TARGETS
from nearline.settings import load_settings

if TYPE_CHECKING:
    from nearline.propensity.learning import Learnt

GROUP = "models"


class TrainingConfig(dg.Config):
    """How much to learn from; None for what a daily training takes."""

    max_rows: int | None = None


@dg.asset(
    deps=["online_store"],
    group_name=GROUP,
    owners=["team:behaviour"],
    kinds={"scikitlearn"},
    description="A version per target in the registry, promoted where the gate passes it.",
)
def propensity_models(config: TrainingConfig) -> dg.MaterializeResult[None]:
    """Trains on the published release and puts what is not worse into service."""
    from nearline.models.page import build_models_page
    from nearline.propensity.learning import learn
    from nearline.propensity.sizes import DAILY_ROWS

    settings = load_settings()
    found = [
        learn(
            settings,
            target,
            now=datetime.now(UTC),
            max_rows=config.max_rows or DAILY_ROWS,
        )
        for target in TARGETS.values()
    ]
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(
                str(build_models_page(settings.models, settings.site))
            ),
            "promoted": sum(one.is_promoted for one in found),
            "outcomes": dg.MetadataValue.md(
                "\n".join(f"- {one.model}: {one.reason}" for one in found)
            ),
            **{name: value for one in found for name, value in _pictures(one).items()},
        }
    )


def _pictures(learnt: "Learnt") -> dict[str, dg.MetadataValue]:
    """Calibration, importances and the measures beside the others' of one version."""
    from orchestration.lib.plots import bar_plot, calibration_plot

    if learnt.card is None:
        return {}
    facts = learnt.card.facts
    importances = [
        {"feature": one["feature"], "rise": one["value"]}
        for one in facts.details["importances"][:12]
    ]
    compared = {"this version": facts.metrics, **facts.beside}
    return {
        f"{learnt.model}_calibration": calibration_plot(
            list(facts.details["calibration_curve"]), f"{learnt.model}: said and seen"
        ),
        f"{learnt.model}_importances": bar_plot(
            importances, "feature", "rise", "Rise of log loss without the feature"
        ),
        f"{learnt.model}_measures": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {"model": name, **{key: e.value for key, e in metrics.items()}}
                )
                for name, metrics in compared.items()
            ]
        ),
    }


@dg.asset(
    deps=["online_store"],
    group_name=GROUP,
    owners=["team:behaviour"],
    kinds={"numpy"},
    description="Scores of champion and challenger on the same rows, without ids.",
)
def propensity_shadow() -> dg.MaterializeResult[None]:
    """Compares what serves with what might, on visitors as they are known now."""
    from dataclasses import asdict

    from nearline.propensity.learning import compare_in_shadow

    settings, now = load_settings(), datetime.now(UTC)
    found = {
        key: compare_in_shadow(settings, target, now=now)
        for key, target in TARGETS.items()
    }
    return dg.MaterializeResult(
        metadata={
            key: dg.MetadataValue.text(one)
            if isinstance(one, str)
            else dg.MetadataValue.json(asdict(one))
            for key, one in found.items()
        }
    )
