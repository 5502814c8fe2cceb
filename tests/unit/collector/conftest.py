from collections.abc import Iterator
from pathlib import Path

import pytest

from nearline.settings import Settings
from tests.unit.collector.receiving import Collector


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        pseudonym_key="0123456789abcdef0123456789abcdef",  # type: ignore[arg-type]
        log_timeout_seconds=0.2,
    )


@pytest.fixture
def collector(settings: Settings) -> Iterator[Collector]:
    with Collector(settings) as running:
        yield running
