"""Plain Feast on our definitions: `feast apply` as it is, and training sets."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, timedelta
from pathlib import Path

import pandas as pd
import pytest

from nearline.online.definitions import FEATURE_REPO
from nearline.online.refresh import refresh_online_store
from nearline.settings import Settings
from tests.online_stores import ONE_SERVER, SQLITE, OnlineStores
from tests.releases import DBT_PROJECT, release_tables, write_release
from tests.unit.online.small_shop import (
    NOON,
    TABLE,
    activity,
    in_another_process,
    kept,
    publish,
    write_table,
)

# The rows' own time, by which none of them has expired.
SOON = NOON.replace(tzinfo=UTC) + timedelta(hours=2)

FEAST = Path(sys.executable).parent / "feast"


def feast(folder: Path, *arguments: str, home: Path | None = None) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "NEARLINE_HOME"}
    if home is not None:
        environment["NEARLINE_HOME"] = str(home)
    done = subprocess.run(
        [str(FEAST), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The feature repository in a fresh checkout, without a home."""
    root = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "target", "logs")
    for folder in (FEATURE_REPO, DBT_PROJECT):
        shutil.copytree(folder, root / folder.name, ignore=ignored)
    return root / FEATURE_REPO.name


def test_feast_apply_works_on_a_fresh_checkout_and_agrees_with_the_refresh(
    checkout: Path,
) -> None:
    told = feast(checkout, "apply")
    assert "Created feature service visitor_features_v1" in told
    settings = Settings(home=checkout.parent / ".nearline")
    release = settings.releases / "r1"
    write_release(release, release_tables())
    publish(settings, release)
    done = refresh_online_store(settings, release, feature_repo=checkout, now=SOON)
    assert {view.rows_written for view in done} == {1}
    told = feast(checkout, "apply")
    assert "No changes to registry" in told
    assert "No changes to infrastructure" in told
    assert "Created" not in told


@pytest.mark.parametrize("kind", ONE_SERVER)
def test_feast_apply_on_another_home_uses_the_file_written_there(
    checkout: Path, tmp_path: Path, kind: str, online_stores: OnlineStores
) -> None:
    from feast import FeatureStore

    settings = online_stores.settings(kind, tmp_path / "elsewhere")
    release = settings.releases / "r1"
    write_release(release, release_tables())
    refresh_online_store(settings, release, feature_repo=checkout, now=SOON)
    file = str(settings.online / "feature_store.yaml")
    told = feast(checkout, "-f", file, "apply", home=settings.home)
    # Feast compares with what is there in a local SQLite file alone.
    assert ("No changes to registry" in told) == (kind == SQLITE)
    # What is online is still there, is read, and needs no write.
    store = kept(FeatureStore(repo_path=str(settings.online)))
    answer = store.get_online_features(
        features=store.get_feature_service("visitor_features_v1"),
        entity_rows=[{"visitor_id": "v_anna00001"}],
    ).to_dict()
    assert answer["page_view_count_1h"] == [1]
    done = refresh_online_store(settings, release, feature_repo=checkout, now=SOON)
    assert {(view.rows_written, view.rows_unchanged) for view in done} == {(0, 1)}


README = """
    import json
    from feast import FeatureStore

    store = FeatureStore(repo_path=".nearline/online")
    visitor_features = store.get_feature_service("visitor_features_v1")
    answer = store.get_online_features(
        features=visitor_features, entity_rows=[{"visitor_id": "v_anna00001"}]
    ).to_dict()
    print(json.dumps(answer, default=str))
"""


def test_an_app_at_the_project_root_reads_the_service(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=checkout.parent / ".nearline")
    release = settings.releases / "r1"
    write_release(release, release_tables())
    refresh_online_store(settings, release, feature_repo=checkout, now=SOON)
    monkeypatch.chdir(checkout.parent)
    answer = in_another_process(README)
    assert answer["page_view_count_1h"] == [1]
    assert answer["revenue_cents_30d"] == [4999]
    assert answer["last_item_category"] == ["shoes"]
    assert len(answer) >= 1 + 5 * 6 + 6


def test_a_training_set_sees_what_was_known_at_each_moment(
    settings_with_history: Settings,
) -> None:
    from feast import FeatureStore

    store = kept(FeatureStore(repo_path=str(settings_with_history.online)))
    second = timedelta(seconds=1)
    moments = [
        NOON - second,
        NOON,
        NOON + timedelta(minutes=60) - second,
        NOON + timedelta(minutes=60),
        NOON + timedelta(days=89),
    ]
    asked = pd.DataFrame({"visitor_id": "ann", "event_timestamp": moments})
    found = (
        store.get_historical_features(
            entity_df=asked,
            features=store.get_feature_service("visitor_features_v1"),
        )
        .to_df()
        .sort_values("event_timestamp")
    )
    counts = found["page_view_count_1h"].astype(object)
    assert counts.where(counts.notna(), None).tolist() == [None, 1, 1, 2, 2]
    assert found["last_page_type"].isna().all()


@pytest.fixture
def settings_with_history(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    release = settings.releases / "r1"
    write_release(release, {**release_tables(), "ftr_visitor__latest": []})
    write_table(release, [activity("ann", 0, 1), activity("ann", 60, 2)], TABLE)
    publish(settings, release)
    refresh_online_store(settings, release, now=SOON)
    return settings
