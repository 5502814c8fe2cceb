"""A valid minimal release, table by table, for tests that need one on disk.

Belongs here: literal rows that agree with each other, and writing them as Parquet. Two
visitors: `v_anna00001` with a visit that buys and `v_ben000001` with one page and no
consent to personalization, one bot, one experiment of two units.

A test plants a defect by changing a row before it writes:

    tables = release_tables()
    tables["fct_events"][0]["page_title"] = "…"
    write_release(tmp_path / "r1", tables)
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.feature_views import find_feature_views
from nearline.landing.log_positions import log_identity
from nearline.log import EVENTS
from nearline.publication.releases import MANIFEST, publish
from nearline.publication.tables import published_tables
from nearline.settings import Settings

Row = dict[str, Any]
Tables = dict[str, list[Row]]

_TEXT, _INT, _LONG, _REAL = pa.string(), pa.int32(), pa.int64(), pa.float64()
_BOOL, _DATE, _TIME = pa.bool_(), pa.date32(), pa.timestamp("us")

NOON = datetime(2026, 3, 2, 12, 0, 0)
DAY = date(2026, 3, 2)
DAY_FOLDERS = {
    "fct_events": "event_date",
    "fct_page_views": "page_view_date",
    "fct_sessions": "session_date",
}


def _columns(text: str, kind: pa.DataType) -> dict[str, pa.DataType]:
    return dict.fromkeys(text.split(), kind)


_CLOCK = _columns("event_timestamp created_timestamp", _TIME)
_TYPES = {
    "bigint": _LONG,
    "integer": _INT,
    "double": _REAL,
    "float": pa.float32(),
    "varchar": _TEXT,
    "boolean": _BOOL,
    "timestamp": _TIME,
    "varchar[]": pa.list_(_TEXT),
    "bigint[]": pa.list_(_LONG),
}
DBT_PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
FEATURE_VIEWS = find_feature_views(DBT_PROJECT)
PUBLISHED_TABLES = published_tables(DBT_PROJECT)

_ARM = _columns("experiment_key variant_key metric_name metric_kind", _TEXT)
_SUMS = {
    "unit_count": _LONG,
    **_columns(
        "value_sum value_sum_squares denominator_sum denominator_sum_squares "
        "value_denominator_sum covariate_sum covariate_sum_squares value_covariate_sum "
        "denominator_covariate_sum",
        _REAL,
    ),
}

SCHEMAS: dict[str, dict[str, pa.DataType]] = {
    "fct_events": {
        **_columns("event_id event_name", _TEXT),
        "event_date": _DATE,
        **_columns("occurred_at received_at", _TIME),
        **_columns("source visitor_id user_id person_id session_id", _TEXT),
        "session_event_number": _INT,
        **_columns(
            "page_view_id source_session_id page_path page_title page_type "
            "referrer_host utm_source utm_medium utm_campaign utm_term utm_content "
            "item_id item_category item_brand",
            _TEXT,
        ),
        "price_cents": _LONG,
        "currency": _TEXT,
        "quantity": _LONG,
        **_columns("items order_id", _TEXT),
        "revenue_cents": _LONG,
        **_columns("content_type content_id search_term", _TEXT),
        **_columns("is_page_view is_page_ping", _BOOL),
        "engaged_milliseconds": _LONG,
        "scroll_rate": _REAL,
        "device_class": _TEXT,
        "is_bot": _BOOL,
        "bot_reason": _TEXT,
        "is_declared_bot": _BOOL,
        **_columns(
            "has_analytics_consent has_personalization_consent has_marketing_consent",
            _BOOL,
        ),
        **_columns(
            "consent_basis consent_notice_version experiment_key variant_key "
            "properties schema_version",
            _TEXT,
        ),
        "landing_id": _INT,
    },
    "fct_page_views": {
        **_columns(
            "page_view_id event_id session_id visitor_id person_id source", _TEXT
        ),
        "page_view_date": _DATE,
        "viewed_at": _TIME,
        **_columns("page_path page_title page_type item_id", _TEXT),
        **_columns("engaged_seconds deepest_scroll_rate", _REAL),
        **_columns("is_bot is_landing is_exit", _BOOL),
    },
    "fct_sessions": {
        **_columns(
            "session_id person_id visitor_id user_id source source_session_id", _TEXT
        ),
        "session_date": _DATE,
        **_columns("started_at ended_at", _TIME),
        **_columns("duration_seconds engaged_seconds", _REAL),
        **_columns(
            "event_count page_view_count item_view_count add_to_cart_count "
            "purchase_count content_interaction_count search_count revenue_cents",
            _LONG,
        ),
        "deepest_scroll_rate": _REAL,
        **_columns("is_bounce is_engaged", _BOOL),
        "engagement_score": _REAL,
        **_columns("landing_path exit_path channel device_class", _TEXT),
        "is_bot": _BOOL,
        "bot_reason": _TEXT,
        "has_personalization_consent": _BOOL,
    },
    "fct_orders": {
        **_columns("order_id source visitor_id person_id session_id", _TEXT),
        "ordered_at": _TIME,
        "order_date": _DATE,
        "currency": _TEXT,
        **_columns("revenue_cents item_count", _LONG),
        "is_bot": _BOOL,
    },
    "fct_order_items": {
        **_columns("order_item_id order_id item_id item_category item_brand", _TEXT),
        **_columns("price_cents quantity revenue_cents", _LONG),
    },
    "dim_persons": {
        "person_id": _TEXT,
        **_columns("first_seen_at last_seen_at", _TIME),
        "visitor_count": _LONG,
        "is_known": _BOOL,
        **_columns("session_count order_count revenue_cents", _LONG),
    },
    "bridge_identities": {
        **_columns("identifier_type identifier person_id", _TEXT),
        "linked_at": _TIME,
        **_columns(
            "link_reason link_source link_event_id linked_to_type linked_to", _TEXT
        ),
    },
    "fct_identity_links": {
        **_columns(
            "identifier_type identifier other_identifier_type other_identifier", _TEXT
        ),
        **_columns("first_seen_at last_seen_at", _TIME),
        **_columns("day_count event_count", _LONG),
        **_columns("link_reason link_source link_event_id", _TEXT),
        "is_held": _BOOL,
        "refused_reason": _TEXT,
    },
    "dim_items": {
        **_columns("item_id item_category item_brand", _TEXT),
        "price_cents": _LONG,
        "currency": _TEXT,
        **_columns(
            "view_count add_to_cart_count purchase_count popularity_rank", _LONG
        ),
    },
    "dim_consents": {
        **_columns("visitor_id person_id", _TEXT),
        **_columns(
            "is_stated has_analytics_consent has_personalization_consent "
            "has_marketing_consent",
            _BOOL,
        ),
        "stated_at": _TIME,
    },
    "fct_segments": {
        **_columns("person_id segment segment_kind", _TEXT),
        **_columns("valid_from valid_to", _TIME),
        **_columns("is_current is_primary", _BOOL),
    },
    "fct_exposures": {
        **_columns("experiment_key variant_key unit_id unit_kind", _TEXT),
        **_columns("visitor_id person_id", _TEXT),
        "exposed_at": _TIME,
        "exposure_date": _DATE,
        "exposure_lag_seconds": _REAL,
        **_columns("exposure_count variant_count person_variant_count", _LONG),
        "is_analysed": _BOOL,
        **_columns("device_class channel segment", _TEXT),
    },
    "fct_experiment_outcomes": {
        **_columns("experiment_key unit_id unit_kind visitor_id variant_key", _TEXT),
        "exposed_at": _TIME,
        "metric_name": _TEXT,
        **_columns("unit_value unit_denominator", _REAL),
    },
    "fct_experiment_metrics": {**_ARM, "exposure_date": _DATE, **_SUMS},
    "fct_experiment_days": {**_ARM, "metric_date": _DATE, **_SUMS},
    "fct_experiment_segments": {
        **_ARM,
        **_columns("dimension dimension_value", _TEXT),
        **_SUMS,
    },
    "fct_experiment_values": {
        **_columns("experiment_key variant_key metric_name", _TEXT),
        "unit_value": _REAL,
        "unit_count": _LONG,
    },
    "fct_experiment_results": {
        **_columns(
            "experiment_key metric_name metric_kind variant_key control_variant_key",
            _TEXT,
        ),
        **_columns("unit_count control_unit_count", _LONG),
        **_columns(
            "variant_mean control_mean estimate ci_low ci_high confidence_level "
            "p_value relative_lift relative_ci_low relative_ci_high srm_p_value",
            _REAL,
        ),
        "has_srm_alarm": _BOOL,
        **_columns("method verdict role guardrail_status", _TEXT),
        **_columns("adjusted_p_value variance_removed", _REAL),
        **_columns("horizon decision conclusion", _TEXT),
    },
    "fct_decisions": {
        "decision_id": _TEXT,
        **_columns("decided_at outcome_until exposed_at clicked_at", _TIME),
        "decision_date": _DATE,
        **_columns(
            "source visitor_id person_id session_id slot policy_name policy_version "
            "choice trigger_name arms models segment answer fallback currency",
            _TEXT,
        ),
        **_columns("candidates chosen block_items", pa.list_(_TEXT)),
        **_columns(
            "candidate_scores candidate_probabilities place_probabilities",
            pa.list_(_REAL),
        ),
        **_columns(
            "probability feature_age_seconds latency_milliseconds response_reward",
            _REAL,
        ),
        **_columns(
            "exposure_count click_count add_to_cart_count purchase_count revenue_cents",
            _LONG,
        ),
        **_columns(
            "is_explored is_held_out is_clicked is_outcome_complete "
            "has_personalization_consent is_bot",
            _BOOL,
        ),
    },
    "fct_shown_items": {
        **_columns(
            "shown_item_id decision_id slot visitor_id person_id item_id", _TEXT
        ),
        **_columns("decided_at exposed_at", _TIME),
        "decision_date": _DATE,
        **_columns("recommender_version place", _INT),
        **_columns("score place_probability", _REAL),
        **_columns(
            "is_explored is_viewed is_carted is_bought is_outcome_complete "
            "has_personalization_consent is_bot",
            _BOOL,
        ),
    },
    "fct_daily_metrics": {
        "metric_date": _DATE,
        **_columns("channel device_class segment", _TEXT),
        **_columns(
            "session_count engaged_session_count bounced_session_count "
            "converted_session_count page_view_count purchase_count revenue_cents",
            _LONG,
        ),
        **_columns(
            "engaged_seconds engagement_score_sum conversion_rate bounce_rate "
            "engagement_score",
            _REAL,
        ),
    },
    **{
        view.model: {
            view.join_key: _TEXT,
            **_CLOCK,
            **{feature.name: _TYPES[feature.data_type] for feature in view.features},
        }
        for view in FEATURE_VIEWS
    },
    "ops_quarantine": {
        "source_format": _TEXT,
        "landing_id": _INT,
        "source_file": _TEXT,
        "source_row": _LONG,
        **_columns(
            "deadletter_id source schema_version event_name field reason "
            "quarantined_stage",
            _TEXT,
        ),
        "received_at": _TIME,
        "replayed_at": _TIME,
    },
    "ops_lateness": {
        "source": _TEXT,
        "received_date": _DATE,
        "delay_bucket": _TEXT,
        "event_count": _LONG,
        "is_late": _BOOL,
    },
    "ops_lateness_daily": {
        "source": _TEXT,
        "occurred_date": _DATE,
        **_columns("event_count late_event_count", _LONG),
        "late_event_rate": _REAL,
        **_columns(
            "session_count measured_session_count reopened_session_count "
            "reopening_count split_session_count set_aside_event_count "
            "session_too_long_event_count created_too_long_before_sent_event_count "
            "late_after_minutes session_gap_minutes",
            _LONG,
        ),
    },
    "ops_parity": {
        "served_date": _DATE,
        **_columns("view_name feature speed", _TEXT),
        **_columns(
            "served_count matched_count mismatched_count missing_count extra_count "
            "pending_count",
            _LONG,
        ),
        **_columns("max_difference mean_difference max_mismatch_share", _REAL),
    },
    "ops_collection_audit": {
        "source": _TEXT,
        "event_date": _DATE,
        **_columns("event_name consent_basis", _TEXT),
        **_columns(
            "has_analytics_consent has_personalization_consent has_marketing_consent",
            _BOOL,
        ),
        "consent_notice_version": _TEXT,
        "event_count": _LONG,
    },
}


def _event(number: int, name: str, seconds: int, who: str, **fields: Any) -> Row:
    at = NOON + timedelta(seconds=seconds)
    return {
        "event_id": f"e{number:07d}",
        "event_name": name,
        "event_date": DAY,
        "occurred_at": at,
        "received_at": at + timedelta(seconds=1),
        "source": "web",
        "visitor_id": f"v_{who}",
        "person_id": f"p_{who}",
        "session_id": f"s_{who}",
        "is_page_view": name == "page_view",
        "is_page_ping": False,
        "device_class": "desktop",
        "is_bot": False,
        "is_declared_bot": False,
        "has_analytics_consent": True,
        "has_personalization_consent": who == "anna00001",
        "has_marketing_consent": False,
        "consent_basis": "stated",
        "consent_notice_version": "2026-01",
        "schema_version": "1.0",
        "landing_id": 1,
        **fields,
    }


def _session(who: str, **fields: Any) -> Row:
    counts = dict.fromkeys(
        (
            "page_view_count",
            "item_view_count",
            "add_to_cart_count",
            "purchase_count",
            "content_interaction_count",
            "search_count",
            "revenue_cents",
        ),
        0,
    )
    return {
        "session_id": f"s_{who}",
        "person_id": f"p_{who}",
        "visitor_id": f"v_{who}",
        "source": "web",
        "session_date": DAY,
        "started_at": NOON,
        "ended_at": NOON,
        "duration_seconds": 0.0,
        "engaged_seconds": 0.0,
        **counts,
        "is_bounce": True,
        "is_engaged": False,
        "engagement_score": 0.0,
        "channel": "direct",
        "device_class": "desktop",
        "is_bot": False,
        "has_personalization_consent": False,
        **fields,
    }


def _page_view(event: Row, **fields: Any) -> Row:
    copied = (
        "event_id session_id visitor_id person_id source page_path page_title page_type"
    )
    return {
        **{name: event.get(name) for name in copied.split()},
        "page_view_id": event["event_id"],
        "page_view_date": event["event_date"],
        "viewed_at": event["occurred_at"],
        "engaged_seconds": 0.0,
        "is_bot": event["is_bot"],
        "is_landing": True,
        "is_exit": True,
        **fields,
    }


def _metric(variant: str, name: str, kind: str, total: float, squares: float) -> Row:
    return {
        "experiment_key": "exp-1",
        "variant_key": variant,
        "metric_name": name,
        "metric_kind": kind,
        "exposure_date": DAY,
        "metric_date": DAY,
        "unit_count": 1,
        "value_sum": total,
        "value_sum_squares": squares,
        "covariate_sum": 0.0,
        "covariate_sum_squares": 0.0,
        "value_covariate_sum": 0.0,
    }


def release_tables() -> Tables:
    """Fresh rows of every table; the numbers add up by hand."""
    item = {"item_id": "sku-00123", "item_category": "shoes", "item_brand": "Acme"}
    price = {"price_cents": 4999, "currency": "EUR"}
    lines = [{"item_id": "555-123-4567", "price_cents": 4999, "quantity": 1}]
    page = {"page_path": "/product/sku-00123", "page_type": "product"}
    experiment = {"experiment_key": "exp-1", "variant_key": "treatment"}
    events = [
        _event(
            1,
            "page_view",
            0,
            "anna00001",
            session_event_number=1,
            page_title="Shoes, new & 50% off",
            referrer_host="www.example.com",
            utm_source="newsletter",
            utm_campaign="spring+sale_2026-03-02",
            **page,
        ),
        _event(
            2,
            "view_item",
            10,
            "anna00001",
            session_event_number=2,
            properties=json.dumps(
                {
                    "note": "caf\u00e9\nsize 42",
                    "at": "2026-03-02T12:00:10.000Z",
                    "trace": "3f2b8c1e-5a77-4d0e-9b1c-2f4e6a8b0c1d",
                    "hash": "d41d8cd98f00b204e9800998ecf8427e",
                }
            ),
            **page,
            **item,
            **price,
        ),
        _event(
            3,
            "user_engagement",
            20,
            "anna00001",
            session_event_number=3,
            engaged_milliseconds=20_000,
            scroll_rate=0.75,
            **page,
        ),
        _event(4, "exposure", 25, "anna00001", session_event_number=4, **experiment),
        _event(
            5,
            "add_to_cart",
            30,
            "anna00001",
            session_event_number=5,
            quantity=1,
            **item,
            **price,
        ),
        _event(
            6,
            "purchase",
            60,
            "anna00001",
            session_event_number=6,
            items=json.dumps(lines),
            order_id="4915112345678",
            revenue_cents=4999,
            currency="EUR",
        ),
        _event(
            7,
            "page_view",
            0,
            "ben000001",
            user_id="u_ben000001",
            session_event_number=1,
            page_path="/",
        ),
        _event(
            8,
            "exposure",
            0,
            "ben000001",
            session_event_number=2,
            experiment_key="exp-1",
            variant_key="control",
        ),
        _event(
            9,
            "page_view",
            0,
            "crawler01",
            session_event_number=1,
            page_path="/",
            is_bot=True,
            bot_reason="user_agent",
            is_declared_bot=True,
        ),
    ]
    tables: Tables = {
        "fct_events": events,
        "fct_page_views": [
            _page_view(events[0], engaged_seconds=20.0, deepest_scroll_rate=0.75),
            _page_view(events[6]),
            _page_view(events[8]),
        ],
        "fct_sessions": [
            _session(
                "anna00001",
                ended_at=NOON + timedelta(seconds=60),
                duration_seconds=60.0,
                engaged_seconds=20.0,
                event_count=6,
                page_view_count=1,
                item_view_count=1,
                add_to_cart_count=1,
                purchase_count=1,
                revenue_cents=4999,
                deepest_scroll_rate=0.75,
                is_bounce=False,
                is_engaged=True,
                engagement_score=31.4,
                landing_path="/product/sku-00123",
                exit_path="/product/sku-00123",
                has_personalization_consent=True,
            ),
            _session(
                "ben000001",
                user_id="u_ben000001",
                event_count=2,
                page_view_count=1,
                landing_path="/",
                exit_path="/",
            ),
            _session(
                "crawler01",
                event_count=1,
                page_view_count=1,
                landing_path="/",
                exit_path="/",
                is_bot=True,
                bot_reason="user_agent",
            ),
        ],
        "fct_orders": [
            {
                "order_id": "4915112345678",
                "source": "web",
                "visitor_id": "v_anna00001",
                "person_id": "p_anna00001",
                "session_id": "s_anna00001",
                "ordered_at": NOON + timedelta(seconds=60),
                "order_date": DAY,
                "currency": "EUR",
                "revenue_cents": 4999,
                "item_count": 1,
                "is_bot": False,
            }
        ],
        "fct_order_items": [
            {
                "order_item_id": "d41d8cd98f00b204e9800998ecf8427e",
                "order_id": "4915112345678",
                "item_id": "sku-00123",
                "price_cents": 4999,
                "quantity": 1,
                "revenue_cents": 4999,
            }
        ],
        "dim_persons": [
            {
                "person_id": f"p_{who}",
                "first_seen_at": NOON,
                "last_seen_at": NOON + timedelta(seconds=seconds),
                "visitor_count": 1,
                "is_known": who == "ben000001",
                "session_count": 1,
                "order_count": orders,
                "revenue_cents": 4999 * orders,
            }
            for who, seconds, orders in (
                ("anna00001", 60, 1),
                ("ben000001", 0, 0),
                ("crawler01", 0, 0),
            )
        ],
        "bridge_identities": [
            {
                "identifier_type": "user" if identifier[0] == "u" else "visitor",
                "identifier": identifier,
                "person_id": f"p_{identifier[2:]}",
                "linked_at": NOON,
                "link_reason": "signed_in_event" if linked_to else "own",
                "link_source": "web",
                "link_event_id": f"e{number:07d}",
                "linked_to_type": "user" if linked_to else None,
                "linked_to": linked_to,
            }
            for identifier, number, linked_to in (
                ("v_anna00001", 1, None),
                ("v_ben000001", 7, "u_ben000001"),
                ("v_crawler01", 9, None),
                ("u_ben000001", 7, None),
            )
        ],
        "fct_identity_links": [
            {
                "identifier_type": "visitor",
                "identifier": visitor,
                "other_identifier_type": "user",
                "other_identifier": "u_ben000001",
                "first_seen_at": NOON,
                "last_seen_at": NOON,
                "day_count": 1,
                "event_count": 1,
                "link_reason": "signed_in_event",
                "link_source": "web",
                "link_event_id": event_id,
                "is_held": refused_reason is None,
                "refused_reason": refused_reason,
            }
            for visitor, event_id, refused_reason in (
                ("v_ben000001", "e0000007", None),
                ("v_anna00001", "e0000001", "unlinked"),
            )
        ],
        "dim_items": [
            {
                **item,
                **price,
                "view_count": 1,
                "add_to_cart_count": 1,
                "purchase_count": 1,
                "popularity_rank": 1,
            }
        ],
        "dim_consents": [
            {
                "visitor_id": f"v_{name}",
                "person_id": f"p_{name}",
                "is_stated": True,
                "has_analytics_consent": True,
                "has_personalization_consent": True,
                "has_marketing_consent": False,
                "stated_at": NOON,
            }
            for name in ("anna00001", "ben000001", "crawler01")
        ],
        "fct_segments": [
            {
                "person_id": "p_anna00001",
                "segment": "casual_visitor",
                "segment_kind": "rule",
                "valid_from": NOON,
                "is_current": True,
                "is_primary": True,
            }
        ],
        "fct_exposures": [
            {
                "experiment_key": "exp-1",
                "variant_key": variant,
                "unit_id": f"v_{who}",
                "unit_kind": "visitor",
                "visitor_id": f"v_{who}",
                "person_id": f"p_{who}",
                "exposed_at": NOON + timedelta(seconds=seconds),
                "exposure_date": DAY,
                "exposure_lag_seconds": 1.0,
                "exposure_count": 1,
                "variant_count": 1,
                "person_variant_count": 1,
                "is_analysed": True,
                "device_class": "desktop",
                "channel": "direct",
            }
            for who, variant, seconds in (
                ("anna00001", "treatment", 25),
                ("ben000001", "control", 0),
            )
        ],
        "fct_experiment_outcomes": [
            {
                "experiment_key": "exp-1",
                "unit_id": f"v_{who}",
                "unit_kind": "visitor",
                "visitor_id": f"v_{who}",
                "variant_key": variant,
                "exposed_at": NOON + timedelta(seconds=seconds),
                "metric_name": "conversion",
                "unit_value": value,
            }
            for who, variant, seconds, value in (
                ("anna00001", "treatment", 25, 1.0),
                ("ben000001", "control", 0, 0.0),
            )
        ],
        "fct_experiment_metrics": [
            _metric("treatment", "conversion", "proportion", 1.0, 1.0),
            _metric("control", "conversion", "proportion", 0.0, 0.0),
            _metric(
                "treatment", "revenue_per_visitor", "mean", 4999.0, 4999.0 * 4999.0
            ),
            _metric("control", "revenue_per_visitor", "mean", 0.0, 0.0),
        ],
        "fct_experiment_days": [
            _metric("treatment", "conversion", "proportion", 1.0, 1.0),
            _metric("control", "conversion", "proportion", 0.0, 0.0),
        ],
        "fct_experiment_segments": [
            {
                **_metric("treatment", "conversion", "proportion", 1.0, 1.0),
                "dimension": "channel",
                "dimension_value": "direct",
            }
        ],
        "fct_experiment_values": [
            {
                "experiment_key": "exp-1",
                "variant_key": variant,
                "metric_name": "engaged_seconds_p90",
                "unit_value": 20.0,
                "unit_count": 1,
            }
            for variant in ("treatment", "control")
        ],
        "fct_experiment_results": [
            {
                "experiment_key": "exp-1",
                "metric_name": "conversion",
                "metric_kind": "proportion",
                "variant_key": "treatment",
                "control_variant_key": "control",
                "unit_count": 1,
                "control_unit_count": 1,
                "variant_mean": 1.0,
                "control_mean": 0.0,
                "estimate": 1.0,
                "ci_low": 0.1,
                "ci_high": 1.0,
                "confidence_level": 0.95,
                "p_value": 0.157,
                "srm_p_value": 1.0,
                "has_srm_alarm": False,
                "method": "two proportions",
                "verdict": "cannot conclude: too few units",
                "role": "primary",
                "horizon": "fixed",
            }
        ],
        "fct_decisions": [],
        "fct_shown_items": [],
        "fct_daily_metrics": [
            {
                "metric_date": DAY,
                "channel": "direct",
                "device_class": "desktop",
                "segment": segment,
                "session_count": 1,
                "engaged_session_count": bought,
                "bounced_session_count": 1 - bought,
                "converted_session_count": bought,
                "page_view_count": 1,
                "purchase_count": bought,
                "revenue_cents": 4999 * bought,
                "engaged_seconds": 20.0 * bought,
                "engagement_score_sum": 31.4 * bought,
                "conversion_rate": float(bought),
                "bounce_rate": 1.0 - bought,
                "engagement_score": 31.4 * bought,
            }
            for segment, bought in (("casual_visitor", 1), ("none", 0))
        ],
        "ops_quarantine": [
            {
                "source_format": "nearline",
                "landing_id": 1,
                "source_file": "events/2026-03-02.jsonl.gz",
                "source_row": 10,
                "event_name": "page_view",
                "field": "page_path",
                "reason": "must be a path without query or fragment; got text",
                "quarantined_stage": "door",
            }
        ],
        "ops_lateness": [
            {
                "source": "web",
                "received_date": DAY,
                "delay_bucket": "1: up to 1 minute",
                "event_count": 9,
                "is_late": False,
            }
        ],
        "ops_lateness_daily": [
            {
                "source": "web",
                "occurred_date": DAY,
                "event_count": 9,
                "late_event_count": 0,
                "late_event_rate": 0.0,
                "session_count": 3,
                "measured_session_count": 3,
                "reopened_session_count": 0,
                "reopening_count": 0,
                "split_session_count": 0,
                "set_aside_event_count": 0,
                "session_too_long_event_count": 0,
                "created_too_long_before_sent_event_count": 0,
                "late_after_minutes": 10,
                "session_gap_minutes": 30,
            }
        ],
        "ops_parity": [
            {
                "served_date": DAY,
                "view_name": "visitor_activity_1h_v1",
                "feature": "page_view_count_1h",
                "speed": "batch",
                "served_count": 3,
                "matched_count": 2,
                "mismatched_count": 0,
                "missing_count": 0,
                "extra_count": 0,
                "pending_count": 1,
                "max_difference": 0.0,
                "mean_difference": 0.0,
                "max_mismatch_share": 0.0,
            }
        ],
        "ops_collection_audit": [
            {
                "source": "web",
                "event_date": DAY,
                "event_name": event["event_name"],
                "consent_basis": "stated",
                "has_analytics_consent": True,
                "has_personalization_consent": event["has_personalization_consent"],
                "has_marketing_consent": False,
                "consent_notice_version": "2026-01",
                "event_count": 1,
            }
            for event in events
        ],
    }
    tables.update(_feature_tables())
    return tables


def _feature_tables() -> Tables:
    """A row of each feature view, of `v_anna00001` or of the item that she bought."""
    known_at = NOON + timedelta(seconds=61)
    entities = {"visitor_id": "v_anna00001", "item_id": "sku-00123"}
    values = {
        "bigint": 1,
        "integer": 1,
        "double": 20.0,
        "float": 20.0,
        "varchar": "sku-00123",
        "boolean": True,
        "timestamp": NOON + timedelta(seconds=60),
        "varchar[]": ["sku-00123"],
        "bigint[]": [1],
    }
    named = {
        "last_page_type": "product",
        "last_item_category": "shoes",
        "purchase_propensity_7d": 0.25,
    }
    return {
        view.model: [
            {
                view.join_key: entities[view.join_key],
                "event_timestamp": known_at,
                "created_timestamp": known_at,
                **{
                    feature.name: 4999
                    if feature.name.startswith("revenue_cents")
                    else named.get(feature.name, values[feature.data_type])
                    for feature in view.features
                },
            }
        ]
        for view in FEATURE_VIEWS
    }


def publish_with_live_sql(
    settings: Settings,
    release: Path,
    models: Sequence[Mapping[str, Any]],
    created_at: datetime,
    position: int = 0,
) -> None:
    """Publishes a written release with the SQL of live models, up to a position of the
    log's first partition."""
    (release / "live").mkdir(exist_ok=True)
    (release / "live" / "features.json").write_text(json.dumps(list(models)))
    settings.log.mkdir(parents=True, exist_ok=True)
    manifest = {
        "release_id": release.name,
        "created_at": created_at.isoformat(),
        "code_version": "test",
        "data_up_to": None,
        "landings": {},
        "tables": {},
        "log": log_identity(settings),
        "log_positions": {EVENTS: {"0": position}} if position else {},
    }
    (release / MANIFEST).write_text(json.dumps(manifest))
    publish(settings, release)


def write_release(
    release_dir: Path,
    tables: Mapping[str, list[Row]],
    schemas: Mapping[str, Mapping[str, pa.DataType]] = SCHEMAS,
) -> Path:
    """Writes tables the way a release has them: a file, or a folder of days.

    A column that a row leaves out is null; one that the schema leaves out is not
    written, so a test drops a column by dropping it from `schemas`.
    """
    release_dir.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        schema = pa.schema(list(schemas[name].items()))
        content = pa.Table.from_pylist(rows, schema=schema)
        day_column = DAY_FOLDERS.get(name)
        path = release_dir / f"{name}.parquet"
        if day_column is None:
            pq.write_table(content, path)
            continue
        if not rows:
            (path / "day=none").mkdir(parents=True)
            pq.write_table(content, path / "day=none" / "part-0.parquet")
        for day in sorted({row[day_column] for row in rows}):
            folder = path / f"day={day.isoformat()}"
            folder.mkdir(parents=True)
            rows_of_day = [row for row in rows if row[day_column] == day]
            pq.write_table(
                pa.Table.from_pylist(rows_of_day, schema=schema),
                folder / "part-0.parquet",
            )
    return release_dir
