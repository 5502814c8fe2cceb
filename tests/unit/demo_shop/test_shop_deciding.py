"""Whom the shop's pages ask, and what is said where something is missing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nearline.decisions.policy_files import files_of, load_policies, read_policies
from nearline.decisions.vocabulary import known_names
from nearline.demo_shop.deciding import asked_at, follow_demo_policies, missing_parts
from nearline.errors import InputError
from nearline.settings import Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_an_empty_home_is_told_all_that_it_takes(tmp_path: Path) -> None:
    assert missing_parts(Settings(home=tmp_path)) == (
        "nearline simulate --out shop",
        "nearline ingest shop/events --format nearline",
        "nearline run",
        "nearline recommend train",
    )


def test_a_published_home_lacks_the_recommender_alone(tmp_path: Path) -> None:
    release = tmp_path / "published"
    release.mkdir()
    (release / "manifest.json").write_text(
        '{"release_id": "r1", "created_at": "2026-03-02T12:00:00+00:00", '
        '"code_version": "x", "data_up_to": null, "landings": {}, "tables": {}}'
    )
    assert missing_parts(Settings(home=tmp_path)) == ("nearline recommend train",)


def test_the_shops_policies_can_be_served_and_fill_the_shipped_slots(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path)
    followed = follow_demo_policies(settings)
    assert followed.policies is not None
    names = known_names(settings.dbt_project)
    found = read_policies(files_of(followed.policies), names)
    assert set(found.slots) == set(load_policies(settings, NOON).slots)


def test_policies_of_the_home_come_first(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    settings = Settings(home=tmp_path)
    assert follow_demo_policies(settings) == settings


@pytest.mark.parametrize("url", ["localhost:8090", "ftp://host", "http://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="--decisions is no address"):
        asked_at(url, "dev")
