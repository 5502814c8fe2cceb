"""A published release as the dashboards read it, made from a seed or from literal rows.

Belongs here: only the columns that a page reads; the others are null. A release that
is valid in every column is `tests.releases`; a shop with known truth is
`nearline simulate`.
"""

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa

from nearline.experiments import METRICS_COLUMNS, RESULTS_SCHEMA, analyze
from tests.releases import Row, Tables, write_release

PAGE_TABLES = (
    "fct_daily_metrics",
    "fct_sessions",
    "fct_orders",
    "fct_segments",
    "fct_exposures",
    "fct_experiment_results",
    "fct_events",
    "ops_quarantine",
    "ops_lateness",
    "ops_lateness_daily",
    "ops_parity",
    "ops_collection_audit",
)


@dataclass(frozen=True)
class ShopRelease:
    """Rows per table; a table that is not named is written empty."""

    tables: Tables = field(default_factory=dict)
    data_up_to: datetime | None = None
    checks: list[Row] | None = None
    release_id: str = "20261117T061500Z-3f9c"
    absent: frozenset[str] = frozenset()

    def publish(self, home: Path) -> Path:
        """Write the release, its checks and the link; return the link."""
        release = write_release(
            home / "releases" / self.release_id,
            {
                table: self.tables.get(table, [])
                for table in PAGE_TABLES
                if table not in self.absent
            },
        )
        manifest: Row = {"release_id": self.release_id}
        if self.data_up_to is not None:
            manifest |= {
                "created_at": (self.data_up_to + timedelta(hours=6)).isoformat() + "Z",
                "code_version": "0.1.0+3f9c2ab",
                "data_up_to": self.data_up_to.isoformat() + "Z",
                "landings": {"nearline": 2},
            }
        (release / "manifest.json").write_text(json.dumps(manifest))
        if self.checks is not None:
            checks = home / "quality" / self.release_id / "checks.json"
            checks.parent.mkdir(parents=True)
            checks.write_text(
                json.dumps({"release_id": self.release_id, "checks": self.checks})
            )
        published = home / "published"
        published.unlink(missing_ok=True)
        published.symlink_to(release)
        return published


def session(
    person_id: str,
    session_date: date,
    *,
    purchase_count: int = 0,
    revenue_cents: int = 0,
    page_view_count: int = 3,
    engaged_seconds: float | None = 30.0,
    engagement_score: float | None = 40.0,
    is_bounce: bool | None = False,
    is_bot: bool = False,
    device_class: str | None = "desktop",
) -> Row:
    """One row of `fct_sessions`; its id comes from `with_sessions`."""
    row = dict(locals())
    row["session_id"] = ""
    return row


def with_sessions(sessions: Sequence[Row], **tables: list[Row]) -> Tables:
    """Tables with these sessions, and the daily metrics that belong to them."""
    numbered = [
        {**row, "session_id": f"session-{index:06}"}
        for index, row in enumerate(sessions)
    ]
    groups: dict[tuple[date, str | None], list[Row]] = defaultdict(list)
    for row in numbered:
        if not row["is_bot"]:
            groups[row["session_date"], row["device_class"]].append(row)
    daily = []
    for (day, device_class), rows in groups.items():
        scores = [
            row["engagement_score"]
            for row in rows
            if row["engagement_score"] is not None
        ]
        daily.append(
            {
                "metric_date": day,
                "channel": "direct",
                "device_class": device_class,
                "segment": "none",
                "session_count": len(rows),
                "bounced_session_count": sum(row["is_bounce"] is True for row in rows),
                "converted_session_count": sum(
                    row["purchase_count"] > 0 for row in rows
                ),
                "page_view_count": sum(row["page_view_count"] for row in rows),
                "purchase_count": sum(row["purchase_count"] for row in rows),
                "revenue_cents": sum(row["revenue_cents"] for row in rows),
                "engaged_seconds": sum(row["engaged_seconds"] or 0 for row in rows),
                "engagement_score_sum": sum(scores) if scores else None,
            }
        )
    orders = [
        {
            "order_id": f"order-{row['session_id']}",
            "session_id": row["session_id"],
            "order_date": row["session_date"],
            "currency": "EUR",
            "revenue_cents": row["revenue_cents"],
            "is_bot": row["is_bot"],
        }
        for row in numbered
        if row["purchase_count"]
    ]
    return {
        "fct_sessions": numbered,
        "fct_daily_metrics": daily,
        "fct_orders": orders,
        **tables,
    }


