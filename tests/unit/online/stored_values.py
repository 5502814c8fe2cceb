"""A feature view of one's own, rows for it, and what stock Feast reads of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Int64, String

from nearline.online import EntityRow, OnlineValues, StoredView, open_online_values
from nearline.online.configuration import reader_configuration
from nearline.online.encoding import key_encoder
from nearline.online.values import stored_view
from nearline.settings import Settings

SECOND = 1_000_000
DAY = 86_400 * SECOND
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOON_US = 1_772_452_800 * SECOND  # by `date -u -d 2026-03-02T12:00 +%s`
KEPT_FOR = timedelta(days=30)

VISITOR = Entity(name="visitor", join_keys=["visitor_id"], value_type=ValueType.STRING)
key_of = key_encoder("visitor_id")


def feature_view(name: str = "activity_v1", ttl: timedelta = KEPT_FOR) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[VISITOR],
        ttl=ttl,
        schema=[
            Field(name="visitor_id", dtype=String),
            Field(name="count", dtype=Int64),
            Field(name="pages", dtype=Array(String)),
        ],
        source=FileSource(path="none.parquet", timestamp_field="event_timestamp"),
    )


VIEW = feature_view()
STORED = stored_view(VIEW, [VISITOR])


def entity_row(
    entity: str,
    event_us: int,
    count: int,
    created_us: int = 0,
    fingerprint: int | None = 1,
) -> EntityRow:
    """Both features say the count, so that a mixture of two rows would be seen."""
    pages = Value()
    pages.string_list_val.val.extend(["p"] * (count % 7))
    values = {"count": Value(int64_val=count), "pages": pages}
    return EntityRow(
        key_of(entity),
        event_us,
        created_us,
        fingerprint,
        [(name, value.SerializeToString(), None) for name, value in values.items()],
    )


@contextmanager
def opened(settings: Settings, *views: StoredView) -> Iterator[OnlineValues]:
    """The store, with room for `views`."""
    settings.online.mkdir(parents=True, exist_ok=True)
    values = open_online_values(settings)
    try:
        for view in views or (STORED,):
            values.prepare(view)
        yield values
    finally:
        values.close()


def stock_store(settings: Settings) -> tuple[Any, RepoConfig]:
    """Feast's own class, as an app gets it."""
    config = RepoConfig(**reader_configuration(settings))
    return get_online_store_from_config(config.online_store), config


def feast_key(entity: str) -> EntityKey:
    return EntityKey(join_keys=["visitor_id"], entity_values=[Value(string_val=entity)])


def read(
    settings: Settings, entities: Sequence[str], view: FeatureView = VIEW
) -> dict[str, int | None]:
    """The counts that a stock Feast client reads; None where it finds nothing."""
    store, config = stock_store(settings)
    found = store.online_read(config, view, [feast_key(name) for name in entities])
    counts: dict[str, int | None] = {}
    for name, (_, features) in zip(entities, found, strict=True):
        count = (features or {}).get("count", Value())
        pages = (features or {}).get("pages", Value())
        counts[name] = count.int64_val if count.WhichOneof("val") else None
        assert len(pages.string_list_val.val) == (counts[name] or 0) % 7
    return counts


def write_past_the_clock(
    settings: Settings,
    entity: str,
    event: datetime,
    count: int,
    view: FeatureView = VIEW,
) -> None:
    """As plain Feast does, who compares in another way or not at all."""
    store, config = stock_store(settings)
    pages = Value()
    pages.string_list_val.val.extend(["p"] * (count % 7))
    values = {"count": Value(int64_val=count), "pages": pages}
    store.online_write_batch(
        config, view, [(feast_key(entity), values, event, event)], None
    )


def held(values: OnlineValues, view: StoredView = STORED) -> dict[str, Any]:
    """By entity, the moment and fingerprint that are known, or None."""
    rows = values.held(view).to_pylist()
    return {
        row["entity_id"]: None
        if row["event_us"] is None
        else (row["event_us"], row["created_us"], row["fingerprint"])
        for row in rows
    }
