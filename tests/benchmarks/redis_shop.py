"""A simulated shop, published, whose features are in a Redis of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pydantic import SecretStr

from nearline.settings import Settings
from tests.pipeline import NEARLINE, Home
from tests.redis_servers import RedisServer, running_redis


@dataclass(frozen=True)
class RedisShop:
    """`environment` is what its commands run in."""

    server: RedisServer
    settings: Settings
    environment: dict[str, str]


@contextmanager
def redis_shop(folder: Path) -> Iterator[RedisShop]:
    """1,000 visitors of ten days, and the server until the block ends."""
    from nearline.simulate import Plan, simulate

    with running_redis(folder / "redis") as server:
        home = Home(folder / "home")
        settings = home.settings.model_copy(
            update={"online_store": "redis", "redis_url": SecretStr(server.url)}
        )
        environment = home.environment() | {
            "NEARLINE_ONLINE_STORE": "redis",
            "NEARLINE_REDIS_URL": server.url,
        }
        start = date.today() - timedelta(days=10)
        simulate(Plan(1_000, 10, 7, start, 0.15), folder / "shop")
        for arguments in (["ingest", str(folder / "shop" / "events")], ["run"]):
            subprocess.run(
                [NEARLINE, *arguments], env=environment, check=True, capture_output=True
            )
        yield RedisShop(server, settings, environment)
