"""Feature views: one narrow view per window, on the published feature Parquet.

Belongs here: which columns of which published table can be looked up, and their types.
What a feature means is in `dbt_project/models/features/`; a field missing in the
Parquet stops the refresh before anything is written.

A view may gain fields. To change or take one away, define the view anew under the next
version (`visitor_activity_1h_v2`) and point the service at it under the same alias: a
running app resolves the fields that it knows against the view that is registered now,
and fails at the first one that differs. Fields carry no description for the same
reason: it is part of what must not differ.

Views are module-level names, one by one: Feast registers no view that is in a list.
"""

import os
from datetime import timedelta
from pathlib import Path

from entities import item, visitor
from feast import FeatureView, Field, FileSource
from feast.types import Float64, Int64, String, UnixTimestamp

# A relative home is relative to the project, wherever the command is run.
HOME = Path(__file__).resolve().parents[1] / os.environ.get(
    "NEARLINE_HOME", ".nearline"
)

# Feast makes its files there, but not the folder: `feast apply` on a fresh checkout.
(HOME / "online").mkdir(parents=True, exist_ok=True)

# Values are stored at the moments at which they change, back to zero included, so the
# latest row holds until the next. The limit says after how long we no longer claim to
# know a visitor; it is longer than any window, so that no window is cut short.
KNOWN_FOR = timedelta(days=90)


def _source(table: str) -> FileSource:
    return FileSource(
        name=table,
        path=str(HOME / "published" / f"{table}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )


def _visitor_activity(window: str, description: str, version: int = 1) -> FeatureView:
    return FeatureView(
        name=f"visitor_activity_{window}_v{version}",
        entities=[visitor],
        ttl=KNOWN_FOR,
        schema=[
            Field(name="visitor_id", dtype=String),
            Field(name=f"page_view_count_{window}", dtype=Int64),
            Field(name=f"item_view_count_{window}", dtype=Int64),
            Field(name=f"add_to_cart_count_{window}", dtype=Int64),
            Field(name=f"purchase_count_{window}", dtype=Int64),
            Field(name=f"revenue_cents_{window}", dtype=Int64),
            Field(name=f"engaged_seconds_{window}", dtype=Float64),
        ],
        source=_source(f"ftr_visitor__activity_{window}"),
        description=f"What a visitor did in {description}.",
    )


def _item_activity(window: str, description: str, version: int = 1) -> FeatureView:
    return FeatureView(
        name=f"item_activity_{window}_v{version}",
        entities=[item],
        ttl=KNOWN_FOR,
        schema=[
            Field(name="item_id", dtype=String),
            Field(name=f"view_count_{window}", dtype=Int64),
            Field(name=f"add_to_cart_count_{window}", dtype=Int64),
            Field(name=f"purchase_count_{window}", dtype=Int64),
        ],
        source=_source(f"ftr_item__activity_{window}"),
        description=f"What was done with an item in {description}, in hourly tiles.",
    )


visitor_activity_5m_v1 = _visitor_activity("5m", "the last five minutes")
visitor_activity_1h_v1 = _visitor_activity("1h", "the last hour")
visitor_activity_24h_v1 = _visitor_activity("24h", "the last 24 hours")
visitor_activity_7d_v1 = _visitor_activity("7d", "the last seven days")
visitor_activity_30d_v1 = _visitor_activity("30d", "the last thirty days")

visitor_latest_v1 = FeatureView(
    name="visitor_latest_v1",
    entities=[visitor],
    ttl=KNOWN_FOR,
    schema=[
        Field(name="visitor_id", dtype=String),
        Field(name="last_event_at", dtype=UnixTimestamp),
        Field(name="last_page_type", dtype=String),
        Field(name="last_item_id", dtype=String),
        Field(name="last_item_category", dtype=String),
        Field(name="last_cart_item_id", dtype=String),
        Field(name="last_purchase_at", dtype=UnixTimestamp),
    ],
    source=_source("ftr_visitor__latest"),
    description="What a visitor did last. Null: not yet.",
)

item_activity_24h_v1 = _item_activity("24h", "the last 24 hours")
item_activity_7d_v1 = _item_activity("7d", "the last seven days")
