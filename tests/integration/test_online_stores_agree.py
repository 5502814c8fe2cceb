"""One release, two stores, one answer; and what a change of the store does."""

from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from nearline.online.configuration import store_file
from nearline.online.freshness import feature_ages
from nearline.online.refresh import ViewRefresh, refresh_online_store
from nearline.settings import Settings
from tests.online_stores import CLUSTER, REDIS, OnlineStores
from tests.releases import NOON, release_tables, write_release
from tests.unit.online.small_shop import kept, publish

pytestmark = pytest.mark.services

NOW = NOON.replace(tzinfo=UTC) + timedelta(days=1)
ASKED = {
    "visitor_features_v1": [
        {"visitor_id": name} for name in ("v_anna00001", "v_nobody", "")
    ],
    "item_features_v1": [{"item_id": name} for name in ("sku-00123", "sku-00000")],
}


def refresh(settings: Settings) -> list[ViewRefresh]:
    release = settings.releases / "r1"
    if not release.exists():
        write_release(release, release_tables())
        publish(settings, release)
    return refresh_online_store(settings, release, now=NOW)


def answers(settings: Settings) -> dict[str, Any]:
    """All that stock Feast says, values and times."""
    from feast import FeatureStore

    store = kept(FeatureStore(repo_path=str(settings.online)))
    told = {}
    for service, rows in ASKED.items():
        response = store.get_online_features(
            features=store.get_feature_service(service),
            entity_rows=rows,
            full_feature_names=True,
        )
        told[service] = response.to_dict(include_event_timestamps=True)
        told[f"ages of {service}"] = feature_ages(response, NOW)
    return told


@pytest.mark.parametrize("kind", [REDIS, CLUSTER])
def test_both_stores_give_the_same_answers_for_one_release(
    kind: str, tmp_path: Path, online_stores: OnlineStores
) -> None:
    embedded = Settings(home=tmp_path / "embedded")
    grown = online_stores.settings(kind, tmp_path / "grown")
    done = [
        [(view.view, view.rows_written, view.rows_deleted) for view in refresh(each)]
        for each in (embedded, grown)
    ]
    assert done[0] == done[1]
    expected = answers(embedded)
    visitor = expected["visitor_features_v1"]
    assert visitor["visitor_activity_1h__page_view_count_1h"] == [1, None, None]
    assert visitor["visitor_latest__last_item_category"] == ["shoes", None, None]
    ages = expected["ages of item_features_v1"]
    assert ages["item_activity_7d__view_count_7d"] == [NOW - KNOWN_AT, None]
    assert answers(grown) == expected


KNOWN_AT = NOON.replace(tzinfo=UTC) + timedelta(seconds=61)


def test_a_change_of_the_store_fills_the_new_one_and_then_removes_the_old_file(
    tmp_path: Path, online_stores: OnlineStores
) -> None:
    embedded = Settings(home=tmp_path / "home")
    grown = online_stores.settings(REDIS, embedded.home)
    refresh(embedded)
    expected = answers(embedded)
    assert all(view.rows_written == 1 for view in refresh(grown))
    assert answers(grown) == expected
    # Apps that have not been started anew still read it.
    assert store_file(embedded).exists()
    assert all(view.rows_unchanged == 1 for view in refresh(grown))
    assert not list(embedded.online.glob("online_store.db*"))
    assert all(view.rows_written == 1 for view in refresh(embedded))
    assert answers(embedded) == expected
