"""Events, page views and sessions: keys, ranges and the identities between them.

Belongs here: identities, told per session and not in total, since two errors may cancel
out in a sum. Not here: consent and identifiers (`expectations/privacy.py`).
"""

from expectations.checks import (
    Check,
    Family,
    Severity,
    Suite,
    between,
    has_columns,
    holds,
    key,
    no_rows,
    not_negative,
    not_null,
    one_of,
    refers_to,
    share_at_most,
)
from nearline.events.contract import MAX_CLOCK_LEAD_SECONDS

# Rates are asked of at least this many rows.
LEAST_ROWS_FOR_A_RATE = 200
# Seconds are milliseconds divided by 1000, compared as doubles.
SECONDS_TOLERANCE = 0.0005
# Weighted parts of a score are added as doubles.
SCORE_TOLERANCE = 1e-6

_DEVICE_CLASSES = ("desktop", "mobile", "tablet", "tv", "other")

EVENTS = Suite(
    "fct_events",
    (
        has_columns(
            {
                "event_id": Family.TEXT,
                "event_name": Family.TEXT,
                "event_date": Family.DATE,
                "occurred_at": Family.TIMESTAMP,
                "received_at": Family.TIMESTAMP,
                "source": Family.TEXT,
                "visitor_id": Family.TEXT,
                "user_id": Family.TEXT,
                "person_id": Family.TEXT,
                "session_id": Family.TEXT,
                "session_event_number": Family.INTEGER,
                "page_path": Family.TEXT,
                "item_id": Family.TEXT,
                "price_cents": Family.INTEGER,
                "currency": Family.TEXT,
                "revenue_cents": Family.INTEGER,
                "is_page_view": Family.BOOLEAN,
                "is_page_ping": Family.BOOLEAN,
                "engaged_milliseconds": Family.INTEGER,
                "scroll_rate": Family.NUMBER,
                "device_class": Family.TEXT,
                "is_bot": Family.BOOLEAN,
                "is_declared_bot": Family.BOOLEAN,
                "has_analytics_consent": Family.BOOLEAN,
                "has_personalization_consent": Family.BOOLEAN,
                "has_marketing_consent": Family.BOOLEAN,
                "consent_basis": Family.TEXT,
                "experiment_key": Family.TEXT,
                "variant_key": Family.TEXT,
                "properties": Family.TEXT,
            }
        ),
        *key("event_id"),
        *(
            not_null(column)
            for column in (
                "event_name",
                "event_date",
                "occurred_at",
                "received_at",
                "source",
                "visitor_id",
                "person_id",
                "is_bot",
            )
        ),
        holds(
            "occurred_at_is_not_after_received_at",
            f"occurred_at is at most {MAX_CLOCK_LEAD_SECONDS} s after received_at",
            f"occurred_at <= received_at + interval {MAX_CLOCK_LEAD_SECONDS} seconds",
            column="occurred_at",
        ),
        holds(
            "event_date_is_the_day_of_occurred_at",
            "event_date is the day of occurred_at",
            "event_date = cast(occurred_at as date)",
            column="event_date",
        ),
        *not_negative("price_cents", "revenue_cents", "engaged_milliseconds"),
        between("quantity", 1),
        between("scroll_rate", 0, 1),
        one_of("device_class", _DEVICE_CLASSES),
        one_of("consent_basis", ("stated", "assumed")),
        holds(
            "bots_have_a_reason",
            "bot_reason is given for bots and for nobody else",
            "is_bot = (bot_reason is not null)",
            column="bot_reason",
        ),
        holds(
            "declared_bots_are_bots",
            "is_bot is true where is_declared_bot is",
            "is_bot or not is_declared_bot",
            column="is_declared_bot",
        ),
        holds(
            "revenue_has_a_currency",
            "revenue_cents stands beside a currency",
            "revenue_cents is null or currency is not null",
            column="currency",
        ),
        holds(
            "exposure_names_its_variant",
            "an exposure has experiment_key and variant_key",
            "event_name <> 'exposure' "
            "or (experiment_key is not null and variant_key is not null)",
            column="variant_key",
        ),
        no_rows(
            "sources_make_sessions_of_all_events_or_of_none",
            "a source's events are all in sessions, or none of them is",
            """
            select 1 as offence from {batch} group by source
            having count(session_id) not in (0, count(*))
            """,
            column="session_id",
        ),
        holds(
            "nothing_is_seen_outside_sessions",
            "an event without a session has no number in it, is no page view and no "
            "ping, and has no dwell",
            "session_id is not null or (session_event_number is null "
            "and not is_page_view and not is_page_ping "
            "and engaged_milliseconds is null)",
            column="session_id",
        ),
        refers_to("session_id", "fct_sessions"),
        refers_to("person_id", "dim_persons"),
        no_rows(
            "events_of_a_session_are_numbered_without_gap",
            "session_event_number runs from 1 to the session's number of events",
            """
            select 1 as offence from {batch}
            where session_id is not null group by session_id
            having min(session_event_number) is distinct from 1
                or max(session_event_number) <> count(*)
                or count(distinct session_event_number) <> count(*)
            """,
            column="session_event_number",
        ),
        share_at_most(
            "bots_are_the_minority",
            "at most 50 % of the events are by bots",
            "cast(is_bot as bigint)",
            "1",
            0.5,
            LEAST_ROWS_FOR_A_RATE,
        ),
    ),
)

