"""What Python learns from the warehouse, written as Parquet for dbt to read back."""

import dagster as dg

from nearline.publication.rebuilds import current_warehouse
from nearline.settings import load_settings
from orchestration.lib.locking import RunLock

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
    from nearline.segments import write_clusters
    from orchestration.lib.plots import bar_plot

    settings = load_settings()
    # `known_up_to`, as the models have it.
    reached = _warehouse_table(
        "select coalesce(max(received_at) filter (where session_id is not null), "
        "max(received_at)) as known_up_to from fct_events"
    )
    clustering = write_clusters(
        _warehouse_table("select * from int_persons__behaviour"),
        settings.models / "person_clusters",
        seed=_SEED,
        known_up_to=reached["known_up_to"][0].as_py(),
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
    density = model.density
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
            "dbscan": dg.MetadataValue.json(dict(density.as_card())),
        }
    )


@dg.asset(
    key=["learned", "experiment_results"],
    deps=["fct_experiment_metrics"],
    group_name="learning",
    owners=["team:experiments"],
    kinds={"scipy", "parquet"},
    description="One row per experiment, metric and variant compared to control.",
)
def experiment_results(run_lock: RunLock) -> dg.MaterializeResult[None]:
    """Differences with intervals, from sufficient statistics."""
    import tempfile
    from pathlib import Path

    import pyarrow.parquet as pq

    from nearline.experiments import write_results

    settings = load_settings()
    with tempfile.TemporaryDirectory() as scratch:
        metrics = Path(scratch) / "metrics.parquet"
        pq.write_table(
            _warehouse_table("select * from fct_experiment_metrics"), metrics
        )
        results = write_results(
            metrics,
            settings.models / "experiment_results" / "experiment_results.parquet",
        )
    verdicts = "\n".join(f"- {r.experiment_key}: {r.verdict}" for r in results)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(results),
            "verdicts": dg.MetadataValue.md(verdicts or "no experiment in this data"),
        }
    )


def _warehouse_table(query: str):  # type: ignore[no-untyped-def]
    import duckdb

    path = current_warehouse(load_settings())
    with duckdb.connect(str(path), read_only=True) as warehouse:
        return warehouse.sql(query).to_arrow_table()
