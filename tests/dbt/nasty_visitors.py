"""Visitors made by hand to break sessions, identities and features. No test logic here.

`FIRST_ARRIVALS` may land in any order. `CORRECTIONS` are other versions of the same
events, received earlier and landed later: they win over what was built already.
"""

from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

DAY = datetime(2026, 9, 2)
_CONSENT = {
    "consent_analytics": True,
    "consent_personalization": True,
    "consent_marketing": False,
    "consent_notice_version": "2026-06",
}


def at(clock: str, day: int = 0) -> datetime:
    """Moment of the day, such as `10:00` or `10:00:00.001`, `day` days after DAY."""
    return datetime.fromisoformat(f"{DAY.date()}T{clock}") + timedelta(days=day)


def event(
    event_id: str,
    visitor_id: str,
    occurred_at: datetime,
    event_name: str = "page_view",
    *,
    delay: timedelta = timedelta(seconds=1),
    sent_after: timedelta | None = None,
    **fields: Any,
) -> Row:
    """One event of the contract, received `delay` after it occurred."""
    row = {
        "event_id": event_id,
        "event_name": event_name,
        "schema_version": "1.0",
        "occurred_at": moment(occurred_at),
        "sent_at": None if sent_after is None else moment(occurred_at + sent_after),
        "received_at": moment(occurred_at + delay),
        "source": "shop_web",
        "visitor_id": visitor_id,
        **_CONSENT,
        **fields,
    }
    return {name: value for name, value in row.items() if value is not None}


