"""`nearline demo-shop`: what it says before it serves."""

import socket
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.demo_shop.command import demo_shop
from nearline.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


def test_help_shows_an_example() -> None:
    shown = CliRunner().invoke(demo_shop, ["--help"])
    assert shown.exit_code == 0
    assert "Example: nearline demo-shop --port 8000" in shown.output


def test_a_port_in_use_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path / "home"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(demo_shop, ["--port", port])
    assert isinstance(done.exception, InputError)
    assert f"port {port} is in use" in str(done.exception)
    assert not (tmp_path / "home").exists()


def test_an_address_of_another_machine_is_refused() -> None:
    done = CliRunner().invoke(demo_shop, ["--host", "192.0.2.1"])
    assert isinstance(done.exception, InputError)
    assert "no address of this machine" in str(done.exception)


def test_pages_and_assets_are_in_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["nearline"]
    package = ROOT / "nearline"
    packed = {file for pattern in patterns for file in package.glob(pattern)}
    needed = {
        file
        for folder in ("pages", "assets")
        for file in (package / "demo_shop" / folder).iterdir()
    }
    assert needed
    assert needed <= packed
