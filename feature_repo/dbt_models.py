"""What the dbt models of features say of themselves: `config: meta: feature_view`.

Belongs here: reading `models/features/*.yml` of the dbt project and refusing what cannot
be served. A feature's name, type and meaning are the model's own contract and are said
nowhere else. Not here: Feast; it is imported by whoever needs its objects, and the rest
of the project reads this file without it (`nearline.feature_views`).

    config:
      contract: { enforced: true }
      meta:
        feature_view:
          name: visitor_activity_5m     # its alias; <name>_v<version> is registered
          version: 1
          entity: visitor               # of `JOIN_KEYS`
          services: [visitor_features_v1]
          ttl_days: 90
          window: 5m                    # optional: the length of time it looks back
          freshness_seconds: 5          # optional: promised age of live values
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

JOIN_KEYS: Mapping[str, str] = {
    "visitor": "visitor_id",
    "person": "visitor_id",
    "item": "item_id",
}
"""Entities that features may be of, with the column that identifies one. What is known of
a person is filed under each of its visitors: that is the key that an app has at hand."""

EVENT_TIMESTAMP, CREATED_TIMESTAMP = "event_timestamp", "created_timestamp"

DATA_TYPES = (
    "bigint",
    "integer",
    "double",
    "float",
    "varchar",
    "boolean",
    "timestamp",
    "varchar[]",
    "bigint[]",
)
"""Types of the contract that can be served."""

_REQUIRED = ("name", "version", "entity", "services", "ttl_days")
_OPTIONAL = ("window", "freshness_seconds", "tile_minutes")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSIONED = re.compile(r"[a-z][a-z0-9_]*_v[1-9][0-9]*")
_WINDOW = re.compile(r"[1-9][0-9]*[smhd]")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_EXAMPLES = {
    "name": "visitor_activity_5m",
    "version": "1",
    "entity": "visitor",
    "services": "[visitor_features_v1]",
    "ttl_days": "90",
}


class DescriptionError(ValueError):
    """A description that cannot be served; the words say where, what and the fix."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the contract. `is_not_null`: so says a test or a constraint of it."""

    name: str
    data_type: str
    is_not_null: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A `holds` test of a model: SQL that is true of every row. Few have a name."""

    name: str | None
    expression: str


@dataclass(frozen=True, slots=True)
class ViewModel:
    """One dbt model as a feature view.

    `features` are the contract's columns, in its order, without the key and the two
    timestamps.
    """

    model: str
    description: str
    name: str
    version: int
    entity: str
    services: tuple[str, ...]
    ttl_days: int
    window: str | None
    freshness_seconds: float | None
    features: tuple[Column, ...]
    rules: tuple[Rule, ...]

    @property
    def registered_name(self) -> str:
        return f"{self.name}_v{self.version}"

    @property
    def join_key(self) -> str:
        return JOIN_KEYS[self.entity]


def project_folder() -> Path:
    """The dbt project: `$NEARLINE_DBT_PROJECT`, or the one beside this folder."""
    root = Path(__file__).resolve().parents[1]
    return root / os.environ.get("NEARLINE_DBT_PROJECT", "dbt_project")


def view_models(dbt_project: Path) -> tuple[ViewModel, ...]:
    """Every feature view that the project describes, the shortest window first.

    Raises:
        DescriptionError: a description is incomplete, unknown, or contradicts another.
    """
    folder = dbt_project / "models" / "features"
    found: list[ViewModel] = []
    described = set()
    for path in sorted(folder.rglob("*.yml")):
        for model in _models(path, path.relative_to(dbt_project)):
            described.add(model.name)
            if model.is_enabled:
                found.append(_view_model(model))
    for path in sorted(folder.rglob("*.sql")):
        if path.stem not in described:
            raise DescriptionError(
                f"{path.relative_to(dbt_project)}: nothing describes this model; "
                f"add {path.stem}.yml beside it"
            )
    _check_names(found)
    for service, models in service_models(found).items():
        _check_features_differ(service, models)
    return tuple(sorted(found, key=_by_window))


def service_models(models: Sequence[ViewModel]) -> dict[str, tuple[ViewModel, ...]]:
    """By service, what it offers: of each view the highest version that names it."""
    chosen: dict[str, dict[str, ViewModel]] = {}
    for model in sorted(models, key=lambda model: model.version):
        for service in model.services:
            chosen.setdefault(service, {})[model.name] = model
    return {
        service: tuple(sorted(by_name.values(), key=_by_window))
        for service, by_name in sorted(chosen.items())
    }


def _by_window(model: ViewModel) -> tuple[float, str, int]:
    length = float("inf") if model.window is None else _seconds(model.window)
    return (length, model.name, model.version)


def _seconds(window: str) -> int:
    return int(window[:-1]) * _SECONDS[window[-1]]


@dataclass(frozen=True, slots=True)
class _Model:
    """A model's description as it is written, and where."""

    place: str
    name: str
    content: Mapping[str, Any]

    @property
    def config(self) -> Mapping[str, Any]:
        return self.content.get("config") or {}

    @property
    def is_enabled(self) -> bool:
        return self.config.get("enabled") is not False

    def refuse(self, what: str) -> DescriptionError:
        return DescriptionError(f"{self.place}, model {self.name}: {what}")


