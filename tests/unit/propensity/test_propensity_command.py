"""`nearline propensity` where there is nothing to learn from yet: one line, exit code 2."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.errors import InputError
from nearline.propensity.command import propensity


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train"], "nothing is published yet; `nearline run`"),
        (["score", "v_1f0a9c2b"], "nothing is online yet; `nearline run`"),
    ],
)
def test_without_a_release_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=says):
        CliRunner().invoke(propensity, arguments, catch_exceptions=False)
    assert not (tmp_path / "models").exists()
    assert not (tmp_path / "site").exists()
