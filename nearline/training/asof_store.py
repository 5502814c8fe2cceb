"""Feast's DuckDB store with an ASOF join in historical retrieval.

Belongs here: what Feast calls when a training set is made. Feast's own DuckDB store pairs
every row asked for with every earlier row of its entity and then keeps one: its cost is
their product. Rows and features are read, and the answer is the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import duckdb
import pandas as pd
import pyarrow as pa
from feast import FeatureView, FileSource, RepoConfig
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
)
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView

from nearline.sql_text import parquet_rows
from nearline.training.labels import MOMENT

TYPE = "nearline.training.asof_store.AsofDuckDBOfflineStore"


class AsofDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """As Feast's; the class is found by this one's name."""

    type: Literal[TYPE] = TYPE  # type: ignore


class AsofDuckDBOfflineStore(DuckDBOfflineStore):
    """Of each view the newest row known at the moment asked about, if it is alive then.

    Newest by event time, then by creation. Known means that the event time is not later
    than the moment and, with `filter_by_created_timestamp`, neither is the creation.
    Alive means that the event time plus the view's time to live is not earlier.
    """

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Features beside each row asked for, in no order of their own.

        Args:
            entity_df: a query of DuckDB, with the views' keys and `event_timestamp`
                (UTC). A data frame is taken, too.
        """
        if entity_df is None:
            raise ValueError("entity_df: state keys and moments; ranges are not read")
        joins = [
            _join(view, feature_refs, full_feature_names, filter_by_created_timestamp)
            for view in feature_views
        ]
        return _AsofJob(entity_df, joins, feature_refs, full_feature_names)


@dataclass(frozen=True, slots=True)
class _Join:
    """A view's part of the question; `features` name in the file -> in the answer."""

    path: Path
    keys: dict[str, str]
    event_column: str
    created_column: str | None
    features: dict[str, str]
    ttl: timedelta | None
    waits_for_creation: bool

    def relation(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Rows of which each is the newest from its `_known_at` to the next one's.

        A row may become known after a newer one: it is never the newest known. Where
        there is none such, nor two at one moment, nothing has to be put in order here,
        which takes longer than to look.
        """
        event, known = self._event, self._known
        rows = f"""
            select {_quoted(self.keys)}, {event} as _event_at, {known} as _known_at,
                {_quoted(self.features)},
            {self._asked_rows}
        """
        [[is_plain]] = connection.sql(
            f"""
            select
                count(*) = count(distinct hash({_quoted(self.keys)}, {known}))
                and not coalesce(bool_or({known} > {event}), false),
            {self._asked_rows}
            """
        ).fetchall()
        if is_plain:
            return f"({rows})"
        return f"""(
            {rows}
            window known as (
                partition by {_quoted(self.keys)}
                order by {known}, {event}, {self._created}
            )
            qualify
                lead({known}) over known is distinct from {known}
                and {event} >= max({event}) over (
                    known rows between unbounded preceding and current row
                )
        )"""

    @property
    def _asked_rows(self) -> str:
        return (
            f"from {parquet_rows(self.path)} where ({_quoted(self.keys)}) "
            f"in (select ({_quoted(self.keys.values())}) from asked)"
        )

    @property
    def _event(self) -> str:
        return f'cast("{self.event_column}" as timestamptz)'

    @property
    def _created(self) -> str:
        if self.created_column is None:
            return self._event
        return f'cast("{self.created_column}" as timestamptz)'

    @property
    def _known(self) -> str:
        if not self.waits_for_creation:
            return self._event
        return f"greatest({self._event}, {self._created})"


def _join(
    view: FeatureView, refs: Sequence[str], has_full_names: bool, waits: bool
) -> _Join:
    source = view.batch_source
    if not isinstance(source, FileSource) or source.field_mapping:
        raise ValueError(
            f"feature view {view.name} is not of a file with its own names"
        )
    prefix = view.projection.name_alias or view.name
    used = view.projection.name_to_use()  # type: ignore[no-untyped-call]
    asked = [ref.partition(":") for ref in refs]
    names = [name for name_used, _, name in asked if name_used == used]
    keys = view.projection.join_key_map or {
        column.name: column.name for column in view.entity_columns
    }
    return _Join(
        path=Path(source.path),
        keys=keys,
        event_column=source.timestamp_field,
        created_column=source.created_timestamp_column or None,
        features={
            name: f"{prefix}__{name}" if has_full_names else name for name in names
        },
        ttl=view.ttl or None,
        waits_for_creation=waits,
    )


def _query(connection: duckdb.DuckDBPyConnection, joins: Sequence[_Join]) -> str:
    columns, clauses = ["asked.*"], []
    for number, join in enumerate(joins):
        alias = f"v{number}"
        for name, out in join.features.items():
            value = f'{alias}."{name}"'
            if join.ttl is not None:
                limit = join.ttl // timedelta(microseconds=1)
                value = (
                    f"case when {alias}._event_at + to_microseconds({limit}) "
                    f'>= asked."{MOMENT}" then {value} end'
                )
            columns.append(f'{value} as "{out}"')
        on = [
            f'asked."{mine}" = {alias}."{theirs}"' for theirs, mine in join.keys.items()
        ]
        clauses.append(
            f"asof left join {join.relation(connection)} as {alias} on {' and '.join(on)} "
            f'and asked."{MOMENT}" >= {alias}._known_at'
        )
    return f"select {', '.join(columns)} from asked {' '.join(clauses)}"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


class _AsofJob(RetrievalJob):
    """Runs the query when the answer is asked for."""

    def __init__(
        self,
        entity_df: pd.DataFrame | str,
        joins: Sequence[_Join],
        feature_refs: list[str],
        full_feature_names: bool,
    ) -> None:
        self._entity_df = entity_df
        self._joins = joins
        self._feature_refs = feature_refs
        self._full_feature_names = full_feature_names

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        keys = [mine for join in self._joins for mine in join.keys.values()]
        return RetrievalMetadata(self._feature_refs, list(dict.fromkeys(keys)))

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            if isinstance(self._entity_df, str):
                rows = f"({self._entity_df})"
            else:
                rows = "entity_df"
                connection.register(rows, self._entity_df)
            connection.execute(
                f"""
                create temp view asked as
                select * replace (cast("{MOMENT}" as timestamptz) as "{MOMENT}")
                from {rows}
                """
            )
            answer: pa.Table = connection.sql(
                _query(connection, self._joins)
            ).to_arrow_table()
            return answer

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()