def _models(path: Path, place: Path) -> Iterator[_Model]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(path.read_text(), Loader=loader) or {}
    except yaml.YAMLError as problem:
        raise DescriptionError(f"{place} is not YAML: {problem}") from problem
    for described in content.get("models") or ():
        model = _Model(str(place), described.get("name", "without a name"), described)
        if not path.with_name(f"{model.name}.sql").exists():
            raise model.refuse(
                f"there is no {model.name}.sql beside it; add the SQL or take the "
                "description away"
            )
        yield model


def _view_model(model: _Model) -> ViewModel:
    meta = (model.config.get("meta") or {}).get("feature_view")
    if not isinstance(meta, Mapping):
        raise model.refuse(
            "config.meta.feature_view is missing; add it with "
            f"{', '.join(_REQUIRED)}, as the other models in this folder have it"
        )
    _check_keys(model, meta)
    entity = meta["entity"]
    if entity not in JOIN_KEYS:
        raise model.refuse(
            f"feature_view.entity is {entity!r}; use one of {', '.join(sorted(JOIN_KEYS))}"
        )
    # The check of consent goes by the table's name.
    if not model.name.startswith(f"ftr_{entity}__"):
        raise model.refuse(
            f"a feature view of {entity} is a model named ftr_{entity}__<view>; "
            "rename the model, or correct feature_view.entity"
        )
    columns = _columns(model)
    _check_clock_and_key(model, columns, JOIN_KEYS[entity])
    own = {JOIN_KEYS[entity], EVENT_TIMESTAMP, CREATED_TIMESTAMP}
    features = tuple(column for name, column in columns.items() if name not in own)
    if not features:
        raise model.refuse("there is no feature among its columns; add one")
    return ViewModel(
        model=model.name,
        description=" ".join(str(model.content.get("description", "")).split()),
        name=meta["name"],
        version=meta["version"],
        entity=entity,
        services=tuple(meta["services"]),
        ttl_days=meta["ttl_days"],
        window=meta.get("window"),
        freshness_seconds=meta.get("freshness_seconds"),
        features=features,
        rules=tuple(_rules(model.content)),
    )


def _check_keys(model: _Model, meta: Mapping[str, Any]) -> None:
    for key in _REQUIRED:
        if meta.get(key) is None:
            raise model.refuse(
                f"feature_view.{key} is missing; add it, as in `{key}: {_EXAMPLES[key]}`"
            )
    for key in meta:
        if key not in (*_REQUIRED, *_OPTIONAL):
            raise model.refuse(
                f"feature_view.{key} is unknown; use "
                f"{', '.join((*_REQUIRED, *_OPTIONAL))}"
            )
    name = meta["name"]
    if not _matches(_NAME, name) or _matches(_VERSIONED, name):
        raise model.refuse(
            f"feature_view.name is {name!r}; use lowercase letters, digits and _, "
            "and leave the version to feature_view.version"
        )
    for key in ("version", "ttl_days"):
        if type(meta[key]) is not int or meta[key] < 1:
            raise model.refuse(
                f"feature_view.{key} is {meta[key]!r}; use a whole number from 1 on"
            )
    if not isinstance(meta["services"], list):
        raise model.refuse(
            f"feature_view.services is {meta['services']!r}; use a list, as in "
            f"{_EXAMPLES['services']}, or [] for none"
        )
    for service in meta["services"]:
        if not _matches(_VERSIONED, service):
            raise model.refuse(
                f"feature_view.services has {service!r}; a service is named "
                "<word>_v<number>, as in visitor_features_v1"
            )
    window = meta.get("window")
    if window is not None and not _matches(_WINDOW, window):
        raise model.refuse(
            f"feature_view.window is {window!r}; use a length such as 5m, 24h or 7d, "
            "or null"
        )
    if window is not None and _seconds(window) > meta["ttl_days"] * _SECONDS["d"]:
        raise model.refuse(
            f"feature_view.ttl_days is {meta['ttl_days']}, shorter than the window of "
            f"{window}, which it would cut; use at least the window's length"
        )
    freshness = meta.get("freshness_seconds")
    if freshness is not None and (
        type(freshness) not in (int, float) or freshness <= 0
    ):
        raise model.refuse(
            f"feature_view.freshness_seconds is {freshness!r}; use a number above 0, "
            "or null where values are renewed by runs alone"
        )
    tile = meta.get("tile_minutes")
    if tile is not None and (type(tile) is not int or tile < 1):
        raise model.refuse(
            f"feature_view.tile_minutes is {tile!r}; use the whole number of minutes of "
            "the tiles that the SQL has, or null where it has none"
        )


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _columns(model: _Model) -> dict[str, Column]:
    """The contract's columns by name, in its order."""
    if (model.config.get("contract") or {}).get("enforced") is not True:
        raise model.refuse(
            "its contract is not enforced, so its types are not sure; "
            "add `contract: { enforced: true }` under config"
        )
    columns: dict[str, Column] = {}
    for content in model.content.get("columns") or ():
        name, data_type = content.get("name"), content.get("data_type")
        if name in columns:
            raise model.refuse(f"column {name} is described twice; keep one")
        if data_type is None:
            raise model.refuse(
                f"column {name} has no data_type; add one of {', '.join(DATA_TYPES)}"
            )
        known = str(data_type).strip().lower()
        if known not in DATA_TYPES:
            raise model.refuse(
                f"column {name} is {data_type}, which cannot be served; "
                f"use one of {', '.join(DATA_TYPES)}"
            )
        columns[name] = Column(
            name=name,
            data_type=known,
            is_not_null=_is_not_null(content),
        )
    return columns


