"""The guide on adding a segment, followed word for word in a copy of the project."""

import re
import shutil
from pathlib import Path

import pytest

from tests.dbt.nasty_visitors import at, event
from tests.dbt.warehouse import DBT_PROJECT, Row, Warehouse
from tests.pipeline import ROOT

GUIDE = ROOT / "docs" / "segments.md"
BEFORE = "    - name: casual_browser\n"


def visits(visitor_id: str, count: int) -> list[Row]:
    """One a day, the first on day 0."""
    return [
        event(f"{visitor_id}_{day}", visitor_id, at("10:00", day=day), "page_view")
        for day in range(count)
    ]


# Five visits within two weeks, four, and five with an order on the second day.
EVENTS = [
    *visits("v_ann00001", 5),
    *visits("v_ben00001", 4),
    *visits("v_cem00001", 5),
    event("order", "v_cem00001", at("10:05", day=1), "purchase", order_id="o_1"),
]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    root = tmp_path_factory.mktemp("segment")
    ignored = shutil.ignore_patterns("target", "logs")
    shutil.copytree(DBT_PROJECT, root / "dbt_project", ignore=ignored)
    (root / "target").mkdir()
    [entry] = re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)
    replace_in(root / "dbt_project", BEFORE, entry + BEFORE)
    warehouse = Warehouse(root / "home", root / "target", root / "dbt_project")
    warehouse.land(EVENTS, "visits")
    warehouse.dbt("run", "--select", "+fct_segments", "bridge_identities")
    return warehouse


def replace_in(project: Path, old: str, new: str) -> None:
    path = project / "dbt_project.yml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_its_members_and_their_primary_segment_are_told(followed: Warehouse) -> None:
    rows = followed.rows(
        "select identifier, segment, valid_from, is_primary from fct_segments "
        "inner join bridge_identities using (person_id) "
        "where is_current and segment in ('window_shopper', 'casual_visitor') "
        "order by all"
    )
    # Of who visits daily, none is a casual browser; ben came four times, which is more
    # than a casual visitor does.
    assert rows == [
        {
            "identifier": "v_ann00001",
            "segment": "window_shopper",
            "valid_from": at("10:00", day=4),
            "is_primary": True,
        }
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (
            "condition: session_count >= {sessions} and",
            "condition: session_count >= {session} and",
            r"\(window_shopper\): threshold sessions is not in the condition",
        ),
        (
            "name: window_shopper",
            "name: cart_abandoner",
            r"\(cart_abandoner\): name is that of another entry",
        ),
        (
            "days: 14",
            "day: 14",
            r"day is not one of name, description, days, .* days must be a whole",
        ),
    ],
    ids=["threshold", "name", "key"],
)
def test_an_entry_that_cannot_be_stops_dbt_and_names_the_fix(
    followed: Warehouse, right: str, wrong: str, told: str
) -> None:
    path = followed.project / "dbt_project.yml"
    before = path.read_text()
    replace_in(followed.project, right, wrong)
    try:
        printed = followed.dbt_refusal("parse")
    finally:
        path.write_text(before)
    assert re.search(told, " ".join(printed.split()))
