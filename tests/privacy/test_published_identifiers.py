"""Identifiers planted in a release: found where they are, repeated nowhere."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from expectations.runner import CheckResult, check_release
from tests.releases import NOON, SCHEMAS, release_tables, write_release

ADDRESS = "anna.planted@example.com"
PHONE = "+49 170 7654321"
IP = "203.0.113.77"
ACCOUNT = "87654321"

# Whatever is written after the check may hold none of these.
TRACES = (
    "anna.planted",
    quote(ADDRESS, safe=""),
    quote(quote(ADDRESS, safe=""), safe=""),
    "u0040example",
    "7654321",
    IP,
)


@dataclass(frozen=True, slots=True)
class Checked:
    root: Path
    results: list[CheckResult]


def _check_planted(root: Path) -> Checked:
    tables = release_tables()
    events = tables["fct_events"]
    events[0]["page_title"] = f"Hello {ADDRESS}"
    events[0]["page_path"] = f"/u/{quote(ADDRESS, safe='')}"
    events[0]["utm_content"] = quote(quote(ADDRESS, safe=""), safe="")
    events[1]["properties"] = json.dumps({"note": [{"to": ADDRESS}]}).replace(
        "@", "\\u0040"
    )
    events[2]["search_term"] = f"call {PHONE}"
    events[6]["referrer_host"] = IP
    events[6]["user_id"] = ACCOUNT
    tables["fct_sessions"][1]["visitor_id"] = ACCOUNT
    tables["fct_orders"][0]["order_id"] = ADDRESS
    tables["bridge_identities"][1]["identifier"] = ACCOUNT
    tables["ops_quarantine"][0]["source_file"] = f"exports/{ADDRESS}.csv"
    tables["ops_new_table"] = [{"comment": quote(ADDRESS, safe=""), "size": 1}]
    tables["ftr_visitor__activity_7d"].append(
        {**tables["ftr_visitor__activity_7d"][0], "visitor_id": "v_ben000001"}
    )
    tables["ftr_visitor__latest"][0].update(
        event_timestamp=NOON, created_timestamp=NOON
    )
    # A check that cannot be asked: the error that DuckDB raises quotes the value.
    for event in events:
        event["session_event_number"] = str(event["session_event_number"])
    events[7]["session_event_number"] = ADDRESS
    schemas = {name: dict(columns) for name, columns in SCHEMAS.items()}
    schemas["ops_new_table"] = {"comment": pa.string(), "size": pa.int64()}
    schemas["fct_events"]["session_event_number"] = pa.string()
    release = write_release(root / "releases" / "r1", tables, schemas)
    return Checked(
        root, check_release(release, root / "quality", root / "site" / "data_docs")
    )


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    return _check_planted(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        ("fct_events", "page_title", "e-mail address"),
        ("fct_events", "page_path", "e-mail address"),
        ("fct_events", "utm_content", "e-mail address"),
        ("fct_events", "properties", "e-mail address"),
        ("fct_events", "search_term", "phone number"),
        ("fct_events", "referrer_host", "IP address"),
        ("fct_events", "session_event_number", "e-mail address"),
        ("ops_quarantine", "source_file", "e-mail address"),
        ("ops_new_table", "comment", "e-mail address"),
    ],
)
def test_identifier_in_text_blocks(checked, table, column, kind):
    (result,) = [
        result
        for result in checked.results
        if (result.table, result.column, result.topic) == (table, column, "privacy")
    ]
    assert (result.status, result.severity) == ("failed", "block")
    assert f"{table}.{column}" in result.message
    assert f"1 time in {result.checked_row_count} row" in result.message
    assert kind in result.message


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("fct_events", "user_id"),
        ("fct_sessions", "visitor_id"),
        ("fct_orders", "order_id"),
        ("bridge_identities", "identifier"),
    ],
)
def test_id_without_its_declared_form_blocks(checked, table, column):
    (result,) = [
        result
        for result in checked.results
        if (result.table, result.check) == (table, f"{column}_has_its_form")
    ]
    assert (result.status, result.severity) == ("failed", "block")


def test_nothing_else_is_taken_for_an_identifier(checked):
    found = {
        (result.table, result.column)
        for result in checked.results
        if result.topic == "privacy"
        and result.status != "passed"
        and result.check != "visitors_have_consented"
    }
    assert len(found) == 9 + 4


@pytest.mark.parametrize("table", ["ftr_visitor__activity_7d", "ftr_visitor__latest"])
def test_feature_without_consent_by_then_blocks(checked, table):
    (result,) = [
        result
        for result in checked.results
        if (result.table, result.check) == (table, "visitors_have_consented")
    ]
    assert (result.status, result.severity) == ("failed", "block")
    assert "(1 time in" in result.message


def test_features_of_consented_visitors_pass(checked):
    (result,) = [
        result
        for result in checked.results
        if (result.table, result.check)
        == ("ftr_visitor__activity_1h", "visitors_have_consented")
    ]
    assert result.status == "passed"


@pytest.mark.parametrize(
    ("is_declared_bot", "has_consent", "status"),
    [
        (False, True, "passed"),
        (False, False, "failed"),
        (False, None, "failed"),
        (True, True, "failed"),
    ],
)
def test_features_of_a_bot_need_consent_and_no_declaration(
    tmp_path, is_declared_bot, has_consent, status
):
    tables = release_tables()
    crawl = tables["fct_events"][8]
    crawl.update(
        is_declared_bot=is_declared_bot, has_personalization_consent=has_consent
    )
    feature = {
        **tables["ftr_visitor__latest"][0],
        "visitor_id": crawl["visitor_id"],
        "event_timestamp": crawl["received_at"],
        "created_timestamp": crawl["received_at"],
    }
    release = write_release(
        tmp_path / "r1",
        {"fct_events": tables["fct_events"], "ftr_visitor__latest": [feature]},
    )

    results = check_release(release, tmp_path / "quality", required_tables=())

    (result,) = [r for r in results if r.check == "visitors_have_consented"]
    assert result.status == status


def test_event_without_analytics_consent_blocks(tmp_path):
    tables = release_tables()
    tables["fct_events"][0]["has_analytics_consent"] = None

    results = check_release(
        write_release(tmp_path / "r1", {"fct_events": tables["fct_events"]}),
        tmp_path / "quality",
        required_tables=(),
    )

    (result,) = [r for r in results if r.check == "events_have_analytics_consent"]
    assert result.status == "failed"


def test_check_that_cannot_be_asked_is_told_apart(checked):
    statuses = {
        result.check: result.status
        for result in checked.results
        if result.table == "fct_events"
    }
    assert statuses["events_of_a_session_are_numbered_without_gap"] == "errored"


def test_no_planted_value_is_in_anything_that_was_written(checked):
    written = [
        path
        for folder in ("quality", "site")
        for path in (checked.root / folder).rglob("*")
        if path.is_file()
    ]
    assert {"checks.json", "index.html"} <= {path.name for path in written}
    for path in written:
        content = path.read_bytes()
        for trace in TRACES:
            assert trace.encode() not in content, (path.name, TRACES.index(trace))


def test_no_planted_value_is_in_a_result(checked):
    for result in checked.results:
        for trace in TRACES:
            assert trace not in repr(result)


def test_nothing_is_said_on_the_console_or_in_the_log(
    tmp_path, capfd, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    _check_planted(tmp_path)
    captured = capfd.readouterr()
    for trace in TRACES:
        assert trace not in captured.out
        assert trace not in captured.err
        assert trace not in caplog.text


def test_pages_stand_alone(checked):
    pages = list((checked.root / "site" / "data_docs").rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text()
        assert "http:" not in text.replace("http-equiv", "")
        assert "https:" not in text
        assert "<script" not in text


def test_front_page_tells_what_did_not_pass_and_links_the_suites(checked):
    folder = checked.root / "site" / "data_docs"
    index = (folder / "index.html").read_text()
    assert "fct_events.page_title: breaks the rule" in index
    links = [part.split("'")[0] for part in index.split("href='")[1:]]
    assert len(links) > 40
    assert all((folder / link).is_file() for link in links)


def test_pages_of_the_run_before_are_replaced(checked, tmp_path):
    tables = {"dim_items": release_tables()["dim_items"]}
    docs = tmp_path / "site" / "data_docs"
    for name in ("r1", "r2"):
        check_release(
            write_release(tmp_path / name, tables),
            tmp_path / "quality",
            docs,
            required_tables=(),
        )
    assert "Checks of r2" in (docs / "index.html").read_text()
    assert [path.name for path in docs.parent.iterdir()] == ["data_docs"]
    assert len(list((docs / "validations").rglob("*.html"))) == 2