def late_day(source: str, day: date, **counts: int) -> Row:
    """One row of `ops_lateness_daily`; its sessions are all measured unless said."""
    row: Row = {"source": source, "occurred_date": day}
    names = (
        "event_count",
        "late_event_count",
        "session_count",
        "reopened_session_count",
        "split_session_count",
        "session_too_long_event_count",
        "created_too_long_before_sent_event_count",
    )
    row |= dict.fromkeys(names, 0)
    row |= {"late_after_minutes": 10, "session_gap_minutes": 30}
    row["measured_session_count"] = counts.get("session_count", 0)
    return row | counts


def served_day(feature: str, day: date, **counts: float | str) -> Row:
    """One row of `ops_parity`; what is not said to be wrong or pending matched."""
    row: Row = {"served_date": day, "view_name": "visitor_activity_1h_v1"}
    row |= {"feature": feature, "speed": "batch", "max_difference": 0.0}
    wrong = ("mismatched_count", "missing_count", "extra_count", "pending_count")
    row |= dict.fromkeys(wrong, 0)
    return row | counts


def shop_release(
    *, seed: int, person_count: int, day_count: int, last_day: date
) -> ShopRelease:
    """A shop with a week's rhythm, an experiment, segments, quarantine and checks."""
    rng = random.Random(seed)
    persons = [
        (f"person-{index:05}", rng.gammavariate(0.9, 0.11), rng.betavariate(1.1, 24))
        for index in range(person_count)
    ]
    days = [last_day - timedelta(days=back) for back in reversed(range(day_count))]
    sessions: list[Row] = []
    for number, day in enumerate(days):
        rhythm = (1.0, 0.95, 0.95, 1.0, 1.1, 1.35, 1.25)[day.weekday()]
        growth = 1 + 0.3 * number / max(day_count - 1, 1)
        for person_id, visits_a_day, taste in persons:
            if rng.random() < visits_a_day * rhythm:
                sessions.append(_visit(rng, person_id, day, taste * growth))
        if number % 3 == 0:
            sessions.append(session("bot-1", day, is_bot=True, page_view_count=180))
    seen = sorted({row["person_id"] for row in sessions if not row["is_bot"]})
    tables = with_sessions(
        sessions,
        fct_segments=_segments(rng, sessions, seen),
        ops_quarantine=_quarantine(),
        ops_lateness=[
            {"delay_bucket": bucket, "event_count": count, "is_late": is_late}
            for bucket, count, is_late in (
                ("2: up to 10 minutes", 3_310, False),
                ("1: up to 1 minute", 91_204, False),
                ("4: up to 1 day", 240, True),
                ("5: more than 1 day", 61, True),
            )
        ],
        ops_lateness_daily=[
            late_day(
                source,
                day,
                event_count=events,
                late_event_count=rng.randint(0, most_late),
                session_count=events // 20,
                reopened_session_count=rng.randint(0, 6),
                split_session_count=rng.randint(0, 2),
                session_too_long_event_count=rng.randint(0, 1),
            )
            for day in days
            for source, events, most_late in (
                ("shop_web", 2_600, 60),
                ("shop_app", 700, 80),
            )
        ],
        ops_parity=[
            served_day(
                feature,
                day,
                speed=speed,
                served_count=400 + 9 * number,
                mismatched_count=rng.randint(0, 2) if number == 3 else 0,
                max_difference=2.0 if number == 3 else 0.0,
                pending_count=390 if day == days[-1] else 0,
            )
            for number, day in enumerate(days[-14:])
            for speed in ("batch", "live")
            for feature in ("page_view_count_1h", "engaged_seconds_1h")
        ],
        ops_collection_audit=[{"consent_basis": "stated", "event_count": 94_815}],
        fct_events=[
            {"event_id": f"event-{index}", "event_date": last_day}
            for index in range(9_481)
        ],
    )
    exposures, results = _experiment(rng, seen, days)
    return ShopRelease(
        tables | {"fct_exposures": exposures, "fct_experiment_results": results},
        data_up_to=datetime.combine(last_day, time(23, 58, 12)),
        checks=_checks(),
    )


def _visit(rng: random.Random, person_id: str, day: date, taste: float) -> Row:
    page_view_count = 1 + int(rng.expovariate(0.35))
    engaged_seconds = rng.expovariate(1 / (14 * page_view_count))
    has_bought = rng.random() < taste * min(page_view_count, 6) / 4
    revenue_cents = int(rng.lognormvariate(8.3, 0.5)) if has_bought else 0
    score = min(100.0, 9 * page_view_count + engaged_seconds / 4 + 30 * has_bought)
    return session(
        person_id,
        day,
        purchase_count=int(has_bought),
        revenue_cents=revenue_cents,
        page_view_count=page_view_count,
        engaged_seconds=engaged_seconds,
        engagement_score=score,
        is_bounce=page_view_count < 2 and engaged_seconds < 10 and not has_bought,
        device_class=rng.choice(["desktop", "mobile", "mobile", "tablet"]),
    )


