"""What Python learns from the warehouse, written as Parquet for dbt to read back."""

from typing import TYPE_CHECKING

import dagster as dg

from nearline.feature_views import find_feature_views, views_of_service
from nearline.propensity.targets import SERVICE
from nearline.publication.rebuilds import current_warehouse
from nearline.settings import load_settings
from orchestration.lib.locking import RunLock

if TYPE_CHECKING:
    import duckdb

_SEED = 7


@dg.asset(
    key=["learned", "person_clusters"],
    deps=["int_persons__behaviour", "fct_events"],
    group_name="learning",
    owners=["team:behaviour"],
    kinds={"scikitlearn", "parquet"},
    description="One row per person and fit that changed its cluster.",
)
def person_clusters(
    context: dg.AssetExecutionContext, run_lock: RunLock
) -> dg.MaterializeResult[None]:
    """DBSCAN's outliers apart, then K-Means; names from the fit before."""
    from dataclasses import asdict

    from nearline.publication.releases import known_up_to
    from nearline.segments import write_clusters
    from orchestration.lib.plots import bar_plot

    settings = load_settings()
    with _warehouse() as warehouse:
        behaviour = warehouse.sql("from int_persons__behaviour").to_arrow_table()
        reached = known_up_to(warehouse)
    clustering = write_clusters(
        behaviour,
        settings.models / "person_clusters",
        seed=_SEED,
        known_up_to=reached,
    )
    if clustering.lost is not None:
        context.log.warning(f"clusters: {clustering.lost}")
    names = clustering.lost or "as in the fit before, where a cluster is the same"
    if clustering.model is None:
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": 0,
                "reason": clustering.reason or "",
                "names": names,
            }
        )
    model = clustering.model
    rows = [
        {"k": k, "silhouette": silhouette}
        for k, silhouette in model.silhouette_by_k.items()
    ]
    clusters = [
        f"- {name}: {sentence}"
        for name, sentence in zip(model.names, model.sentences, strict=True)
    ]
    if model.outlier_sentence is not None:
        clusters.append(f"- outlier: {model.outlier_sentence}")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": clustering.assignment.num_rows,
            "k": model.k,
            "silhouette": model.silhouette_by_k[model.k],
            "silhouette_by_k": bar_plot(rows, "k", "silhouette", "Silhouette by k"),
            "sizes": dg.MetadataValue.json(
                dict(zip(model.names, model.sizes, strict=True))
            ),
            "clusters": dg.MetadataValue.md("\n".join(clusters)),
            "names": names,
            "dbscan": dg.MetadataValue.json(asdict(model.density)),
        }
    )


@dg.asset(
    key=["learned", "experiment_results"],
    deps=[
        "fct_exposures",
        "fct_experiment_metrics",
        "fct_experiment_days",
        "fct_experiment_segments",
        "fct_experiment_values",
        "fct_decisions",
    ],
    group_name="learning",
    owners=["team:experiments"],
    kinds={"scipy", "parquet"},
    description="One row per experiment, metric and variant compared to control.",
)
def experiment_results(
    context: dg.AssetExecutionContext, run_lock: RunLock
) -> dg.MaterializeResult[None]:
    """Differences with intervals, from sufficient statistics and as defined."""
    from nearline.experiments.warehouse_results import (
        load_usable_definitions,
        write_warehouse_results,
    )
    from nearline.publication.releases import known_up_to

    settings = load_settings()
    definitions, problem = load_usable_definitions(settings.experiment_folder)
    if problem is not None:
        context.log.warning(f"experiments are read without definitions: {problem}")
    with _warehouse() as warehouse:
        results = write_warehouse_results(
            warehouse,
            settings.dbt_project,
            definitions,
            known_up_to(warehouse),
            settings.models / "experiment_results" / "experiment_results.parquet",
        )
    verdicts = "\n".join(f"- {r.experiment_key}: {r.verdict}" for r in results)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(results),
            "verdicts": dg.MetadataValue.md(verdicts or "no experiment in this data"),
        }
    )


@dg.asset(
    key=["learned", "visitor_scores"],
    deps=[
        *(
            view.model
            for view in views_of_service(
                find_feature_views(load_settings().dbt_project), SERVICE
            )
            if view.is_kept_live
        ),
        "dim_consents",
    ],
    group_name="learning",
    owners=["team:behaviour"],
    kinds={"numpy", "parquet"},
    description="One row per visitor that this run scored: how likely it is to buy.",
)
def visitor_scores(
    context: dg.AssetExecutionContext, run_lock: RunLock
) -> dg.MaterializeResult[None]:
    """The champion on the features of this run; nobody is scored where there is none."""
    from nearline.propensity.latest_scores import write_latest_scores

    settings = load_settings()
    with _warehouse() as warehouse:
        said = write_latest_scores(
            warehouse,
            settings.published.resolve(),
            settings.models,
            find_feature_views(settings.dbt_project),
        )
    for problem in said.problems:
        context.log.warning(f"scores: {problem}")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": said.scored_count + said.withdrawn_count,
            "scored": said.scored_count,
            "withdrawn": said.withdrawn_count,
            "version": said.model_version or "none",
            "mean_probability": said.mean_probability or 0.0,
            "reason": said.reason or "",
        }
    )


def _warehouse() -> "duckdb.DuckDBPyConnection":
    """For reading; `with` closes it."""
    import duckdb

    return duckdb.connect(str(current_warehouse(load_settings())), read_only=True)
