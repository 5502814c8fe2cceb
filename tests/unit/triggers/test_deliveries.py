"""Messages over real HTTP and real SMTP: sent until taken, and to nobody who said no."""

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from nearline.privacy.suppression import suppress
from nearline.triggers.outbox import read_messages, retry_dead
from nearline.triggers.state import connect, state_path, transaction
from tests.smtp_server import LocalMailServer, running_mail_server
from tests.unit.triggers.trigger_site import (
    NOON,
    TriggerSite,
    mailing_site,
    trigger_site,
    user,
    visitor,
)
from tests.webhook_receiver import SECRET, Crm, running_crm

HOOK = """
triggers:
  seen:
    on: {{ event: view_item }}
    cooldown: 1h
    expiry: 2h
    deliver:
      - {{ to: webhook, url: "{url}" }}
"""
MAIL = """
triggers:
  cart_left:
    like: cart_left
    consent: marketing
    deliver:
      - to: email
        subject: Still thinking about $item_id?
        text: |
          You left $item_ids in your cart.
        unsubscribe_url: https://shop.example/unsubscribe
"""
ADDRESS = "anna@example.org"
HALF_AN_HOUR = 31 * 60.0


@pytest.fixture
def crm() -> Iterator[Crm]:
    with running_crm() as running:
        yield running


@pytest.fixture
def mail_server() -> Iterator[LocalMailServer]:
    with running_mail_server() as running:
        yield running


@pytest.fixture
def hooked(tmp_path: Path, crm: Crm) -> TriggerSite:
    site = trigger_site(tmp_path / "home", trigger_secret=SECRET.decode())
    site.define(HOOK.format(url=crm.url))
    site.arrive(site.event("anna", "view_item", 0, item_id="kettle"))
    site.step(10)
    return site


@pytest.fixture
def mailing(tmp_path: Path, mail_server: LocalMailServer) -> TriggerSite:
    site = mailing_site(tmp_path / "home", mail_server.port, {"anna": ADDRESS})
    site.define(MAIL)
    return site


def left_cart(site: TriggerSite, who: str = "anna") -> None:
    site.arrive(
        site.event(who, "add_to_cart", 0, item_id="kettle", user_id=user(who)),
        site.event(who, "add_to_cart", 5, item_id="cup", user_id=user(who)),
    )
    site.step(HALF_AN_HOUR)


def test_a_webhook_gets_a_signed_message_with_a_key(
    hooked: TriggerSite, crm: Crm
) -> None:
    assert hooked.deliver() == 1
    [(key, message)] = crm.taken.items()
    assert message["message_id"] == key
    assert (message["trigger"], message["visitor_id"]) == ("seen", visitor("anna"))
    assert message["data"] == {
        "trigger": "seen",
        "item_id": "kettle",
        "item_ids": ["kettle"],
        "item_category": None,
        "count": 1,
    }
    assert message["due_at"] == "2026-05-01T12:00:00.000Z"
    assert hooked.messages() == [("webhook", "sent")]
    assert hooked.deliver() == 0


def test_a_receiver_in_trouble_is_asked_again_later_and_later(
    hooked: TriggerSite, crm: Crm
) -> None:
    crm.answers = [500, "hang up", 429]
    tried_at = []
    for second in range(0, 200, 5):
        hooked.now = float(second)
        if hooked.deliver():
            tried_at.append(second)
    # Pauses of 10, 20 and 40 seconds.
    assert tried_at == [0, 10, 30, 70]
    assert len(crm.taken) == 1


def test_a_receiver_that_took_it_and_did_not_answer_counts_it_once(
    hooked: TriggerSite, crm: Crm
) -> None:
    crm.answers = ["lose"]
    hooked.deliver()
    hooked.now = 60
    hooked.deliver()
    assert len(crm.requests) == 2
    assert len(crm.taken) == 1