def _is_not_null(column: Mapping[str, Any]) -> bool:
    constraints = column.get("constraints") or ()
    return any(c.get("type") == "not_null" for c in constraints) or any(
        test == "not_null" or (isinstance(test, Mapping) and "not_null" in test)
        for test in _tests(column)
    )


def _rules(content: Mapping[str, Any]) -> Iterator[Rule]:
    for test in _tests(content):
        said = test.get("holds") if isinstance(test, Mapping) else None
        # One that warns, or is of some rows alone, is no rule of every row.
        if isinstance(said, Mapping) and not said.get("config"):
            # Where the arguments are missing, dbt refuses the test.
            expression = (said.get("arguments") or said).get("expression", "")
            yield Rule(said.get("name"), " ".join(str(expression).split()))


def _tests(content: Mapping[str, Any]) -> Sequence[Any]:
    # `tests` is dbt's old word for the same.
    return [*(content.get("data_tests") or ()), *(content.get("tests") or ())]


def _check_clock_and_key(
    model: _Model, columns: Mapping[str, Column], join_key: str
) -> None:
    for name, data_type, what in (
        (join_key, "varchar", "whose features they are"),
        (EVENT_TIMESTAMP, "timestamp", "when a value became known"),
        (CREATED_TIMESTAMP, "timestamp", "the latest arrival that a value rests on"),
    ):
        if name not in columns:
            raise model.refuse(
                f"column {name} is missing, which says {what}; select and describe it "
                f"as {data_type}"
            )
        if columns[name].data_type != data_type:
            raise model.refuse(
                f"column {name} is {columns[name].data_type}; it must be {data_type}"
            )


def _check_names(models: Sequence[ViewModel]) -> None:
    """One view, one model; and all versions of a view are of one entity."""
    seen: dict[str, ViewModel] = {}
    entities: dict[str, ViewModel] = {}
    for model in models:
        other = seen.setdefault(model.registered_name, model)
        if other is not model:
            raise DescriptionError(
                f"{other.model} and {model.model} are both feature view {model.name}, "
                f"version {model.version}; give one of them the next version"
            )
        other = entities.setdefault(model.name, model)
        if other.entity != model.entity:
            raise DescriptionError(
                f"{other.model} and {model.model} are both feature view {model.name}, "
                f"of {other.entity} and of {model.entity}; give one another name"
            )


def _check_features_differ(service: str, models: Sequence[ViewModel]) -> None:
    """Apps read features by their short names, and Feast fails at one that is there twice."""
    owners: dict[str, ViewModel] = {}
    for model in models:
        for feature in model.features:
            other = owners.setdefault(feature.name, model)
            if other is not model:
                raise DescriptionError(
                    f"service {service} would offer {feature.name} twice, from "
                    f"{other.model} and from {model.model}; rename one, or put one of "
                    "the two into another service"
                )
