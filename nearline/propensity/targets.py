"""What is predicted, and at which moments: labels as SQL over the published tables.

Belongs here: the two targets and their queries. A moment is one at which a page could have
asked; its label counts only what came after it. Labels are of visitors, not of persons: a
link between devices that was learnt later must not reach back into a label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from nearline.errors import InputError

SERVICE = "visitor_features_v1"
"""The feature service that models are trained on and that is read to score."""

LABEL = "is_followed_by_purchase"

SETTLE_HOURS = 24
"""A label counts once it is so old that late events of its time have come."""

SESSION_MOMENTS = (3, 8, 20)
"""Events of a session after which it is asked: early, in the middle, of long ones late."""

DAYS_AHEAD = 7

_LATE_SECONDS = 60
"""What arrives later than this after it happened is no moment at which a page asks."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to predict. `horizon` is how long after its moment a label is open."""

    key: str
    model: str
    words: str
    horizon: timedelta
    sql: str


# What both ask of: consented, of no machine, in a session.
_EVENTS = """
    events as (

        select
            event_id,
            visitor_id,
            session_id,
            session_event_number,
            event_name,
            occurred_at,
            received_at,
        from fct_events
        where
            session_id is not null
            and not is_bot
            and has_personalization_consent

    ),

    purchases as (

        select * from events
        where event_name = 'purchase'

    ),

    -- As the tables say how far they reach: the latest arrival of what visits sent.
    reach as (

        select max(received_at) - interval '{settle_hours} hours' as settled_up_to,
        from events

    ),
"""

_CHOSEN = """
    chosen as (

        select
            visitor_id,
            event_timestamp,
            {label},
        from labelled
        -- Whole visitors, the same ones whenever asked.
        order by md5(visitor_id), event_timestamp
        limit {max_rows}

    )

    select * from chosen
    order by event_timestamp, visitor_id
"""

_SESSION_SQL = (
    "with\n"
    + _EVENTS
    + """
    ended as (

        select session_id,
        from events
        group by session_id
        having max(received_at) <= (select settled_up_to from reach)

    ),

    moments as (

        select *
        from events
        where
            session_event_number in ({session_moments})
            and received_at - occurred_at <= interval '{late_seconds} seconds'
            and session_id in (select session_id from ended)

    ),

    labelled as (

        select
            moments.visitor_id,
            moments.received_at as event_timestamp,
            coalesce(
                bool_or(
                    purchases.occurred_at > moments.occurred_at
                    and purchases.received_at > moments.received_at
                ),
                false
            ) as {label},
        from moments
        left join purchases
            on moments.session_id = purchases.session_id
        group by
            moments.event_id,
            moments.visitor_id,
            moments.occurred_at,
            moments.received_at
        -- Who has bought already is not asked about.
        having
            count(*) filter (
                where
                    purchases.occurred_at <= moments.occurred_at
                    or purchases.received_at <= moments.received_at
            ) = 0

    ),
"""
    + _CHOSEN
)

_DAYS_SQL = (
    "with\n"
    + _EVENTS
    + """
    -- Of each visitor's day one of its events, by chance but always the same one, as a
    -- page would ask; and the end of the day, as a message or a batch would.
    moments as (

        select
            visitor_id,
            arg_min(received_at, md5(event_id)) as event_timestamp,
        from events
        where received_at - occurred_at <= interval '{late_seconds} seconds'
        group by visitor_id, cast(received_at as date)

        union all

        select distinct
            visitor_id,
            cast(cast(received_at as date) + 1 as timestamp) as event_timestamp,
        from events

    ),

    labelled as (

        select
            moments.visitor_id,
            moments.event_timestamp,
            coalesce(
                bool_or(
                    purchases.occurred_at > moments.event_timestamp
                    and purchases.received_at > moments.event_timestamp
                    and purchases.occurred_at
                    <= moments.event_timestamp + interval '{days_ahead} days'
                ),
                false
            ) as {label},
        from moments
        left join purchases
            on moments.visitor_id = purchases.visitor_id
        where
            moments.event_timestamp + interval '{days_ahead} days'
            <= (select settled_up_to from reach)
        group by moments.visitor_id, moments.event_timestamp

    ),
"""
    + _CHOSEN
)

TARGETS: Mapping[str, Target] = {
    "session": Target(
        key="session",
        model="propensity_session",
        words="purchase later in the same session",
        horizon=timedelta(days=1),
        sql=_SESSION_SQL,
    ),
    "7d": Target(
        key="7d",
        model="propensity_7d",
        words=f"purchase within {DAYS_AHEAD} days",
        horizon=timedelta(days=DAYS_AHEAD),
        sql=_DAYS_SQL,
    ),
}


def find_target(key: str) -> Target:
    """The target of this key.

    Raises:
        InputError: there is none.
    """
    if key not in TARGETS:
        raise InputError(f"target {key!r} is unknown; use {' or '.join(TARGETS)}")
    return TARGETS[key]


def label_query(target: Target, max_rows: int) -> str:
    """A SELECT over the published tables: visitor_id, event_timestamp, the label.

    At most `max_rows`, of visitors chosen by a hash of their pseudonym.
    """
    return target.sql.format(
        label=LABEL,
        settle_hours=SETTLE_HOURS,
        session_moments=", ".join(map(str, SESSION_MOMENTS)),
        late_seconds=_LATE_SECONDS,
        days_ahead=DAYS_AHEAD,
        max_rows=max_rows,
    )
