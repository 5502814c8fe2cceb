"""Raw events as landed, one suite per format.

Belongs here: that landed rows keep the contract's shape, ranges and references within a
row. Not here: duplicates, which raw may hold and staging removes.
"""

from expectations.checks import (
    Check,
    Family,
    Severity,
    Suite,
    between,
    has_columns,
    holds,
    no_rows,
    not_negative,
    not_null,
    one_of,
)
from nearline.events.contract import KNOWN_EVENT_NAMES, MAX_CLOCK_LEAD_SECONDS, Event
from nearline.landing.declarations import Declaration

MOST_CENTS = 10**12

_PROVENANCE = {
    "source_file": Family.TEXT,
    "source_row": Family.INTEGER,
    "landing_id": Family.INTEGER,
}
_PROVENANCE_CHECKS = (
    not_null("source_file"),
    not_null("source_row"),
    not_null("landing_id"),
)
_NOT_TEXT = {
    "occurred_at": Family.TIMESTAMP,
    "sent_at": Family.TIMESTAMP,
    "received_at": Family.TIMESTAMP,
    "price_cents": Family.INTEGER,
    "quantity": Family.INTEGER,
    "revenue_cents": Family.INTEGER,
    "engaged_seconds": Family.NUMBER,
    "scroll_rate": Family.NUMBER,
    "clock_skew_seconds": Family.NUMBER,
    "consent_analytics": Family.BOOLEAN,
    "consent_personalization": Family.BOOLEAN,
    "consent_marketing": Family.BOOLEAN,
}
NEARLINE_COLUMNS = {
    **{name: _NOT_TEXT.get(name, Family.TEXT) for name in Event.model_fields},
    **_PROVENANCE,
}
_KNOWN_NAMES = ", ".join(f"'{name}'" for name in sorted(KNOWN_EVENT_NAMES))


def _arrival_not_before_occurrence() -> Check:
    return holds(
        "occurred_at_is_not_after_received_at",
        f"occurred_at is at most {MAX_CLOCK_LEAD_SECONDS} s after received_at",
        f"occurred_at <= received_at + interval {MAX_CLOCK_LEAD_SECONDS} seconds",
        column="occurred_at",
    )


RAW_NEARLINE = Suite(
    "raw_nearline_events",
    (
        has_columns(NEARLINE_COLUMNS),
        *(
            not_null(column)
            for column in (
                "event_id",
                "event_name",
                "schema_version",
                "occurred_at",
                "received_at",
                "source",
                "visitor_id",
            )
        ),
        *_PROVENANCE_CHECKS,
        _arrival_not_before_occurrence(),
        between("price_cents", 0, MOST_CENTS),
        between("revenue_cents", 0, MOST_CENTS),
        between("quantity", 1, 10_000),
        between("engaged_seconds", 0, 86_400),
        between("scroll_rate", 0, 1),
        one_of("device_class", ("desktop", "mobile", "tablet", "tv", "other")),
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
        holds(
            "identify_names_whom",
            "an identify event has user_id or contact_id",
            "event_name <> 'identify' or coalesce(user_id, contact_id) is not null",
            column="user_id",
        ),
        holds(
            "alias_names_who_it_was",
            "an alias event has user_id and a previous id",
            "event_name <> 'alias' or (user_id is not null "
            "and coalesce(previous_user_id, previous_visitor_id) is not null)",
            column="user_id",
        ),
        holds(
            "items_are_json",
            "items are JSON",
            "items is null or json_valid(items)",
            column="items",
        ),
        holds(
            "properties_are_json",
            "properties are JSON",
            "properties is null or json_valid(properties)",
            column="properties",
        ),
        no_rows(
            "one_id_means_one_event_name",
            "one source's event_id is not used for events of different names",
            """
            select 1 as offence from {batch}
            group by source, event_id having count(distinct event_name) > 1
            """,
            column="event_id",
            severity=Severity.WARN,
        ),
        no_rows(
            "event_names_are_mostly_known",
            "at most half of the events have custom names",
            f"""
            select 1 as offence from (
                select
                    count(*) as event_count,
                    count(*) filter (event_name not in ({_KNOWN_NAMES})) as custom_count
                from {{batch}}
            ) as counts
            where event_count >= 100 and custom_count > 0.5 * event_count
            """,
            column="event_name",
            severity=Severity.WARN,
        ),
    ),
)

RAW_REES46 = Suite(
    "raw_rees46_events",
    (
        has_columns(
            {
                "event_time": Family.TIMESTAMP,
                "event_type": Family.TEXT,
                "product_id": Family.TEXT,
                "category_id": Family.TEXT,
                "category_code": Family.TEXT,
                "brand": Family.TEXT,
                "price_cents": Family.INTEGER,
                "visitor_id": Family.TEXT,
                "user_session": Family.TEXT,
                "event_id": Family.TEXT,
                **_PROVENANCE,
            }
        ),
        *(
            not_null(column)
            for column in (
                "event_time",
                "event_type",
                "product_id",
                "visitor_id",
                "event_id",
            )
        ),
        *_PROVENANCE_CHECKS,
        *not_negative("price_cents"),
        one_of("event_type", ("view", "cart", "remove_from_cart", "purchase")),
        not_null("user_session", Severity.WARN),
        no_rows(
            "sessions_have_one_visitor",
            "at most 1 % of the user_sessions have more than one visitor_id",
            """
            select 1 as offence from (
                select
                    count(*) as session_count,
                    count(*) filter (visitor_count > 1) as shared_count
                from (
                    select user_session, count(distinct visitor_id) as visitor_count
                    from {batch} where user_session is not null group by user_session
                ) as sessions
            ) as counts
            where session_count >= 100 and shared_count > 0.01 * session_count
            """,
            column="user_session",
            severity=Severity.WARN,
        ),
    ),
)

RAW_SUITES = {"nearline": RAW_NEARLINE, "rees46": RAW_REES46}

_FAMILIES = {
    "string": Family.TEXT,
    "timestamp[us]": Family.TIMESTAMP,
    "int64": Family.INTEGER,
    "double": Family.NUMBER,
    "bool": Family.BOOLEAN,
}


def declared_suite(declaration: Declaration) -> Suite:
    """The suite of a declared source: what its YAML says of columns and values."""
    always = [
        column.name
        for column in declaration.columns
        if column.is_required or column.treatment == "content_hash"
    ]
    return Suite(
        f"raw_{declaration.table}",
        (
            has_columns({**declared_columns(declaration), **_PROVENANCE}),
            *(not_null(name) for name in always),
            *_PROVENANCE_CHECKS,
            *(
                one_of(column.name, tuple(column.options["one_of"]))
                for column in declaration.columns
                if "one_of" in column.options
            ),
        ),
    )


def declared_columns(declaration: Declaration) -> dict[str, Family]:
    """Columns of a declared source's raw table, by name."""
    return {column.name: _FAMILIES[str(column.type)] for column in declaration.columns}