def test_what_was_on_its_way_at_a_crash_is_sent_again_under_its_key(
    hooked: TriggerSite, crm: Crm
) -> None:
    with (
        closing(connect(state_path(hooked.settings))) as connection,
        transaction(connection),
    ):
        connection.execute("update outbox set state = 'sending'")
    assert hooked.deliver() == 1
    assert hooked.messages() == [("webhook", "sent")]


def test_a_refusal_is_a_dead_letter_that_can_be_put_back(
    hooked: TriggerSite, crm: Crm
) -> None:
    crm.answers = [410]
    hooked.deliver()
    [message] = read_messages(
        hooked.settings, state="dead", limit=10, now=hooked.clock()
    )
    assert (message.attempt_count, message.problem) == (1, "answered 410")
    assert retry_dead(hooked.settings, message.message_id, hooked.clock()) == 1
    hooked.deliver()
    assert hooked.messages() == [("webhook", "sent")]


def test_after_eight_attempts_it_is_dead(tmp_path: Path, crm: Crm) -> None:
    site = trigger_site(tmp_path / "home", trigger_secret=SECRET.decode())
    site.define(HOOK.format(url=crm.url).replace("2h", "7d"))
    site.arrive(site.event("anna", "view_item", 0, item_id="kettle"))
    site.step(10)
    crm.answers = [500] * 20
    for hour in range(24):
        site.now = 3_600.0 * hour + 10
        site.deliver()
    assert len(crm.requests) == 8
    [message] = read_messages(site.settings, state="dead", limit=9, now=site.clock())
    assert message.problem == "answered 500, after 8 attempts"


def test_what_has_expired_is_not_sent(hooked: TriggerSite, crm: Crm) -> None:
    hooked.now = 2 * 3_600
    assert hooked.deliver() == 0
    assert hooked.messages() == [("webhook", "expired")]
    assert crm.requests == []


def test_consent_withdrawn_after_the_firing_stops_the_message(
    hooked: TriggerSite, crm: Crm
) -> None:
    hooked.arrive(hooked.event("anna", "consent", 11, consent_personalization=False))
    hooked.step(15)
    hooked.deliver()
    assert hooked.messages() == [("webhook", "refused")]
    assert crm.requests == []


def test_who_was_suppressed_after_the_firing_is_sent_nothing(
    hooked: TriggerSite, crm: Crm
) -> None:
    suppress(hooked.settings, "visitor", visitor("anna"), "erased", NOON)
    hooked.deliver()
    assert hooked.messages() == [("webhook", "refused")]
    assert crm.requests == []


def test_an_erased_visitor_leaves_the_state(hooked: TriggerSite) -> None:
    suppress(hooked.settings, "visitor", visitor("anna"), "erased", NOON)
    hooked.step(20)
    hooked.arrive(hooked.event("anna", "consent", 21))
    hooked.step(30)
    tables = hooked.rows("select name from sqlite_master where type = 'table'")
    assert ("facts",) in tables
    for (table,) in tables:
        assert visitor("anna") not in str(hooked.rows(f"select * from {table}"))
    # Nor in what SQLite keeps of deleted rows.
    for path in hooked.settings.trigger_state.glob("state*"):
        assert visitor("anna").encode() not in path.read_bytes()


def test_a_missing_secret_waits_and_says_so(tmp_path: Path, crm: Crm) -> None:
    site = trigger_site(tmp_path / "home")
    site.define(HOOK.format(url=crm.url))
    site.arrive(site.event("anna", "view_item", 0, item_id="kettle"))
    site.step(10)
    site.deliver()
    [message] = read_messages(site.settings, state=None, limit=9, now=site.clock())
    assert message.state == "waiting"
    assert message.problem == (
        "NEARLINE_TRIGGER_SECRET is not set; webhooks are signed"
    )


