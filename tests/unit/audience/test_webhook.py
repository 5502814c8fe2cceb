"""Batches over real HTTP: signed, sent until taken, and counted once."""

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pytest

from nearline.audience.members import MEMBER_SCHEMA, Audience
from nearline.audience.webhook import Webhook, batches, check_url, send
from nearline.errors import InputError, NearlineError
from tests.webhook_receiver import SECRET, Crm, running_crm

SINCE = datetime(2026, 3, 1, 9, 30)


@pytest.fixture
def crm() -> Iterator[Crm]:
    with running_crm() as running:
        yield running


def people(count: int) -> Audience:
    rows = [
        {
            "person_id": f"p_{number}",
            "user_ids": [],
            "contact_ids": [],
            "visitor_ids": [f"v_{number}"],
            "member_since": SINCE,
        }
        for number in range(count)
    ]
    table = pa.Table.from_pylist(rows, MEMBER_SCHEMA)
    return Audience("cart_abandoner", "marketing", "r1", table, {})


def webhook(crm: Crm, pauses: list[float], secret: bytes = SECRET) -> Webhook:
    return Webhook(crm.url, secret, clock=lambda: 1_772_000_000.7, pause=pauses.append)


def test_every_batch_is_signed_and_says_how_many_there_are(crm: Crm) -> None:
    send(webhook(crm, []), batches(people(5), size=2))
    assert [
        (batch["batch"], batch["batch_count"], batch["member_count"])
        for batch in crm.taken.values()
    ] == [(1, 3, 5), (2, 3, 5), (3, 3, 5)]
    assert crm.people() == ["p_0", "p_1", "p_2", "p_3", "p_4"]
    first = next(iter(crm.taken.values()))
    assert (first["segment"], first["purpose"], first["release_id"]) == (
        "cart_abandoner",
        "marketing",
        "r1",
    )
    assert first["members"][0] == {
        "person_id": "p_0",
        "user_ids": [],
        "contact_ids": [],
        "visitor_ids": ["v_0"],
        "member_since": "2026-03-01T09:30:00Z",
    }
    assert crm.requests[0]["Nearline-Signature"].startswith("t=1772000000,v1=")


def test_nobody_in_the_segment_is_told_too(crm: Crm) -> None:
    send(webhook(crm, []), batches(people(0)))
    [only] = crm.taken.values()
    assert (only["batch_count"], only["members"]) == (1, [])


def test_a_server_in_trouble_is_asked_again_with_longer_pauses(crm: Crm) -> None:
    pauses: list[float] = []
    crm.answers = [500, "hang up", 503, 429]
    send(webhook(crm, pauses), batches(people(3), size=2))
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert crm.people() == ["p_0", "p_1", "p_2"]


def test_a_server_that_says_when_is_heeded_within_bounds(crm: Crm) -> None:
    pauses: list[float] = []
    crm.answers, crm.retry_after = [503, 503], "7"
    send(webhook(crm, pauses), batches(people(1)))
    assert pauses == [7.0, 14.0]
    crm.answers, crm.retry_after = [503], "86400"
    send(webhook(crm, pauses), batches(people(1)))
    assert pauses[2:] == [30.0]


def test_an_answer_that_is_lost_counts_the_batch_once(crm: Crm) -> None:
    crm.answers = ["lose"]
    send(webhook(crm, []), batches(people(2)))
    assert len(crm.requests) == 2
    assert crm.people() == ["p_0", "p_1"]


def test_a_refusal_stops_and_says_what_was_taken_and_a_second_export_mends_it(
    crm: Crm,
) -> None:
    pauses: list[float] = []
    crm.answers = [200, 422]
    with pytest.raises(
        NearlineError, match="took 1 of 3 batches, then refused one with 422"
    ):
        send(webhook(crm, pauses), batches(people(5), size=2))
    assert pauses == []
    assert crm.people() == ["p_0", "p_1"]
    send(webhook(crm, pauses), batches(people(5), size=2))
    assert crm.people() == ["p_0", "p_1", "p_2", "p_3", "p_4"]


def test_a_server_that_stays_away_is_given_up(crm: Crm) -> None:
    pauses: list[float] = []
    crm.answers = [503] * 6
    with pytest.raises(NearlineError, match="took 0 of 1 batches, then answered 503 6"):
        send(webhook(crm, pauses), batches(people(1)))
    assert len(crm.requests) == 6
    with running_crm() as gone:
        pass
    with pytest.raises(NearlineError, match="could not be reached 6 times"):
        send(webhook(gone, pauses), batches(people(1)))


def test_members_follow_no_redirection(crm: Crm) -> None:
    crm.answers = [302]
    with pytest.raises(NearlineError, match="refused one with 302"):
        send(webhook(crm, []), batches(people(1)))
    assert len(crm.requests) == 1


def test_a_receiver_with_another_secret_takes_nothing(crm: Crm) -> None:
    with pytest.raises(NearlineError, match="refused one with 401"):
        send(webhook(crm, [], secret=b"another"), batches(people(1)))
    assert crm.taken == {}


@pytest.mark.parametrize(
    "url",
    [
        "crm.example/audience",
        "ftp://crm.example/",
        "https://",
        "http://[::1",
        "https://crm.example:port/",
        "https://anna:secret@crm.example/",
        "http://crm.example/",
    ],
)
def test_an_address_that_cannot_be_or_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="--url must ") as caught:
        check_url(url)
    assert "anna" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://crm.example/a?b=c", "http://127.0.0.1:8080", "http://[::1]:80/"]
)
def test_https_and_this_machine_are_taken(url: str) -> None:
    check_url(url)
