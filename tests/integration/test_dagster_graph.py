"""The graph that `dagster dev` shows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from tests.pipeline import ROOT
from tests.releases import PUBLISHED_TABLES


@pytest.fixture(scope="module")
def definitions(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dg.Definitions]:
    from orchestration.definitions import defs

    before = os.environ.get("NEARLINE_HOME")
    os.environ["NEARLINE_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield defs()
    if before is None:
        del os.environ["NEARLINE_HOME"]
    else:
        os.environ["NEARLINE_HOME"] = before


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {
        spec.key.to_user_string(): spec
        for spec in definitions.resolve_all_asset_specs()
    }


def upstream_of(specs: dict[str, dg.AssetSpec], name: str) -> set[str]:
    found: set[str] = set()
    open_names = [name]
    while open_names:
        for dependency in specs[open_names.pop()].deps:
            key = dependency.asset_key.to_user_string()
            if key not in found:
                found.add(key)
                open_names.append(key)
    return found


def test_page_and_online_store_hang_on_raw_files_through_one_release(
    specs: dict[str, dg.AssetSpec],
) -> None:
    for leaf in ("dashboard", "online_store"):
        upstream = upstream_of(specs, leaf)
        assert {"raw/nearline_events", "raw/rees46_events"} <= upstream
        assert {"candidate_release", "published_release"} <= upstream
        assert {table.name for table in PUBLISHED_TABLES} <= upstream


def test_no_asset_is_outside_the_graph(specs: dict[str, dg.AssetSpec]) -> None:
    leaves = {"dashboard", "propensity_models", "propensity_shadow", "recommender"}
    connected = set().union(*(upstream_of(specs, leaf) for leaf in leaves))

    # Days that dbt's semantic layer lays metrics on: it knows them by their YAML alone.
    assert set(specs) == connected | leaves | {"int_days"}


def test_every_asset_has_a_topic_an_owner_and_a_description(
    specs: dict[str, dg.AssetSpec],
) -> None:
    bare = [
        name
        for name, spec in specs.items()
        if not spec.description
        or not spec.owners
        or spec.group_name in (None, "default")
    ]

    assert bare == []


def test_privacy_and_contract_checks_block_and_drift_does_not(
    definitions: dg.Definitions,
) -> None:
    checks = {
        spec.name: spec
        for definition in definitions.asset_checks or []
        for spec in definition.check_specs
        if spec.asset_key == dg.AssetKey("candidate_release")
    }

    for table in PUBLISHED_TABLES:
        assert checks[f"privacy_{table.name}"].blocking
        assert checks[f"quality_{table.name}"].blocking
    assert not checks["drift"].blocking


def test_dbt_tests_are_asset_checks(definitions: dg.Definitions) -> None:
    names = {
        (spec.asset_key.to_user_string(), spec.name)
        for definition in definitions.assets or []
        if isinstance(definition, dg.AssetsDefinition)
        for spec in definition.check_specs
    }

    assert ("fct_sessions", "unique_fct_sessions_session_id") in names
    assert len(names) > 150


def test_schedule_runs_the_whole_job_every_day(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("daily")
    job = definitions.resolve_job_def(schedule.job_name)

    assert schedule.cron_schedule == "15 3 * * *"
    selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert {"dashboard", "online_store", "fct_sessions"} <= selected
    # Labels take days to become known: models have a job of their own.
    assert not {"propensity_models", "propensity_shadow", "recommender"} & selected


@pytest.mark.parametrize(
    ("name", "cron"),
    [("daily_learning", "15 4 * * 1-6"), ("weekly_learning", "15 4 * * 0")],
)
def test_models_are_trained_after_the_nights_run(
    definitions: dg.Definitions, name: str, cron: str
) -> None:
    schedule = definitions.resolve_schedule_def(name)
    job = definitions.resolve_job_def(schedule.job_name)

    assert schedule.cron_schedule == cron
    selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert selected == {"propensity_models", "propensity_shadow", "recommender"}


def test_code_location_loads_from_the_root_as_dagster_dev_loads_it(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), "definitions", "validate"],
        cwd=ROOT,
        env={
            **os.environ,
            "NEARLINE_HOME": str(tmp_path / "home"),
            "DAGSTER_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_backfill_job_has_a_partition_for_every_day_up_to_today(
    definitions: dg.Definitions,
) -> None:
    job = definitions.resolve_job_def("backfill")
    days = job.partitions_def

    assert isinstance(days, dg.TimeWindowPartitionsDefinition)
    assert days.get_last_partition_key() == datetime.now(UTC).date().isoformat()
    selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert {"dashboard", "online_store", "fct_sessions"} <= selected


def test_partition_of_the_backfill_job_is_one_day_and_waits_for_other_runs(
    definitions: dg.Definitions,
) -> None:
    config = definitions.resolve_job_def("backfill").partitioned_config
    assert config is not None
    found = config.get_run_config_for_partition_key("2026-03-01")

    assert found["ops"]["behaviour_models"]["config"] == {
        "backfill_from": "2026-03-01",
        "backfill_to": "2026-03-01",
        "backfill_source": None,
    }
    assert found["resources"]["run_lock"]["config"]["wait_seconds"] > 3600