def moment(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds") + "Z"


def purchase(event_id: str, visitor_id: str, occurred_at: datetime, cents: int) -> Row:
    return event(
        event_id,
        visitor_id,
        occurred_at,
        "purchase",
        revenue_cents=cents,
        currency="EUR",
        order_id=f"o_{event_id}",
        items=[{"item_id": "sku_1", "price_cents": cents, "quantity": 1}],
    )


HOUR = timedelta(hours=1)
DAYS = timedelta(days=1)


def _gaps() -> list[Row]:
    return [
        # Thirty minutes exactly go on; a millisecond more starts a new session.
        event("gap_1", "v_gap_exact", at("10:00")),
        event("gap_2", "v_gap_exact", at("10:30")),
        event("gap_3", "v_gap_exact", at("11:00:00.001")),
        # The same moment, in the order of their ids.
        event("same_c", "v_same_moment", at("09:00"), page_path="/c"),
        event("same_a", "v_same_moment", at("09:00"), page_path="/a"),
        event("same_b", "v_same_moment", at("09:00"), "add_to_cart", item_id="sku_1"),
        purchase("same_d", "v_same_moment", at("09:00"), 1999),
        # A late event joins two sessions.
        event("bridge_1", "v_bridged", at("10:00")),
        event("bridge_3", "v_bridged", at("10:50"), "scroll", scroll_rate=0.75),
        event("bridge_2", "v_bridged", at("10:25"), delay=26 * HOUR),
        # A late event moves the start, and with it the session's id.
        event("start_2", "v_moved_start", at("12:00"), page_path="/second"),
        event("start_3", "v_moved_start", at("12:10")),
        event("start_1", "v_moved_start", at("11:50"), delay=30 * HOUR, page_path="/1"),
        # Over midnight.
        event("night_1", "v_midnight", at("23:50")),
        event("night_2", "v_midnight", at("00:10", 1)),
        # Dwell and scroll, named and not.
        event("read_1", "v_reader", at("08:00"), page_view_id="pv_read_1"),
        event("read_2", "v_reader", at("08:01"), page_view_id="pv_read_2"),
        event(
            "read_3",
            "v_reader",
            at("08:02"),
            "user_engagement",
            page_view_id="pv_read_1",
            engaged_seconds=12.3456,
        ),
        event(
            "read_4", "v_reader", at("08:03"), "user_engagement", engaged_seconds=0.1
        ),
        event(
            "read_5", "v_reader", at("08:03"), "user_engagement", engaged_seconds=0.2
        ),
    ]


def _source_sessions() -> list[Row]:
    """A source that keeps its own sessions: over a long gap and over two visitors."""
    return [
        event(
            f"vendor_{number}",
            visitor,
            at(clock, day),
            "view_item",
            source="rees46",
            source_session_id=session,
            item_id="sku_2",
        )
        for number, visitor, clock, day, session in (
            (1, "v_vendor_one", "10:00", 0, "vendor_a"),
            (2, "v_vendor_two", "12:00", 0, "vendor_a"),
            (3, "v_vendor_one", "10:05", 0, "vendor_b"),
            (4, "v_vendor_one", "10:00", 1, "vendor_a"),
        )
    ]


def pinging(
    event_id: str,
    visitor_id: str,
    occurred_at: datetime,
    session: str | None,
    page: str | None,
    event_name: str = "user_engagement",
    **fields: Any,
) -> Row:
    """An event of a source that pings open pages; a ping if nothing else is said."""
    return event(
        event_id,
        visitor_id,
        occurred_at,
        event_name,
        source="snowplow",
        source_session_id=session,
        page_view_id=page,
        page_path=None if page is None else f"/{page}",
        **fields,
    )


def _heartbeats() -> list[Row]:
    """A source that pings; whatever arrives last must not move what was earned."""

    def view(*arguments: Any, **fields: Any) -> Row:
        return pinging(*arguments, event_name="page_view", **fields)

    longest = 3 * DAYS
    return [
        # Pinged twice in one bucket; the first bucket is not pinged in time, but in
        # `late_events`. The page is viewed again under the same id.
        view("ping_1", "v_pinged", at("10:00"), "sp_pinged", "p1"),
        pinging("ping_2", "v_pinged", at("10:00:15"), "sp_pinged", "p1"),
        pinging("ping_3", "v_pinged", at("10:00:19.999"), "sp_pinged", "p1"),
        pinging("ping_4", "v_pinged", at("10:00:20"), "sp_pinged", "p1"),
        view("ping_5", "v_pinged", at("10:02"), "sp_pinged", "p1"),
        view("ping_6", "v_pinged", at("10:03"), "sp_pinged", "p2"),
        pinging(
            "ping_7",
            "v_pinged",
            at("10:03:05"),
            "sp_pinged",
            "p2",
            delay=26 * HOUR,
            scroll_rate=0.5,
        ),
        pinging("ping_8", "v_pinged", at("10:03:15"), "sp_pinged", "p2"),
        # Over a gap that ends any other session, without and with an id of a page.
        pinging("ping_9", "v_pinged", at("11:00"), "sp_pinged", None),
        view("ping_10", "v_pinged", at("11:00:01"), "sp_pinged", None),
        # The same page, still open in the next session.
        pinging("ping_11", "v_pinged", at("14:00:05"), "sp_pinged_on", "p2"),
        pinging("ping_12", "v_pinged", at("14:00:15"), "sp_pinged_on", "p2"),
        # Of all the pings of a page that was never viewed, the last arrives first.
        pinging("only_1", "v_only_pinged", at("00:00:03"), "sp_only", "p3", delay=HOUR),
        pinging("only_2", "v_only_pinged", at("00:00:13"), "sp_only", "p3"),
        # Begins with a ping only until the view arrives; with a click, not at all.
        pinging("begun_1", "v_view_late", at("10:00:05"), "sp_begun", "p4"),
        view("begun_0", "v_view_late", at("10:00"), "sp_begun", "p4", delay=30 * HOUR),
        pinging("click_1", "v_clicked", at("10:00"), "sp_clicked", "p5", "click"),
        pinging("click_2", "v_clicked", at("10:00:05"), "sp_clicked", "p5"),
        # One moment of arrival: in the order in which they occurred, then of their ids.
        pinging("tie_b", "v_ping_tie", at("10:00:05"), "sp_tie", "p6", delay=HOUR),
        pinging("tie_a", "v_ping_tie", at("10:00:05"), "sp_tie", "p6", delay=HOUR),
        # A device that is ahead, corrected by a little more each time.
        pinging(
            "ahead_1",
            "v_clock_ahead",
            at("10:00:00.500"),
            "sp_ahead",
            "p7",
            clock_skew_seconds=604.5,
        ),
        pinging(
            "ahead_2",
            "v_clock_ahead",
            at("10:00:09.500"),
            "sp_ahead",
            "p7",
            clock_skew_seconds=605.5,
        ),
        # Pings without a session of the source are cut by the gap.
        pinging("alone_1", "v_ping_alone", at("10:00:05"), None, "p8"),
        pinging("alone_2", "v_ping_alone", at("10:00:15"), None, "p8"),
        pinging("alone_3", "v_ping_alone", at("10:45:15"), None, "p8"),
        # Dwell that is stated counts as it is.
        pinging(
            "said_1", "v_dwell_said", at("10:00"), "sp_said", "p9", engaged_seconds=1.5
        ),
        pinging("said_2", "v_dwell_said", at("10:00:07"), "sp_said", "p9"),
        # Beyond the longest session, and within it but later to arrive.
        view("cap_1", "v_ping_cap", at("10:00"), "sp_cap", "p10"),
        pinging("cap_3", "v_ping_cap", at("10:00:05", 3), "sp_cap", "p11"),
        pinging("cap_2", "v_ping_cap", at("09:59:55", 3), "sp_cap", "p11", delay=HOUR),
        # Sent three days after, and a moment more.
        view("sent_1", "v_sent_late", at("10:00"), "sp_sent", "p12", **_sent(longest)),
        pinging(
            "sent_2",
            "v_sent_late",
            at("09:00"),
            "sp_sent",
            "p12",
            **_sent(longest + timedelta(milliseconds=1)),
        ),
        view(
            "sent_3", "v_sent_later", at("10:00"), "sp_gone", "p13", **_sent(5 * DAYS)
        ),
        # The same from a source that takes everything.
        event("sent_4", "v_sent_late_web", at("10:00"), **_sent(5 * DAYS)),
        # 45 times one page is no machine.
        *(
            view(
                f"reload_{number}", "v_reloaded", at(f"10:00:{number}"), "sp_re", "p14"
            )
            for number in range(10, 55)
        ),
        # Sent too late, but see CORRECTIONS.
        view(
            "resent_1", "v_resent", at("10:00"), "sp_resent", "p15", **_sent(4 * DAYS)
        ),
        pinging("resent_2", "v_resent", at("10:00:05"), "sp_resent", "p15"),
    ]


def _sent(after: timedelta) -> dict[str, Any]:
    """Sent so long after it occurred, and received at once."""
    return {"sent_after": after, "delay": after + timedelta(seconds=1)}


def _long_and_fast() -> list[Row]:
    runner = [
        event(f"run_{number:03}", "v_runner", at("00:00") + number * HOUR / 3)
        for number in range(238)
    ]
    # Arrives last and starts the session earlier: more events fall beyond three days.
    runner.append(
        event("run_start", "v_runner", at("23:35", -1), delay=4 * DAYS + 5 * HOUR)
    )
    machine = [
        event(f"fast_{number:03}", "v_machine", at("13:00") + number * HOUR / 3600)
        for number in range(45)
    ]
    # 45 pages in eight minutes look like a machine until an earlier page is known.
    slowed = [
        event(f"slow_{number:03}", "v_slowed", at("14:00") + number * HOUR / 340)
        for number in range(45)
    ]
    slowed.append(event("slow_start", "v_slowed", at("13:35"), delay=20 * HOUR))
    declared = [
        event("declared_1", "v_declared", at("15:00"), bot_reason="headless"),
        event("declared_2", "v_declared", at("15:01")),
    ]
    return runner + machine + slowed + declared


def _logins() -> list[Row]:
    return [
        # Two anonymous days, then a login.
        event("login_1", "v_late_login", at("09:00")),
        event("login_2", "v_late_login", at("09:00", 1)),
        event(
            "login_3", "v_late_login", at("09:00", 2), "identify", user_id="u_first_one"
        ),
        # An earlier login that arrives later: the device was somebody else's first.
        event(
            "login_0",
            "v_late_login",
            at("20:00"),
            "identify",
            user_id="u_earlier",
            delay=3 * DAYS,
        ),
        # The same person on a second device.
        event("device_1", "v_second_device", at("09:30"), user_id="u_first_one"),
        event("device_2", "v_second_device", at("18:00")),
        # A login of which the first version knew nothing, see CORRECTIONS.
        event("back_1", "v_taken_back", at("09:00")),
        event(
            "back_2", "v_taken_back", at("12:00"), user_id="u_taken_back", delay=HOUR
        ),
        event("back_3", "v_taken_back", at("18:00")),
    ]


def _shopping() -> list[Row]:
    buyer = [
        purchase(f"buy_{number}", "v_engaged_buyer", at("11:00", number), 1000 + number)
        for number in range(-1, 5)
    ]
    # The thank-you page loaded again: another event of the same order.
    reload = purchase("buy_again", "v_engaged_buyer", at("11:02", 1), 1001)
    reload["order_id"] = "o_buy_1"
    return [
        *buyer,
        reload,
        event("cart_1", "v_cart_left", at("10:00"), "add_to_cart", item_id="sku_3"),
        event("cart_2", "v_cart_slow", at("10:00"), "add_to_cart", item_id="sku_3"),
        purchase("cart_3", "v_cart_slow", at("16:00", 1), 4500),
        event("cart_4", "v_cart_just", at("10:00"), "add_to_cart", item_id="sku_3"),
        purchase("cart_5", "v_cart_just", at("10:00", 1), 4500),
    ]


def _consent() -> list[Row]:
    return [
        event("none_1", "v_no_consent", at("10:00"), consent_analytics=False),
        event(
            "analytics_1",
            "v_only_analytics",
            at("10:00"),
            consent_personalization=False,
        ),
        # Asked about one purpose alone: no consent to the others.
        event(
            "part_1",
            "v_asked_in_part",
            at("10:00"),
            source="rees46",
            consent_personalization=None,
            consent_marketing=None,
        ),
        # In the middle of a session; see CORRECTIONS.
        event("withdrawn_1", "v_withdrawn", at("10:00"), delay=HOUR),
        event("withdrawn_2", "v_withdrawn", at("10:10")),
    ]


def _experiment() -> list[Row]:
    def exposure(
        event_id: str,
        clock: str,
        variant: str,
        visitor: str = "v_two_variants",
        experiment: str = "banner",
    ) -> Row:
        return event(
            event_id,
            visitor,
            at(clock),
            "exposure",
            experiment_key=experiment,
            variant_key=variant,
        )

    return [
        purchase("exposed_0", "v_two_variants", at("09:00"), 700),
        exposure("exposed_2", "11:00", "treatment"),
        exposure("exposed_1", "10:00", "control"),
        purchase("exposed_3", "v_two_variants", at("10:00"), 800),
        # All that it did days later turns out to be another's; see CORRECTIONS.
        exposure("left_1", "10:00", "control", "v_left_with_less", "price_hint"),
        purchase("left_2", "v_left_with_less", at("10:00", 2), 650)
        | {"received_at": moment(at("11:00", 2))},
    ]


def _decisions() -> list[Row]:
    """Two slots decided for one visitor; outcomes in time, late, too late, elsewhere."""

    def decision(
        event_id: str, visitor: str, slot: str, chosen: str, **fields: Any
    ) -> Row:
        odds = {"slot": slot, "chosen": [chosen], "probability": 0.8}
        return event(
            event_id, visitor, at("10:00"), "decision", properties=odds, **fields
        )

    def about(decision_id: str) -> Row:
        return {"properties": {"decision_id": decision_id}}

    return [
        decision("decided_1", "v_decided", "home", "sku_1"),
        decision("decided_2", "v_decided", "banner", "sale", delay=2 * DAYS),
        decision("decided_3", "v_undecided", "home", "sku_1", consent_analytics=False),
        # Arrives two days late.
        event(
            "decided_click", "v_decided", at("10:01"), "click", delay=2 * DAYS,
            **about("decided_1"),
        ),
        # By the same person on another device, which is known only by its login.
        event("decided_login", "v_decided", at("12:00"), "identify", user_id="u_decided"),
        event("phone_login", "v_decided_phone", at("12:01"), "identify", user_id="u_decided"),
        event("phone_click", "v_decided_phone", at("12:02"), "click", **about("decided_2")),
        # By somebody else, to whom the page was sent.
        event("friend_click", "v_friend", at("10:02"), "click", **about("decided_1")),
        event("decided_cart", "v_decided", at("10:00", 1), "add_to_cart", item_id="sku_1"),
        event(
            "decided_cart_later", "v_decided", at("10:00:00.001", 1), "add_to_cart",
            item_id="sku_1",
        ),
        purchase("decided_buy", "v_decided", at("11:00"), 1234),
    ]  # fmt: skip


def _snapshots() -> list[Row]:
    """A source without sessions, in the midst of visits."""

    def stated(order_id: str, event_id: str, clock: str, day: int, cents: int) -> Row:
        row = purchase(event_id, "v_stated", at(clock, day), cents)
        return row | {"source": "crm", "order_id": order_id}

    return [
        # It would hold two sessions together, and begin a third one.
        event("apart_1", "v_set_apart", at("10:00")),
        purchase("apart_2", "v_set_apart", at("10:20"), 900) | {"source": "crm"},
        event("apart_3", "v_set_apart", at("10:40")),
        event(
            "apart_4", "v_set_apart", at("12:00"), source="crm", engaged_seconds=60.0
        ),
        # An order that was tracked; one that was not, and then cost less.
        stated("o_buy_2", "stated_1", "00:00", 2, 1002),
        stated("o_by_phone", "stated_2", "00:00", 2, 2500),
        stated("o_by_phone", "stated_3", "00:00", 3, 2000),
        # A year that somebody mistyped: no window may end for it.
        stated("o_mistyped", "stated_6", "00:00", 50 * 365, 100),
        # Bought and given back.
        stated("o_returned", "stated_4", "00:00", 1, 700),
        stated("o_returned", "stated_5", "00:00", 4, 700)
        | {"event_name": "order_status"},
        # Turns out to be of such a source, or not of one; see CORRECTIONS.
        event("moved_1", "v_moved_source", at("10:00"), delay=HOUR),
        event("moved_2", "v_moved_source", at("10:25")),
        event("moved_3", "v_moved_source", at("10:50"), delay=HOUR, source="crm"),
        event("moved_4", "v_moved_source", at("11:15")),
    ]


FIRST_ARRIVALS: list[Row] = [
    *_gaps(),
    *_source_sessions(),
    *_heartbeats(),
    *_long_and_fast(),
    *_logins(),
    *_shopping(),
    *_consent(),
    *_experiment(),
    *_decisions(),
    *_snapshots(),
    # Versions to be corrected.
    event("renamed_1", "v_renamed", at("10:00"), delay=HOUR),
    event("renamed_2", "v_renamed", at("10:05")),
    event("handed_1", "v_handed_over", at("10:00"), delay=HOUR),
    event("handed_2", "v_handed_over", at("10:05")),
    event("clock_1", "v_clock_moved", at("10:00"), delay=HOUR),
    event("clock_2", "v_clock_moved", at("10:05")),
    event("clock_3", "v_clock_moved", at("10:10")),
    # Two versions received at one moment; the content decides, not the landing.
    event("tied_1", "v_tied_up", at("10:00"), page_title="one"),
    event("tied_1", "v_tied_up", at("10:00"), page_title="two"),
    event("tied_2", "v_tied_up", at("10:01"), page_title=None),
    event("tied_2", "v_tied_up", at("10:01"), page_title="null"),
]

_EARLIER = timedelta(seconds=30)
CORRECTIONS: list[Row] = [
    event("back_2", "v_taken_back", at("12:00"), delay=_EARLIER),
    event(
        "withdrawn_1",
        "v_withdrawn",
        at("10:00"),
        delay=_EARLIER,
        consent_analytics=False,
    ),
    event("renamed_1", "v_renamed", at("10:00"), "scroll", delay=_EARLIER),
    event("handed_1", "v_handed_to", at("10:00"), delay=_EARLIER),
    purchase("left_2", "v_bought_instead", at("10:00", 2), 650)
    | {"received_at": moment(at("10:00", 2) + _EARLIER)},
    event("clock_1", "v_clock_moved", at("22:00", -1), delay=_EARLIER),
    event("moved_1", "v_moved_source", at("10:00"), delay=_EARLIER, source="crm"),
    event("moved_3", "v_moved_source", at("10:50"), delay=_EARLIER),
    pinging(
        "resent_1",
        "v_resent",
        at("10:00"),
        "sp_resent",
        "p15",
        "page_view",
        delay=_EARLIER,
        sent_after=timedelta(),
    ),
]
