"""`nearline triggers`: what an operator sees, and what a mistake looks like."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.errors import InputError
from nearline.triggers.command import triggers
from nearline.triggers.running import Follower
from tests.unit.triggers.trigger_site import TriggerSite, trigger_site

HELLO = """
triggers:
  hello:
    description: Somebody looked for something.
    on: { event: search }
    deliver:
      - { to: webhook, url: "https://crm.example/hook" }
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TriggerSite:
    made = trigger_site(tmp_path / "home")
    made.define(HELLO)
    monkeypatch.setenv("NEARLINE_HOME", str(made.home))
    return made


def run(*arguments: str) -> str:
    done = CliRunner().invoke(triggers, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_check_names_the_triggers_and_what_deliveries_lack(
    site: TriggerSite,
) -> None:
    assert run("check") == (
        "1 trigger: hello\n"
        "warning: NEARLINE_TRIGGER_SECRET is not set; webhooks wait for it\n"
    )
    assert json.loads(run("check", "--json"))["triggers"] == ["hello"]


def test_a_segment_that_nobody_is_in_is_a_warning(site: TriggerSite) -> None:
    site.release("20260501T000001Z", fct_segments=[])
    site.define(
        "triggers: { hello: { on: { segment: nobodies }, "
        "deliver: [{ to: banner, content: x }] } }"
    )
    assert "hello: nobody is in the segment nobodies" in run("check")


def test_a_mistake_ends_a_check(site: TriggerSite) -> None:
    site.define(HELLO.replace("event: search", "event: Search"))
    with pytest.raises(InputError, match=r"shop\.yml, hello\.on\.event"):
        run("check")


def test_triggers_are_listed_with_how_often_they_fired(site: TriggerSite) -> None:
    assert "hello" in run("list")
    site.arrive(site.event("anna", "search", 0))
    site.step(10)
    assert "webhook: 1 fired, 0 of them held out" in run("list")
    [listed] = json.loads(run("list", "--json"))
    assert (listed["fired"], listed["held_out"], listed["channels"]) == (
        1,
        0,
        ["webhook"],
    )


def test_ready_made_triggers_are_listed(site: TriggerSite) -> None:
    assert "cart_left" in run("list", "--ready-made")


def test_the_outbox_shows_states_and_nobody(site: TriggerSite) -> None:
    assert run("outbox") == "no messages\n"
    site.arrive(site.event("anna", "search", 0))
    site.step(10)
    site.deliver()
    # The command's clock is today's, long after the message has expired.
    shown = run("outbox")
    assert "1 expired" in shown
    assert "anna" not in shown
    assert json.loads(run("outbox", "--json", "--state", "sent"))["messages"] == []


def test_putting_back_what_is_not_dead_is_told(site: TriggerSite) -> None:
    with pytest.raises(InputError, match="--retry names no dead message"):
        run("outbox", "--retry", "trg_0")


def test_without_a_release_there_is_nothing_to_run_on(tmp_path: Path) -> None:
    from nearline.settings import Settings

    with pytest.raises(InputError, match="nothing is published yet"):
        Follower(Settings(home=tmp_path / "home"))


def test_a_changed_file_is_taken_up_and_a_broken_one_is_not(
    site: TriggerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearline.triggers.running._LOOK_EVERY_SECONDS", 0.0)
    with closing(Follower(site.settings, clock=site.clock)) as follower:
        site.define("triggers: { a: [", "more.yml")
        follower.step()
        assert list(follower.triggers.by_name) == ["hello"]
        site.define(
            "triggers: { a: { on: { event: search }, "
            "deliver: [{ to: banner, content: x }] } }",
            "more.yml",
        )
        follower.step()
        assert list(follower.triggers.by_name) == ["a", "hello"]
