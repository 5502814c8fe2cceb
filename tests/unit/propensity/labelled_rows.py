"""Labelled moments of made-up visitors, in whom views drive purchases."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from nearline.propensity.targets import LABEL

START = datetime(2026, 3, 1)
FEATURES = ("view_count_24h", "cart_value", "last_event_at", "last_page_type")


def labelled_rows(
    visitor_count: int = 250, rows_each: int = 6, seed: int = 1, days: int = 30
) -> pa.Table:
    """A row is followed by a purchase the more often, the more was viewed."""
    rng = np.random.default_rng(seed)
    count = visitor_count * rows_each
    moments = [
        START + timedelta(seconds=int(second))
        for second in rng.integers(0, days * 86_400, count)
    ]
    views = rng.poisson(3, count)
    odds = 0.8 * (views - 3) - 1.5
    bought = rng.random(count) < 1 / (1 + np.exp(-odds))
    cart = np.where(rng.random(count) < 0.3, np.nan, rng.exponential(20, count))
    ages = rng.integers(0, 3_600, count)
    return pa.table(
        {
            "visitor_id": [f"v_{n % visitor_count:05d}" for n in range(count)],
            "event_timestamp": pa.array(moments, pa.timestamp("us")),
            LABEL: pa.array(bought),
            "view_count_24h": pa.array(views, pa.int64()),
            "cart_value": pa.array(cart, pa.float64(), from_pandas=True),
            "last_event_at": pa.array(
                [
                    m - timedelta(seconds=int(a))
                    for m, a in zip(moments, ages, strict=True)
                ],
                pa.timestamp("us"),
            ),
            "last_page_type": pa.array(rng.choice(["home", "product"], count)),
        }
    )


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The table with another column in the place of `name`, or beside the others."""
    column = values if isinstance(values, pa.Array) else pa.array(values)
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)
