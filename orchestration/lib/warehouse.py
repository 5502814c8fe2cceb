"""dbt as Dagster sees it: where the project is, what its assets are called."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject

from nearline.publication.rebuilds import current_warehouse, is_rebuilding
from nearline.settings import load_settings
from orchestration.lib.backfill import Backfill

ROOT = Path(__file__).resolve().parents[2]
_PROJECT = load_settings().dbt_project.absolute()
DBT_PROJECT = DbtProject(_PROJECT, profiles_dir=_PROJECT)

LEARNED_MODELS = "source:learned+ ops_parity"
"""Models that read what Python learnt from other models, and what hangs on them; and what
reads every feature table, those included that dbt does not know it of."""


class Translator(DagsterDbtTranslator):
    """Groups models by their folder and names the dbt group as owner."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        if dbt_resource_props["resource_type"] == "source":
            return "ingestion"
        folder: str = dbt_resource_props["fqn"][1]
        return "operations" if folder == "ops" else folder

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        group = dbt_resource_props.get("group")
        return [f"team:{group}"] if group else None


def dbt_resource() -> DbtCliResource:
    """dbt on the project, with the same `$NEARLINE_HOME` as this process."""
    return DbtCliResource(project_dir=DBT_PROJECT, dbt_executable=_dbt_executable())


def _dbt_executable() -> str:
    # The one beside this interpreter: a `.venv` need not be on PATH.
    import sys

    beside = Path(sys.executable).with_name("dbt")
    return str(beside) if beside.exists() else "dbt"


def prepare_manifest() -> Path:
    """dbt's manifest, parsed anew where the project is newer; returns its path.

    Dagster builds its graph from the manifest. Telling by time stamps costs
    milliseconds where a parse costs seconds.
    """
    os.environ["NEARLINE_HOME"] = str(load_settings().home)
    # dbt runs in the project's folder: a relative path would be another one there.
    os.environ["NEARLINE_EXPERIMENTS"] = str(
        load_settings().experiment_folder.absolute()
    )
    manifest = DBT_PROJECT.manifest_path
    if not manifest.exists() or manifest.stat().st_mtime < _newest_source():
        load_settings().home.mkdir(parents=True, exist_ok=True)
        DbtCliResource(project_dir=DBT_PROJECT, dbt_executable=_dbt_executable()).cli(
            ["parse"], target_path=DBT_PROJECT.project_dir / "target"
        ).wait()
    return manifest


def _newest_source() -> float:
    folders = ("models", "macros", "tests")
    files = [
        file
        for folder in folders
        for file in (DBT_PROJECT.project_dir / folder).rglob("*.*")
    ]
    files += [
        DBT_PROJECT.project_dir / name for name in ("dbt_project.yml", "profiles.yml")
    ]
    return max(file.stat().st_mtime for file in files)


def build_models(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    backfill: Backfill | None = None,
) -> Iterator[Any]:
    """Runs `dbt build` on the context's models; yields Dagster's events with row counts.

    Into the new warehouse where one is being built: there, everything is built anew.
    Counts are taken when dbt has left the warehouse: while it is there, nobody else may
    open it.
    """
    # Unit tests judge the code, not the data: `make test` and `dbt build` run them.
    settings = load_settings()
    target = "rebuild" if is_rebuilding(settings) else "embedded"
    arguments = ["build", "--exclude-resource-type", "unit_test", "--target", target]
    if backfill is not None:
        arguments += ["--vars", json.dumps(backfill.as_vars())]
    invocation = dbt.cli(
        arguments,
        context=context,
        raise_on_error=False,
        # Dagster would make a folder an invocation, which nobody empties. And dbt parses
        # anew, for seconds, whatever was parsed for another home or target.
        target_path=settings.dbt / target,
    )
    events = []
    for event in invocation.stream():
        if isinstance(event, dg.Output):
            context.log.info(f"built {event.output_name}")
        events.append(event)
    counts = row_counts()
    for event in events:
        if isinstance(event, dg.Output) and event.output_name in counts:
            event = event.with_metadata(
                {**event.metadata, "dagster/row_count": counts[event.output_name]}
            )
        yield event
    failure = invocation.get_error()
    if failure is not None:
        raise failure


def row_counts() -> dict[str, int]:
    """Rows of every table that the run builds, by table."""
    import duckdb

    path = current_warehouse(load_settings())
    if not path.exists():
        return {}
    with duckdb.connect(str(path), read_only=True) as warehouse:
        names = [
            row[0]
            for row in warehouse.execute(
                "select table_name from duckdb_tables() where not internal"
            ).fetchall()
        ]
        return {
            name: warehouse.execute(f'select count(*) from "{name}"').fetchall()[0][0]
            for name in names
        }
