"""The feature views that the dbt project describes, for whoever goes by them.

Belongs here: the descriptions as plain values, without Feast. What may be written in the
YAML, and what is refused, is said once, in `feature_repo/dbt_models.py`: Feast reads it
there without this package, and this package does not read YAML by rules of its own.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from nearline.errors import InputError

FEATURE_REPO = Path(__file__).resolve().parents[1] / "feature_repo"


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature, its type as the dbt contract has it, and whether it is never null."""

    name: str
    data_type: str
    is_not_null: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """SQL that is true of every row of the view's table; its name, if it has one."""

    expression: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class DescribedView:
    """A dbt model as a feature view.

    `model` is also the name of the published table, `view` the registered name, `alias`
    the one in services. `window` is such as `24h`; without `freshness_seconds` values
    are renewed by runs alone.
    """

    model: str
    view: str
    alias: str
    version: int
    entity: str
    join_key: str
    services: tuple[str, ...]
    ttl_days: int
    window: str | None
    freshness_seconds: float | None
    features: tuple[Feature, ...]
    rules: tuple[Rule, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """The columns that identify a row of the table."""
        return (self.join_key, "event_timestamp")

    @property
    def is_kept_live(self) -> bool:
        """Whether live values are promised; else a run alone can tell them."""
        return self.freshness_seconds is not None


def find_feature_views(dbt_project: Path) -> tuple[DescribedView, ...]:
    """Every feature view that `dbt_project` describes, the shortest window first.

    Raises:
        InputError: a description cannot be served; it names file, model and fix.
    """
    models = _reader()
    try:
        found = models.view_models(dbt_project)
    except models.DescriptionError as problem:
        raise InputError(str(problem)) from problem
    return tuple(
        DescribedView(
            model=model.model,
            view=model.registered_name,
            alias=model.name,
            version=model.version,
            entity=model.entity,
            join_key=model.join_key,
            services=model.services,
            ttl_days=model.ttl_days,
            window=model.window,
            freshness_seconds=model.freshness_seconds,
            features=tuple(
                Feature(column.name, column.data_type, column.is_not_null)
                for column in model.features
            ),
            rules=tuple(Rule(rule.expression, rule.name) for rule in model.rules),
        )
        for model in found
    )


def views_of_service(
    views: Sequence[DescribedView], service: str
) -> tuple[DescribedView, ...]:
    """What `service` offers: of each view the highest version that names it."""
    chosen = {
        view.alias: view
        for view in sorted(views, key=lambda view: view.version)
        if service in view.services
    }
    return tuple(view for view in views if chosen.get(view.alias) is view)


def join_key(entity: str) -> str:
    """The column by which rows of `entity` are looked up: a person's is the visitor's."""
    key: str = _reader().JOIN_KEYS[entity]
    return key


@cache
def _reader() -> ModuleType:
    """`feature_repo/dbt_models.py`, under no name that an import could meet."""
    path = FEATURE_REPO / "dbt_models.py"
    spec = importlib.util.spec_from_file_location("nearline_feature_repo_models", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
