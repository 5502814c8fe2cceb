"""Which Redis the settings name, for our writers and for Feast's `feature_store.yaml`.

Belongs here: reading the address, and writing it as Feast's connection string. The
password is in neither file nor error: Feast puts `NEARLINE_REDIS_PASSWORD` into the
file as it reads it.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from nearline.errors import InputError
from nearline.settings import Settings

if TYPE_CHECKING:
    from redis import Redis
    from redis.cluster import RedisCluster

PASSWORD_VARIABLE = "NEARLINE_REDIS_PASSWORD"

# Feast splits its connection string at commas, within a YAML file.
_UNSPEAKABLE = re.compile(r"""[\s,'"\\]""")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis server, or a node of a cluster. `database` is None in a cluster."""

    host: str
    port: int
    database: int | None
    username: str | None
    password: str | None = field(repr=False)
    has_tls: bool

    @property
    def is_cluster(self) -> bool:
        return self.database is None


def redis_address(settings: Settings) -> RedisAddress:
    """The address in the settings.

    Raises:
        InputError: it cannot be understood, or Feast could not be told of it.
    """
    text = settings.redis_url.get_secret_value()
    try:
        parts = urlsplit(text)
        port = parts.port or 6379
    except ValueError:
        raise _wrong("is not an address") from None
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise _wrong("must begin with redis:// or rediss:// and a host")
    if parts.query or parts.fragment:
        raise _wrong("must have no options behind the database's number")
    if ":" in parts.hostname:
        raise _wrong("must have a name or an IPv4 address: Feast reads no other")
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        raise _wrong("must end with a database's number, or with nothing")
    if settings.redis_cluster and int(database):
        raise _wrong("must have no database's number: a cluster has one alone")
    password = unquote(parts.password) if parts.password else None
    if settings.redis_password is not None:
        password = settings.redis_password.get_secret_value()
    username = unquote(parts.username) if parts.username else None
    for name, value in (("user name", username), ("password", password)):
        if value and _UNSPEAKABLE.search(value):
            raise InputError(
                f"the {name} of Redis has a comma, a quote, a backslash or a space, "
                "which Feast's connection string cannot carry; choose another"
            )
    return RedisAddress(
        host=parts.hostname,
        port=port,
        database=None if settings.redis_cluster else int(database),
        username=username,
        password=password,
        has_tls=parts.scheme == "rediss",
    )


def feast_configuration(address: RedisAddress) -> dict[str, Any]:
    """The `online_store` of a `feature_store.yaml`.

    Feast reads each value as JSON where it can, so text stands in quotes: a password of
    digits would become a number otherwise.
    """
    words = [f"{address.host}:{address.port}"]
    if not address.is_cluster:
        words.append(f"db={address.database}")
    if address.has_tls:
        words.append("ssl=true")
    if address.username:
        words.append(f'username="{address.username}"')
    if address.password:
        words.append(f'password="${{{PASSWORD_VARIABLE}}}"')
    return {
        "type": "redis",
        "redis_type": "redis_cluster" if address.is_cluster else "redis",
        "connection_string": ",".join(words),
    }


def connect(address: RedisAddress, timeout_seconds: float) -> "Redis | RedisCluster":
    """A client that gives up at the first failure: whoever uses it tries again."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.retry import Retry

    common: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "ssl": address.has_tls,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "protocol": 2,
    }
    if address.is_cluster:
        node = ClusterNode(  # type: ignore[no-untyped-call]
            address.host, address.port
        )
        return RedisCluster(startup_nodes=[node], retry=Retry(NoBackoff(), 0), **common)
    return Redis(
        host=address.host,
        port=address.port,
        db=address.database or 0,
        retry=Retry(NoBackoff(), 0),
        **common,
    )


def _wrong(what: str) -> InputError:
    return InputError(
        f"NEARLINE_REDIS_URL {what}; write it as "
        "redis://[[user]:password@]host[:port][/database]"
    )
