"""The application with its real log, called without a network; its clock stands still."""

import asyncio
from typing import Any

import httpx
import orjson

from nearline.collector.app import create_app
from nearline.collector.config import CollectorConfig
from nearline.log import open_log
from nearline.settings import Settings
from tests.unit.collector.sent_events import CONFIG, FIREFOX, NOON


class Collector:
    """Answers requests one after the other; `topic` reads what the log then holds."""

    def __init__(self, settings: Settings, config: CollectorConfig = CONFIG) -> None:
        self.settings = settings
        self.app = create_app(settings, config, clock=lambda: NOON)
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Collector":
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=True),
            base_url="http://collector.example",
            headers={"User-Agent": FIREFOX},
        )
        self._lifespan = self.app.router.lifespan_context(self.app)
        self._runner.run(self._lifespan.__aenter__())
        return self

    def __exit__(self, *failure: Any) -> None:
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.run(self._client.aclose())
        self._runner.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **options))

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.request("GET", path, headers=headers)

    def post(
        self,
        body: Any,
        path: str = "/v1/events",
        key: str | None = "web_key",
        **headers: str,
    ) -> httpx.Response:
        """Sends `body`, as JSON where it is not bytes already."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            names["X-Nearline-Key"] = key
        return self.request("POST", path, content=content, headers=names)

    def topic(self, name: str) -> list[Any]:
        log = open_log(self.settings, name)
        try:
            return [orjson.loads(record.value) for record in log.read(0, 0, 100_000)]
        finally:
            log.close()
