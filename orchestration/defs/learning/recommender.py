"""Recommendations, learnt anew from what is published, with the other models."""

from typing import TYPE_CHECKING

import dagster as dg

from nearline.settings import Settings, load_settings
from orchestration.defs.learning.propensity import GROUP
from orchestration.lib.code_version import code_version

if TYPE_CHECKING:
    from nearline.recommend.feedback import Worth

_SEED = 0


@dg.asset(
    deps=["published_release"],
    group_name=GROUP,
    owners=["team:behaviour"],
    kinds={"scipy", "implicit"},
    description="The recommender: a version in the registry, which serves unless it is "
    "worse than what serves now or what is popular, or its inputs drifted.",
)
def recommender(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Trains on the published tables; `nearline recommend train` does the same."""
    from datetime import UTC, datetime

    from nearline.models.page import build_models_page
    from nearline.recommend.training import train
    from orchestration.lib.plots import bar_plot

    settings = load_settings()
    done = train(
        settings,
        seed=_SEED,
        now=datetime.now(UTC),
        code_version=code_version(),
    )
    if not done.is_serving:
        context.log.warning(f"version {done.version} was refused: {done.reason}")
    measured = {
        name: found.value
        for name, found in (
            ("ndcg_at_20", done.ndcg),
            ("champion_ndcg_at_20", done.champion_ndcg),
            ("popularity_ndcg_at_20", done.popularity_ndcg),
        )
        if found is not None and found.value is not None
    }
    worth = _worth_so_far(settings)
    if worth is not None and worth.is_worse_than_chance:
        context.log.warning(
            f"what version {worth.version} chose was taken less often than what chance "
            "chose: `nearline models rollback recommender` puts the one before back"
        )
    weights = [{"member": n, "weight": w} for n, w in done.weights.items()]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": done.interaction_count,
            "version": done.version,
            "is_serving": done.is_serving,
            "reason": done.reason,
            "page": dg.MetadataValue.path(
                str(build_models_page(settings.models, settings.site))
            ),
            "items": done.item_count,
            "people": done.person_count,
            "weights": bar_plot(weights, "member", "weight", "Weights of the blend"),
            "taken_beside_chance": "nothing to tell it by yet"
            if worth is None
            else worth.problem or f"version {worth.version}: {worth.times.in_words()}",
            **measured,
        }
    )


def _worth_so_far(settings: Settings) -> "Worth | None":
    """Of the newest version whose lists were shown, by what people viewed."""
    from nearline.recommend.feedback import read_worth
    from nearline.recommend.warehouse import published_release

    release = published_release(settings).folder
    found = read_worth(settings, release, "viewed", seed=_SEED)
    return found[-1] if found else None
