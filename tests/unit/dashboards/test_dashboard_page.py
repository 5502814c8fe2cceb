"""The page as a file: what it says, what it never says, how it is written."""

import html
import json
import re
import stat
from datetime import date, datetime
from pathlib import Path

import pytest

from nearline.dashboards import SiteSummary, build_site
from nearline.dashboards.queries import SegmentOverlap, SegmentSize
from nearline.dashboards.sections.segments import segment_overlaps
from nearline.experiments import RESULTS_SCHEMA
from tests.shop_release import (
    ShopRelease,
    check,
    late_day,
    served_day,
    session,
    shop_release,
    with_sessions,
)

DAY = date(2026, 11, 16)
ONE_DAY = with_sessions([session("ann", DAY), session("ben", DAY, is_bounce=True)])


def build(release: ShopRelease, home: Path) -> SiteSummary:
    published = release.publish(home)
    return build_site(published, home / "quality", home / "site")


def page_of(release: ShopRelease, home: Path) -> str:
    return build(release, home).page.read_text(encoding="utf-8")


def words_of(page: str) -> str:
    """The page's text as a reader sees it, without script and style."""
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]*>", " ", page))
    return re.sub(r"\s+", " ", text)


def specifications_of(page: str) -> dict[str, dict[str, object]]:
    found = re.search(r'id="specifications">(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    specifications: dict[str, dict[str, object]] = json.loads(found.group(1))
    return specifications


def drawn_rows(page: str, chart: str) -> list[dict[str, object]]:
    """What a chart draws, row by row; it has one set of data."""
    datasets = specifications_of(page)[chart]["datasets"]
    assert isinstance(datasets, dict)
    (rows,) = datasets.values()
    return list(rows)


@pytest.fixture(scope="module")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("shop")
    release = shop_release(seed=7, person_count=800, day_count=28, last_day=DAY)
    release.publish(home)
    build_site(home / "published", home / "quality", home / "site")
    return home


@pytest.fixture(scope="module")
def shop_page(shop_home: Path) -> str:
    return (shop_home / "site" / "index.html").read_text(encoding="utf-8")


def test_the_page_has_all_its_charts_once(shop_page: str) -> None:
    drawn = re.findall(r'data-chart="([^"]+)"', shop_page)
    assert sorted(drawn) == sorted(specifications_of(shop_page))
    assert set(drawn) == {
        "conversion",
        "engagement",
        "bounce",
        "sessions",
        "revenue",
        "rule-segments",
        "clusters",
        "experiment-0",
        "quarantine",
        "lateness",
        "late-share",
        "served-share",
    }


def test_the_page_names_the_date_of_its_data_and_its_release(shop_page: str) -> None:
    words = words_of(shop_page)
    assert "Data up to 16 Nov 2026, 23:58 UTC" in words
    assert "3\u201316 Nov 2026 against 20 Oct \u2013 2 Nov 2026" in words
    assert "release 20261117T061500Z-3f9c" in words
    assert "12 of 14 checks passed" in words


def test_every_headline_figure_has_an_interval_or_a_reason(shop_page: str) -> None:
    tiles = re.findall(r'id="tile-(\w+)">(.*?)</div>\s*</div>', shop_page, re.DOTALL)
    assert [name for name, _ in tiles] == [
        "conversion",
        "engagement",
        "bounce",
        "revenue",
        "sessions",
    ]
    for _, tile in tiles:
        assert re.search(r"95 % interval|Too little data", words_of(tile))


def test_no_p_value_is_shown(shop_page: str) -> None:
    assert not re.search(r"p[- _]?value|significan", words_of(shop_page), re.IGNORECASE)


def test_charts_have_units_and_dates_without_a_zone(shop_page: str) -> None:
    for name, specification in specifications_of(shop_page).items():
        assert specification["title"], name
        assert specification["width"] == "container"
    conversion = specifications_of(shop_page)["conversion"]
    assert conversion["title"] == "% of sessions"
    assert '"type": "utc"' in json.dumps(conversion)


def test_nothing_in_the_page_has_an_address_to_load(shop_page: str) -> None:
    markup = re.sub(r"<script>.*?</script>", "", shop_page, flags=re.DOTALL)
    assert "//" not in markup
    assert "default-src 'none'" in html.unescape(markup)
    assert shop_page.count("<script>") == 1


def test_the_page_of_a_release_is_the_same_to_the_byte(
    shop_home: Path, shop_page: str
) -> None:
    summary = build_site(
        shop_home / "published", shop_home / "quality", shop_home / "again"
    )
    assert summary.page.read_text(encoding="utf-8") == shop_page
    assert summary.byte_count < 1_500_000


def test_the_page_is_replaced_whole_and_readable_by_a_web_server(
    tmp_path: Path,
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("before")
    with open(tmp_path / "site" / "index.html", encoding="utf-8") as reader:
        summary = build(ShopRelease(ONE_DAY), tmp_path)
        assert reader.read() == "before"
    assert stat.S_IMODE(summary.page.stat().st_mode) == 0o644
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["index.html"]


def test_a_single_day_says_that_it_has_no_previous_period(tmp_path: Path) -> None:
    summary = build(ShopRelease(ONE_DAY), tmp_path)
    words = words_of(summary.page.read_text(encoding="utf-8"))
    assert "One day of data: no previous period" in words
    assert "One day of data: no previous period." in summary.notes
    assert summary.first_day == summary.last_day == DAY


def test_data_without_an_experiment_says_so(tmp_path: Path) -> None:
    summary = build(ShopRelease(ONE_DAY), tmp_path)
    words = words_of(summary.page.read_text(encoding="utf-8"))
    assert "No experiment ran in this data." in words
    assert "No experiment ran in this data." in summary.notes
    assert "Nobody is in a rule segment now." in words
    assert "No row was quarantined." in words
    assert "No check results were recorded for this release." in words


def test_data_without_a_session_says_so(tmp_path: Path) -> None:
    summary = build(ShopRelease(), tmp_path)
    assert summary.chart_count == 0
    assert "no session of a person" in words_of(summary.page.read_text())


def test_an_import_without_dwell_pages_and_consent_is_told_as_such(
    tmp_path: Path,
) -> None:
    tables = with_sessions(
        [
            session(
                f"person-{number}",
                DAY,
                page_view_count=0,
                engaged_seconds=None,
                is_bounce=False if number == 0 else None,
                purchase_count=1 if number == 0 else 0,
                device_class=None,
            )
            for number in range(5)
        ],
        ops_collection_audit=[{"consent_basis": "assumed", "event_count": 5}],
    )
    page = page_of(ShopRelease(tables), tmp_path)
    words = words_of(page)
    assert "This data has no dwell time" in words
    assert "100.0 % of the events came without consent data" in words
    assert "Bounce rate \u2013 Not measured in this data" in words
    assert "bounce" not in specifications_of(page)


def test_several_currencies_are_not_added_up(tmp_path: Path) -> None:
    orders = [
        {
            "session_id": "s",
            "order_date": DAY,
            "currency": currency,
            "revenue_cents": 500,
        }
        for currency in ("EUR", "USD")
    ]
    page = page_of(ShopRelease({**ONE_DAY, "fct_orders": orders}), tmp_path)
    assert "Orders are in several currencies: EUR, USD" in words_of(page)
    assert "revenue" not in specifications_of(page)


def test_the_last_day_is_left_out_while_it_is_not_over(tmp_path: Path) -> None:
    tables = with_sessions(
        [session("ann", date(2026, 11, day)) for day in (14, 15, 16)]
    )
    release = ShopRelease(tables, data_up_to=datetime(2026, 11, 16, 9))
    words = words_of(page_of(release, tmp_path))
    assert "16 Nov 2026 is left out: its data is not complete yet." in words


def test_a_single_unfinished_day_is_shown_and_called_so(tmp_path: Path) -> None:
    release = ShopRelease(ONE_DAY, data_up_to=datetime(2026, 11, 16, 9))
    words = words_of(page_of(release, tmp_path))
    assert (
        "16 Nov 2026 is not complete: its data ends at 16 Nov 2026, 09:00 UTC." in words
    )


def test_a_broken_split_is_an_alarm_and_no_result_is_to_be_read(tmp_path: Path) -> None:
    result: dict[str, object] = dict.fromkeys(RESULTS_SCHEMA.names)
    result |= {
        "experiment_key": "carousel",
        "metric_name": "conversion",
        "metric_kind": "proportion",
        "variant_key": "treatment",
        "control_variant_key": "control",
        "unit_count": 900,
        "control_unit_count": 500,
        "confidence_level": 0.95,
        "srm_p_value": 0.000_012_3,
        "has_srm_alarm": True,
        "method": "two_proportion_z",
        "verdict": "cannot conclude: the arms' sizes are not as planned",
    }
    release = ShopRelease({**ONE_DAY, "fct_experiment_results": [result]})
    words = words_of(page_of(release, tmp_path))
    assert "Sample ratio: alarm." in words
    assert "500 saw control, 900 saw treatment" in words
    assert "Conversion Do not read" in words
    assert "0123" not in words
    assert "1.23" not in words


def test_an_errored_check_is_told_apart_from_a_failed_one(tmp_path: Path) -> None:
    release = ShopRelease(
        ONE_DAY,
        checks=[
            check("fct_events", "key is unique"),
            check("fct_orders", "sums agree", status="failed", message="2 rows differ"),
            check("dim_items", "has rows", status="errored", severity="warn"),
        ],
    )
    words = words_of(page_of(release, tmp_path))
    assert "1 passed 1 failed 1 errored" in words
    assert "sums agree failed fct_orders: 2 rows differ" in words
    assert "has rows errored, warn only" in words


def test_lateness_is_told_day_by_day_and_by_what_it_did(tmp_path: Path) -> None:
    web = late_day(
        "shop_web",
        DAY,
        event_count=400,
        late_event_count=10,
        session_count=50,
        reopened_session_count=5,
        split_session_count=1,
        session_too_long_event_count=2,
        created_too_long_before_sent_event_count=1,
    )
    app = late_day(
        "shop_app", DAY, event_count=100, late_event_count=40, session_count=50
    )
    release = ShopRelease({**ONE_DAY, "ops_lateness_daily": [app, web]})
    page = page_of(release, tmp_path)
    words = words_of(page).replace("\u00a0", " ")
    assert "more than 10 minutes after they happened" in words
    assert (
        "Sessions re-opened 5.0 % (5 of 100). Something arrived after more than "
        "30 minutes of silence" in words
    )
    assert "Saved from a split 1.0 % (1 of 100)." in words
    assert "Events set aside 3, which are in no other figure: 2 came in" in words
    assert "1 had waited on the device" in words
    assert "Day From shop_web From shop_app" in words
    assert "Mon 16 Nov 2.5 % (10 of 400) 40.0 % (40 of 100)" in words
    assert "All sources 10.0 % (50) 5.0 % (5) 1.0 % (1) 3" in words
    (monday,) = drawn_rows(page, "late-share")
    assert (monday["value_line_1"], monday["value_line_2"]) == (2.5, 40.0)


def test_sources_beyond_the_lines_of_a_chart_are_drawn_as_one(tmp_path: Path) -> None:
    rows = [
        late_day(f"shop_{number}", DAY, event_count=100 - number, late_event_count=1)
        for number in range(6)
    ]
    page = page_of(ShopRelease({**ONE_DAY, "ops_lateness_daily": rows}), tmp_path)
    words = words_of(page).replace("\u00a0", " ")
    assert "Day From shop_0 From shop_1 From shop_2 From 3 other sources" in words
    assert "1.0 % (3 of 288)" in words


def test_a_day_without_events_has_no_share_of_late_ones(tmp_path: Path) -> None:
    tables = with_sessions([session("ann", DAY.replace(day=day)) for day in (15, 16)])
    rows = [late_day("shop_web", DAY, event_count=9)]
    page = page_of(ShopRelease({**tables, "ops_lateness_daily": rows}), tmp_path)
    words = words_of(page).replace("\u00a0", " ")
    assert "Sun 15 Nov no events Mon 16 Nov 0.0 % (0 of 9)" in words
    sunday, _ = drawn_rows(page, "late-share")
    assert sunday["value_line_1"] is None


def test_sessions_of_a_source_with_its_own_ids_are_called_not_measured(
    tmp_path: Path,
) -> None:
    row = late_day("rees46", DAY, event_count=9, session_count=3)
    row["measured_session_count"] = 0
    words = words_of(
        page_of(ShopRelease({**ONE_DAY, "ops_lateness_daily": [row]}), tmp_path)
    )
    assert "Sessions re-opened Not measured in this data." in words
    assert "Sessions not measured 3. Their source says itself" in words


def test_lateness_says_what_is_missing(tmp_path: Path) -> None:
    empty = words_of(page_of(ShopRelease(ONE_DAY), tmp_path / "empty"))
    assert empty.count("No event happened in these days.") == 2
    release = ShopRelease(ONE_DAY, absent=frozenset({"ops_lateness_daily"}))
    absent = words_of(page_of(release, tmp_path / "absent"))
    assert absent.count("This release has no table of lateness by day.") == 2


def test_served_values_are_told_day_by_day_and_feature_by_feature(
    tmp_path: Path,
) -> None:
    wrong = served_day(
        "engaged_seconds_1h",
        DAY,
        served_count=110,
        mismatched_count=3,
        missing_count=1,
        extra_count=1,
        pending_count=10,
        max_difference=2.5,
    )
    live = served_day(
        "page_view_count_1h", DAY, speed="live", served_count=7, pending_count=7
    )
    right = served_day("page_view_count_1h", DAY.replace(day=14), served_count=100)
    page = page_of(
        ShopRelease({**ONE_DAY, "ops_parity": [wrong, live, right]}), tmp_path
    )
    words = words_of(page).replace("\u00a0", " ")
    assert "Wrong 5 of 200: 3 differ from the table; 1 were served as" in words
    assert "1 were served and are unknown." in words
    assert "Not compared yet 17 values, newer than what the tables hold." in words
    assert "Day From the last run Live" in words
    assert "Sat 14 Nov 0.0 % (0 of 100) nothing served" in words
    assert "Sun 15 Nov nothing served nothing served" in words
    assert "Mon 16 Nov 5.0 % (5 of 100) not compared yet" in words
    assert "engaged_seconds_1h 5 100 2.5 visitor_activity_1h_v1" in words
    days = drawn_rows(page, "served-share")
    assert [day["value_line_1"] for day in days] == [0.0, None, 5.0]


def test_served_values_say_what_is_missing(tmp_path: Path) -> None:
    empty = words_of(page_of(ShopRelease(ONE_DAY), tmp_path / "empty"))
    assert empty.count("No app has read a feature of a sampled visitor") == 2
    release = ShopRelease(ONE_DAY, absent=frozenset({"ops_parity"}))
    absent = words_of(page_of(release, tmp_path / "absent"))
    assert absent.count("This release has no table of served values.") == 2


def test_names_from_the_data_are_text_and_never_markup(tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    release = ShopRelease(
        {
            **ONE_DAY,
            "fct_segments": [
                {
                    "person_id": "ann",
                    "segment": hostile,
                    "segment_kind": "rule",
                    "is_current": True,
                    "is_primary": True,
                }
            ],
            "fct_exposures": [
                {
                    "experiment_key": hostile,
                    "variant_key": hostile,
                    "unit_id": "v1",
                    "exposed_at": datetime(2026, 11, 16),
                    "variant_count": 1,
                }
            ],
            "ops_quarantine": [
                {"reason": hostile, "field": hostile, "quarantined_stage": hostile}
            ],
            "ops_lateness_daily": [late_day(hostile, DAY, event_count=1)],
            "ops_parity": [
                served_day(hostile, DAY, served_count=1) | {"view_name": hostile}
            ],
        },
        checks=[check(hostile, hostile, status=hostile, message=hostile)],
    )
    page = page_of(release, tmp_path)
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "<img" not in markup
    assert hostile in html.unescape(markup)
    assert markup.count("</script>") == 2


def test_segments_that_share_persons_are_shown_with_the_share() -> None:
    def rule(segment: str, person_count: int) -> SegmentSize:
        return SegmentSize(segment, "rule", person_count, 0, 1.0, 1.0, 0.0)

    sizes = [rule("casual_visitor", 40), rule("cart_abandoner", 10), rule("other", 1)]
    shared = [SegmentOverlap("cart_abandoner", "casual_visitor", 4)]
    table = segment_overlaps(sizes, shared)
    assert table is not None
    assert table.columns[1:] == ("Casual visitor", "Cart abandoner", "Other")
    assert [row[1:] for row in table.rows] == [
        ("\u2013", "4 (10\u00a0%)", "0 (0\u00a0%)"),
        ("4 (40\u00a0%)", "\u2013", "0 (0\u00a0%)"),
        ("0 (0\u00a0%)", "0 (0\u00a0%)", "\u2013"),
    ]
    assert segment_overlaps(sizes, []) is None
