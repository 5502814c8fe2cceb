"""Redis as it is in life: restarted, halted, demoted, promoted, spread over nodes,
behind a password. What our writers do then, and what a stock Feast client sees."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from feast import RepoConfig
from feast.infra.online_stores.helpers import get_online_store_from_config
from pydantic import SecretStr

from nearline.errors import InputError, NearlineError
from nearline.online import OnlineStoreUnavailableError, expire_values
from nearline.online.configuration import reader_configuration
from nearline.settings import Settings
from tests.online_stores import CLUSTER, OnlineStores
from tests.redis_servers import RedisServer, running_redis
from tests.unit.online.stored_values import (
    KEPT_FOR,
    NOON,
    NOON_US,
    SECOND,
    STORED,
    VIEW,
    entity_row,
    feast_key,
    held,
    key_of,
    opened,
    read,
    stock_store,
)

pytestmark = pytest.mark.services


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path / "server") as server:
        yield server


@pytest.fixture
def settings(server: RedisServer, tmp_path: Path) -> Settings:
    return OnlineStores.redis_settings(server, tmp_path / "home")


def test_nothing_but_the_layout_of_feast_and_our_own_keys_is_there(
    settings: Settings, server: RedisServer
) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        with server.client() as client:
            assert set(client.keys()) == {
                key_of("a") + b"nearline",
                b"nearline:nearline:views",
                b"nearline:nearline:expiry:activity_v1",
            }
            # Two features, Feast's time and our clock.
            assert client.hlen(key_of("a") + b"nearline") == 4
            values.delete_entities([key_of("a")])
            assert client.keys() == [b"nearline:nearline:views"]


@pytest.mark.parametrize("way", ["deleted", "expired"])
def test_a_removed_entity_is_in_no_key(
    settings: Settings, server: RedisServer, way: str
) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        if way == "deleted":
            values.delete(STORED, [key_of("a")])
        else:
            assert values.expire(STORED, NOON_US + 1) == 1
        with server.client() as client:
            assert client.keys() == [b"nearline:nearline:views"]


def test_another_project_s_entities_are_left_alone(
    settings: Settings, server: RedisServer
) -> None:
    stranger = key_of("a") + b"notnearline"
    with opened(settings) as values, server.client() as client:
        client.hset(stranger, "field", "value")
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        assert list(held(values)) == ["a"]
        values.keep_only([])
        values.delete_entities([key_of("a")])
        assert client.hgetall(stranger) == {b"field": b"value"}


def test_a_server_that_is_away_is_said_and_survived(
    settings: Settings, server: RedisServer
) -> None:
    impatient = settings.model_copy(update={"redis_timeout_seconds": 0.5})
    row = entity_row("b", NOON_US, 2)
    with opened(impatient) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        server.kill()
        with pytest.raises(OnlineStoreUnavailableError, match="ConnectionError"):
            values.write(STORED, [row])
        server.start()
        assert values.write(STORED, [row]) == 1
        assert read(settings, "ab") == {"a": 1, "b": 2}


def test_a_server_that_hangs_is_said_and_survived(
    settings: Settings, server: RedisServer
) -> None:
    impatient = settings.model_copy(update={"redis_timeout_seconds": 0.6})
    row = entity_row("a", NOON_US, 1)
    with opened(impatient) as values:
        server.halt()
        with pytest.raises(OnlineStoreUnavailableError, match="TimeoutError"):
            values.write(STORED, [row])
        server.go_on()
        values.write(STORED, [row])
        assert read(settings, "a") == {"a": 1}


def test_a_write_over_a_restart_ends_with_everything_written(
    settings: Settings, server: RedisServer
) -> None:
    patient = settings.model_copy(update={"redis_timeout_seconds": 60})
    rows = [entity_row(f"v{n}", NOON_US + n, n) for n in range(3_000)]
    with opened(patient) as values:
        writing = threading.Thread(target=values.write, args=(STORED, rows))
        with server.client() as client:
            writing.start()
            while not client.dbsize() > 1:
                pass
        server.kill()
        time.sleep(0.2)  # so that it is missed
        server.start()
        writing.join()
        assert held(values) == {f"v{n}": (NOON_US + n, 0, 1) for n in range(3_000)}


def test_a_stock_reader_fails_while_the_server_is_away_and_then_goes_on(
    settings: Settings, server: RedisServer
) -> None:
    store, config = stock_store(settings)

    def count() -> int:
        ((_, features),) = store.online_read(config, VIEW, [feast_key("a")])
        return int(features["count"].int64_val)

    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        assert count() == 1
        server.kill()
        with pytest.raises(redis.ConnectionError):
            count()
        server.start()
        assert count() == 1


def test_a_write_to_a_replica_succeeds_once_it_is_promoted(
    settings: Settings, server: RedisServer, tmp_path: Path
) -> None:
    """The address leads to the replica, as it does when a name is moved in a failover.
    A stock reader there sees no gap."""
    replicates = ("--replicaof", "127.0.0.1", str(server.port))
    with (
        running_redis(tmp_path / "replica", *replicates) as replica,
        opened(settings) as values,
        replica.client() as client,
    ):
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        while not client.exists(key_of("a") + b"nearline"):
            time.sleep(0.01)
        moved = OnlineStores.redis_settings(replica, settings.home)
        impatient = moved.model_copy(update={"redis_timeout_seconds": 0.3})
        with (
            pytest.raises(OnlineStoreUnavailableError, match="ReadOnlyError"),
            opened(impatient),
        ):
            pass
        patient = moved.model_copy(update={"redis_timeout_seconds": 60})
        written: list[int] = []

        def write() -> None:
            with opened(patient) as there:
                written.append(
                    there.write(STORED, [entity_row("a", NOON_US + SECOND, 2)])
                )

        writing = threading.Thread(target=write)
        writing.start()
        server.kill()
        assert read(moved, "a") == {"a": 1}
        client.replicaof("NO", "ONE")
        while writing.is_alive():
            assert read(moved, "a")["a"] in {1, 2}
        writing.join()
        assert written == [1]
        assert read(moved, "a") == {"a": 2}


def test_scripts_that_the_server_forgot_are_loaded_again(
    settings: Settings, server: RedisServer
) -> None:
    with opened(settings) as values, server.client() as client:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        client.script_flush()
        assert values.write(STORED, [entity_row("a", NOON_US + 1, 2)]) == 1


@pytest.mark.parametrize("option", ["maxmemory", "min-replicas-to-write"])
def test_a_server_that_takes_no_writes_is_said_and_survived(
    settings: Settings, server: RedisServer, option: str
) -> None:
    """Full, or without the replicas that it wants. Reads go on."""
    impatient = settings.model_copy(update={"redis_timeout_seconds": 0.3})
    with opened(impatient) as values, server.client() as client:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        client.config_set(option, 1)
        with pytest.raises(OnlineStoreUnavailableError):
            values.write(STORED, [entity_row("a", NOON_US + 1, 2)])
        assert read(settings, "a") == {"a": 1}
        client.config_set(option, 0)
        assert values.write(STORED, [entity_row("a", NOON_US + 1, 2)]) == 1


PASSWORD = "s3cret$pass:word@#é"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path / "guarded", password=PASSWORD) as server:
        yield server


def test_a_password_works_for_us_and_by_the_environment_for_stock_feast(
    guarded: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast.repo_config import load_repo_config

    from nearline.online.configuration import reader_file, write_configurations

    settings = Settings(
        home=tmp_path / "home",
        online_store="redis",
        redis_url=SecretStr(f"redis://127.0.0.1:{guarded.port}"),
        redis_password=SecretStr(PASSWORD),
    )
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
    write_configurations(settings, reader_configuration(settings))
    for file in (path for path in settings.online.rglob("*") if path.is_file()):
        assert PASSWORD.encode() not in file.read_bytes()
    monkeypatch.setenv("NEARLINE_REDIS_PASSWORD", PASSWORD)
    config = load_repo_config(settings.online, reader_file(settings))
    assert isinstance(config, RepoConfig)
    store = get_online_store_from_config(config.online_store)
    ((_, features),) = store.online_read(config, VIEW, [feast_key("a")])
    assert features is not None
    assert features["count"].int64_val == 1


@pytest.mark.parametrize("password", ["another-one", None])
def test_a_wrong_password_is_refused_and_not_repeated(
    guarded: RedisServer, tmp_path: Path, password: str | None
) -> None:
    settings = Settings(
        home=tmp_path / "home",
        online_store="redis",
        redis_url=SecretStr(f"redis://127.0.0.1:{guarded.port}"),
        redis_password=password and SecretStr(password),
    )
    with pytest.raises(InputError, match="Redis refused") as refused, opened(settings):
        pass
    told = f"{refused.value} {refused.value.__cause__} {settings!r}"
    assert "another-one" not in told


def test_a_user_who_may_not_run_scripts_is_told_so(
    guarded: RedisServer, tmp_path: Path
) -> None:
    with guarded.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "app", "on", ">hidden", "~*", "+@all", "-evalsha"
        )
    settings = Settings(
        home=tmp_path / "home",
        online_store="redis",
        redis_url=SecretStr(f"redis://app:hidden@127.0.0.1:{guarded.port}"),
    )
    with (
        opened(settings) as values,
        pytest.raises(NearlineError, match="NoPermissionError") as refused,
    ):
        values.write(STORED, [entity_row("a", NOON_US, 1)])
    assert "hidden" not in str(refused.value)


def test_a_cluster_that_is_being_resharded_takes_every_write(
    tmp_path: Path, online_stores: OnlineStores
) -> None:
    settings = online_stores.settings(CLUSTER, tmp_path / "home")
    names = [f"v{n}" for n in range(60)]
    with opened(settings) as values:
        values.write(STORED, [entity_row(name, NOON_US, 1) for name in names])
        key = key_of("v7") + b"nearline"
        source, target = _halfway(settings, key)
        # The key has left its node, but the slot has not: the client is told to ask.
        rows = [entity_row(name, NOON_US + 1, 2) for name in names]
        assert values.write(STORED, rows) == 60
        for node in (target, source):
            slot = node.cluster("KEYSLOT", key)
            node.cluster("SETSLOT", slot, "NODE", target.cluster("MYID").decode())
        # Now it has: the client's map is old.
        rows = [entity_row(name, NOON_US + 2, 3) for name in names]
        assert values.write(STORED, rows) == 60
        assert set(read(settings, names).values()) == {3}
        limit_over = NOON + KEPT_FOR + timedelta(microseconds=3)
        assert expire_values(values, [STORED], limit_over) == 60
        assert set(read(settings, names).values()) == {None}


def _halfway(settings: Settings, key: bytes) -> tuple[redis.Redis, redis.Redis]:
    """Moves `key` to another node, its slot staying where it is."""
    port = int(settings.redis_url.get_secret_value().rpartition(":")[2])
    cluster = redis.RedisCluster(host="127.0.0.1", port=port)
    here = cluster.get_node_from_key(key)
    there = next(node for node in cluster.get_primaries() if node != here)
    source, target = (redis.Redis(port=node.port) for node in (here, there))
    slot = cluster.keyslot(key)
    cluster.close()
    here_id, there_id = (node.cluster("MYID").decode() for node in (source, target))
    target.cluster("SETSLOT", slot, "IMPORTING", here_id)
    source.cluster("SETSLOT", slot, "MIGRATING", there_id)
    source.migrate("127.0.0.1", there.port, [key], 0, 5_000)
    return source, target
