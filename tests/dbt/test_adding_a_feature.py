"""The guide on adding a feature view, followed word for word in a copy of the project."""

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from expectations.results import CheckResult, blocking
from expectations.runner import check_release
from nearline.live.processor import Processor
from nearline.online import refresh_online_store
from nearline.publication.releases import publish, write_candidate
from tests.dbt.nasty_visitors import at, event
from tests.dbt.warehouse import DBT_PROJECT, Warehouse
from tests.pipeline import ROOT
from tests.unit.online.small_shop import kept

GUIDE = ROOT / "docs" / "features.md"
MODEL = "ftr_visitor__searches_24h"
_BLOCK = re.compile(r"^`([\w./-]+)`\n\n```\w+\n(.*?)^```$", re.M | re.S)

# Two searches within an hour leave the window together, 24 hours after that hour began;
# ben's come last, so his count still stands.
EVENTS = [
    event("e_1", "v_ann00001", at("10:00"), "search", properties={"results": 3}),
    event("e_2", "v_ann00001", at("10:10"), "page_view"),
    event("e_3", "v_ann00001", at("10:30"), "search"),
    event("e_4", "v_ben00001", at("12:00", day=2), "search"),
]


@dataclass(frozen=True)
class Followed:
    """A home in which the guide was followed to its end."""

    warehouse: Warehouse
    checks: list[CheckResult]

    def store(self) -> Any:
        from feast import FeatureStore

        return kept(FeatureStore(repo_path=str(self.warehouse.settings.online)))


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    root = tmp_path_factory.mktemp("guide")
    ignored = shutil.ignore_patterns("target", "logs")
    shutil.copytree(DBT_PROJECT, root / "dbt_project", ignore=ignored)
    for name, content in _BLOCK.findall(GUIDE.read_text()):
        (root / name).write_text(content)
    (root / "target").mkdir()
    warehouse = Warehouse(root / "home", root / "target", root / "dbt_project")
    warehouse.land(EVENTS, "searches")
    warehouse.dbt("run")
    settings = warehouse.settings
    release = write_candidate(settings, "r1", "test", datetime(2026, 9, 5, tzinfo=UTC))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEARLINE_DBT_PROJECT", str(warehouse.project))
        checks = check_release(release, settings.quality)
    publish(settings, release)
    refresh_online_store(settings, release)
    return Followed(warehouse, checks)


def test_the_feature_is_served_online(followed: Followed) -> None:
    store = followed.store()
    found = store.get_online_features(
        features=store.get_feature_service("visitor_features_v1"),
        entity_rows=[{"visitor_id": "v_ann00001"}, {"visitor_id": "v_ben00001"}],
        full_feature_names=True,
    ).to_dict()
    assert found["visitor_searches_24h__search_count_24h"] == [0, 1]
    assert found["visitor_activity_30d__page_view_count_30d"] == [1, None]


def test_the_feature_is_kept_up_live(followed: Followed) -> None:
    settings = followed.warehouse.settings
    now = at("12:10", day=2).replace(tzinfo=UTC)
    search = event("e_5", "v_ben00001", at("12:10", day=2), "search")
    followed.warehouse.arrive([search])
    with Processor(settings, clock=lambda: now) as processor:
        assert processor.run_batch().facts == 1
        assert processor.views_off == frozenset()
    store = followed.store()
    found = store.get_online_features(
        features=["visitor_searches_24h_v1:search_count_24h"],
        entity_rows=[{"visitor_id": "v_ben00001"}],
    ).to_dict()
    assert found["search_count_24h"] == [2]


def test_a_training_set_sees_what_was_known_at_each_moment(followed: Followed) -> None:
    store = followed.store()
    moments = ["09:00", "10:00:01", "10:30", "10:30:01", "23:00"]
    asked = pd.DataFrame(
        {
            "visitor_id": "v_ann00001",
            "event_timestamp": [*map(at, moments), at("10:00", day=1)],
        }
    )
    found = (
        store.get_historical_features(
            entity_df=asked, features=store.get_feature_service("visitor_features_v1")
        )
        .to_df()
        .sort_values("event_timestamp")
    )
    counts = found["search_count_24h"].astype(object)
    assert counts.where(counts.notna(), None).tolist() == [None, 1, 1, 2, 2, 0]


def test_its_checks_follow_from_its_yaml(followed: Followed) -> None:
    assert blocking(followed.checks) == []
    assert {
        check.check: check.status for check in followed.checks if check.table == MODEL
    } == dict.fromkeys(
        [
            "has_its_columns",
            "visitor_id_is_not_null",
            "event_timestamp_is_not_null",
            "created_timestamp_is_not_null",
            "visitor_id_and_event_timestamp_are_unique",
            "nothing_is_known_before_it_arrives",
            "search_count_24h_is_not_null",
            "search_count_24h_is_in_range",
            "visitor_id_has_its_form",
            "visitors_have_consented",
        ],
        "passed",
    )


def test_sql_that_has_drifted_from_its_yaml_is_not_built(followed: Followed) -> None:
    path = followed.warehouse.project / "models" / "features" / f"{MODEL}.yml"
    before = path.read_text()
    assert before.count("data_type: bigint") == 1
    path.write_text(before.replace("data_type: bigint", "data_type: varchar"))
    try:
        told = followed.warehouse.dbt_refusal("run", "--select", MODEL)
    finally:
        path.write_text(before)
    assert "This model has an enforced contract that failed" in told
    assert re.search(r"search_count_24h .*data type mismatch", told)
