"""Histories of a few visitors and the orders in which they arrive. No test logic here.

Hypothesis draws choices (`Story`); plain functions tell them as rows of the event
contract, each with the run in which it lands. Ids are short and each history has the
same ones: `placed` puts a number before them, so that thousands of histories share a
warehouse and never meet.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.dbt.nasty_visitors import DAY, event, moment
from tests.dbt.reference_sessions import parse

Row = dict[str, Any]

RUNS = 4
"""Increments in which a history arrives; a rebuild follows."""

_IDS = (
    "event_id",
    "visitor_id",
    "user_id",
    "contact_id",
    "previous_visitor_id",
    "previous_user_id",
    "source_session_id",
    "page_view_id",
    "item_id",
    "order_id",
    "experiment_key",
)

_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_GAP = 30 * _MINUTE
_LONGEST = 3 * _DAY
_LEAD = 300 * _SECOND
"""By how much the contract lets a client's clock run ahead."""


@dataclass(frozen=True)
class Arrival:
    """One row and the run in which it lands, counted from 0."""

    run: int
    row: Row


History = tuple[Arrival, ...]
"""Arrivals of one history; those of one run in the order of their file."""


@dataclass(frozen=True)
class Step:
    """One event: what happened how long after the event before, and how it arrives."""

    what: str
    gap: timedelta
    visitor: str
    user: str | None
    source: str
    session: str
    consent: str
    delay: timedelta
    again: str | None
    run: int
    run_again: int
    slot: int


@dataclass(frozen=True)
class Story:
    """Everything that was drawn for one history."""

    start: datetime
    steps: Sequence[Step]
    crowd: str | None
    order: str
    cuts: Sequence[int]


# What the first choice of a list is, an example is most likely to be simplified to; how
# often a choice stands in it is its weight.
_START = st.sampled_from(
    [
        DAY + 10 * _HOUR,
        DAY + 23 * _HOUR + 45 * _MINUTE,
        DAY - _MILLISECOND,
        # Clocks are put back and forth: in Europe, in the United States.
        datetime(2026, 10, 25, 0, 50),
        datetime(2026, 3, 29, 0, 50),
        datetime(2026, 11, 1, 5, 45),
        datetime(2026, 12, 31, 23, 40),
        datetime(2028, 2, 28, 23, 59),
    ]
)
_STEP = st.builds(
    Step,
    what=st.sampled_from(
        ["page_view"] * 8
        + ["view_item"] * 3
        + ["add_to_cart"] * 2
        + ["purchase", "purchase_of_items", "purchase_without_id", "order_status"]
        + ["dwell", "dwell_named", "short_dwell", "ping", "ping"]
        + ["scroll", "search", "content_interaction", "click", "exposure"]
        + ["identify"] * 3
        + ["identify_with_contact", "alias", "alias_of_account", "declared_bot"]
    ),
    gap=st.sampled_from(
        [timedelta(0)] * 3
        + [_MILLISECOND, _SECOND, 10 * _SECOND, _MINUTE, _MINUTE]
        + [10 * _MINUTE] * 4
        + [25 * _MINUTE, _GAP - _MILLISECOND, _GAP, _GAP, _GAP + _MILLISECOND]
        + [_HOUR, _DAY, 2 * _DAY, _LONGEST, _LONGEST + _MILLISECOND, 31 * _DAY]
        + [-_MILLISECOND, -10 * _MINUTE, -20 * _MINUTE, -_GAP, -_GAP - _MILLISECOND]
        + [-_HOUR, -25 * _HOUR]
    ),
    visitor=st.sampled_from(["v_laptop"] * 6 + ["v_tablet"] * 2 + ["v_mobile"]),
    user=st.sampled_from([None] * 7 + ["u_parent", "u_parent", "u_sister"]),
    source=st.sampled_from(
        ["shop_web"] * 6
        + ["shop_app"]
        + ["rees46"] * 2
        + ["snowplow"] * 2
        + ["crm"] * 2
    ),
    session=st.sampled_from(["s_one", "s_one", "s_two", ""]),
    consent=st.sampled_from(
        ["given"] * 14 + ["withdrawn", "only_analytics", "in_part", "unstated"]
    ),
    delay=st.sampled_from(
        [_SECOND] * 6
        + [timedelta(0), -_LEAD, _MINUTE, 10 * _MINUTE, 10 * _MINUTE + _MILLISECOND]
        + [_HOUR, 26 * _HOUR, _LONGEST, _LONGEST + _MILLISECOND, 40 * _DAY]
    ),
    again=st.sampled_from(
        [None] * 30
        + ["same", "same", "later", "tied"]
        + ["visitor", "user", "name", "consent", "session", "source", "amount"]
        + ["sessionless"]
        + ["clock_back", "clock_on", "clock_far_back", "bot"]
    ),
    run=st.integers(0, RUNS - 1),
    run_again=st.integers(0, RUNS - 1),
    slot=st.integers(0, 3),
)
_STORY = st.builds(
    Story,
    start=_START,
    steps=st.lists(_STEP, min_size=2, max_size=24),
    crowd=st.sampled_from(
        [None] * 70 + ["reader"] * 6 + ["machine", "slow", "marathon", "endless"]
    ),
    order=st.sampled_from(
        ["scattered"] * 4 + ["as_received", "backwards", "day_missing", "resent"]
    ),
    cuts=st.lists(st.integers(0, 100), min_size=RUNS - 1, max_size=RUNS - 1),
)

