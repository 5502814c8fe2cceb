"""The dbt models, in two steps: before and after what Python learns from them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets
from pydantic import Field

from nearline.privacy.suppression import applied_digest, list_digest
from nearline.publication.rebuilds import begin_rebuild, discard_rebuild
from nearline.settings import load_settings
from orchestration.lib.backfill import check_source, read_backfill
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
    """How to build: what is new, all of it anew, or some days again."""

    full_refresh: bool = Field(
        default=False, description="Rebuild every table, beside the ones in use."
    )
    backfill_from: str | None = Field(
        default=None,
        description="First day, such as 2026-03-01, whose events are read again.",
    )
    backfill_to: str | None = Field(
        default=None, description="Last day, included, such as 2026-03-07."
    )
    backfill_source: str | None = Field(
        default=None, description="Read again what this source sent; else every source."
    )


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
    backfill = read_backfill(
        config.backfill_from,
        config.backfill_to,
        config.backfill_source,
        config.full_refresh,
        datetime.now(UTC).date(),
    )
    if backfill is not None:
        check_source(settings, backfill.source)
    discard_rebuild(settings)
    digest = list_digest(settings)
    must_forget = digest != applied_digest(settings)
    if must_forget:
        context.log.info("the suppression list changed: rebuilding without its keys")
    if config.full_refresh or must_forget:
        begin_rebuild(settings, context.run.root_run_id or context.run.run_id, digest)
        backfill = None
    yield from build_models(context, dbt, backfill)


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
    yield from build_models(context, dbt)
