"""A refresh, seen through Feast: what an app reads after it, and after it failed."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from feast.protos.feast.types.Value_pb2 import Value

from nearline.errors import NearlineError
from nearline.online import EntityRow, StoredView, open_online_values
from nearline.online.configuration import (
    clocked_file,
    reader_file,
    registry_file,
    store_file,
)
from nearline.online.encoding import key_encoder
from nearline.online.freshness import feature_ages
from nearline.online.refresh import ViewRefresh, refresh_online_store
from nearline.online.values import microseconds
from nearline.publication.releases import Manifest
from nearline.settings import Settings
from tests.online_stores import ONE_SERVER, OnlineStores
from tests.unit.online.small_shop import (
    NOON,
    TABLE,
    activity,
    kept,
    new_release,
    write_feature_repo,
    write_table,
)

FIELD = "page_view_count_1h"
VIEW = "activity_v1"


@pytest.fixture(params=ONE_SERVER)
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, online_stores: OnlineStores
) -> Settings:
    return online_stores.settings(request.param, tmp_path / "home")


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    """With a store whose bytes can be looked at."""
    return Settings(home=tmp_path / "home")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write_feature_repo(tmp_path / "repo", {VIEW: [FIELD]}, [VIEW])


def refresh(settings: Settings, release: Path, repo: Path) -> ViewRefresh:
    (done,) = refresh_online_store(settings, release, feature_repo=repo)
    return done


def counts(done: ViewRefresh) -> tuple[int, int, int]:
    return (done.rows_written, done.rows_unchanged, done.rows_deleted)


def read(
    settings: Settings, visitors: Sequence[str], features: Any = "features_v1"
) -> dict[str, list[Any]]:
    """What a plain Feast client gets; a name is looked up as a service."""
    from feast import FeatureStore

    store = kept(FeatureStore(repo_path=str(settings.online)))
    if isinstance(features, str):
        features = store.get_feature_service(features)
    rows = [{"visitor_id": visitor} for visitor in visitors]
    answer = store.get_online_features(features=features, entity_rows=rows)
    return dict(answer.to_dict())


def values(settings: Settings, *visitors: str) -> list[Any]:
    return read(settings, visitors)[FIELD]


def test_the_newest_value_of_every_visitor_is_read(
    settings: Settings, repo: Path
) -> None:
    release = new_release(
        settings,
        "r1",
        [activity("ann", 1, 10), activity("ann", 2, 11), activity("ben", 1, 20)],
    )
    done = refresh(settings, release, repo)
    assert (done.view, *counts(done)) == (VIEW, 2, 0, 0)
    assert done.newest_event_timestamp == NOON.replace(minute=2)
    assert values(settings, "ann", "ben", "nobody") == [11, 20, None]


def test_only_what_changed_is_written(settings: Settings, repo: Path) -> None:
    rows = [activity("ann", 1, 10), activity("ben", 1, 20)]
    refresh(settings, new_release(settings, "r1", rows), repo)
    rows.append(activity("ben", 5, 21))
    done = refresh(settings, new_release(settings, "r2", rows), repo)
    assert counts(done) == (1, 1, 0)
    assert values(settings, "ann", "ben") == [10, 21]


def test_the_same_release_again_changes_no_byte(embedded: Settings, repo: Path) -> None:
    release = new_release(embedded, "r1", [activity("ann", 1, 10)])
    refresh(embedded, release, repo)
    files = (registry_file(embedded), store_file(embedded), reader_file(embedded))
    before = [file.read_bytes() for file in files]
    assert counts(refresh(embedded, release, repo)) == (0, 1, 0)
    assert [file.read_bytes() for file in files] == before


def test_a_row_that_arrives_late_reaches_the_store(
    settings: Settings, repo: Path
) -> None:
    rows = [activity("ann", 1, 10), activity("ben", 60, 20)]
    refresh(settings, new_release(settings, "r1", rows), repo)
    # Older than the end of the refresh before (ben's row), newer than ann's stored one.
    rows.append(activity("ann", 30, 11))
    refresh(settings, new_release(settings, "r2", rows), repo)
    assert values(settings, "ann", "ben") == [11, 20]


def test_an_older_row_never_replaces_a_newer_one(
    settings: Settings, repo: Path
) -> None:
    refresh(settings, new_release(settings, "r1", [activity("ann", 9, 10)]), repo)
    done = refresh(
        settings, new_release(settings, "r2", [activity("ann", 8, 11)]), repo
    )
    assert counts(done) == (0, 1, 0)
    assert values(settings, "ann") == [10]


def test_a_change_within_one_second_is_seen(settings: Settings, repo: Path) -> None:
    rows = [activity("ann", 1.001, 10)]
    refresh(settings, new_release(settings, "r1", rows), repo)
    rows.append(activity("ann", 1.002, 11))
    refresh(settings, new_release(settings, "r2", rows), repo)
    assert values(settings, "ann") == [11]


def test_a_value_corrected_at_its_own_moment_is_read(
    settings: Settings, repo: Path
) -> None:
    refresh(settings, new_release(settings, "r1", [activity("ann", 1, 10)]), repo)
    refresh(settings, new_release(settings, "r2", [activity("ann", 1, 11)]), repo)
    assert values(settings, "ann") == [11]


def test_a_visitor_who_is_gone_leaves_the_store_and_nobody_else(
    settings: Settings, repo: Path
) -> None:
    people = [activity("ann", 1, 10), activity("ben", 1, 20), activity("cat", 1, 30)]
    refresh(settings, new_release(settings, "r1", people), repo)
    done = refresh(settings, new_release(settings, "r2", people[::2]), repo)
    assert counts(done) == (0, 2, 1)
    assert values(settings, "ann", "ben", "cat") == [10, None, 30]
    content = content_of(settings)
    assert b"ann" in content
    assert b"ben" not in content


def content_of(settings: Settings) -> bytes:
    """All that the store keeps: its files, or in Redis its keys, fields and values."""
    files = [file.read_bytes() for file in settings.online.iterdir()]
    if settings.online_store == "redis":
        with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
            for key in client.scan_iter():
                files += [key, client.dump(key)]
    return b"".join(files)


def test_a_missing_table_is_skipped_and_its_values_stay(
    settings: Settings, repo: Path
) -> None:
    refresh(settings, new_release(settings, "r1", [activity("ann", 1, 10)]), repo)
    empty = settings.releases / "r2"
    empty.mkdir()
    done = refresh(settings, empty, repo)
    assert (counts(done), done.newest_event_timestamp) == ((0, 0, 0), None)
    assert values(settings, "ann") == [10]


def test_a_table_without_rows_means_that_nobody_is_known(
    settings: Settings, repo: Path
) -> None:
    done = refresh(settings, new_release(settings, "r1", []), repo)
    assert (counts(done), done.newest_event_timestamp) == ((0, 0, 0), None)
    refresh(settings, new_release(settings, "r2", [activity("ann", 1, 10)]), repo)
    done = refresh(settings, new_release(settings, "r3", []), repo)
    assert counts(done) == (0, 0, 1)
    assert values(settings, "ann") == [None]


def test_a_column_that_the_release_lacks_stops_before_anything_is_written(
    settings: Settings, repo: Path
) -> None:
    refresh(settings, new_release(settings, "r1", [activity("ann", 1, 10)]), repo)
    before = {file: file.read_bytes() for file in settings.online.iterdir()}
    release = settings.releases / "r2"
    write_table(release, [activity("ann", 2, 11)], without=FIELD)
    with pytest.raises(NearlineError, match=f"{VIEW}.*{FIELD} is missing"):
        refresh(settings, release, repo)
    assert {file: file.read_bytes() for file in settings.online.iterdir()} == before


def test_a_failure_in_the_middle_leaves_older_values_and_can_be_repeated(
    settings: Settings, tmp_path: Path
) -> None:
    views = {"a_v1": [FIELD], "b_v1": [FIELD]}
    repo = write_feature_repo(tmp_path / "repo", views, ["a_v1"])
    refs = [f"{view}:{FIELD}" for view in views]
    release = new_release(settings, "r1", [activity("ann", 1, 10)])
    refresh_online_store(settings, release, feature_repo=repo)

    class Stopped(Exception):
        pass

    def stop(view: ViewRefresh) -> None:
        raise Stopped

    release = new_release(settings, "r2", [activity("ann", 2, 11)])
    with pytest.raises(Stopped):
        refresh_online_store(settings, release, feature_repo=repo, on_view=stop)
    assert read_full(settings, refs) == {f"a_v1__{FIELD}": [11], f"b_v1__{FIELD}": [10]}
    refresh_online_store(settings, release, feature_repo=repo)
    assert read_full(settings, refs) == {f"a_v1__{FIELD}": [11], f"b_v1__{FIELD}": [11]}


def read_full(settings: Settings, refs: list[str]) -> dict[str, list[Any]]:
    from feast import FeatureStore

    store = kept(FeatureStore(repo_path=str(settings.online)))
    answer = store.get_online_features(
        features=refs, entity_rows=[{"visitor_id": "ann"}], full_feature_names=True
    ).to_dict()
    return {name: found for name, found in answer.items() if name != "visitor_id"}


def test_an_unreadable_table_leaves_what_was_read(
    settings: Settings, repo: Path
) -> None:
    refresh(settings, new_release(settings, "r1", [activity("ann", 1, 10)]), repo)
    release = new_release(settings, "r2", [activity("ann", 2, 11)])
    file = release / f"{TABLE}.parquet"
    content = bytearray(file.read_bytes())
    content[4:200] = bytes(196)  # the footer stays whole: columns can be listed
    file.write_bytes(content)
    with pytest.raises(NearlineError, match=f"{TABLE} cannot be read"):
        refresh(settings, release, repo)
    assert values(settings, "ann") == [10]


def test_a_store_that_cannot_be_opened_is_one_line(
    embedded: Settings, repo: Path
) -> None:
    release = new_release(embedded, "r1", [activity("ann", 1, 10)])
    store_file(embedded).mkdir(parents=True)
    with pytest.raises(NearlineError, match="the online store cannot be written"):
        refresh(embedded, release, repo)


def test_the_bytes_are_those_that_feast_writes(
    embedded: Settings, repo: Path, tmp_path: Path
) -> None:
    """The oracle is Feast: the same rows, written by its own store elsewhere."""
    from feast import FeatureStore, RepoConfig

    from nearline.online.configuration import reader_configuration
    from nearline.online.definitions import load_definitions

    fields = [FIELD, "revenue_cents_1h"]
    write_feature_repo(repo, {VIEW: fields}, [VIEW])
    rows = [activity("ann", 1.5, 10), activity("bénédicte", 2, 20)]
    rows[1]["revenue_cents_1h"] = None
    refresh(embedded, new_release(embedded, "r1", rows), repo)

    stock = Settings(home=tmp_path / "stock")
    stock.online.mkdir(parents=True)
    store = kept(FeatureStore(config=RepoConfig(**reader_configuration(stock))))
    defined = load_definitions(repo, embedded.home)
    store.apply([*defined.entities, *defined.views])
    frame = pd.DataFrame(rows)[
        ["visitor_id", "event_timestamp", "created_timestamp", *fields]
    ].astype({"revenue_cents_1h": "Int64"})
    store.write_to_online_store(VIEW, frame, allow_registry_cache=False)

    assert table_rows(embedded) == table_rows(stock)
    assert len(table_rows(stock)) == 4


def table_rows(settings: Settings) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(store_file(settings))
    rows = connection.execute(
        "select entity_key, feature_name, value, value_text, vector_value, event_ts, "
        f"created_ts from nearline_{VIEW} order by 1, 2"
    ).fetchall()
    connection.close()
    return rows


def test_writing_through_feast_keeps_the_newer_value(
    settings: Settings, repo: Path
) -> None:
    from feast import FeatureStore

    refresh(settings, new_release(settings, "r1", [activity("ann", 2, 10)]), repo)
    writer = kept(FeatureStore(fs_yaml_file=clocked_file(settings)))

    def write(minutes: float, value: int) -> None:
        row = activity("ann", minutes, value)
        names = ("visitor_id", "event_timestamp", "created_timestamp", FIELD)
        # Feast caches views by the address of the registry that it has read, which may
        # have been another test's.
        writer.write_to_online_store(
            VIEW,
            pd.DataFrame([{n: row[n] for n in names}]),
            allow_registry_cache=False,
        )

    write(1, 9)
    assert values(settings, "ann") == [10]
    write(3, 11)
    assert values(settings, "ann") == [11]
    # A release that does not have it yet leaves the newer value where it is.
    refresh(settings, new_release(settings, "r2", [activity("ann", 2.5, 8)]), repo)
    assert values(settings, "ann") == [11]


def test_materializing_through_feast_keeps_the_newer_value(
    settings: Settings, repo: Path
) -> None:
    """Feast goes by event time alone, and writes the newest row of a span of it."""
    from feast import FeatureStore

    rows = [activity("ann", 1, 10), activity("ben", 1, 20)]
    refresh(settings, new_release(settings, "r1", rows), repo)
    new_release(settings, "r2", [*rows, activity("ann", 2, 11), activity("ann", 3, 12)])
    writer = kept(FeatureStore(fs_yaml_file=clocked_file(settings)))

    def materialize(minutes: int) -> None:
        end = (NOON + timedelta(minutes=minutes)).replace(tzinfo=UTC)
        writer.materialize(NOON.replace(tzinfo=UTC), end, feature_views=[VIEW])

    materialize(10)
    assert values(settings, "ann", "ben") == [12, 20]
    materialize(2)
    assert values(settings, "ann", "ben") == [12, 20]


def test_values_that_plain_feast_overwrote_are_mended(
    settings: Settings, repo: Path
) -> None:
    from feast import FeatureStore

    release = new_release(settings, "r1", [activity("ann", 2, 10)])
    refresh(settings, release, repo)
    # Plain Feast lets an older row win in SQLite, and in Redis a newer one alone; that
    # one stays, as long as the release knows nothing newer.
    minutes, expected = (1, 10) if settings.online_store == "sqlite" else (3, 9)
    row = activity("ann", minutes, 9)
    names = ("visitor_id", "event_timestamp", "created_timestamp", FIELD)
    kept(FeatureStore(repo_path=str(settings.online))).write_to_online_store(
        VIEW, pd.DataFrame([{name: row[name] for name in names}])
    )
    assert values(settings, "ann") == [9]
    refresh(settings, release, repo)
    assert values(settings, "ann") == [expected]
    later = new_release(settings, "r2", [activity("ann", 4, 13)])
    refresh(settings, later, repo)
    assert values(settings, "ann") == [13]


DAY = 24 * 60


def refresh_at(
    settings: Settings, release: Path, repo: Path, minutes: float
) -> ViewRefresh:
    now = (NOON + timedelta(minutes=minutes)).replace(tzinfo=UTC)
    (done,) = refresh_online_store(settings, release, feature_repo=repo, now=now)
    return done


def keep_for_ninety_days(repo: Path) -> None:
    file = repo / "features.py"
    file.write_text(file.read_text().replace("days=36_500", "days=90"))


def test_what_has_expired_is_taken_out_and_not_put_in_again(
    settings: Settings, repo: Path
) -> None:
    keep_for_ninety_days(repo)
    rows = [activity("ann", 1, 10), activity("ben", 2, 20)]
    release = new_release(settings, "r1", rows)
    done = refresh_at(settings, release, repo, 90 * DAY + 1)
    assert (*counts(done), done.rows_expired) == (2, 0, 0, 0)
    done = refresh_at(settings, release, repo, 90 * DAY + 1.5)
    assert (*counts(done), done.rows_expired) == (0, 1, 0, 1)
    assert values(settings, "ann", "ben") == [None, 20]
    done = refresh_at(settings, release, repo, 90 * DAY + 1.5)
    assert (*counts(done), done.rows_expired) == (0, 1, 0, 1)
    # Somebody who comes back is known again.
    rows.append(activity("ann", 90 * DAY, 11))
    release = new_release(settings, "r2", rows)
    assert counts(refresh_at(settings, release, repo, 90 * DAY + 1.5)) == (1, 1, 0)
    assert values(settings, "ann", "ben") == [11, 20]


def test_our_class_misses_an_expired_value_at_that_very_moment(
    settings: Settings, repo: Path
) -> None:
    from feast import FeatureStore
    from feast.infra.provider import get_provider

    keep_for_ninety_days(repo)
    moment = 1 + 1 / 60_000_000  # a microsecond behind a minute past noon
    release = new_release(settings, "r1", [activity("ann", moment, 10)])
    refresh_at(settings, release, repo, 2)
    store = kept(FeatureStore(fs_yaml_file=clocked_file(settings)))
    store._provider = get_provider(store.config)
    online = store._provider.online_store
    limit = NOON + timedelta(days=90, minutes=1)

    def found(microsecond: int) -> Any:
        now = (limit + timedelta(microseconds=microsecond)).replace(tzinfo=UTC)
        online._clock = lambda: now
        return store.get_online_features(
            features=store.get_feature_service("features_v1"),
            entity_rows=[{"visitor_id": "ann"}, {"visitor_id": "nobody"}],
        ).to_dict()[FIELD]

    assert found(-1_000_000) == [10, None]
    assert found(1) == [10, None]
    assert found(2) == [None, None]
    assert found(60_000_000) == [None, None]
    # Stock Feast does not look at limits.
    assert values(settings, "ann") == [10]


def test_a_value_newer_than_the_release_stays_unless_its_visitor_is_suppressed(
    settings: Settings, repo: Path
) -> None:
    """As a live writer has them, for visitors whom no release knows yet."""
    from nearline.privacy.suppression import suppress

    people = [activity("ann", 1, 10), activity("old", 1, 20)]
    refresh(settings, new_release(settings, "r1", people), repo)
    view = StoredView(VIEW, "visitor_id", (FIELD,), None)
    key = key_encoder("visitor_id")
    at = microseconds(NOON + timedelta(minutes=5))
    seven = [(FIELD, Value(int64_val=7).SerializeToString(), "7")]
    with closing(open_online_values(settings)) as live:
        rows = [EntityRow(key(name), at, at, None, seven) for name in ("new", "erased")]
        assert live.write(view, rows) == 2
    suppress(settings, "visitor", "erased", "erased", datetime.now(UTC))
    release = new_release(settings, "r2", people[:1])
    data_up_to = f"{(NOON + timedelta(minutes=4)).isoformat()}Z"
    manifest = Manifest("r2", "", "", data_up_to, {}, {})
    (release / "manifest.json").write_text(json.dumps(asdict(manifest)))
    assert counts(refresh(settings, release, repo)) == (0, 1, 1)
    assert values(settings, "ann", "old", "new", "erased") == [10, None, 7, None]
    assert b"erased" not in content_of(settings)


def test_ages_are_told_from_a_response(settings: Settings, repo: Path) -> None:
    from feast import FeatureStore

    rows = [activity("ann", 1, 10), activity("ben", 2.5, 20)]
    rows[1][FIELD] = None
    refresh(settings, new_release(settings, "r1", rows), repo)
    store = kept(FeatureStore(repo_path=str(settings.online)))
    asked = [{"visitor_id": name} for name in ("ann", "nobody", "ben")]
    response = store.get_online_features(
        features=store.get_feature_service("features_v1"), entity_rows=asked
    )
    now = (NOON + timedelta(minutes=10)).replace(tzinfo=UTC)
    assert response.to_dict()[FIELD] == [10, None, None]
    # Ben's null is known to be one.
    assert feature_ages(response, now) == {
        FIELD: [timedelta(minutes=9), None, timedelta(minutes=7.5)]
    }
