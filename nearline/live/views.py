"""Which models of a release feed which Feast views, and how their rows are read."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.online.definitions import Definitions
from nearline.online.encoding import key_encoder
from nearline.online.latest import (
    ViewSource,
    fingerprint,
    stored_columns,
    view_source,
)
from nearline.online.values import StoredView, stored_view
from nearline.publication.live_files import LiveModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast import Entity, FeatureView
    from feast.value_type import ValueType

_MADE_ONCE = re.compile(r"/\* made once \*/(.*?)/\* up to here \*/", re.DOTALL)
"""The marks of dbt's macro `made_once`."""


@dataclass(frozen=True, slots=True)
class LiveView:
    """One Feast view with the SQL that makes its values.

    `sql` is the model's, which reads `shared` by name: SQL that several views have word
    for word. `stored` is what the online store knows it as; `columns` selects from the
    model's rows what is stored, over which `fingerprint` tells values apart.
    `is_of_persons`: its values take in what the person's other visitors did.
    `tile_minutes`: where set, what arrives becomes known at the end of its tile only.
    """

    name: str
    model: LiveModel
    sql: str
    shared: Mapping[str, str]
    stored: StoredView
    join_key: str
    columns: str
    fingerprint: str
    kinds: "Mapping[str, ValueType]"
    encode_key: "Callable[[str], bytes]"
    tile_minutes: int | None
    is_of_persons: bool

    @property
    def is_of_visitors(self) -> bool:
        return self.join_key == "visitor_id"


@dataclass(frozen=True, slots=True)
class RunView:
    """One Feast view whose values runs alone renew: live, they only expire and go."""

    stored: StoredView
    join_key: str
    encode_key: "Callable[[str], bytes]"
    is_of_persons: bool

    @property
    def is_of_visitors(self) -> bool:
        return self.join_key == "visitor_id"


def live_views(
    definitions: Definitions, models: Mapping[str, LiveModel]
) -> list[LiveView]:
    """The views whose table is made by one of `models` that promises to be fresh, in the
    order of their names."""
    entities = {entity.name: entity for entity in definitions.entities}
    views = sorted(definitions.views, key=lambda view: view.name)
    return list(_live_views(views, entities, models))


def _live_views(
    views: "Iterable[FeatureView]",
    entities: "Mapping[str, Entity]",
    models: Mapping[str, LiveModel],
) -> "Iterable[LiveView]":
    for view in views:
        source: ViewSource = view_source(view, entities)
        model = models.get(Path(source.table).name)
        if model is None or not model.is_kept_live:
            continue
        kinds = {field.name: field.dtype.to_value_type() for field in view.features}
        sql, shared = _shared_apart(model.sql)
        yield LiveView(
            name=view.name,
            model=model,
            sql=sql,
            shared=shared,
            stored=stored_view(view, entities.values()),
            join_key=source.join_key,
            columns=stored_columns(source),
            fingerprint=fingerprint(source),
            kinds={name: kinds[name] for name in source.features},
            encode_key=key_encoder(source.join_key),
            tile_minutes=model.meta["feature_view"].get("tile_minutes"),
            is_of_persons=_is_of_persons(view),
        )


def _shared_apart(sql: str) -> tuple[str, dict[str, str]]:
    """The SQL without what is made once, and that by the name it is read by instead."""
    shared = {}

    def by_name(found: re.Match[str]) -> str:
        name = "shared_" + hashlib.sha256(found[1].encode()).hexdigest()[:16]
        shared[name] = found[1]
        return f"from {name}"

    return _MADE_ONCE.sub(by_name, sql), shared


def _is_of_persons(view: "FeatureView") -> bool:
    return list(view.entities) == ["person"]


def run_views(definitions: Definitions, live: Iterable[LiveView]) -> list[RunView]:
    """The views that are none of `live`, in the order of their names."""
    entities = {entity.name: entity for entity in definitions.entities}
    names = {view.name for view in live}
    return [
        RunView(
            stored=stored_view(view, entities.values()),
            join_key=(key := view_source(view, entities).join_key),
            encode_key=key_encoder(key),
            is_of_persons=_is_of_persons(view),
        )
        for view in sorted(definitions.views, key=lambda view: view.name)
        if view.name not in names
    ]
