"""The dbt models, in two steps: before and after what Python learns from them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from nearline.privacy.suppression import (
    applied_digest,
    list_digest,
    mark_applied,
)
from nearline.settings import load_settings
from orchestration.lib.locking import RunLock
from orchestration.lib.warehouse import (
    DBT_PROJECT,
    LEARNED_MODELS,
    Translator,
    build_models,
    prepare_manifest,
)

_MANIFEST = prepare_manifest()


class BuildConfig(dg.Config):
    """How to build: `full_refresh` drops what incremental models hold."""

    full_refresh: bool = False


@dbt_assets(
    manifest=_MANIFEST,
    exclude=LEARNED_MODELS,
    project=DBT_PROJECT,
    dagster_dbt_translator=Translator(),
    name="behaviour_models",
)
def behaviour_models(
    context: dg.AssetExecutionContext,
    config: BuildConfig,
    dbt: DbtCliResource,
    run_lock: RunLock,
) -> Iterator[Any]:
    """Raw events to facts, features and experiment metrics."""
    settings = load_settings()
    digest = list_digest(settings)
    must_forget = digest != applied_digest(settings)
    if must_forget:
        context.log.info("the suppression list changed: rebuilding without its keys")
    yield from build_models(context, dbt, config.full_refresh or must_forget)
    mark_applied(settings, digest)


@dbt_assets(
    manifest=_MANIFEST,
    select=LEARNED_MODELS,
    project=DBT_PROJECT,
    dagster_dbt_translator=Translator(),
    name="learned_models",
)
def learned_models(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, run_lock: RunLock
) -> Iterator[Any]:
    """Segments, experiment results and what is measured by segment."""
    yield from build_models(context, dbt, full_refresh=False)
