"""Great Expectations' results as Dagster checks."""

from dataclasses import replace

import dagster as dg

from expectations.results import CheckResult
from orchestration.lib.checking import BLOCKS, of_severity, summarize

ASSET = dg.AssetKey("candidate_release")
KEPT = CheckResult(
    "fct_events", "event_id_is_unique", "block", "passed", "keeps it", 10, 0.1
)


def test_check_passes_when_all_expectations_hold() -> None:
    check = summarize(ASSET, "quality_fct_events", [KEPT, KEPT], BLOCKS)

    assert check.passed
    assert check.description == "all 2 expectations hold"


def test_check_fails_in_the_words_of_what_broke() -> None:
    broken = replace(KEPT, status="failed", message="fct_events.page_title: breaks it")

    check = summarize(ASSET, "privacy_fct_events", [KEPT, broken], BLOCKS)

    assert not check.passed
    assert check.description == "fct_events.page_title: breaks it"
    assert check.metadata["expectations_broken"].value == 1
    assert check.metadata["expectations_errored"].value == 0


def test_expectation_that_could_not_be_asked_fails_the_check_and_is_told_apart() -> (
    None
):
    errored = replace(KEPT, status="errored", message="could not be checked")

    check = summarize(ASSET, "quality_fct_events", [errored], BLOCKS)

    assert not check.passed
    assert check.metadata["expectations_errored"].value == 1
    assert check.metadata["expectations_broken"].value == 0


def test_warnings_are_kept_apart_from_what_blocks() -> None:
    warning = replace(KEPT, severity="warn")

    assert of_severity([KEPT, warning], "block") == [KEPT]
    assert of_severity([KEPT, warning], "warn") == [warning]
