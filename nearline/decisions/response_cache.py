"""Where bodies that many visitors share are kept: in memory, Memcached or Redis, by setting.

Belongs here: getting and putting bytes by key, for a time. Not here: what is kept, or what
is done when a server is slow or away (`sharing`): these raise whatever their client does.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from nearline.errors import InputError
from nearline.settings import Settings

if TYPE_CHECKING:
    from pymemcache.client.hash import HashClient
    from redis import Redis
    from redis.cluster import RedisCluster

_MOST_IN_MEMORY = 5_000
_MEMCACHED = "localhost:11211"
_CONNECTIONS = 4


class ResponseCache(Protocol):
    """May be asked from several threads. `is_local`: it never waits for anything."""

    is_local: bool

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, value: bytes, seconds: int) -> None: ...

    def close(self) -> None: ...


class NoCache:
    """Keeps nothing."""

    is_local = True

    def get(self, key: str) -> bytes | None:
        return None

    def put(self, key: str, value: bytes, seconds: int) -> None:
        pass

    def close(self) -> None:
        pass


class MemoryCache:
    """Of this worker alone. What was asked for longest ago makes room."""

    is_local = True

    def __init__(
        self, most: int = _MOST_IN_MEMORY, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._ticks = ticks
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            until, value = kept
            if until <= self._ticks():
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return value

    def put(self, key: str, value: bytes, seconds: int) -> None:
        with self._lock:
            self._kept[key] = (self._ticks() + seconds, value)
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def close(self) -> None:
        self._kept.clear()


class MemcachedCache:
    """One Memcached server, or several that share the keys."""

    is_local = False

    def __init__(self, servers: str, prefix: str, timeout_seconds: float) -> None:
        """Connects to nothing yet.

        Raises:
            InputError: `servers` is no list of `host:port`.
        """
        self._servers = [_server(one) for one in servers.split(",")]
        self._prefix = prefix
        self._timeout_seconds = timeout_seconds
        self._client: HashClient | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        found: bytes | None = self._open().get(self._prefix + key)
        return found

    def put(self, key: str, value: bytes, seconds: int) -> None:
        self._open().set(self._prefix + key, value, expire=seconds, noreply=False)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _open(self) -> "HashClient":
        from pymemcache.client.hash import HashClient

        with self._lock:
            if self._client is None:
                # A server that fails is left out at once and tried again a second
                # later: a minute, as by default, is long for a restart.
                self._client = HashClient(
                    self._servers,
                    connect_timeout=self._timeout_seconds,
                    timeout=self._timeout_seconds,
                    no_delay=True,
                    use_pooling=True,
                    max_pool_size=_CONNECTIONS,
                    retry_attempts=0,
                    dead_timeout=1,
                )
            return self._client


class RedisCache:
    """A Redis server or cluster, with the address that the online store has, or another."""

    is_local = False

    def __init__(self, settings: Settings, prefix: str, timeout_seconds: float) -> None:
        """Connects to nothing yet.

        Raises:
            InputError: the address cannot be understood.
        """
        from nearline.online.redis_address import redis_address

        self._address = redis_address(settings)
        self._prefix = prefix
        self._timeout_seconds = timeout_seconds
        self._client: Redis | RedisCluster | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        found: bytes | None = self._open().get(self._prefix + key)  # type: ignore[assignment]
        return found

    def put(self, key: str, value: bytes, seconds: int) -> None:
        self._open().set(self._prefix + key, value, ex=seconds)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _open(self) -> "Redis | RedisCluster":
        from nearline.online.redis_address import connect

        with self._lock:
            if self._client is None:
                self._client = connect(self._address, self._timeout_seconds)
            return self._client


def open_response_cache(settings: Settings) -> ResponseCache:
    """The cache that the settings name; nothing is connected to before it is used.

    Raises:
        InputError: its address cannot be understood.
    """
    kind = settings.response_cache
    address = settings.response_cache_address
    prefix = f"{settings.response_cache_prefix}:"
    # A client that gives up with the budget gives its thread back with it.
    budget = settings.response_cache_seconds
    if kind == "memory":
        return MemoryCache()
    if kind == "memcached":
        servers = address.get_secret_value() if address else _MEMCACHED
        return MemcachedCache(servers, prefix, budget)
    if kind == "redis":
        return RedisCache(_of_own_address(settings, address), prefix, budget)
    return NoCache()


def _of_own_address(settings: Settings, address: SecretStr | None) -> Settings:
    if address is None:
        return settings
    # The store's password and cluster are not this server's.
    own = {"redis_url": address, "redis_password": None, "redis_cluster": False}
    return settings.model_copy(update=own)


def _server(text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
        raise InputError(
            "NEARLINE_RESPONSE_CACHE_ADDRESS is no list of Memcached servers; write "
            "host:port, several with commas"
        )
    return host, int(port)
