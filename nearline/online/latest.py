"""Reads the newest value per entity from a release's feature Parquet, with DuckDB.

Belongs here: which columns a view needs of its table, and what has changed against what
the store holds. Nothing here writes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from nearline.errors import NearlineError
from nearline.publication.tables import scan, table_path

if TYPE_CHECKING:
    from feast import Entity, FeatureView

# Feast's name of a type: what it is read as, and from which types without loss.
_TYPES: Mapping[str, tuple[str, frozenset[str]]] = {
    "STRING": ("varchar", frozenset({"VARCHAR"})),
    "BOOL": ("boolean", frozenset({"BOOLEAN"})),
    "INT32": ("integer", frozenset({"INTEGER", "SMALLINT", "TINYINT"})),
    "INT64": ("bigint", frozenset({"BIGINT", "INTEGER", "SMALLINT", "TINYINT"})),
    "FLOAT": ("float", frozenset({"FLOAT"})),
    "DOUBLE": ("double", frozenset({"DOUBLE", "FLOAT"})),
    "UNIX_TIMESTAMP": ("timestamp", frozenset({"TIMESTAMP", "TIMESTAMP_MS"})),
    "STRING_LIST": ("varchar[]", frozenset({"VARCHAR[]"})),
    "INT64_LIST": (
        "bigint[]",
        frozenset({"BIGINT[]", "INTEGER[]", "SMALLINT[]", "TINYINT[]"}),
    ),
}


@dataclass(frozen=True, slots=True)
class ViewSource:
    """A view's table in a release, and the columns that the view takes from it.

    `features` maps a feature to the name of its Feast type, in a fixed order: the
    fingerprint of a row depends on it.
    """

    view: str
    table: str
    join_key: str
    event_column: str
    created_column: str
    features: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a view's table holds that the store does not, and the other way round.

    `entity_count` leaves out those whose newest value has expired.
    """

    entity_count: int
    expired_count: int
    newest_event_timestamp: datetime | None
    vanished: tuple[str, ...]


def view_source(view: "FeatureView", entities: "Mapping[str, Entity]") -> ViewSource:
    """Where `view` is read from.

    Raises:
        NearlineError: it has not exactly one text key, or a type that is not stored.
    """
    from feast import FileSource

    join_keys = [entities[name].join_key for name in view.entities if name in entities]
    kinds = {field.name: field.dtype for field in view.entity_columns}
    if len(join_keys) != 1 or _kind(kinds.get(join_keys[0])) != "STRING":
        raise NearlineError(
            f"feature view {view.name} must have one entity with a String join key, "
            "declared in its schema"
        )
    features = {field.name: _kind(field.dtype) for field in view.features}
    for name, kind in features.items():
        if kind not in _TYPES:
            raise NearlineError(
                f"feature view {view.name}: {name} is {kind}, which is not supported"
            )
    source = view.batch_source
    if (
        not isinstance(source, FileSource)
        or not source.timestamp_field
        or not source.created_timestamp_column
    ):
        raise NearlineError(
            f"feature view {view.name}: its source must be a FileSource with "
            "timestamp_field and created_timestamp_column"
        )
    return ViewSource(
        view=view.name,
        table=Path(source.path).stem,
        join_key=join_keys[0],
        event_column=source.timestamp_field,
        created_column=source.created_timestamp_column,
        features=dict(sorted(features.items())),
    )


def is_in(release: Path, source: ViewSource) -> bool:
    return table_path(release, source.table).exists()


def drift(release: Path, source: ViewSource) -> str | None:
    """Why the release's table does not fit the view, or None where it does.

    Raises:
        NearlineError: the table cannot be read.
    """
    with _reading(source), duckdb.connect() as connection:
        found = dict(
            row[:2]
            for row in connection.execute(
                f"describe select * from {scan(release, source.table)}"
            ).fetchall()
        )
    expected = {
        source.join_key: _TYPES["STRING"][1],
        source.event_column: _TYPES["UNIX_TIMESTAMP"][1],
        source.created_column: _TYPES["UNIX_TIMESTAMP"][1],
        **{name: _TYPES[kind][1] for name, kind in source.features.items()},
    }
    for column, types in expected.items():
        if column not in found:
            return (
                f"feature view {source.view}: column {column} is missing in "
                f"{source.table}; add it to the SQL and run the build again, or take "
                f"it out of {source.table}.yml"
            )
        if found[column] not in types:
            return (
                f"feature view {source.view}: column {column} is {found[column]} in "
                f"{source.table}, the view expects {' or '.join(sorted(types))}"
            )
    return None


