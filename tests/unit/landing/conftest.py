from pathlib import Path

import pytest

from nearline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # Files made for their faults would be stopped for them.
    return Settings(home=tmp_path / "home", max_rejected_share=1)
