"""What Python learns from the warehouse, written as Parquet for dbt to read back."""

import dagster as dg

from nearline.publication.rebuilds import current_warehouse
from nearline.settings import load_settings
from orchestration.lib.locking import RunLock

_SEED = 7


@dg.asset(
    key=["learned", "person_clusters"],
    deps=["int_persons__behaviour"],
    group_name="learning",
    owners=["team:behaviour"],
    kinds={"scikitlearn", "parquet"},
    description="One row per person that K-Means put into a cluster.",
)
def person_clusters(run_lock: RunLock) -> dg.MaterializeResult[None]:
    """K-Means over session behaviour; the number of clusters by silhouette."""
    from nearline.segments import write_clusters
    from orchestration.lib.plots import bar_plot

    settings = load_settings()
    clustering = write_clusters(
        _warehouse_table("select * from int_persons__behaviour"),
        settings.models / "person_clusters",
        seed=_SEED,
    )
    if clustering.model is None:
        return dg.MaterializeResult(
            metadata={"dagster/row_count": 0, "reason": clustering.reason or ""}
        )
    model = clustering.model
    rows = [
        {"k": k, "silhouette": silhouette}
        for k, silhouette in model.silhouette_by_k.items()
    ]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": clustering.assignment.num_rows,
            "k": model.k,
            "silhouette_by_k": bar_plot(rows, "k", "silhouette", "Silhouette by k"),
            "clusters": dg.MetadataValue.md(
                "\n".join(f"- {sentence}" for sentence in model.sentences)
            ),
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