def _segments(
    rng: random.Random, sessions: Sequence[Row], persons: Sequence[str]
) -> list[Row]:
    bought: dict[str, int] = defaultdict(int)
    visits: dict[str, int] = defaultdict(int)
    for row in sessions:
        bought[row["person_id"]] += row["purchase_count"]
        visits[row["person_id"]] += 1
    rows: list[Row] = []
    for person_id in persons:
        rules = []
        if bought[person_id] > 1:
            rules.append("engaged_buyer")
        if rng.random() < 0.18:
            rules.append("cart_abandoner")
        if visits[person_id] > 5:
            rules.append("loyal_customer" if bought[person_id] else "engaged_user")
        rules.append("casual_browser" if visits[person_id] > 2 else "casual_visitor")
        cluster = f"cluster_{min(visits[person_id] // 3, 3)}"
        for position, segment in enumerate(rules):
            rows.append(_membership(person_id, segment, "rule", position == 0))
        rows.append(_membership(person_id, cluster, "cluster", False))
    return rows


def _membership(person_id: str, segment: str, kind: str, is_primary: bool) -> Row:
    return {
        "person_id": person_id,
        "segment": segment,
        "segment_kind": kind,
        "is_current": True,
        "is_primary": is_primary,
    }


def _experiment(
    rng: random.Random, persons: Sequence[str], days: Sequence[date]
) -> tuple[list[Row], list[Row]]:
    exposures: list[Row] = []
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for unit_id in persons:
        variant = rng.choice(["control", "treatment"])
        lift = 1.35 if variant == "treatment" else 1.0
        bought = rng.random() < 0.12 * lift
        values["conversion", "proportion", variant].append(bought)
        values["add_to_cart", "proportion", variant].append(rng.random() < 0.31 * lift)
        values["revenue_per_visitor", "mean", variant].append(
            rng.lognormvariate(8.3, 0.5) if bought else 0.0
        )
        values["engaged_seconds_per_visitor", "mean", variant].append(
            rng.expovariate(1 / 96)
        )
        exposures.append(
            {
                "experiment_key": "similar_items_carousel",
                "variant_key": variant,
                "unit_id": unit_id,
                "exposed_at": datetime.combine(rng.choice(days), time(12)),
                "variant_count": 1,
            }
        )
    statistics = [
        {
            "experiment_key": "similar_items_carousel",
            "variant_key": variant,
            "metric_name": metric_name,
            "metric_kind": metric_kind,
            "unit_count": len(numbers),
            "value_sum": float(sum(numbers)),
            "value_sum_squares": float(sum(number**2 for number in numbers)),
        }
        for (metric_name, metric_kind, variant), numbers in values.items()
    ]
    table = pa.Table.from_pylist(statistics, pa.schema(dict(METRICS_COLUMNS)))
    results = [
        {name: getattr(result, name) for name in RESULTS_SCHEMA.names}
        for result in analyze(table)
    ]
    return exposures, results


def _quarantine() -> list[Row]:
    found = (
        ("occurred_at", "is more than 300 s after received_at; correct the clock", 41),
        ("schema_version", "major version 2 is not supported; send 1.x", 17),
        ("revenue_cents", "needs currency", 9),
        (None, "line is not JSON", 3),
    )
    return [
        {"field": name, "reason": reason, "quarantined_stage": "door"}
        for name, reason, count in found
        for _ in range(count)
    ]


def _checks() -> list[Row]:
    passed = [
        check(table, name)
        for table in ("fct_events", "fct_sessions", "fct_orders", "fct_segments")
        for name in ("key is unique", "no direct identifier", "columns as declared")
    ]
    return [
        *passed,
        check(
            "fct_sessions",
            "sessions a day within a third of last week",
            severity="warn",
            status="failed",
            message="1 of 28 days lies outside",
        ),
        check(
            "ops_lateness",
            "late share below 1 %",
            severity="warn",
            status="errored",
            message="column is_late was not found",
        ),
    ]


def check(
    table: str,
    name: str,
    *,
    severity: str = "block",
    status: str = "passed",
    message: str = "",
) -> Row:
    """One entry of `checks.json`."""
    return {
        "table": table,
        "check": name,
        "severity": severity,
        "status": status,
        "message": message,
        "checked_row_count": 100,
        "seconds": 0.01,
    }