_CONSENTS: dict[str, Row] = {
    "given": {},
    "withdrawn": {"consent_analytics": False, "consent_personalization": False},
    "only_analytics": {"consent_personalization": False},
    "in_part": {"consent_personalization": None, "consent_marketing": None},
    "unstated": {
        "consent_analytics": None,
        "consent_personalization": None,
        "consent_marketing": None,
        "consent_notice_version": None,
    },
}

# Many events of one kind after the first step: what, of which source, how many, and how
# far apart. Forty page views within eight minutes are a machine's; three days hold 145
# at half an hour. Pings come more often than a heartbeat, so that some fall into one.
_CROWDS = {
    "reader": ("ping", "snowplow", 12, 7 * _SECOND),
    "machine": ("page_view", "shop_web", 41, 11 * _SECOND),
    "slow": ("page_view", "shop_web", 40, 12.5 * _SECOND),
    "marathon": ("page_view", "shop_web", 148, _GAP),
    "endless": ("page_view", "shop_web", 149, _GAP - _SECOND),
}

_OWN_SESSIONS = frozenset({"rees46", "snowplow"})


def draw_histories(count: int, first_seed: int) -> list[History]:
    """`count` histories, each another, the same ones for the same seed.

    Different choices often tell the same rows: so Hypothesis draws until there are
    enough, some thousands at a time, since it remembers all examples of a search.
    """
    found: dict[str, History] = {}
    for number in itertools.count(first_seed):

        @seed(number)
        @settings(
            max_examples=min(count, 5_000),
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(_STORY)
        def draw(story: Story) -> None:
            history = tell(story)
            found.setdefault(str(history), history)

        draw()
        if len(found) >= count:
            return list(found.values())[:count]
    raise AssertionError("never enough")


def tell(story: Story) -> History:
    """The rows of a story, in the order in which it has them arrive."""
    arrivals: list[tuple[int, int, Row]] = []
    now = story.start
    for number, step in enumerate(story.steps):
        now += step.gap
        row = _event(step, f"e{number:02}", number, now)
        arrivals.append((step.run, step.slot, row))
        if step.again is not None:
            arrivals.append((step.run_again, step.slot, _again(row, step.again)))
        if number == 0 and story.crowd is not None:
            what, source, count, apart = _CROWDS[story.crowd]
            member = replace(step, what=what, source=source)
            for place in range(count):
                now += apart
                row = _event(member, f"c{place:03}", place, now)
                run = (step.run + place * (step.slot % 2)) % RUNS
                arrivals.append((run, step.slot, row))
    if story.order == "scattered":
        arrivals.sort(key=lambda arrival: arrival[:2])
        return tuple(Arrival(run, row) for run, _, row in arrivals)
    return _in_order([row for _, _, row in arrivals], story.order, story.cuts)


def _in_order(rows: Sequence[Row], order: str, cuts: Sequence[int]) -> History:
    rows = sorted(
        rows,
        key=lambda row: (row["received_at"], row["event_id"]),
        reverse=order == "backwards",
    )
    ends = sorted(len(rows) * cut // 100 for cut in cuts)
    arrivals = [
        Arrival(sum(place >= end for end in ends), row)
        for place, row in enumerate(rows)
    ]
    last = RUNS - 1
    if order == "day_missing":
        missing = rows[0]["occurred_at"][:10]
        arrivals = [
            replace(arrival, run=last)
            if arrival.row["occurred_at"].startswith(missing)
            else arrival
            for arrival in arrivals
        ]
    if order == "resent":
        arrivals += [replace(a, run=last) for a in arrivals if a.run == cuts[0] % RUNS]
    return tuple(sorted(arrivals, key=lambda arrival: arrival.run))


def _event(step: Step, event_id: str, number: int, occurred_at: datetime) -> Row:
    name, fields = _content(step, number)
    if step.source in _OWN_SESSIONS and step.session:
        fields["source_session_id"] = step.session
    if step.source == "snowplow":
        sent_at = max(occurred_at, occurred_at + step.delay)
        fields["sent_at"] = moment(sent_at)
        if name in ("page_view", "user_engagement"):
            fields.setdefault("page_view_id", f"p{number % 3}")
        if number % 5 == 4:
            fields["clock_skew_seconds"] = 7.5
    return event(
        event_id,
        step.visitor,
        occurred_at,
        name,
        delay=step.delay,
        **{
            "source": step.source,
            "user_id": step.user,
            **_CONSENTS[step.consent],
            **fields,
        },
    )


def _content(step: Step, number: int) -> tuple[str, Row]:
    """The event's name and what it says beside who, when and under which consent."""
    item = {"item_id": f"i{number % 2}", "price_cents": 100 + number, "currency": "EUR"}
    paid = {"revenue_cents": 1000 + number, "currency": "EUR"}
    signed_in = step.user or "u_parent"
    match step.what:
        case "page_view":
            page = {"page_path": f"/{number}", "page_type": "home"}
            if number % 4 == 1:
                page |= {"page_view_id": f"p{number % 3}", "utm_medium": "email"}
            return "page_view", page
        case "view_item" | "add_to_cart":
            return step.what, item
        case "purchase":
            return "purchase", {**item, **paid, "order_id": f"o{number % 2}"}
        case "order_status":
            return "order_status", {"order_id": f"o{number % 2}"}
        case "purchase_without_id":
            return "purchase", paid
        case "purchase_of_items":
            lines = [
                {"item_id": "i0", "price_cents": 300, "quantity": 2},
                {"item_id": "i2", "item_brand": "brand"},
            ]
            return "purchase", {**paid, "order_id": f"o{number % 2}", "items": lines}
        case "dwell":
            return "user_engagement", {"engaged_seconds": 12.3456}
        case "dwell_named":
            named = {"engaged_seconds": 9.9995, "page_view_id": f"p{number % 3}"}
            return "user_engagement", named
        case "short_dwell":
            return "user_engagement", {"engaged_seconds": 0.1}
        case "ping":
            return "user_engagement", {"page_view_id": f"p{number % 3}"}
        case "scroll":
            return "scroll", {"scroll_rate": (number % 4) / 4}
        case "exposure":
            variant = "control" if number % 2 else "treatment"
            return "exposure", {"experiment_key": "x", "variant_key": variant}
        case "identify":
            return "identify", {"user_id": signed_in}
        case "identify_with_contact":
            return "identify", {
                "user_id": signed_in,
                "contact_id": f"c_mail_{number % 2}",
            }
        case "alias":
            return "alias", {"user_id": signed_in, "previous_visitor_id": "v_mobile"}
        case "alias_of_account":
            before = "u_sister" if signed_in == "u_parent" else "u_parent"
            return "alias", {"user_id": signed_in, "previous_user_id": before}
        case "declared_bot":
            return "page_view", {"bot_reason": "headless"}
    return step.what, {}


def _again(row: Row, again: str) -> Row:
    """The event a second time: as it was, received later, or corrected.

    A correction was received earlier and so wins, whenever it lands.
    """
    received_at = parse(row["received_at"])
    match again:
        case "same":
            return row
        case "later":
            later = moment(received_at + 2 * _HOUR)
            return {**row, "received_at": later, "page_title": "later"}
        case "tied":
            return {**row, "page_title": "tied"}
        case "visitor":
            other = "v_tablet" if row["visitor_id"] == "v_laptop" else "v_laptop"
            changed = {**row, "visitor_id": other}
        case "user" if row.get("user_id") and row["event_name"] not in _OF_A_USER:
            changed = {name: row[name] for name in row if name != "user_id"}
        case "user":
            changed = {**row, "user_id": "u_sister"}
        case "name" if row["event_name"] == "page_view":
            changed = {**row, "event_name": "scroll", "scroll_rate": 0.5}
        case "name":
            changed = {**row, "event_name": "page_view"}
        case "consent":
            stated = not row.get("consent_analytics", False)
            changed = {**row, "consent_analytics": stated}
        case "session":
            changed = {**row, "source_session_id": "s_three"}
        case "source":
            other = "shop_web" if row["source"] == "rees46" else "rees46"
            changed = {**row, "source": other}
        case "sessionless":
            other = "shop_web" if row["source"] == "crm" else "crm"
            changed = {**row, "source": other}
        case "amount":
            changed = {**row, "revenue_cents": 7, "currency": "EUR", "item_id": "i1"}
        case "bot":
            changed = {**row, "bot_reason": "headless"}
        case _:
            occurred_at = parse(row["occurred_at"]) + _CLOCKS[again]
            changed = {**row, "occurred_at": moment(occurred_at)}
    earliest = parse(changed["occurred_at"]) - _LEAD
    changed["received_at"] = moment(max(received_at - 30 * _SECOND, earliest))
    return changed


_OF_A_USER = ("identify", "alias")
_CLOCKS = {
    "clock_back": -20 * _MINUTE,
    "clock_on": 20 * _MINUTE,
    "clock_far_back": -12 * _HOUR,
}


def prefix(number: int) -> str:
    """What stands before the ids of the history with this number."""
    return f"h{number:06}_"


def placed(history: History, number: int) -> list[Arrival]:
    """The history under ids of its own."""
    return [
        replace(arrival, row=_placed_row(arrival.row, prefix(number)))
        for arrival in history
    ]


def _placed_row(row: Row, before: str) -> Row:
    found = {
        name: before + value if name in _IDS else value for name, value in row.items()
    }
    if "items" in row:
        found["items"] = [
            {**item, "item_id": before + item["item_id"]} for item in row["items"]
        ]
    return found