def test_a_left_cart_is_an_email(
    mailing: TriggerSite, mail_server: LocalMailServer
) -> None:
    left_cart(mailing)
    mailing.deliver()
    mailing.deliver()
    [(recipient, mail)] = mail_server.mails
    assert recipient == ADDRESS
    assert mail["Subject"] == "Still thinking about kettle?"
    assert mail["From"] == "Shop <hello@shop.example>"
    assert mail["List-Unsubscribe"] == "<https://shop.example/unsubscribe>"
    assert "You left kettle cup in your cart." in mail.get_content()
    assert mailing.messages() == [("email", "sent")]


def test_a_bought_cart_is_no_email(
    mailing: TriggerSite, mail_server: LocalMailServer
) -> None:
    mailing.arrive(
        mailing.event("anna", "add_to_cart", 0, item_id="a", user_id=user("anna")),
        mailing.event("anna", "purchase", 60, user_id=user("anna")),
    )
    mailing.step(3_600)
    mailing.deliver()
    assert mail_server.mails == []


def test_a_busy_mail_server_is_asked_again_for_the_same_message(
    mailing: TriggerSite, mail_server: LocalMailServer
) -> None:
    mail_server.answers = [451, 0]
    left_cart(mailing)
    for seconds in range(0, 120, 10):
        mailing.now = HALF_AN_HOUR + seconds
        mailing.deliver()
    assert mail_server.attempts == 3
    [(_, mail)] = mail_server.mails
    firing = mailing.rows("select firing_id from firings")[0][0]
    assert mail["Message-ID"] == f"<{firing}_0@shop.example>"


def test_an_unknown_recipient_is_a_dead_letter_without_the_address(
    mailing: TriggerSite,
    mail_server: LocalMailServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mail_server.answers = [550]
    left_cart(mailing)
    with caplog.at_level(logging.DEBUG):
        mailing.deliver()
    [message] = read_messages(
        mailing.settings, state="dead", limit=9, now=mailing.clock()
    )
    assert message.problem == "the recipient was refused with 550"
    assert ADDRESS not in caplog.text


def test_no_file_of_ours_ever_holds_the_address(
    mailing: TriggerSite, mail_server: LocalMailServer
) -> None:
    left_cart(mailing)
    mailing.deliver()
    assert len(mail_server.mails) == 1
    holding = [
        path.name
        for path in mailing.home.rglob("*")
        if path.is_file() and ADDRESS.encode() in path.read_bytes()
    ]
    assert holding == []


def test_an_account_without_address_is_a_dead_letter(
    mailing: TriggerSite, mail_server: LocalMailServer
) -> None:
    left_cart(mailing, "ben")
    mailing.deliver()
    [message] = read_messages(
        mailing.settings, state="dead", limit=9, now=mailing.clock()
    )
    assert message.problem == "the account has no address"


def test_one_device_that_said_no_to_marketing_is_a_no_of_the_account(
    mailing: TriggerSite, mail_server: LocalMailServer
) -> None:
    left_cart(mailing)
    no = mailing.event(
        "phone", "page_view", 40, user_id=user("anna"), consent_marketing=False
    )
    mailing.arrive(no)
    mailing.step(HALF_AN_HOUR + 5)
    mailing.deliver()
    assert mailing.messages() == [("email", "refused")]
    assert mail_server.mails == []


def test_a_no_of_the_persons_other_device_in_the_release_counts(
    mailing: TriggerSite, mail_server: LocalMailServer
) -> None:
    mailing.release(
        "20260501T000001Z",
        dim_consents=[
            {
                "visitor_id": visitor(name),
                "person_id": "p_1",
                "is_stated": True,
                "has_analytics_consent": True,
                "has_personalization_consent": True,
                "has_marketing_consent": name == "anna",
                "stated_at": (NOON - timedelta(days=1)).replace(tzinfo=None),
            }
            for name in ("anna", "tablet")
        ],
    )
    left_cart(mailing)
    mailing.deliver()
    assert mailing.messages() == [("email", "refused")]
