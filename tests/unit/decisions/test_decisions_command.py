"""`nearline policy check` and `nearline decide`, as they are typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nearline.decisions.command import decide, policy, serve
from nearline.errors import InputError
from nearline.recommend.training import train
from tests.unit.decisions.small_page import NOON
from tests.unit.recommend.small_shop import small_shop

WRONG = "version: 1\npolicies: { cart: { when: cart_item_counts > 0, hold_out: 7 } }\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def run(command: object, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments])  # type: ignore[arg-type]


def test_the_shipped_policies_can_be_served(home: Path) -> None:
    done = run(policy, "check")
    assert done.exit_code == 0
    assert done.output == (
        "1 file: 3 slots, 4 blocks, 4 policies; all of it can be served\n"
    )


def test_mistakes_are_listed_with_file_field_and_fix(home: Path) -> None:
    folder = home / "policies"
    folder.mkdir()
    (folder / "home.yml").write_text(WRONG)
    done = run(policy, "check")
    assert done.exit_code == 2
    assert (
        "error: home.yml: policies.cart.hold_out: input should be less" in done.output
    )
    (folder / "home.yml").write_text(WRONG.replace("7", "0.7"))
    as_json = run(policy, "check", folder / "home.yml", "--json")
    assert as_json.exit_code == 2
    (problem,) = json.loads(as_json.stdout)["problems"]
    assert problem["field"] == "policies.cart.when"
    assert problem["message"].startswith("knows no cart_item_counts; did you mean")


def test_a_path_that_is_not_there_is_told(home: Path) -> None:
    done = run(policy, "check", home / "none.yml")
    assert isinstance(done.exception, InputError)
    assert "does not exist" in str(done.exception)


def test_a_preview_shows_content_reasons_and_steps_and_writes_nothing(
    home: Path,
) -> None:
    train(small_shop(home).settings, seed=0, now=NOON, code_version="test")
    before = {path for path in home.rglob("*") if path.is_file()}
    done = run(
        decide, "--visitor", "v_anna00001", "--slot", "item_carousel",
        "--item", "jacket-red", "--slot", "home_banner", "--explain",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "often viewed with" in done.output or "goes with" in done.output
    assert "beside_the_item: when context.item is not null: met" in done.output
    assert "the online store does not answer" in done.output
    assert "recommender v1" in done.output
    assert {path for path in home.rglob("*") if path.is_file()} == before

    as_json = run(
        decide, "--visitor", "v_anna00001", "--slot", "home_carousel",
        "--without-consent", "--json",
    )  # fmt: skip
    carousel = json.loads(as_json.stdout)["slots"]["home_carousel"]
    assert (carousel["answer"], carousel["decision_id"]) == ("general", None)
    assert carousel["candidates"]


def test_a_slot_that_no_policy_has_is_told(home: Path) -> None:
    done = run(decide, "--visitor", "v_anna00001", "--slot", "nowhere")
    assert isinstance(done.exception, InputError)
    assert "there are home_banner, home_carousel, item_carousel" in str(done.exception)


def test_a_key_is_added_for_its_owner_alone(home: Path) -> None:
    first = run(serve, "new-key", "--source", "web", "--origin", "https://a.example")
    second = run(serve, "new-key", "--source", "backend", "--trust", "server", "--json")
    key = json.loads(second.stdout)["key"]
    file = home / "applications.json"
    kept = json.loads(file.read_text())["applications"]
    assert [one["key"] for one in kept] == [first.stdout.splitlines()[0], key]
    assert [one.get("trust", "browser") for one in kept] == ["browser", "server"]
    assert file.stat().st_mode & 0o777 == 0o600
    wrong = run(serve, "new-key", "--source", "web", "--origin", "shop")
    assert "--origin must look like" in str(wrong.exception)


def test_keys_that_are_damaged_are_told_before_anything_is_served(home: Path) -> None:
    (home / "applications.json").write_text('{"applications": [{"key": "a"}]}')
    done = run(serve)
    assert isinstance(done.exception, InputError)
    assert "applications.0.key" in str(done.exception)
