"""Consent, log-ins, bots, sessions: that the events obey and the truth says so."""

from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.unit.simulate.simulated_shop import Shop


def by_visitor(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """Events of each visitor, in order."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in shop.events:
        found[event["visitor_id"]].append(event)
    return found


def test_persons_have_one_to_three_devices_and_no_device_two_persons(
    shop: Shop,
) -> None:
    persons = shop.truth("persons")
    visitors = [visitor for person in persons for visitor in person["visitor_ids"]]
    assert {len(person["visitor_ids"]) for person in persons} == {1, 2, 3}
    assert len(visitors) == len(set(visitors)) == 300 - len(shop.bot_ids)
    assert set(visitors) | shop.bot_ids == {e["visitor_id"] for e in shop.events}


def test_nothing_follows_a_refusal_but_another_choice(shop: Shop) -> None:
    refusals = 0
    for events in by_visitor(shop).values():
        assert events[0]["event_name"] == "consent"
        for before, after in pairwise(events):
            if not before["consent_analytics"]:
                assert after["event_name"] == "consent"
        for event in events:
            if not event["consent_analytics"]:
                refusals += 1
                assert event["event_name"] == "consent"
                assert "page_path" not in event
    assert refusals > 10


def test_every_event_carries_the_choice_that_holds(shop: Shop) -> None:
    flags = ("consent_analytics", "consent_personalization", "consent_marketing")
    changes = 0
    for events in by_visitor(shop).values():
        for before, after in pairwise(events):
            if [before[flag] for flag in flags] != [after[flag] for flag in flags]:
                changes += 1
                assert after["event_name"] == "consent"
    assert changes > 0


def test_some_accept_analytics_but_not_personalization(shop: Shop) -> None:
    assert [
        event
        for event in shop.named("consent")
        if event["consent_analytics"] and not event["consent_personalization"]
    ]


def test_user_id_appears_with_a_log_in_and_is_the_persons(shop: Shop) -> None:
    user_of = {
        visitor: person["user_id"]
        for person in shop.truth("persons")
        for visitor in person["visitor_ids"]
    }
    for events in by_visitor(shop).values():
        is_signed_in = False
        for event in events:
            if event["event_name"] == "identify":
                is_signed_in = True
            if "user_id" in event:
                assert is_signed_in
                assert event["user_id"] == user_of[event["visitor_id"]]
    assert sum("user_id" in event for event in shop.events) > 100


def test_a_person_is_in_one_place_at_a_time(shop: Shop) -> None:
    """Seen by visit: page views of one visit share the stem of their ids."""
    events_of = by_visitor(shop)
    for person in shop.truth("persons"):
        visits: dict[str, list[str]] = {}
        for visitor in person["visitor_ids"]:
            for event in events_of[visitor]:
                visits.setdefault(event["event_id"][:18], []).append(
                    event["occurred_at"]
                )
        spans = sorted((min(moments), max(moments)) for moments in visits.values())
        for (_, ended_at), (started_at, _) in pairwise(spans):
            assert ended_at <= started_at


def test_bots_are_few_some_declared_and_some_known_by_their_pace(shop: Shop) -> None:
    bots = shop.truth("bots")
    assert 0.01 < len(bots) / 300 < 0.05
    assert {bot["is_declared"] for bot in bots} == {True, False}
    events_of = by_visitor(shop)
    for bot in bots:
        events = events_of[bot["visitor_id"]]
        reasons = {event.get("bot_reason") for event in events}
        assert reasons == {bot["bot_reason"]}
    people = {e["visitor_id"] for e in shop.events} - shop.bot_ids
    assert not [
        e for e in shop.events if e["visitor_id"] in people and "bot_reason" in e
    ]


def test_an_undeclared_bot_views_more_than_forty_pages_at_hundreds_an_hour(
    shop: Shop,
) -> None:
    undeclared = {
        bot["visitor_id"] for bot in shop.truth("bots") if not bot["is_declared"]
    }
    sessions = [s for s in shop.truth("sessions") if s["visitor_id"] in undeclared]
    assert sessions
    views = [e for e in shop.named("page_view") if e["visitor_id"] in undeclared]
    for session in sessions:
        pages = sum(
            view["visitor_id"] == session["visitor_id"]
            and session["started_at"] <= view["occurred_at"] <= session["ended_at"]
            for view in views
        )
        hours = (
            datetime.fromisoformat(session["ended_at"])
            - datetime.fromisoformat(session["started_at"])
        ) / timedelta(hours=1)
        assert pages >= 40
        assert pages > 300 * hours


def test_true_sessions_are_what_a_plain_walk_over_the_events_finds(shop: Shop) -> None:
    """Oracle: one pass over the emitted events, written without the simulator's code."""
    sessions = []
    for visitor, events in by_visitor(shop).items():
        run: list[dict[str, Any]] = []
        for event in events:
            if not event["consent_analytics"]:
                continue
            if run and datetime.fromisoformat(event["occurred_at"]) > (
                datetime.fromisoformat(run[-1]["occurred_at"]) + timedelta(minutes=30)
            ):
                sessions.append((visitor, run))
                run = []
            run.append(event)
        if run:
            sessions.append((visitor, run))
    found = [
        (visitor, run[0]["occurred_at"], run[-1]["occurred_at"], len(run))
        for visitor, run in sessions
    ]
    told = [
        (s["visitor_id"], s["started_at"], s["ended_at"], s["event_count"])
        for s in shop.truth("sessions")
    ]
    assert sorted(found) == sorted(told)
    assert shop.summary.session_count == len(told)
    assert shop.summary.bot_session_count == sum(
        s["is_bot"] for s in shop.truth("sessions")
    )
