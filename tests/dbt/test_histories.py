"""Thousands of drawn histories, in any order of arrival, against a full rebuild.

A second opinion in plain Python says what sessions and persons they make.
"""

from collections import Counter
from pathlib import Path

import pytest

from nearline.publication.tables import PUBLISHED_TABLES
from tests.dbt.histories import RUNS, draw_histories
from tests.dbt.history_runs import Built, build, compare, explain
from tests.dbt.warehouse import Warehouse


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((3_000, 1), id="thousands"),
        pytest.param(
            (25_000, 1_000), id="tens_of_thousands", marks=pytest.mark.services
        ),
    ],
)
def built(request: pytest.FixtureRequest, homes: Path, target: Path) -> Built:
    count, first_seed = request.param
    histories = draw_histories(count, first_seed)
    return build(histories, Warehouse(homes / f"histories_{count}", target))


def test_any_order_of_arrival_ends_in_the_tables_of_a_rebuild(
    built: Built, homes: Path
) -> None:
    assert {table.name for table in PUBLISHED_TABLES} <= built.rebuilt.tables().keys()

    findings = compare(built)

    if findings.by_history or findings.of_all:
        pytest.fail(explain(findings, built, homes))
