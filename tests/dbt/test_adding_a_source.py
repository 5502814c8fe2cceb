"""The guide on adding a source, followed word for word in a copy of the project."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.dbt.test_sources import KEY, as_event, event_texts, resolved
from tests.dbt.warehouse import DBT_PROJECT, Warehouse
from tests.pipeline import ROOT, Home
from tests.unit.landing.event_files import all_bytes

GUIDE = ROOT / "docs" / "sources" / "adding-a-source.md"
_BLOCK = re.compile(r"^`([\w./-]+)`\n\n```\w+\n(.*?)^```$", re.M | re.S)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, Path]:
    """The guide's files written, its command run as pasted, dbt run."""
    root = tmp_path_factory.mktemp("guide")
    ignored = shutil.ignore_patterns("target", "logs")
    shutil.copytree(DBT_PROJECT, root / "dbt_project", ignore=ignored)
    guide = GUIDE.read_text()
    for name, content in _BLOCK.findall(guide):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    settings = root / "dbt_project" / "dbt_project.yml"
    settings.write_text(
        settings.read_text().replace("event_formats: [", "event_formats: [till, ")
    )
    home = Home(
        root / "home",
        {
            "NEARLINE_DBT_PROJECT": str(root / "dbt_project"),
            "NEARLINE_PSEUDONYM_KEY": KEY,
        },
    )
    [(command, says)] = re.findall(r"^\$ nearline (ingest .*)\n(.*)$", guide, re.M)
    done = home.nearline(*command.split(), cwd=root)
    assert done.stdout.strip() == says
    target = root / "target"
    target.mkdir()
    warehouse = Warehouse(home.path, target, root / "dbt_project")
    consent = {"till": {"assumed_consent": ["analytics"]}}
    warehouse.dbt("run", "--vars", json.dumps({"sources": consent}))
    return warehouse, root


def test_the_guide_ends_in_the_events_that_it_says(
    followed: tuple[Warehouse, Path],
) -> None:
    warehouse, root = followed
    lines = (root / "tests/fixtures/sources/till/expected.jsonl").read_text()
    wanted = [resolved(json.loads(line), "till") for line in lines.splitlines()]
    staged = [as_event(row) for row in warehouse.rows("from stg_till__events")]

    assert len(wanted) == 2
    assert event_texts(staged, frozenset()) == event_texts(wanted, frozenset())
    [facts] = warehouse.rows("select count(*) as n from fct_events")
    assert facts["n"] == 2


def test_what_the_guide_plants_is_kept_nowhere(
    followed: tuple[Warehouse, Path],
) -> None:
    warehouse, root = followed
    planted = (root / "tests/fixtures/sources/till/planted.txt").read_text().split()
    raw = all_bytes(warehouse.settings.raw)
    events = str(warehouse.rows("from fct_events"))

    assert planted
    for identifier in planted:
        assert identifier.encode() not in raw
        assert identifier not in events
