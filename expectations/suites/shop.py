"""Orders, order lines and items: keys, ranges, references."""

from expectations.checks import (
    Suite,
    between,
    key,
    not_negative,
    not_null,
    refers_to,
    unique,
    unique_together,
)

SHOP_SUITES = (
    Suite(
        "fct_orders",
        (
            not_null("order_id"),
            not_null("source"),
            not_null("ordered_at"),
            # Two sources may use the same order number.
            unique_together("source", "order_id"),
            *not_negative("revenue_cents"),
            refers_to("session_id", "fct_sessions"),
            refers_to("person_id", "dim_persons"),
        ),
    ),
    Suite(
        "fct_order_items",
        (
            *key("order_item_id"),
            not_null("order_id"),
            not_null("item_id"),
            *not_negative("price_cents", "revenue_cents"),
            between("quantity", 1),
            refers_to("order_id", "fct_orders"),
            refers_to("item_id", "dim_items"),
        ),
    ),
    Suite(
        "dim_items",
        (
            *key("item_id"),
            *not_negative(
                "price_cents", "view_count", "add_to_cart_count", "purchase_count"
            ),
            between("popularity_rank", 1),
            unique("popularity_rank"),
        ),
    ),
)
