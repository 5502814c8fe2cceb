"""What may change under a name that apps use, and how a change reaches them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nearline.errors import NearlineError
from nearline.online.refresh import ViewRefresh, refresh_online_store
from nearline.settings import Settings
from tests.unit.online.small_shop import (
    activity,
    kept,
    new_release,
    view_source,
    write_feature_repo,
    write_table,
)

ONE, TWO = "page_view_count_1h", "purchase_count_1h"
TTL = 10


class Timepiece:
    """A clock that only a pause moves, so that a test waits for nothing."""

    def __init__(self) -> None:
        self.start = datetime.now(UTC)
        self.paused = 0.0

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.paused)

    def pause(self, seconds: float) -> None:
        self.paused += seconds


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write_feature_repo(tmp_path / "repo", {"a_v1": [ONE]}, ["a_v1"])


@pytest.fixture
def release(settings: Settings) -> Path:
    return new_release(settings, "r1", [activity("ann", 1, 10), activity("ben", 1, 20)])


def refresh(
    settings: Settings, release: Path, repo: Path
) -> tuple[dict[str, ViewRefresh], float]:
    timepiece = Timepiece()
    done = refresh_online_store(
        settings,
        release,
        feature_repo=repo,
        registry_ttl_seconds=TTL,
        clock=timepiece.now,
        pause=timepiece.pause,
    )
    return {view.view: view for view in done}, timepiece.paused


def read(settings: Settings) -> dict[str, list[object]]:
    from feast import FeatureStore

    store = kept(FeatureStore(repo_path=str(settings.online)))
    return dict(
        store.get_online_features(
            features=store.get_feature_service("features_v1"),
            entity_rows=[{"visitor_id": "ann"}],
            full_feature_names=True,
        ).to_dict()
    )


def test_a_service_in_use_is_pointed_at_a_new_view_only_when_readers_know_it(
    settings: Settings, release: Path, repo: Path
) -> None:
    assert refresh(settings, release, repo)[1] == 0
    write_feature_repo(repo, {"a_v2": [ONE, TWO]}, ["a_v2"])
    _, paused = refresh(settings, release, repo)
    assert paused >= TTL + 1
    assert read(settings) == {
        "visitor_id": ["ann"],
        f"activity__{ONE}": [10],
        f"activity__{TWO}": [10],
    }
    assert refresh(settings, release, repo)[1] == 0


def test_a_field_added_to_a_view_is_filled_for_everybody(
    settings: Settings, release: Path, repo: Path
) -> None:
    refresh(settings, release, repo)
    write_feature_repo(repo, {"a_v1": [ONE, TWO]}, ["a_v1"])
    done, _ = refresh(settings, release, repo)
    assert done["a_v1"].rows_written == 2
    assert read(settings)[f"activity__{TWO}"] == [10]


@pytest.mark.parametrize("fields", [[TWO], ["revenue_cents_1h", TWO]])
def test_a_view_must_not_lose_a_field(
    settings: Settings, release: Path, repo: Path, fields: list[str]
) -> None:
    refresh(settings, release, repo)
    write_feature_repo(repo, {"a_v1": fields}, ["a_v1"])
    with pytest.raises(NearlineError, match=f"a_v1: field {ONE} changed or is gone"):
        refresh(settings, release, repo)
    assert read(settings)[f"activity__{ONE}"] == [10]


def test_a_field_must_not_change_its_type(
    settings: Settings, release: Path, repo: Path
) -> None:
    (repo / "features.py").write_text(
        (repo / "features.py")
        .read_text()
        .replace(
            view_source("a_v1", [ONE]),
            view_source("a_v1", ["engaged_seconds_1h"], dtype="Float64"),
        )
    )
    refresh(settings, release, repo)
    write_table(release, [])  # with the column as it is, the type would not fit
    (release / "ftr_visitor__activity_1h.parquet").unlink()
    write_feature_repo(repo, {"a_v1": ["engaged_seconds_1h"]}, ["a_v1"])
    with pytest.raises(NearlineError, match="field engaged_seconds_1h changed"):
        refresh(settings, release, repo)


def test_a_service_must_not_lose_a_feature(
    settings: Settings, release: Path, repo: Path
) -> None:
    views = {"a_v1": [ONE], "b_v1": [TWO]}
    write_feature_repo(repo, views, ["b_v1"])
    refresh(settings, release, repo)
    write_feature_repo(repo, views, ["a_v1"])
    with pytest.raises(NearlineError, match=f"features_v1: {TWO} is gone"):
        refresh(settings, release, repo)


def test_a_retired_view_is_kept_up_while_it_is_registered(
    settings: Settings, release: Path, repo: Path
) -> None:
    refresh(settings, release, repo)
    write_feature_repo(repo, {"a_v2": [ONE, TWO]}, ["a_v2"])
    refresh(settings, release, repo)
    later = new_release(settings, "r2", [activity("ann", 2, 11)])
    done, _ = refresh(settings, later, repo)
    assert (done["a_v1"].rows_written, done["a_v1"].rows_deleted) == (1, 1)


def test_a_retired_view_whose_column_is_gone_still_forgets(
    settings: Settings, release: Path, repo: Path
) -> None:
    refresh(settings, release, repo)
    write_feature_repo(repo, {"a_v2": [TWO]}, ["a_v2"])
    text = (repo / "features.py").read_text()
    (repo / "features.py").write_text(text.replace("features_v1", "features_v2"))
    later = settings.releases / "r2"
    write_table(later, [activity("ann", 2, 11)], without=ONE)
    done, _ = refresh(settings, later, repo)
    assert (done["a_v1"].rows_written, done["a_v1"].rows_deleted) == (0, 1)
    assert read(settings)[f"activity__{ONE}"] == [10]
