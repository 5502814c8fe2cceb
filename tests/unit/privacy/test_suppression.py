"""The suppression list and the command that writes it."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from nearline.errors import InputError
from nearline.privacy.command import privacy
from nearline.privacy.suppression import (
    applied_digest,
    count_suppressed,
    list_digest,
    mark_applied,
    suppress,
)
from nearline.settings import Settings
from tests.unit.privacy.processes import run_at_once

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_listed_key_is_a_row_that_dbt_reads(settings: Settings) -> None:
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    assert suppress(settings, "visitor", "v_anna00001", "erased", berlin)
    assert suppress(settings, "user", "u_ben000001", "opted_out", NOON)
    assert pq.ParquetFile(settings.suppression).read().to_pylist() == [
        {
            "key_type": "visitor",
            "key_value": "v_anna00001",
            "reason": "erased",
            "suppressed_at": datetime(2026, 3, 2, 12),
        },
        {
            "key_type": "user",
            "key_value": "u_ben000001",
            "reason": "opted_out",
            "suppressed_at": datetime(2026, 3, 2, 12),
        },
    ]


def test_a_key_listed_before_changes_nothing(settings: Settings) -> None:
    suppress(settings, "visitor", "v_anna00001", "erased", NOON)
    before = settings.suppression.read_bytes()
    later = NOON + timedelta(days=1)
    assert not suppress(settings, "visitor", "v_anna00001", "opted_out", later)
    assert settings.suppression.read_bytes() == before


def test_a_visitor_and_a_user_of_one_name_are_two_keys(settings: Settings) -> None:
    assert suppress(settings, "visitor", "same00001", "erased", NOON)
    assert suppress(settings, "user", "same00001", "erased", NOON)
    assert count_suppressed(settings) == 2


def test_a_list_not_yet_applied_has_another_digest(settings: Settings) -> None:
    assert list_digest(settings) == applied_digest(settings) == ""
    suppress(settings, "visitor", "v_anna00001", "erased", NOON)
    listed = list_digest(settings)
    assert listed != applied_digest(settings)
    mark_applied(settings, listed)
    assert applied_digest(settings) == listed
    suppress(settings, "visitor", "v_ben000001", "erased", NOON)
    assert list_digest(settings) != applied_digest(settings)


def test_a_list_taken_away_is_applied_too(settings: Settings) -> None:
    mark_applied(settings, list_digest(settings))
    suppress(settings, "visitor", "v_anna00001", "erased", NOON)
    mark_applied(settings, list_digest(settings))
    settings.suppression.unlink()
    assert list_digest(settings) != applied_digest(settings)
    mark_applied(settings, list_digest(settings))
    assert list_digest(settings) == applied_digest(settings)


def test_requests_made_at_once_are_all_listed(settings: Settings) -> None:
    imports = (
        "from datetime import UTC, datetime\n"
        "from nearline.privacy.suppression import suppress"
    )
    programs = [
        "for i in range(10):\n"
        f"    key = f'v_{worker}_{{i:06d}}'\n"
        "    suppress(settings, 'visitor', key, 'erased', datetime.now(UTC))"
        for worker in range(3)
    ]
    run_at_once(settings, imports, programs)
    assert count_suppressed(settings) == 30


def _run(settings: Settings, *arguments: str) -> str:
    result = CliRunner(env={"NEARLINE_HOME": str(settings.home)}).invoke(
        privacy, ["suppress", *arguments], standalone_mode=False
    )
    if result.exception is not None:
        raise result.exception
    return result.output


def test_the_command_lists_a_key_once(settings: Settings) -> None:
    assert "listed; the next `nearline run`" in _run(
        settings, "--visitor", "v_1f0a9c00", "--reason", "erased"
    )
    assert "was listed before" in _run(settings, "--visitor", "v_1f0a9c00")
    again = json.loads(_run(settings, "--user", "u_1f0a9c00", "--json"))
    assert again == {"is_new": True, "suppressed_count": 2}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--visitor", "v_1f0a9c00", "--user", "u_1f0a9c00"],
        ["--visitor", ""],
        ["--visitor", "anna@example.com"],
        ["--user", "541312140"],
    ],
)
def test_the_command_takes_one_pseudonym_and_repeats_nothing_else(
    settings: Settings, arguments: list[str]
) -> None:
    with pytest.raises(InputError) as problem:
        _run(settings, *arguments)
    assert "example.com" not in str(problem.value)
    assert "541312140" not in str(problem.value)
    assert count_suppressed(settings) == 0