PAGE_VIEWS = Suite(
    "fct_page_views",
    (
        *key("page_view_id"),
        not_null("session_id"),
        not_null("viewed_at"),
        refers_to("session_id", "fct_sessions"),
        refers_to("page_view_id", "fct_events", "event_id"),
        *not_negative("engaged_seconds"),
        between("deepest_scroll_rate", 0, 1),
        no_rows(
            "each_session_has_one_landing_and_one_exit",
            "each session with page views has one is_landing and one is_exit",
            """
            select 1 as offence from {batch} group by session_id
            having count(*) filter (is_landing) <> 1 or count(*) filter (is_exit) <> 1
            """,
            column="is_landing",
        ),
        no_rows(
            "engaged_seconds_are_within_the_session",
            "engaged_seconds of a session's page views sum to at most the session's",
            f"""
            select 1 as offence
            from (
                select session_id, sum(engaged_seconds) as engaged_seconds
                from {{batch}} group by session_id
            ) as viewed
            inner join fct_sessions using (session_id)
            where viewed.engaged_seconds
                > fct_sessions.engaged_seconds + {SECONDS_TOLERANCE}
            """,
            column="engaged_seconds",
        ),
    ),
)


def _sums_to_events(column: str, expression: str, tolerance: float = 0) -> Check:
    """A session's number equals what its events give."""
    return no_rows(
        f"{column}_equals_its_events",
        f"{column} equals what the session's events in fct_events give",
        f"""
        select 1 as offence
        from {{batch}} as sessions
        left join (
            select session_id, {expression} as amount
            from fct_events group by session_id
        ) as events using (session_id)
        where abs(sessions.{column} - coalesce(events.amount, 0)) > {tolerance}
            or sessions.{column} is null
        """,
        column=column,
    )


def _count_of(event_name: str) -> str:
    return f"count(*) filter (event_name = '{event_name}')"


