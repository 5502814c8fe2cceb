"""`nearline dashboards` as it is typed."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.dashboards.command import dashboards
from nearline.errors import InputError
from tests.shop_release import ShopRelease, session, with_sessions


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    return tmp_path


def publish(home: Path) -> None:
    ShopRelease(with_sessions([session("ann", date(2026, 11, 16))])).publish(home)


def test_it_prints_where_the_page_is(home: Path) -> None:
    publish(home)
    result = CliRunner().invoke(dashboards, [])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(home / "site" / "index.html")
    assert "No experiment ran in this data." in result.stderr


def test_it_prints_a_summary_for_machines(home: Path) -> None:
    publish(home)
    result = CliRunner().invoke(dashboards, ["--json"])
    summary = json.loads(result.stdout)
    assert summary["page"] == str(home / "site" / "index.html")
    assert summary["release_id"] == ShopRelease.release_id
    assert summary["byte_count"] == (home / "site" / "index.html").stat().st_size
    assert summary["first_day"] == "2026-11-16"


def test_without_a_release_it_says_what_to_run_and_leaves_the_page(home: Path) -> None:
    (home / "site").mkdir()
    (home / "site" / "index.html").write_text("before")
    result = CliRunner().invoke(dashboards, [])
    assert isinstance(result.exception, InputError)
    assert result.exception.exit_code == 2
    assert (home / "site" / "index.html").read_text() == "before"


def test_help_has_an_example_and_loads_no_data_library() -> None:
    script = (
        "import sys; from click.testing import CliRunner\n"
        "from nearline.dashboards.command import dashboards\n"
        "print(CliRunner().invoke(dashboards, ['--help']).output)\n"
        "heavy = {'altair', 'duckdb', 'pyarrow', 'vl_convert'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Example: nearline dashboards" in done.stdout
