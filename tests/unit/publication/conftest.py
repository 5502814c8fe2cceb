from pathlib import Path

import pytest

from nearline.settings import Settings
from tests.unit.publication.small_warehouse import build_warehouse


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose warehouse holds every published table, the facts with three days."""
    settings = Settings(home=tmp_path / "home")
    build_warehouse(settings)
    return settings
