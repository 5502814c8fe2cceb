"""Decisions with what came of them: keys, odds, references."""

from expectations.checks import (
    Family,
    Suite,
    between,
    has_columns,
    holds,
    key,
    not_negative,
    not_null,
    refers_to,
    share_at_most,
)

DECISION_SUITES = (
    Suite(
        "fct_decisions",
        (
            # What off-policy evaluation reads.
            has_columns(
                {
                    "decision_id": Family.TEXT,
                    "decided_at": Family.TIMESTAMP,
                    "visitor_id": Family.TEXT,
                    "person_id": Family.TEXT,
                    "slot": Family.TEXT,
                    "policy_name": Family.TEXT,
                    "policy_version": Family.TEXT,
                    "candidates": Family.TEXTS,
                    "choice": Family.TEXT,
                    "probability": Family.NUMBER,
                    "segment": Family.TEXT,
                    "is_clicked": Family.BOOLEAN,
                    "response_reward": Family.NUMBER,
                    "add_to_cart_count": Family.INTEGER,
                    "purchase_count": Family.INTEGER,
                    "revenue_cents": Family.INTEGER,
                    "is_outcome_complete": Family.BOOLEAN,
                    "has_personalization_consent": Family.BOOLEAN,
                    "is_bot": Family.BOOLEAN,
                }
            ),
            *key("decision_id"),
            not_null("decided_at"),
            not_null("outcome_until"),
            not_null("is_outcome_complete"),
            not_null("has_personalization_consent"),
            not_null("is_bot"),
            between("probability", 0, 1),
            *not_negative(
                "exposure_count",
                "click_count",
                "add_to_cart_count",
                "purchase_count",
                "revenue_cents",
            ),
            holds(
                "a_click_is_counted",
                "is_clicked says whether click_count is above 0",
                "is_clicked = (click_count > 0)",
                column="is_clicked",
            ),
            holds(
                "revenue_is_of_purchases",
                "revenue_cents is 0 where nothing was purchased",
                "purchase_count > 0 or revenue_cents = 0",
                column="revenue_cents",
            ),
            refers_to("decision_id", "fct_events", "event_id"),
            refers_to("person_id", "dim_persons"),
            share_at_most(
                "decisions_say_where_what_and_how_likely",
                "at most 1 % of the decisions lack slot, choice or probability",
                "cast(slot is null or choice is null or probability is null as bigint)",
                "1",
                0.01,
                200,
            ),
        ),
    ),
    Suite(
        "fct_shown_items",
        (
            # What the worth of a recommender is read from.
            has_columns(
                {
                    "person_id": Family.TEXT,
                    "recommender_version": Family.INTEGER,
                    "item_id": Family.TEXT,
                    "is_explored": Family.BOOLEAN,
                    "is_viewed": Family.BOOLEAN,
                    "is_carted": Family.BOOLEAN,
                    "is_bought": Family.BOOLEAN,
                    "is_outcome_complete": Family.BOOLEAN,
                    "has_personalization_consent": Family.BOOLEAN,
                    "is_bot": Family.BOOLEAN,
                }
            ),
            *key("shown_item_id"),
            not_null("item_id"),
            not_null("is_explored"),
            not_null("is_outcome_complete"),
            between("place_probability", 0, 1),
            refers_to("decision_id", "fct_decisions", "decision_id"),
            refers_to("person_id", "dim_persons"),
        ),
    ),
)
