"""A service read at once gives the very response that Feast puts together view by view."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.Value_pb2 import (
    DoubleList,
    Int64List,
    StringList,
    Value,
)
from google.protobuf.timestamp_pb2 import Timestamp

from nearline.online.clocked_redis_store import ClockedRedisOnlineStore
from nearline.online.refresh import refresh_online_store
from nearline.settings import Settings
from tests.releases import release_tables, write_release
from tests.unit.online.small_shop import kept, publish

NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)
VALUES = [
    Value(),
    Value(int64_val=0),
    Value(int64_val=-7),
    Value(double_val=0.1),
    Value(bool_val=False),
    Value(string_val="füß" * 60),
    Value(unix_timestamp_val=1_772_000_000),
    Value(int64_list_val=Int64List(val=range(200))),
    Value(string_list_val=StringList(val=["sku"] * 4_000)),
    Value(double_list_val=DoubleList(val=[])),
]


class Stored(ClockedRedisOnlineStore):
    """Our class over hashes that a test draws, in place of a server."""

    def __init__(self, seed: int) -> None:
        super().__init__(clock=lambda: NOW)
        self._seed = seed
        self.commands: list[tuple[bytes, Sequence[bytes | str]]] = []

    def _read_hash_fields(
        self, config: Any, commands: Sequence[tuple[bytes, Sequence[bytes | str]]]
    ) -> list[list[bytes | None]]:
        self.commands += commands
        return [
            [self._field(key, field) for field in fields] for key, fields in commands
        ]

    def _field(self, key: bytes, field: bytes | str) -> bytes | None:
        draw = random.Random(repr((self._seed, key, field)))
        if b"nobody" in key or draw.random() < 0.2:
            return None
        if isinstance(field, bytes):
            return draw.choice(VALUES).SerializeToString()
        # Within, at and past the limit of any view; not all of whole microseconds.
        age = draw.choice(
            [0, 1, 3_600, 86_400, 7 * 86_400, 86_400 * draw.random() * 60]
        )
        moment = Timestamp()
        moment.FromDatetime(NOW - timedelta(seconds=age))
        moment.nanos += draw.choice([0, 0, 1, 499]) if moment.nanos < 999_999_000 else 0
        return moment.SerializeToString()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    settings = Settings(home=Path(tmp_path_factory.mktemp("home")))
    release = settings.releases / "r1"
    write_release(release, release_tables())
    publish(settings, release)
    refresh_online_store(settings, release, now=NOW)
    return kept(FeatureStore(repo_path=str(settings.online)))


def read(
    store: FeatureStore, online: Stored, service: str, rows: object, **named: bool
) -> Any:
    features = store.get_feature_service(service)
    return online.get_online_features(
        store.config, features, rows, store.registry, store.project, **named
    )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("service", "key", "view_count"),
    [
        ("visitor_features_v1", "visitor_id", 2),
        ("person_features_v1", "visitor_id", 2),
        ("item_features_v1", "item_id", 2),
    ],
)
def test_response_is_the_one_of_feast(
    store: FeatureStore, service: str, key: str, view_count: int, seed: int
) -> None:
    ids = random.Random(seed).choices(
        ["one", "two", "", "nobody", "ünë"], k=1 + seed % 7
    )
    rows = [{key: one} for one in ids]
    online = Stored(seed)
    features = store.get_feature_service(service)

    ours = read(store, online, service, rows)

    commands = len(online.commands)
    theirs = RedisOnlineStore.get_online_features(
        online, store.config, features, rows, store.registry, store.project
    )
    assert ours.proto == theirs.proto
    assert ours.to_dict(include_event_timestamps=True) == theirs.to_dict(
        include_event_timestamps=True
    )
    # One question an entity, however many views there are.
    assert commands == len(set(ids))
    assert len(online.commands) - commands >= view_count * commands


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"visitor_id": "one"}], {"full_feature_names": True}),
        ({"visitor_id": ["one", "two"]}, {}),
        ([{"visitor_id": "one", "item_id": "sku"}], {}),
    ],
    ids=["full names", "columns", "a key too many"],
)
def test_what_is_asked_otherwise_is_answered_by_feast(
    store: FeatureStore, rows: object, named: dict[str, bool]
) -> None:
    online = Stored(1)
    features = store.get_feature_service("visitor_features_v1")

    ours = read(store, online, "visitor_features_v1", rows, **named)

    theirs = RedisOnlineStore.get_online_features(
        online, store.config, features, rows, store.registry, store.project, **named
    )
    assert ours.proto == theirs.proto


def test_a_row_without_the_key_is_refused_as_feast_refuses_it(
    store: FeatureStore,
) -> None:
    with pytest.raises(KeyError, match="Missing join key"):
        read(store, Stored(1), "visitor_features_v1", [{"item_id": "sku"}])
