"""Feature tables: the knowledge clock, keys and ranges.

Not here: that only consented visitors have features (`expectations/privacy.py`).
"""

from expectations.checks import (
    Check,
    Family,
    Suite,
    has_columns,
    holds,
    not_negative,
    not_null,
    unique_together,
)

VISITOR_WINDOWS = ("5m", "1h", "24h", "7d", "30d")
ITEM_WINDOWS = ("24h", "7d")

_CLOCK = {"event_timestamp": Family.TIMESTAMP, "created_timestamp": Family.TIMESTAMP}


def _entity_checks(entity: str) -> tuple[Check, ...]:
    return (
        not_null(entity),
        not_null("event_timestamp"),
        not_null("created_timestamp"),
        # Strictly increasing per entity: an online store keeps one row per instant.
        unique_together(entity, "event_timestamp"),
        holds(
            "nothing_is_known_before_it_arrives",
            "created_timestamp is not after event_timestamp",
            "created_timestamp <= event_timestamp",
            column="created_timestamp",
        ),
    )


def _activity(entity: str, table: str, window: str, counts: tuple[str, ...]) -> Suite:
    columns = {f"{count}_{window}": Family.INTEGER for count in counts}
    if entity == "visitor_id":
        columns[f"engaged_seconds_{window}"] = Family.NUMBER
    return Suite(
        f"{table}_{window}",
        (
            has_columns({entity: Family.TEXT, **_CLOCK, **columns}),
            *_entity_checks(entity),
            *(not_null(column) for column in columns),
            *not_negative(*columns),
        ),
    )


FEATURE_SUITES = (
    *(
        _activity(
            "visitor_id",
            "ftr_visitor__activity",
            window,
            (
                "page_view_count",
                "item_view_count",
                "add_to_cart_count",
                "purchase_count",
                "revenue_cents",
            ),
        )
        for window in VISITOR_WINDOWS
    ),
    Suite(
        "ftr_visitor__latest",
        (
            has_columns(
                {
                    "visitor_id": Family.TEXT,
                    **_CLOCK,
                    "last_event_at": Family.TIMESTAMP,
                    "last_page_type": Family.TEXT,
                    "last_item_id": Family.TEXT,
                    "last_item_category": Family.TEXT,
                    "last_cart_item_id": Family.TEXT,
                    "last_purchase_at": Family.TIMESTAMP,
                }
            ),
            *_entity_checks("visitor_id"),
            holds(
                "last_purchase_is_not_after_last_event",
                "last_purchase_at is not after last_event_at",
                "last_purchase_at <= last_event_at",
                column="last_purchase_at",
            ),
        ),
    ),
    *(
        _activity(
            "item_id",
            "ftr_item__activity",
            window,
            ("view_count", "add_to_cart_count", "purchase_count"),
        )
        for window in ITEM_WINDOWS
    ),
)
