"""collector.json: what it may say, and keys that are added to it."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.cli import group
from nearline.collector.config import (
    DEVELOPMENT_CONFIG,
    Source,
    add_write_key,
    load_collector_config,
)
from nearline.errors import InputError
from nearline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_without_a_file_pages_of_this_machine_may_send(settings: Settings) -> None:
    config = load_collector_config(settings)
    assert config == DEVELOPMENT_CONFIG
    assert config.allows_origin("http://localhost:8123")
    assert not config.allows_origin("https://shop.example")


@pytest.mark.parametrize(
    ("allowed", "origin", "is_allowed"),
    [
        ("https://shop.example", "https://shop.example", True),
        ("https://shop.example", "HTTPS://SHOP.example", True),
        ("https://shop.example", "http://shop.example", False),
        ("https://shop.example", "https://shop.example:8443", False),
        ("https://shop.example", "https://shop.example.evil.example", False),
        ("https://shop.example", "https://evil-shop.example", False),
        ("http://localhost:*", "http://localhost:3000", True),
        ("http://localhost:*", "http://localhost", True),
        ("http://localhost:*", "http://localhost:3000.evil.example", False),
        ("http://localhost:*", "http://localhost:3000:1", False),
        ("http://localhost:*", "https://localhost:3000", False),
        ("*", "https://anything.example", True),
        ("https://shop.example", "null", False),
        ("https://shop.example", "", False),
    ],
)
def test_origins(allowed: str, origin: str, is_allowed: bool) -> None:
    source = Source(write_key="key", source="web", allowed_origins=frozenset({allowed}))
    assert source.allows_origin(origin) is is_allowed


def test_a_new_key_is_added_to_those_that_are_there(settings: Settings) -> None:
    first = add_write_key(settings, "web", ["https://Shop.example/"])
    second = add_write_key(settings, "backend", [], "server", requires_consent=False)
    config = load_collector_config(settings)
    assert [source.write_key for source in config.sources] == [first, second]
    assert config.sources[0].allowed_origins == {"https://shop.example"}
    assert config.sources[0].requires_consent
    assert config.sources[1].trust == "server"
    assert not config.sources[1].requires_consent
    assert stat.S_IMODE(settings.collector_config.stat().st_mode) == 0o600


def test_the_command_prints_the_key_that_it_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    arguments = ["collector", "new-key", "--source", "web", "--json"]
    result = CliRunner().invoke(
        group, [*arguments, "--origin", "https://shop.example"], catch_exceptions=False
    )
    written = json.loads((tmp_path / "collector.json").read_text())
    assert json.loads(result.stdout)["write_key"] == written["sources"][0]["write_key"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "the file"),
        ('{"sources": [{"write_key": "abc"}]}', "sources.0.source"),
        ('{"sources": [], "max_batch": 5}', "max_batch"),
        (
            '{"sources": [{"write_key": "abc", "source": "a"},'
            ' {"write_key": "abc", "source": "b"}]}',
            "write_key in common",
        ),
        (
            '{"sources": [{"write_key": "abc", "source": "a",'
            ' "allowed_origins": ["SECRET.example"]}]}',
            "allowed_origins",
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(
    settings: Settings, text: str, says: str
) -> None:
    settings.home.mkdir()
    settings.collector_config.write_text(text)
    with pytest.raises(InputError) as refusal:
        load_collector_config(settings)
    assert says in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "origin", "option"),
    [("Web Shop", "https://shop.example", "--source"), ("web", "shop", "--origin")],
)
def test_a_key_that_cannot_be_made_names_the_option(
    settings: Settings, source: str, origin: str, option: str
) -> None:
    with pytest.raises(InputError, match=option):
        add_write_key(settings, source, [origin])
    assert not settings.collector_config.exists()