SESSIONS = Suite(
    "fct_sessions",
    (
        has_columns(
            {
                "session_id": Family.TEXT,
                "person_id": Family.TEXT,
                "visitor_id": Family.TEXT,
                "source": Family.TEXT,
                "session_date": Family.DATE,
                "started_at": Family.TIMESTAMP,
                "ended_at": Family.TIMESTAMP,
                "duration_seconds": Family.NUMBER,
                "engaged_seconds": Family.NUMBER,
                "event_count": Family.INTEGER,
                "page_view_count": Family.INTEGER,
                "item_view_count": Family.INTEGER,
                "add_to_cart_count": Family.INTEGER,
                "purchase_count": Family.INTEGER,
                "revenue_cents": Family.INTEGER,
                "is_bounce": Family.BOOLEAN,
                "is_engaged": Family.BOOLEAN,
                "engagement_score": Family.NUMBER,
                "landing_path": Family.TEXT,
                "exit_path": Family.TEXT,
                "channel": Family.TEXT,
                "is_bot": Family.BOOLEAN,
            }
        ),
        *key("session_id"),
        *(
            not_null(column)
            for column in (
                "person_id",
                "visitor_id",
                "source",
                "session_date",
                "started_at",
                "ended_at",
                "is_bot",
            )
        ),
        between("event_count", 1),
        *not_negative("engaged_seconds", "revenue_cents"),
        between("deepest_scroll_rate", 0, 1),
        holds(
            "engagement_score_is_in_range",
            "engagement_score is from 0 to 100",
            f"engagement_score between -{SCORE_TOLERANCE} and 100 + {SCORE_TOLERANCE}",
            column="engagement_score",
        ),
        one_of("device_class", _DEVICE_CLASSES),
        holds(
            "duration_is_from_start_to_end",
            "duration_seconds is the time from started_at to ended_at",
            "started_at <= ended_at and abs(duration_seconds - "
            "(epoch_ms(ended_at) - epoch_ms(started_at)) / 1000.0) "
            f"<= {SECONDS_TOLERANCE}",
            column="duration_seconds",
        ),
        holds(
            "session_date_is_the_day_of_started_at",
            "session_date is the day of started_at",
            "session_date = cast(started_at as date)",
            column="session_date",
        ),
        holds(
            "a_bounce_is_not_engaged",
            "is_bounce is the opposite of is_engaged",
            "is_bounce is not distinct from (not is_engaged)",
            column="is_bounce",
        ),
        refers_to("person_id", "dim_persons"),
        _sums_to_events("event_count", "count(*)"),
        _sums_to_events("page_view_count", "count(*) filter (is_page_view)"),
        _sums_to_events("item_view_count", _count_of("view_item")),
        _sums_to_events("add_to_cart_count", _count_of("add_to_cart")),
        _sums_to_events("purchase_count", _count_of("purchase")),
        _sums_to_events("content_interaction_count", _count_of("content_interaction")),
        _sums_to_events("search_count", _count_of("search")),
        _sums_to_events(
            "revenue_cents", "sum(revenue_cents) filter (event_name = 'purchase')"
        ),
        _sums_to_events(
            "engaged_seconds", "sum(engaged_milliseconds) / 1000.0", SECONDS_TOLERANCE
        ),
        no_rows(
            "page_views_are_all_there",
            "page_view_count equals the session's rows in fct_page_views",
            """
            select 1 as offence
            from {batch} as sessions
            left join (
                select session_id, count(*) as page_view_count
                from fct_page_views group by session_id
            ) as views using (session_id)
            where sessions.page_view_count <> coalesce(views.page_view_count, 0)
            """,
            column="page_view_count",
        ),
        no_rows(
            "bounce_rate_is_plausible",
            "between 1 % and 99 % of people's sessions are bounces",
            f"""
            select 1 as offence from (
                select avg(cast(is_bounce as integer)) as bounce_rate, count(*) as n
                from {{batch}} where not is_bot and is_bounce is not null
            ) as rates
            where n >= {LEAST_ROWS_FOR_A_RATE}
                and (bounce_rate < 0.01 or bounce_rate > 0.99)
            """,
            column="is_bounce",
            severity=Severity.WARN,
        ),
    ),
)

BEHAVIOUR_SUITES = (EVENTS, PAGE_VIEWS, SESSIONS)
