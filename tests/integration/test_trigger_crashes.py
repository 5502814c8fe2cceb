"""Triggers killed at any moment, and two at once: each fires once, each message arrives."""

import random
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from nearline.triggers.state import state_path
from tests.running_triggers import now_event, running_triggers
from tests.smtp_server import running_mail_server
from tests.unit.triggers.trigger_site import (
    TriggerSite,
    mailing_site,
    trigger_site,
    user,
    visitor,
)
from tests.webhook_receiver import running_crm

PATIENCE_SECONDS = 90.0
VISITORS, KILLS = 240, 4


def test_killed_at_any_moment_every_trigger_fires_once(tmp_path: Path) -> None:
    rng = random.Random(5)
    with running_crm() as crm:
        site = trigger_site(tmp_path / "home")
        site.define(
            "triggers: { hello: { on: { event: search }, cooldown: 1d, expiry: 7d, "
            f"deliver: [{{ to: webhook, url: '{crm.url}' }}] }} }}"
        )
        for _ in range(KILLS):
            before = _fired(site)
            with running_triggers(site) as process:
                for _ in range(3):
                    people = rng.sample(range(VISITORS), 20)
                    site.arrive(*(now_event(f"p{one}", "search") for one in people))
                    time.sleep(rng.random() * 0.05)
                _wait_until(lambda before=before: _fired(site) > before)
                time.sleep(rng.random() * 0.3)
                process.kill()
        everybody = range(VISITORS)
        site.arrive(*(now_event(f"p{one}", "search") for one in everybody))
        with running_triggers(site) as last:
            _wait_until(lambda: len(crm.taken) == VISITORS)
            assert _ended(last) == 0
    told = Counter(message["visitor_id"] for message in crm.taken.values())
    assert told == {visitor(f"p{one}"): 1 for one in range(VISITORS)}
    # A message may be sent again by who was killed while it was on its way, and counts
    # once by its key; the log tells a firing once by its id.
    fired = site.logged("trigger_fired")
    assert len({event["event_id"] for event in fired}) == VISITORS
    assert Counter(state for _, state in site.messages()) == {"sent": VISITORS}


def test_a_cart_is_answered_by_an_email_once_and_a_purchase_cancels_it(
    tmp_path: Path,
) -> None:
    addresses = {who: f"{who}@example.org" for who in ("anna", "ben")}
    with running_mail_server() as mail_server:
        site = mailing_site(tmp_path / "home", mail_server.port, addresses)
        site.define(
            """
triggers:
  cart_left:
    like: cart_left
    after: 2s
    wait_for_late: 1s
    consent: marketing
    deliver:
      - to: email
        subject: You left something
        text: $item_ids
        unsubscribe_url: https://shop.example/unsubscribe
"""
        )
        with running_triggers(site) as process:
            for who in ("anna", "ben"):
                site.arrive(_cart_event(who, "add_to_cart"))
            site.arrive(_cart_event("ben", "purchase"))
            # Ben's would be due together with Anna's.
            _wait_until(lambda: len(mail_server.mails) == 1)
            site.arrive(_cart_event("anna", "add_to_cart"))
            site.arrive(now_event("carl", "search"))
            _wait_until(lambda: _read(site) == 5)
            assert _ended(process) == 0
    [(recipient, mail)] = mail_server.mails
    assert recipient == "anna@example.org"
    assert "kettle" in mail.get_content()
    [fired] = site.logged("trigger_fired")
    assert fired["visitor_id"] == visitor("anna")


def test_of_two_processes_one_works_and_the_other_takes_over(tmp_path: Path) -> None:
    site = trigger_site(tmp_path / "home")
    site.define(
        "triggers: { hello: { on: { event: search }, "
        "deliver: [{ to: banner, content: x }] } }"
    )
    with (
        running_triggers(site) as first,
        running_triggers(site) as second,
    ):
        site.arrive(now_event("anna", "search"))
        _wait_until(lambda: len(site.logged("trigger_fired")) == 1)
        first.kill()
        site.arrive(now_event("ben", "search"))
        _wait_until(lambda: len(site.logged("trigger_fired")) == 2)
        assert _ended(second) == 0


def _cart_event(who: str, name: str) -> dict[str, Any]:
    item = {} if name == "purchase" else {"item_id": "kettle"}
    return now_event(who, name, user_id=user(who), **item)


def _ended(process: "subprocess.Popen[bytes]") -> int:
    """Asks it to end; the exit code."""
    process.terminate()
    process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode


def _fired(site: TriggerSite) -> int:
    if not state_path(site.settings).exists():
        return 0
    with suppress(sqlite3.OperationalError):
        return int(site.rows("select count(*) from firings")[0][0])
    return 0


def _read(site: TriggerSite) -> int:
    """Events of visitors that the triggers have taken."""
    [(position,)] = site.rows("select next_offset from positions")
    own = len(site.logged("trigger_fired"))
    return int(position) - 1 - own


def _wait_until(holds: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "not within the patience of this test"
        time.sleep(0.05)
