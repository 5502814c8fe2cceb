"""Who comes to a live shop is settled before the shop is asked anything."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.decisions.policy_files import files_of, read_policies
from nearline.decisions.vocabulary import known_names
from nearline.errors import InputError
from nearline.settings import Settings
from nearline.simulate.catalogue import make_catalogue
from nearline.simulate.command import simulate
from nearline.simulate.live.intentions import make_crowd
from tests.pipeline import ROOT
from tests.ports import free_port

CATALOGUE = make_catalogue(7)


def test_the_same_seed_is_the_same_people_who_mean_the_same() -> None:
    assert make_crowd(3, 40, CATALOGUE) == make_crowd(3, 40, CATALOGUE)
    cookies = {one.cookie for one in make_crowd(3, 40, CATALOGUE)}
    assert cookies.isdisjoint(one.cookie for one in make_crowd(4, 40, CATALOGUE))


def test_a_larger_crowd_has_the_same_people_and_more() -> None:
    few = {one.number: one for one in make_crowd(3, 10, CATALOGUE)}
    many = {one.number: one for one in make_crowd(3, 40, CATALOGUE)}
    assert few == {number: many[number] for number in range(10)}


def test_people_come_in_order_with_every_kind_of_consent() -> None:
    crowd = make_crowd(3, 200, CATALOGUE)
    assert [one.arrives_at for one in crowd] == sorted(one.arrives_at for one in crowd)
    assert {(one.consent.analytics, one.consent.personalization) for one in crowd} == {
        (False, False),
        (True, False),
        (True, True),
    }
    assert all(2 <= len(one.looks) <= 6 for one in crowd)


def test_the_policies_that_are_shipped_can_be_served() -> None:
    folder = ROOT / "nearline" / "simulate" / "live" / "policies"
    names = known_names(Settings().dbt_project)
    found = read_policies(files_of(folder), names)
    experiment = found.policies["personal_carousel"].experiment
    assert experiment is not None
    assert experiment.arms["control"].is_default


def refusal(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(simulate, arguments, catch_exceptions=False)
    return str(caught.value)


URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--live", "localhost"], "--live"),
        (["--live", URL, "--collector", "localhost"], "--collector"),
        (["--live", URL, "--care", "4.5"], "--care"),
        (["--live", URL, "--care", "nan"], "--care"),
        (["--live", URL, "--pace", "0"], "--pace"),
        (["--live", URL, "--seconds", "-1"], "--seconds"),
        (["--live", URL, "--visitors", "0"], "--visitors"),
        (["--live", URL, "--seed", "-1"], "--seed"),
        (["--live", URL, "--shop-seed", "-1"], "--shop-seed"),
        (["--live", URL, "--days", "3"], "--days"),
        (["--care", "1"], "--care"),
        ([], "--out"),
    ],
)
def test_bad_input_is_one_line_naming_the_option(
    arguments: list[str], option: str, tmp_path: Path
) -> None:
    out = [] if arguments == [] else ["--out", str(tmp_path / "out")]
    message = refusal(*arguments, *out)
    assert message.startswith(option)
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_answers_one_is_told_what_to_start(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    out = tmp_path / "out"
    message = refusal("--live", url, "--collector", url, "--out", str(out))
    assert "nearline collector" in message
    assert not list(out.glob("*"))
