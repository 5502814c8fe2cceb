"""Reads through the Feast SDK, beside the same bytes asked of Redis in one command."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import redis

from nearline.online.configuration import PROJECT, clocked_file
from nearline.online.encoding import key_encoder
from nearline.publication.tables import scan
from nearline.settings import Settings
from tests.benchmarks.redis_shop import redis_shop

SERVICE = "visitor_features_v1"
_WARM_UP = 200
_READS = {1: 2_000, 100: 300}


def measure_reads(folder: Path) -> str:
    """The report's section."""
    with redis_shop(folder) as held, held.server.client() as client:
        return _measure(held.settings, client)


def _measure(settings: Settings, client: redis.Redis) -> str:
    from feast import FeatureStore

    stores = {
        "stock": FeatureStore(repo_path=str(settings.online)),
        "ours": FeatureStore(fs_yaml_file=clocked_file(settings)),
    }
    services = {
        name: store.get_feature_service(SERVICE) for name, store in stores.items()
    }
    service = services["stock"]
    fields = fields_of(service)
    keys = keys_of_visitors(settings)
    held: Any = client.hmget(next(iter(keys.values())), fields)
    assert any(value is not None for value in held), "the store is not laid out so"
    rng = random.Random(1)

    def raw(visitors: Sequence[str]) -> None:
        pipe = client.pipeline(transaction=False)
        for visitor in visitors:
            pipe.hmget(keys[visitor], fields)
        pipe.execute()

    def feast(name: str, visitors: Sequence[str]) -> None:
        stores[name].get_online_features(
            features=services[name],
            entity_rows=[{"visitor_id": visitor} for visitor in visitors],
        )

    lines, parts = [], []
    for count, reads in _READS.items():
        asked = [rng.sample(sorted(keys), count) for _ in range(_WARM_UP + reads)]
        for name in stores:
            # One after the other: Feast keeps what it resolved for one registry alone.
            read, floor = _alternate(partial(feast, name), raw, asked)
            lines.append(
                f"| {count} | {name} | {read[0]:.2f} | {floor[0]:.2f} | "
                f"{read[0] / floor[0]:.1f} | {read[1]:.2f} | {floor[1]:.2f} | "
                f"{read[1] / floor[1]:.1f} |"
            )
        parts.append(_parts(count, partial(feast, "stock"), asked[:_WARM_UP]))
    table = "\n".join(lines)
    features = len(fields) - len(service.feature_view_projections)
    return f"""## Reads

`get_online_features` of `{SERVICE}` ({len(service.feature_view_projections)} views,
{features} features), the service object held, by Feast's stock class
(`feature_store.yaml`) and by ours (`clocked.yaml`), each beside one `HMGET` an entity of
the same fields in one pipeline, in turn. Milliseconds.

| entities | class | p50 | raw | times | p99 | raw | times |
|---|---|---|---|---|---|---|---|
{table}

Where the stock class's time goes, as shares of a read:

| entities | Redis, with its client | values parsed | response filled | the rest |
|---|---|---|---|---|
{chr(10).join(parts)}
"""


def _parts(
    count: int,
    read: Callable[[Sequence[str]], None],
    asked: Sequence[Sequence[str]],
) -> str:
    """A row of shares: what the steps of a read take, each timed as a whole."""
    from feast import utils
    from feast.infra.online_stores.redis import RedisOnlineStore
    from redis.client import Pipeline

    steps = (
        (Pipeline, "execute"),
        (RedisOnlineStore, "_convert_redis_values_to_protobuf"),
        (utils, "_populate_response_from_feature_data"),
    )
    seconds = dict.fromkeys(range(len(steps)), 0.0)
    with ExitStack() as patched:
        for number, (place, name) in enumerate(steps):
            step = getattr(place, name)

            def timed(
                *arguments: Any, _number: int = number, _step: Any = step, **named: Any
            ) -> Any:
                began = time.perf_counter()
                try:
                    return _step(*arguments, **named)
                finally:
                    seconds[_number] += time.perf_counter() - began

            patched.enter_context(mock.patch.object(place, name, timed))
        began = time.perf_counter()
        for visitors in asked:
            read(visitors)
        whole = time.perf_counter() - began
    assert all(seconds.values()), "Feast reads in other steps"
    shares = [*seconds.values(), whole - sum(seconds.values())]
    return f"| {count} | " + " | ".join(f"{s / whole:.0%}" for s in shares) + " |"


def fields_of(service: Any) -> list[Any]:
    """Fields of a visitor's Redis hash that a read of the service asks for."""
    from feast.infra.online_stores.helpers import _mmh3

    fields: list[Any] = []
    for projection in service.feature_view_projections:
        fields += [
            _mmh3(f"{projection.name}:{feature.name}")
            for feature in projection.features
        ]
        fields.append(f"_ts:{projection.name}")
    return fields


def keys_of_visitors(settings: Settings) -> dict[str, bytes]:
    """Redis keys of the published visitors, by visitor, as Feast makes them."""
    encode = key_encoder("visitor_id")
    visitors = duckdb.sql(
        "select distinct visitor_id from "
        + scan(settings.published.resolve(), "ftr_visitor__activity_30d")
    ).fetchall()
    return {visitor: encode(visitor) + PROJECT.encode() for (visitor,) in visitors}


def _alternate(
    one: Callable[[Sequence[str]], None],
    other: Callable[[Sequence[str]], None],
    asked: Sequence[Sequence[str]],
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Median and 99th percentile of each, in milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for number, visitors in enumerate(asked):
        for place, read in enumerate((one, other)):
            began = time.perf_counter()
            read(visitors)
            if number >= _WARM_UP:
                times[place].append((time.perf_counter() - began) * 1000)
    first, second = (
        (statistics.median(each), statistics.quantiles(each, n=100)[98])
        for each in times
    )
    return first, second
