"""What was shown, kept for all workers: taken once, over restarts, and forgotten."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.decisions.caps import Cap, Capped
from nearline.decisions.showings import (
    Showings,
    forget_suppressed,
    kept_for,
    open_showings,
)
from nearline.privacy.command import privacy
from nearline.privacy.suppression import suppress
from nearline.settings import Settings
from tests.online_stores import STORES, OnlineStores
from tests.unit.decisions.small_page import ANNA, NOON

HOUR = 3_600_000
NOW = 1_772_452_800_000
SALE = Capped("policy", "sale", (Cap(2, timedelta(hours=1)),))
TOP = Capped("slot", "top", (Cap(3, timedelta(days=1)), Cap(1, timedelta(minutes=1))))
BERT = "v_bert00001"


@pytest.fixture(params=STORES)
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, online_stores: OnlineStores
) -> Settings:
    return online_stores.settings(request.param, tmp_path / "home")


@pytest.fixture
def showings(settings: Settings) -> Iterator[Showings]:
    with closing(open_showings(settings)) as opened:
        yield opened


def test_each_is_counted_under_its_own_name(showings: Showings) -> None:
    assert showings.read(ANNA, 0).moments == {}
    assert showings.take(ANNA, [SALE, TOP], NOW)
    assert showings.take(ANNA, [SALE], NOW + 5)
    found = showings.read(ANNA, 0).moments
    assert {key: list(moments) for key, moments in found.items()} == {
        "policy:sale": [NOW, NOW + 5],
        "slot:top": [NOW],
    }
    assert list(showings.read(ANNA, NOW).moments) == ["policy:sale"]
    assert showings.read(BERT, 0).moments == {}


def test_at_a_cap_nothing_is_taken_of_any(showings: Showings) -> None:
    assert showings.take(ANNA, [TOP], NOW)
    assert not showings.take(ANNA, [SALE, TOP], NOW + 30_000)
    assert "policy:sale" not in showings.read(ANNA, 0).moments
    # A minute is over; another's caps are another's.
    assert showings.take(ANNA, [SALE, TOP], NOW + 60_000)
    assert showings.take(BERT, [TOP], NOW + 60_000)


def test_a_cap_is_never_exceeded_however_many_ask_at_once(settings: Settings) -> None:
    five = Capped("policy", "sale", (Cap(5, timedelta(hours=1)),))

    def worker(number: int) -> int:
        with closing(open_showings(settings)) as own:
            return sum(own.take(ANNA, [five], NOW + number) for _ in range(5))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(worker, range(4))) == 5


def test_counts_outlive_who_counted(settings: Settings) -> None:
    for number in range(2):
        with closing(open_showings(settings)) as showings:
            assert showings.take(ANNA, [SALE], NOW + number)
    with closing(open_showings(settings)) as showings:
        assert not showings.take(ANNA, [SALE], NOW + 2)


def test_who_is_suppressed_is_forgotten(settings: Settings, showings: Showings) -> None:
    for who in (ANNA, BERT):
        showings.take(who, [SALE], NOW)
    suppress(settings, "visitor", ANNA, "erased", NOON)
    assert forget_suppressed(settings, showings) == 1
    assert showings.read(ANNA, 0).moments == {}
    assert showings.read(BERT, 0).moments != {}
    assert forget_suppressed(settings, showings) == 0


def test_the_command_that_suppresses_forgets_at_once(
    settings: Settings, showings: Showings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearline.privacy.command.load_settings", lambda: settings)
    showings.take(ANNA, [SALE], NOW)
    done = CliRunner().invoke(privacy, ["suppress", "--visitor", ANNA])
    assert done.exit_code == 0, done.output
    assert showings.read(ANNA, 0).moments == {}


def test_a_store_that_is_away_when_somebody_is_suppressed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    monkeypatch.setattr("nearline.privacy.command.load_settings", lambda: settings)
    settings.showings.mkdir(parents=True)
    done = CliRunner().invoke(privacy, ["suppress", "--visitor", ANNA])
    assert done.exit_code == 0
    assert "listed" in done.stdout
    assert "cannot be deleted now" in done.stderr
    assert ANNA not in done.stderr


def test_what_cannot_matter_any_more_goes(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with closing(open_showings(settings)) as showings:
        showings.forget_old(NOW)
        assert not settings.showings.exists()
        showings.take(ANNA, [SALE], NOW)
        showings.take(ANNA, [SALE], NOW + HOUR)
        showings.forget_old(NOW + HOUR - 1)
        assert list(showings.read(ANNA, 0).moments["policy:sale"]) == [NOW + HOUR]
    assert kept_for([SALE, TOP]) == timedelta(days=1)
    assert kept_for([]) == timedelta(0)


def test_nothing_erased_stays_in_the_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with closing(open_showings(settings)) as showings:
        showings.take(ANNA, [SALE], NOW)
        showings.forget([ANNA])
        files = settings.showings.parent.iterdir()
        assert not any(ANNA.encode() in file.read_bytes() for file in files)


def test_a_file_that_cannot_be_used_raises_and_is_taken_up_again(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path)
    settings.showings.parent.mkdir()
    settings.showings.write_text("no database at all, whatever its name says")
    with closing(open_showings(settings)) as showings:
        with pytest.raises(sqlite3.Error):
            showings.take(ANNA, [SALE], NOW)
        settings.showings.unlink()
        assert showings.take(ANNA, [SALE], NOW)
