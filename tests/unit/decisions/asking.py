"""The application with its real log and models, called without a network."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson

from nearline.decisions.app import create_app
from nearline.decisions.applications import Application, Applications
from nearline.decisions.features import Features
from nearline.log import EVENTS, open_log
from nearline.settings import Settings
from tests.unit.decisions.small_page import NOON

SHOP_PAGE = "https://shop.example"
APPLICATIONS = Applications(
    applications=(
        Application(key="web_key", source="web", allowed_origins={SHOP_PAGE}),
        Application(key="server_key", source="web", trust="server"),
    )
)
CONSENT = {"analytics": True, "personalization": True}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_PATIENCE_SECONDS = 20.0


def settings_of(home: Path, **options: Any) -> Settings:
    # Patient: a busy machine must not make a fallback of what is whole.
    patience = {
        f"decision_{stage}_seconds": 20.0 for stage in ("features", "ranking", "state")
    }
    return Settings(
        home=home,
        pseudonym_key="0123456789abcdef0123456789abcdef",  # type: ignore[arg-type]
        log_timeout_seconds=0.2,
        **(patience | options),
    )


class Asking:
    """Answers requests one after the other; `events` are what the log then holds."""

    def __init__(
        self,
        settings: Settings,
        features: Features,
        applications: Applications = APPLICATIONS,
        **options: Any,
    ) -> None:
        self.settings = settings
        self.app = create_app(
            settings, applications, clock=lambda: NOON, features=features, **options
        )
        self._runner = asyncio.Runner()
        self._is_closed = False

    def __enter__(self) -> "Asking":
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=True),
            base_url="http://decisions.example",
            headers={"User-Agent": FIREFOX},
        )
        self._lifespan = self.app.router.lifespan_context(self.app)
        self._runner.run(self._lifespan.__aenter__())
        return self

    def __exit__(self, *failure: Any) -> None:
        self.finish()
        self._runner.close()

    def finish(self) -> None:
        """Ends the service, as at a shutdown: what waits is written."""
        if not self._is_closed:
            self._is_closed = True
            self._runner.run(self._lifespan.__aexit__(None, None, None))
            self._runner.run(self._client.aclose())

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **options))

    def post(
        self, path: str, body: Any, key: str | None = "server_key", **headers: str
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        if key is not None:
            headers["X-Nearline-Key"] = key
        return self.request("POST", path, content=content, headers=headers)

    def decide(
        self, visitor: str, *slots: str, key: str = "server_key", **context: Any
    ) -> Any:
        """The answer's slots."""
        body = {"visitor": visitor, "slots": slots, "context": context}
        answer = self.post("/v1/decide", body, key)
        assert answer.status_code == 200, answer.text
        return answer.json()["slots"]

    def events(self) -> list[Any]:
        """What the log holds once the service has ended."""
        self.finish()
        if not self.settings.log.exists():
            return []
        log = open_log(self.settings, EVENTS)
        try:
            return [orjson.loads(record.value) for record in log.read(0, 0, 100_000)]
        finally:
            log.close()

    def number(self, name: str, **labels: str) -> float:
        """A counter of /metrics; 0 where it was not counted yet."""
        stated = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
        line = f"{name}_total{{{stated}}} " if stated else f"{name}_total "
        for found in self.request("GET", "/metrics").text.splitlines():
            if found.startswith(line):
                return float(found.removeprefix(line))
        return 0.0

    def wait_for(self, is_true: Callable[[], bool]) -> None:
        """Asks again and again, since what is replaced is taken up in the background."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while not is_true():
            assert time.monotonic() < until
            time.sleep(0.02)
