"""What a release check says of releases that are sound, broken, or not readable.

Expected values are literal: each defect is one change to the rows of `tests.releases`.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from expectations.runner import CheckResult, blocking, check_release
from expectations.suites import release_suites
from nearline.errors import InputError
from tests.releases import (
    DBT_PROJECT,
    NOON,
    PUBLISHED_TABLES,
    SCHEMAS,
    Tables,
    release_tables,
    write_release,
)

REQUIRED_TABLES = {table.name for table in PUBLISHED_TABLES}
CHECKED_AT = datetime(2026, 3, 3, 4, 5, 6, tzinfo=UTC)


def _check(
    tmp_path: Path, tables: Tables, schemas: dict[str, dict[str, pa.DataType]] = SCHEMAS
) -> list[CheckResult]:
    release = write_release(tmp_path / "releases" / "r1", tables, schemas)
    return check_release(
        release, tmp_path / "quality", required_tables=(), clock=lambda: CHECKED_AT
    )


def _amiss(results: list[CheckResult]) -> set[tuple[str, str, str, str]]:
    return {
        (result.table, result.check, result.severity, result.status)
        for result in results
        if result.status != "passed"
    }


def _only(*names: str) -> Tables:
    tables = release_tables()
    return {name: tables[name] for name in names}


def test_suites_cover_exactly_the_published_tables():
    assert {suite.table for suite in release_suites(DBT_PROJECT)} == REQUIRED_TABLES


def test_sound_release_passes_and_is_written_down(tmp_path):
    release = write_release(tmp_path / "releases" / "r1", release_tables())

    results = check_release(release, tmp_path / "quality", clock=lambda: CHECKED_AT)

    assert _amiss(results) == set()
    assert {result.table for result in results} == REQUIRED_TABLES
    assert {result.topic for result in results} == {"quality", "privacy"}
    kept = json.loads((tmp_path / "quality" / "r1" / "checks.json").read_text())
    assert kept["format"] == 1
    assert kept["release_id"] == "r1"
    assert kept["checked_at"] == "2026-03-03T04:05:06+00:00"
    assert kept["is_blocked"] is False
    assert kept["counts"] == {
        "passed": len(results),
        "failed": 0,
        "errored": 0,
        "warned": 0,
    }
    assert [check["check"] for check in kept["checks"]] == [
        result.check for result in results
    ]
    unique = next(
        check
        for check in kept["checks"]
        if (check["table"], check["check"]) == ("fct_events", "event_id_is_unique")
    )
    assert unique["checked_row_count"] == 9
    assert unique["status"] == "passed"
    assert unique["severity"] == "block"
    assert unique["column"] == "event_id"
    assert [path.name for path in (tmp_path / "quality" / "r1").iterdir()] == [
        "checks.json"
    ]


def test_empty_tables_pass(tmp_path):
    tables: Tables = {name: [] for name in SCHEMAS}

    results = check_release(
        write_release(tmp_path / "r1", tables), tmp_path / "quality"
    )

    assert _amiss(results) == set()


def _session_event_count_is_one_too_many(tables: Tables) -> None:
    tables["fct_sessions"][0]["event_count"] = 7


def _two_wrong_sums_cancel_out(tables: Tables) -> None:
    tables["fct_sessions"][0]["item_view_count"] = 0
    tables["fct_sessions"][1]["item_view_count"] = 1


def _session_seconds_are_off_by_a_millisecond(tables: Tables) -> None:
    tables["fct_sessions"][0]["engaged_seconds"] = 20.001


def _session_revenue_is_missing(tables: Tables) -> None:
    tables["fct_sessions"][0]["revenue_cents"] = None


def _session_is_lost(tables: Tables) -> None:
    del tables["fct_sessions"][2]


def _event_comes_twice(tables: Tables) -> None:
    twin = dict(tables["fct_events"][8], session_event_number=2)
    tables["fct_events"].append(twin)
    tables["fct_sessions"][2].update(event_count=2, page_view_count=2)
    tables["fct_page_views"] += [dict(tables["fct_page_views"][2])]
    tables["fct_page_views"][2].update(page_view_id="e0000007", is_exit=False)
    tables["fct_page_views"][3].update(page_view_id="e0000009", is_landing=False)
    tables["fct_page_views"][1].update(page_view_id="e0000001")
    tables["fct_page_views"][0].update(page_view_id="e0000002")


def _numbers_of_events_have_a_gap(tables: Tables) -> None:
    tables["fct_events"][5]["session_event_number"] = 7


def _event_happens_after_it_arrives(tables: Tables) -> None:
    event = tables["fct_events"][2]
    event["received_at"] = event["occurred_at"] - timedelta(seconds=301)


def _event_is_dated_a_day_late(tables: Tables) -> None:
    tables["fct_events"][3]["event_date"] = date(2026, 3, 3)


def _scroll_is_a_percentage(tables: Tables) -> None:
    tables["fct_events"][2]["scroll_rate"] = 75.0


def _exposure_without_variant(tables: Tables) -> None:
    tables["fct_events"][3]["variant_key"] = None


def _bounce_is_also_engaged(tables: Tables) -> None:
    tables["fct_sessions"][0]["is_bounce"] = True


def _page_view_is_lost(tables: Tables) -> None:
    del tables["fct_page_views"][1]


def _event_loses_its_session(tables: Tables) -> None:
    tables["fct_events"][8].update(session_id=None, session_event_number=None)


def _page_view_is_outside_sessions(tables: Tables) -> None:
    tables["fct_events"].append(
        _snapshot(tables, is_page_view=True, event_name="page_view")
    )


def _snapshot(tables: Tables, **fields: Any) -> dict[str, Any]:
    """An event of a source that makes no sessions."""
    return {
        **tables["fct_events"][8],
        "event_id": "e0000099",
        "event_name": "purchase",
        "source": "crm",
        "session_id": None,
        "session_event_number": None,
        "is_page_view": False,
        **fields,
    }


def test_events_of_a_source_without_sessions_pass(tmp_path: Path):
    tables = _only("fct_events", "fct_page_views", "fct_sessions", "dim_persons")
    tables["fct_events"].append(_snapshot(tables))

    assert _amiss(_check(tmp_path, tables)) == set()


@pytest.mark.parametrize(
    ("plant", "table", "check"),
    [
        (
            _event_loses_its_session,
            "fct_events",
            "sources_make_sessions_of_all_events_or_of_none",
        ),
        (
            _page_view_is_outside_sessions,
            "fct_events",
            "nothing_is_seen_outside_sessions",
        ),
        (
            _session_event_count_is_one_too_many,
            "fct_sessions",
            "event_count_equals_its_events",
        ),
        (
            _two_wrong_sums_cancel_out,
            "fct_sessions",
            "item_view_count_equals_its_events",
        ),
        (
            _session_seconds_are_off_by_a_millisecond,
            "fct_sessions",
            "engaged_seconds_equals_its_events",
        ),
        (
            _session_revenue_is_missing,
            "fct_sessions",
            "revenue_cents_equals_its_events",
        ),
        (_session_is_lost, "fct_events", "session_id_exists_in_fct_sessions"),
        (_event_comes_twice, "fct_events", "event_id_is_unique"),
        (
            _numbers_of_events_have_a_gap,
            "fct_events",
            "events_of_a_session_are_numbered_without_gap",
        ),
        (
            _event_happens_after_it_arrives,
            "fct_events",
            "occurred_at_is_not_after_received_at",
        ),
        (
            _event_is_dated_a_day_late,
            "fct_events",
            "event_date_is_the_day_of_occurred_at",
        ),
        (_scroll_is_a_percentage, "fct_events", "scroll_rate_is_in_range"),
        (_exposure_without_variant, "fct_events", "exposure_names_its_variant"),
        (_bounce_is_also_engaged, "fct_sessions", "a_bounce_is_not_engaged"),
        (_page_view_is_lost, "fct_sessions", "page_views_are_all_there"),
    ],
)
def test_defect_in_behaviour_blocks_where_it_is(
    tmp_path: Path, plant: Callable[[Tables], None], table: str, check: str
):
    tables = _only("fct_events", "fct_page_views", "fct_sessions", "dim_persons")
    plant(tables)

    results = _check(tmp_path, tables)

    assert (table, check, "block", "failed") in _amiss(results)
    assert {status for _, _, _, status in _amiss(results)} == {"failed"}
    assert blocking(results)


def _decided() -> Tables:
    """A release with one decision, which was clicked and sold something."""
    tables = _only("fct_events", "fct_decisions", "dim_persons")
    exposure = tables["fct_events"][3]
    decision = {**exposure, "event_id": "d-1", "event_name": "decision"}
    tables["fct_events"].append(decision)
    tables["fct_decisions"] = [
        {
            "decision_id": "d-1",
            **{name: exposure[name] for name in ("visitor_id", "person_id", "source")},
            "decided_at": NOON,
            "decision_date": NOON.date(),
            "outcome_until": NOON + timedelta(days=1),
            "slot": "home",
            "candidates": ["sku-1", "sku-2"],
            "candidate_scores": [0.123456789012345, None],
            "candidate_probabilities": [0.95, 0.05],
            "chosen": ["sku-1"],
            "choice": "sku-1",
            "probability": 0.95,
            "exposure_count": 1,
            "click_count": 1,
            "is_clicked": True,
            "add_to_cart_count": 0,
            "purchase_count": 1,
            "revenue_cents": 4999,
            **dict.fromkeys(
                (
                    "is_explored",
                    "is_held_out",
                    "is_outcome_complete",
                    "has_personalization_consent",
                    "is_bot",
                ),
                False,
            ),
        }
    ]
    return tables


def _amiss_of_decisions(results: list[CheckResult]) -> set[tuple[str, str, str]]:
    return {
        (check, severity, status)
        for table, check, severity, status in _amiss(results)
        if table == "fct_decisions"
    }


def test_a_sound_decision_passes(tmp_path):
    assert _amiss_of_decisions(_check(tmp_path, _decided())) == set()


@pytest.mark.parametrize(
    ("fields", "check"),
    [
        ({"decision_id": "d-2"}, "decision_id_exists_in_fct_events"),
        ({"probability": 1.5}, "probability_is_in_range"),
        ({"is_clicked": False}, "a_click_is_counted"),
        ({"purchase_count": 0}, "revenue_is_of_purchases"),
        ({"choice": "anna@example.com"}, "choice_has_no_direct_identifier"),
    ],
)
def test_a_defect_of_a_decision_blocks(tmp_path, fields, check):
    tables = _decided()
    tables["fct_decisions"][0].update(fields)

    assert _amiss_of_decisions(_check(tmp_path, tables)) == {(check, "block", "failed")}


@pytest.fixture(scope="module")
def spoilt_marts(tmp_path_factory: pytest.TempPathFactory) -> list[CheckResult]:
    tables = release_tables()
    tables["fct_orders"].append(dict(tables["fct_orders"][0]))
    tables["fct_order_items"][0]["order_id"] = "unknown-order"
    tables["dim_items"][0]["price_cents"] = -1
    tables["dim_persons"][0]["last_seen_at"] = NOON - timedelta(days=1)
    tables["bridge_identities"][0]["identifier_type"] = "device"
    tables["fct_identity_links"][0]["refused_reason"] = "shared_device"
    tables["fct_segments"][0]["is_current"] = False
    tables["fct_exposures"].append(dict(tables["fct_exposures"][0]))
    tables["fct_experiment_metrics"][0]["value_sum"] = 2.0
    tables["fct_experiment_results"][0].update(ci_low=1.5, has_srm_alarm=True)
    tables["fct_daily_metrics"][0]["session_count"] = 5
    tables["ftr_item__activity_24h"] *= 2
    tables["ftr_visitor__activity_1h"][0]["page_view_count_1h"] = None
    tables["ftr_visitor__latest"][0]["created_timestamp"] = NOON + timedelta(days=9)
    tables["ops_quarantine"] *= 200
    tables["ops_lateness"][0].update(event_count=300, is_late=True)
    tables["ops_lateness_daily"][0].update(
        session_count=2, reopened_session_count=4, set_aside_event_count=1
    )
    tables["ops_parity"][0].update(mismatched_count=1, mean_difference=0.5)
    del tables["ops_collection_audit"][0]
    root = tmp_path_factory.mktemp("spoilt")
    return check_release(write_release(root / "r1", tables), root / "quality")


@pytest.mark.parametrize(
    ("table", "check", "severity"),
    [
        ("fct_orders", "source_and_order_id_are_unique", "block"),
        ("fct_order_items", "order_id_exists_in_fct_orders", "block"),
        ("dim_items", "price_cents_is_in_range", "block"),
        ("dim_persons", "first_seen_at_is_not_after_last_seen_at", "block"),
        ("bridge_identities", "identifier_type_is_known", "block"),
        ("fct_identity_links", "a_link_is_held_or_refused", "block"),
        ("fct_segments", "is_current_means_open", "block"),
        (
            "fct_exposures",
            "experiment_key_and_unit_id_are_unique",
            "block",
        ),
        ("fct_experiment_metrics", "a_proportion_counts_units", "block"),
        ("fct_experiment_metrics", "variance_is_not_negative", "block"),
        ("fct_experiment_results", "estimate_is_inside_its_interval", "block"),
        ("fct_experiment_results", "sample_ratio_is_as_planned", "warn"),
        ("fct_daily_metrics", "session_count_equals_the_sessions", "block"),
        ("ftr_item__activity_24h", "item_id_and_event_timestamp_are_unique", "block"),
        ("ftr_visitor__activity_1h", "page_view_count_1h_is_not_null", "block"),
        ("ftr_visitor__latest", "nothing_is_known_before_it_arrives", "block"),
        ("ops_quarantine", "few_rows_are_refused", "warn"),
        ("ops_lateness", "few_events_are_late", "warn"),
        ("ops_lateness_daily", "parts_are_within_their_wholes", "block"),
        ("ops_lateness_daily", "reasons_sum_to_what_is_set_aside", "block"),
        ("ops_lateness_daily", "event_count_equals_the_arrivals", "block"),
        ("ops_lateness_daily", "session_count_equals_the_sessions", "block"),
        ("ops_parity", "outcomes_sum_to_what_was_served", "block"),
        ("ops_parity", "mean_is_within_the_largest", "block"),
        ("ops_collection_audit", "every_published_event_is_audited", "block"),
    ],
)
def test_defect_in_a_mart_is_found(
    spoilt_marts: list[CheckResult], table: str, check: str, severity: str
):
    assert (table, check, severity, "failed") in _amiss(spoilt_marts)


def test_nothing_but_the_planted_defects_is_found(spoilt_marts: list[CheckResult]):
    assert len(_amiss(spoilt_marts)) == 25


def test_warnings_do_not_block(tmp_path):
    tables = _only("ops_lateness")
    tables["ops_lateness"][0].update(event_count=300, is_late=True)

    results = _check(tmp_path, tables)

    assert _amiss(results) == {
        ("ops_lateness", "few_events_are_late", "warn", "failed")
    }
    assert blocking(results) == []


def test_message_names_table_column_and_counts(tmp_path):
    tables = _only("dim_items")
    tables["dim_items"][0]["price_cents"] = -123456

    (result,) = blocking(_check(tmp_path, tables))

    assert result.message == (
        "dim_items.price_cents: breaks the rule that price_cents is at least 0 "
        "(1 time in 1 row)"
    )


def test_missing_column_errs_without_taking_other_checks_along(tmp_path):
    tables = _only("fct_events", "fct_page_views", "fct_sessions", "dim_persons")
    schemas = {name: dict(columns) for name, columns in SCHEMAS.items()}
    del schemas["fct_sessions"]["engaged_seconds"]
    for row in tables["fct_sessions"]:
        del row["engaged_seconds"]

    results = _check(tmp_path, tables, schemas)

    assert _amiss(results) == {
        ("fct_sessions", "has_its_columns", "block", "failed"),
        ("fct_sessions", "engaged_seconds_is_in_range", "block", "errored"),
        ("fct_sessions", "engaged_seconds_equals_its_events", "block", "errored"),
        (
            "fct_page_views",
            "engaged_seconds_are_within_the_session",
            "block",
            "errored",
        ),
    }
    columns = next(
        result
        for result in results
        if result.check == "has_its_columns" and result.table == "fct_sessions"
    )
    assert "missing: engaged_seconds" in columns.message
    kept = json.loads((tmp_path / "quality" / "r1" / "checks.json").read_text())
    assert kept["is_blocked"] is True
    assert (kept["counts"]["failed"], kept["counts"]["errored"]) == (1, 3)


def test_column_of_another_type_is_named(tmp_path):
    tables = _only("ftr_item__activity_7d")
    schemas = {name: dict(columns) for name, columns in SCHEMAS.items()}
    schemas["ftr_item__activity_7d"]["event_timestamp"] = pa.timestamp("us", tz="UTC")

    results = _check(tmp_path, tables, schemas)

    columns = next(result for result in results if result.check == "has_its_columns")
    assert columns.status == "failed"
    assert "event_timestamp is other, not timestamp" in columns.message


def test_absent_required_table_is_an_error(tmp_path):
    release = write_release(tmp_path / "r1", _only("dim_items"))

    results = check_release(
        release, tmp_path / "quality", required_tables=("dim_items", "dim_persons")
    )

    assert _amiss(results) == {("dim_persons", "is_in_the_release", "block", "errored")}


def test_unreadable_file_is_an_error_of_its_table(tmp_path):
    release = write_release(tmp_path / "r1", _only("dim_items"))
    (release / "dim_persons.parquet").write_text("no Parquet; anna@example.com")

    results = check_release(release, tmp_path / "quality", required_tables=())

    assert _amiss(results) == {("dim_persons", "is_readable", "block", "errored")}
    assert not any("anna" in result.message for result in results)


def test_missing_release_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no release at"):
        check_release(tmp_path / "r1", tmp_path / "quality")


def test_importing_the_runner_does_not_import_great_expectations():
    code = (
        "import sys, expectations.runner; "
        "sys.exit('great_expectations' in sys.modules or 'pandas' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
