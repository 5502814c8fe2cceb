"""What is read of a release: literal rows in, sums by hand out."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from nearline.dashboards.queries import (
    Arm,
    Check,
    LateDay,
    Lateness,
    QuarantinedRows,
    SegmentOverlap,
    read_page_data,
    total,
)
from nearline.dashboards.statistics import CURRENT, PREVIOUS
from nearline.errors import InputError
from tests.releases import release_tables, write_release
from tests.shop_release import ShopRelease, check, late_day, session, with_sessions

FIRST, SECOND = date(2026, 11, 15), date(2026, 11, 16)

TWO_DAYS = with_sessions(
    [
        session("ann", FIRST, engagement_score=20.0, is_bounce=True),
        session("ann", SECOND, purchase_count=2, revenue_cents=500),
        session("ben", SECOND, device_class="mobile", engagement_score=60.0),
        session("ben", SECOND, is_bounce=None, engagement_score=None),
        session("bot", SECOND, purchase_count=9, revenue_cents=9_000, is_bot=True),
    ]
)


def test_days_are_summed_over_their_channels_and_devices(tmp_path: Path) -> None:
    published = ShopRelease(TWO_DAYS).publish(tmp_path)
    data = read_page_data(published, tmp_path / "quality")
    first, second = data.days
    assert (first.day, first.session_count, first.bounced_session_count) == (
        FIRST,
        1,
        1,
    )
    assert (second.session_count, second.converted_session_count) == (3, 1)
    assert (second.revenue_cents, second.engagement_score_sum) == (500, 100.0)
    assert second.measured_session_count == 2
    assert second.engagement_scores.unit_count == 2
    assert second.engagement_scores.value_sum_squares == 40.0**2 + 60.0**2
    assert total(data.days).session_count == 4


def test_a_day_without_sessions_is_a_day_of_zero(tmp_path: Path) -> None:
    tables = with_sessions(
        [session("ann", date(2026, 11, day)) for day in (13, 14, 16)]
    )
    data = read_page_data(ShopRelease(tables).publish(tmp_path), tmp_path / "quality")
    assert [(row.day.day, row.session_count) for row in data.days] == [
        (13, 1),
        (14, 1),
        (15, 0),
        (16, 1),
    ]


def test_moments_are_sums_over_persons_and_leave_bots_out(tmp_path: Path) -> None:
    published = ShopRelease(TWO_DAYS).publish(tmp_path)
    moments = read_page_data(published, tmp_path / "quality").moments
    assert moments is not None
    assert moments.person_count == 2
    assert moments.totals["sessions", CURRENT] == 3
    assert moments.totals["sessions", PREVIOUS] == 1
    assert moments.totals["measured", CURRENT] == 2
    assert moments.totals["revenue", CURRENT] == 500
    # Ann came once in each period, Ben twice in the later one.
    sessions, before = ("sessions", CURRENT), ("sessions", PREVIOUS)
    assert moments.product(sessions, sessions) == 1 * 1 + 2 * 2
    assert moments.product(sessions, before) == moments.product(before, sessions) == 1


def test_sessions_of_bots_are_counted_apart(tmp_path: Path) -> None:
    published = ShopRelease(TWO_DAYS).publish(tmp_path)
    data = read_page_data(published, tmp_path / "quality")
    assert (data.bot_session_count, data.session_count) == (1, 5)


def test_currencies_are_those_of_orders_with_revenue(tmp_path: Path) -> None:
    def order(day: date, currency: str, cents: int = 5, **fields: Any) -> Any:
        row = {"order_date": day, "currency": currency, "revenue_cents": cents}
        return {"session_id": "s", **row, **fields}

    orders = [
        order(SECOND, "USD"),
        order(FIRST, "EUR"),
        order(SECOND, "CHF", 0),
        order(SECOND, "SEK", is_bot=True),
        order(date(2025, 1, 1), "NOK"),
        # Of a source without sessions: the page's revenue is that of sessions.
        order(SECOND, "DKK", session_id=None),
    ]
    release = ShopRelease({**TWO_DAYS, "fct_orders": orders})
    data = read_page_data(release.publish(tmp_path), tmp_path / "quality")
    assert data.currencies == ("EUR", "USD")


def test_segments_are_those_of_today(tmp_path: Path) -> None:
    def member(person_id: str, segment: str, **fields: bool) -> dict[str, object]:
        return {
            "person_id": person_id,
            "segment": segment,
            "segment_kind": "rule",
            "is_current": True,
            "is_primary": False,
        } | fields

    segments = [
        member("ann", "engaged_buyer", is_primary=True),
        member("ann", "cart_abandoner"),
        member("ben", "cart_abandoner", is_primary=True),
        member("ben", "engaged_buyer", is_current=False),
        # A hybrid repeats what rule and cluster say.
        member("ann", "engaged_buyer/cluster_0") | {"segment_kind": "hybrid"},
    ]
    release = ShopRelease({**TWO_DAYS, "fct_segments": segments})
    data = read_page_data(release.publish(tmp_path), tmp_path / "quality")
    assert data.segment_overlaps == (
        SegmentOverlap("cart_abandoner", "engaged_buyer", 1),
    )
    sizes = data.segments
    assert sizes is not None
    abandoners, buyers = sizes
    assert (abandoners.segment, abandoners.person_count) == ("cart_abandoner", 2)
    assert abandoners.primary_person_count == 1
    assert (buyers.segment, buyers.person_count) == ("engaged_buyer", 1)
    assert (buyers.sessions_per_person, buyers.purchases_per_person) == (2.0, 2.0)


def test_exposures_are_counted_by_arm_and_contamination_by_unit(tmp_path: Path) -> None:
    exposures = [
        {
            "experiment_key": "carousel",
            "variant_key": variant,
            "unit_id": unit_id,
            "exposed_at": datetime(2026, 11, 15, hour),
            "variant_count": variant_count,
        }
        for variant, unit_id, variant_count, hour in (
            ("control", "v1", 1, 8),
            ("control", "v2", 2, 9),
            ("treatment", "v3", 1, 10),
        )
    ]
    release = ShopRelease({**TWO_DAYS, "fct_exposures": exposures})
    data = read_page_data(release.publish(tmp_path), tmp_path / "quality")
    assert data.experiments is not None
    (experiment,) = data.experiments
    assert experiment.arms == (Arm("control", 2), Arm("treatment", 1))
    assert experiment.contaminated_unit_count == 1
    assert experiment.last_exposed_at == datetime(2026, 11, 15, 10)


def test_quarantine_and_lateness_are_counted(tmp_path: Path) -> None:
    release = ShopRelease(
        {
            **TWO_DAYS,
            "ops_quarantine": [
                {
                    "reason": "is missing",
                    "field": "source",
                    "quarantined_stage": "door",
                },
                {
                    "reason": "is missing",
                    "field": "source",
                    "quarantined_stage": "door",
                },
                {
                    "reason": "is missing",
                    "field": "source",
                    "source": "app",
                    "quarantined_stage": "door",
                    "replayed_at": datetime(2026, 11, 15, 10),
                },
                {"reason": None, "field": None, "quarantined_stage": "staging"},
            ],
            "ops_lateness": [
                {"delay_bucket": "2: up to 1 hour", "event_count": 5, "is_late": True},
                {"delay_bucket": "2: up to 1 hour", "event_count": 4, "is_late": False},
                {"delay_bucket": "1: up to 1 minute", "event_count": 9},
            ],
        }
    )
    data = read_page_data(release.publish(tmp_path), tmp_path / "quality")
    assert data.quarantined == (
        QuarantinedRows("is missing", "source", None, "door", 2),
        QuarantinedRows("is missing", "source", "app", "door", 1, replayed_count=1),
        QuarantinedRows("no reason recorded", None, None, "staging", 1),
    )
    assert data.lateness == (
        Lateness("1: up to 1 minute", 9, 0),
        Lateness("2: up to 1 hour", 9, 5),
    )


def test_lateness_is_read_for_the_days_shown_by_day_and_source(tmp_path: Path) -> None:
    rows = [
        late_day("web", SECOND, event_count=7, late_event_count=2, session_count=3),
        late_day("app", SECOND, event_count=5),
        late_day("web", FIRST, event_count=4),
        late_day("web", date(1999, 12, 31), event_count=1, late_event_count=1),
    ]
    release = ShopRelease({**TWO_DAYS, "ops_lateness_daily": rows})
    late_days = read_page_data(
        release.publish(tmp_path), tmp_path / "quality"
    ).late_days
    assert late_days is not None
    assert [(row.day, row.source) for row in late_days] == [
        (FIRST, "web"),
        (SECOND, "app"),
        (SECOND, "web"),
    ]
    assert late_days[-1] == LateDay("web", SECOND, 7, 2, 3, 3, 0, 0, 0, 0, 10, 30)


def test_a_table_that_is_absent_is_told_from_an_empty_one(tmp_path: Path) -> None:
    release = ShopRelease(TWO_DAYS, absent=frozenset({"fct_segments"}))
    data = read_page_data(release.publish(tmp_path), tmp_path / "quality")
    assert data.segments is None
    assert data.experiments == ()


def test_the_manifest_may_leave_out_all_but_nothing_is_invented(tmp_path: Path) -> None:
    published = ShopRelease(TWO_DAYS).publish(tmp_path)
    (published / "manifest.json").unlink()
    manifest = read_page_data(published.resolve(), tmp_path / "quality").manifest
    assert manifest.release_id == ShopRelease.release_id
    assert manifest.data_up_to is None
    assert manifest.code_version is None
    assert manifest.landings == {}


def test_checks_are_those_of_the_release(tmp_path: Path) -> None:
    release = ShopRelease(
        TWO_DAYS, checks=[check("fct_events", "key is unique", status="failed")]
    )
    data = read_page_data(release.publish(tmp_path), tmp_path / "quality")
    assert data.checks == (Check("fct_events", "key is unique", "block", "failed", ""),)


def test_a_release_with_all_contract_columns_can_be_read(tmp_path: Path) -> None:
    release = write_release(tmp_path / "20260302T130000Z", release_tables())
    data = read_page_data(release, tmp_path / "quality")
    assert data.periods is not None
    assert data.experiments is not None
    assert len(data.experiments) == 1


def test_nothing_published_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nearline run"):
        read_page_data(tmp_path / "published", tmp_path / "quality")


def test_a_release_without_its_sessions_is_refused(tmp_path: Path) -> None:
    release = ShopRelease(TWO_DAYS, absent=frozenset({"fct_sessions"}))
    with pytest.raises(InputError, match="no table fct_sessions"):
        read_page_data(release.publish(tmp_path), tmp_path / "quality")


def test_a_broken_manifest_is_refused(tmp_path: Path) -> None:
    published = ShopRelease(TWO_DAYS).publish(tmp_path)
    (published / "manifest.json").write_text(json.dumps({})[:-1])
    with pytest.raises(InputError, match=r"manifest\.json .* is not JSON"):
        read_page_data(published, tmp_path / "quality")
