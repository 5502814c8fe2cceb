"""Which moments are asked about and what their labels are, on literal events."""

from datetime import datetime, timedelta

import duckdb
import pytest

from nearline.errors import InputError
from nearline.propensity.targets import LABEL, TARGETS, find_target, label_query

START = datetime(2026, 3, 1, 12)


def labels(
    target: str, events: list[tuple], max_rows: int = 1_000
) -> list[tuple[str, datetime, bool]]:
    """Events: visitor, session, place in it, name, minutes of it, minutes of arrival."""
    with duckdb.connect() as connection:
        connection.execute(
            "create table fct_events (event_id varchar, visitor_id varchar, "
            "session_id varchar, session_event_number integer, event_name varchar, "
            "occurred_at timestamp, received_at timestamp, is_bot boolean, "
            "has_personalization_consent boolean)"
        )
        for number, event in enumerate([*events, reach_to(40)]):
            visitor, session, place, name, at, arrived, *flags = event
            is_bot, is_consented = flags or (False, True)
            connection.execute(
                "insert into fct_events values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    f"e{number}", visitor, session, place, name,
                    START + timedelta(minutes=at), START + timedelta(minutes=arrived),
                    is_bot, is_consented,
                ],
            )  # fmt: skip
        found = connection.execute(label_query(TARGETS[target], max_rows)).fetchall()
    return [row for row in found if row[0] != "last"]


def reach_to(days: int) -> tuple:
    """An event that says how far the data reach; it is no moment of a session."""
    minutes = days * 1_440
    return ("last", "s_last", 1, "page_view", minutes, minutes)


def session(visitor: str, names: list[str], first: int = 0) -> list[tuple]:
    """One event a minute, each arriving at once."""
    return [
        (visitor, f"s_{visitor}", place, name, first + place, first + place)
        for place, name in enumerate(names, start=1)
    ]


VIEWS = ["page_view"] * 5


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def test_a_session_is_asked_after_three_and_eight_events() -> None:
    assert labels("session", session("ann", ["page_view"] * 9)) == [
        ("ann", minute(3), False),
        ("ann", minute(8), False),
    ]


def test_a_purchase_later_in_the_session_is_the_label() -> None:
    assert labels("session", session("ann", [*VIEWS, "purchase"])) == [
        ("ann", minute(3), True)
    ]


def test_who_has_bought_is_not_asked_about_again_in_that_session() -> None:
    # The third event is asked about; the eighth comes after the purchase, though another
    # one follows.
    events = session("ann", [*VIEWS, "purchase", *VIEWS, "purchase"])
    assert labels("session", events) == [("ann", minute(3), True)]
    assert labels("session", session("bob", ["purchase", *VIEWS])) == []


def test_a_purchase_of_another_session_or_visitor_is_none_of_this_one() -> None:
    events = [
        *session("ann", VIEWS),
        *session("bob", ["page_view", "purchase"], first=1),
        ("ann", "s_ann_later", 1, "purchase", 900, 900),
    ]
    assert labels("session", events) == [("ann", minute(3), False)]


def test_a_purchase_that_was_known_at_the_moment_is_no_label() -> None:
    # It happened after the third event, which came in only with it.
    early = session("ann", VIEWS)
    third = ("ann", "s_ann", 3, "page_view", 3, 3.5)
    bought = ("ann", "s_ann", 6, "purchase", 3.2, 3.4)
    assert labels("session", [*early[:2], third, *early[3:], bought]) == []


def test_events_that_came_late_are_no_moments() -> None:
    events = session("ann", VIEWS)
    events[2] = ("ann", "s_ann", 3, "page_view", 3, 5)
    assert labels("session", events) == []


@pytest.mark.parametrize("flags", [(True, True), (False, False)])
def test_machines_and_who_did_not_consent_are_left_out(flags: tuple) -> None:
    events = [(*event, *flags) for event in session("ann", [*VIEWS, "purchase"])]
    assert labels("session", events) == []
    assert labels("7d", events) == []


def test_a_session_of_the_last_day_is_not_settled() -> None:
    late = session("ann", VIEWS, first=39 * 1_440 + 5)
    assert labels("session", late) == []


def test_a_day_is_asked_at_one_of_its_events_and_at_its_end() -> None:
    found = labels("7d", session("ann", VIEWS))
    assert len(found) == 2
    assert found[0][1] in {minute(n) for n in range(1, 6)}
    assert found[1] == ("ann", datetime(2026, 3, 2), False)


@pytest.mark.parametrize(
    ("minutes_after_midnight", "is_followed"),
    [(7 * 1_440, True), (7 * 1_440 + 1, False), (0, False)],
)
def test_a_purchase_counts_up_to_seven_days_after_the_moment(
    minutes_after_midnight: int, is_followed: bool
) -> None:
    at = 12 * 60 + minutes_after_midnight
    events = [*session("ann", VIEWS), ("ann", "s2", 1, "purchase", at, at)]
    found = {row[1]: row[2] for row in labels("7d", events)}
    assert found[datetime(2026, 3, 2)] is is_followed


def test_a_moment_whose_seven_days_are_not_over_is_not_asked() -> None:
    assert labels("7d", session("ann", VIEWS, first=33 * 1_440)) == []


def test_fewer_rows_are_those_of_whole_visitors_and_the_same_again() -> None:
    events = [
        event
        for visitor in ("ann", "bob", "cas", "dan")
        for event in session(visitor, ["page_view"] * 9)
    ]
    everybody = labels("session", events)
    some = labels("session", events, max_rows=4)
    assert len(everybody) == 8
    assert some == labels("session", list(reversed(events)), max_rows=4)
    assert sorted(row[0] for row in some)[::2] == sorted({row[0] for row in some})


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(InputError, match="use session or 7d"):
        find_target("30d")
    assert LABEL == "is_followed_by_purchase"
