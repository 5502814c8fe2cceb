"""The online stores that tests of features run on, one after the other.

Belongs here: settings for an empty store of each kind. A test takes them by

    @pytest.fixture(params=STORES)
    def settings(request, tmp_path, online_stores): ...
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from nearline.settings import Settings
from tests.redis_servers import RedisServer, running_cluster, running_redis

SQLITE, REDIS, CLUSTER = "sqlite", "redis", "redis-cluster"

ONE_SERVER = [SQLITE, pytest.param(REDIS, marks=pytest.mark.services)]
STORES = [*ONE_SERVER, pytest.param(CLUSTER, marks=pytest.mark.services)]


@dataclass
class OnlineStores:
    """Starts servers once, and empties them for each test."""

    folder: Path
    stack: ExitStack
    _server: RedisServer | None = field(default=None, init=False)
    _cluster: list[RedisServer] = field(default_factory=list, init=False)

    def settings(self, kind: str, home: Path) -> Settings:
        """A home whose online store, of this kind, is empty."""
        if kind == SQLITE:
            return Settings(home=home)
        if kind == REDIS:
            return self.redis_settings(self.server(), home)
        if not self._cluster:
            self._cluster = self.stack.enter_context(
                running_cluster(self.folder / "cluster")
            )
        for server in self._cluster:
            _empty(server)
        return Settings(
            home=home,
            online_store="redis",
            redis_url=SecretStr(f"redis://127.0.0.1:{self._cluster[0].port}"),
            redis_cluster=True,
        )

    def server(self) -> RedisServer:
        if self._server is None:
            self._server = self.stack.enter_context(
                running_redis(self.folder / "server")
            )
        _empty(self._server)
        return self._server

    @staticmethod
    def redis_settings(server: RedisServer, home: Path) -> Settings:
        return Settings(
            home=home, online_store="redis", redis_url=SecretStr(server.url)
        )


def _empty(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()
        client.script_flush()


def with_secrets(settings: Settings) -> str:
    """Settings as JSON for another process, the address in clear."""
    told = settings.model_dump(mode="json")
    return json.dumps(told | {"redis_url": settings.redis_url.get_secret_value()})