def stored_columns(source: ViewSource) -> str:
    """Selects from the view's table what is stored of a row: `entity_id`, `event_us`,
    `created_us` (microseconds since 1970) and the features by their names."""
    event, created = source.event_column, source.created_column
    features = [
        f"cast({_quoted(name)} as {_TYPES[kind][0]}) as {_quoted(name)}"
        for name, kind in source.features.items()
    ]
    columns = [
        f"{_quoted(source.join_key)} as entity_id",
        f"epoch_us({_quoted(event)}) as event_us",
        f"epoch_us(coalesce({_quoted(created)}, {_quoted(event)})) as created_us",
        *features,
    ]
    return ", ".join(columns)


def fingerprint(source: ViewSource) -> str:
    """Tells two values of a moment apart, over rows of `stored_columns`."""
    hashed = ", ".join(_quoted(name) for name in ("entity_id", *source.features))
    # Half of the hash, so that it fits a signed integer.
    return f"cast(hash({hashed}) >> 1 as bigint)"


class LatestValues:
    """The newest row per entity of one view's table, compared with what is stored.

    What became known before `known_since_us` has expired and counts as not there.
    """

    def __init__(
        self, release: Path, source: ViewSource, known_since_us: int | None = None
    ) -> None:
        self._source = source
        self._connection = duckdb.connect()
        self._connection.execute("set timezone = 'UTC'")
        with _reading(source):
            self._connection.execute(
                f"""
                create temp table latest as
                with known_values as (
                    select {stored_columns(source)}
                    from {scan(release, source.table)}
                    where entity_id is not null and event_us is not null
                ),
                newest as (
                    select
                        unnest(arg_max(known_values, (event_us, created_us)))
                    from known_values
                    group by entity_id
                )
                select *, {fingerprint(source)} as fingerprint
                from newest
                """
            )
            (self._expired_count,) = self._connection.execute(
                "delete from latest where event_us < ?", [known_since_us]
            ).fetchall()[0]

    def close(self) -> None:
        self._connection.close()

    def compare(self, held: pa.Table, judged_up_to_us: int | None = None) -> Changes:
        """What there is, and which entities of `held` it has no longer.

        A value that became known after `judged_up_to_us` is from events that the
        release does not hold yet: it is nothing that could be missing there.
        """
        count, newest = self._connection.execute(
            "select count(*), make_timestamp(max(event_us)) from latest"
        ).fetchall()[0]
        self._connection.register("held", held)
        vanished = self._connection.execute(
            "select entity_id from held anti join latest using (entity_id) "
            "where (held.event_us > ?) is not true",
            [judged_up_to_us],
        ).fetchall()
        self._connection.unregister("held")
        return Changes(
            count,
            self._expired_count,
            newest,
            tuple(entity_id for (entity_id,) in vanished),
        )

    def changed(self, known: pa.Table, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows that are newer than `known`, or differ from it at the same moment; those
        whose moment is not known there, too."""
        names = ", ".join(f"latest.{_quoted(name)}" for name in self._source.features)
        self._connection.register("known", known)
        changed = self._connection.sql(
            f"""
            select
                latest.entity_id,
                latest.event_us,
                latest.created_us,
                latest.fingerprint,
                {names}
            from latest
            left join known using (entity_id)
            where
                known.event_us is null
                or (latest.event_us, latest.created_us)
                    > (known.event_us, known.created_us)
                or (
                    (latest.event_us, latest.created_us)
                        = (known.event_us, known.created_us)
                    and latest.fingerprint is distinct from known.fingerprint
                )
            order by latest.entity_id
            """
        )
        yield from changed.to_arrow_reader(batch_rows)


@contextmanager
def _reading(source: ViewSource) -> Iterator[None]:
    """Names the table in an error about its file."""
    try:
        yield
    except duckdb.Error as error:
        raise NearlineError(
            f"feature view {source.view}: {source.table} cannot be read "
            f"({type(error).__name__}); run the build again"
        ) from error


def _kind(dtype: object) -> str:
    if dtype is None:
        return "missing"
    name: str = dtype.to_value_type().name  # type: ignore[attr-defined]
    return name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
