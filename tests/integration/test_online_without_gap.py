"""Readers in other processes, with Feast alone, while everything is changed under them.

Nothing here measures time: a reader reads until the writer has finished.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearline.online.configuration import reader_file, store_file
from nearline.online.refresh import refresh_online_store
from nearline.settings import Settings
from tests.online_stores import ONE_SERVER, OnlineStores, with_secrets
from tests.unit.online.small_shop import (
    activity,
    kept,
    new_release,
    write_feature_repo,
)

ONE, TWO, THREE = "page_view_count_1h", "purchase_count_1h", "revenue_cents_1h"
VISITORS = [f"visitor-{number:04d}" for number in range(200)]
TTL = 1
PATIENCE_SECONDS = 600

READER = """
    import json, sys, time, warnings
    from pathlib import Path
    from feast import FeatureStore, utils

    warnings.simplefilter("ignore")
    folder, report, stop = (Path(argument) for argument in sys.argv[1:4])
    rows = [{"visitor_id": f"visitor-{number:04d}"} for number in range(200)]
    store = FeatureStore(repo_path=str(folder))
    held = store.get_feature_service("features_v1")

    def look_up():
        return store.get_feature_service("features_v1")

    def look_up_for_the_first_time():
        # As in a process that has read something else so far: Feast remembers how it
        # resolved a service, which hides that its views may be newer than the registry.
        utils._feature_resolution_cache.clear()
        store._feature_service_cache.clear()
        return look_up()

    features = {
        "held": lambda: held,
        "looked up": look_up,
        "first time": look_up_for_the_first_time,
        "by name": lambda: ["a_v1:page_view_count_1h"],
    }[sys.argv[4]]
    seen = {"reads": 0, "errors": [], "nulls": 0, "values": [], "features": []}
    while not stop.exists():
        try:
            answer = store.get_online_features(
                features=features(), entity_rows=rows
            ).to_dict()
        except Exception as error:
            seen["errors"].append(f"{type(error).__name__}: {error}")
            answer = {}
        for column in answer.values():
            seen["nulls"] += column.count(None)
        for value in sorted(set(answer.get("page_view_count_1h", []))):
            if value not in seen["values"]:
                seen["values"].append(value)
        if sorted(answer) not in seen["features"]:
            seen["features"].append(sorted(answer))
        seen["reads"] += 1
        draft = report.with_suffix(".draft")
        draft.write_text(json.dumps(seen))
        draft.replace(report)
        time.sleep(0.005)
    assert not [name for name in sys.modules if name.split(".")[0] == "nearline"]
"""


class Reader:
    """A process that reads, and what it says that it saw."""

    def __init__(self, settings: Settings, folder: Path, way: str) -> None:
        folder.mkdir(parents=True)
        self._report, self._stop = folder / "report.json", folder / "stop"
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                textwrap.dedent(READER),
                str(settings.online),
                str(self._report),
                str(self._stop),
                way,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )

    def seen(self) -> dict[str, Any]:
        if not self._report.exists():
            return {"errors": [], "values": [], "features": []}
        found: dict[str, Any] = json.loads(self._report.read_text())
        return found

    def wait_until(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Returns when the reader has seen what is wanted, or has failed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not wanted(self.seen()) and not self.seen()["errors"]:
            assert self._process.poll() is None, self._process.communicate()[1]
            assert time.monotonic() < deadline, self.seen()
            time.sleep(0.05)

    def stop(self) -> None:
        self._stop.touch()
        _, complaint = self._process.communicate(timeout=PATIENCE_SECONDS)
        assert self._process.returncode == 0, complaint

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def reading(settings: Settings, folder: Path) -> Iterator[dict[str, Reader]]:
    """One process per way of asking: in one, Feast would share what it resolved."""
    readers = {
        way: Reader(settings, folder / way.replace(" ", "-"), way)
        for way in ("held", "looked up", "first time", "by name")
    }
    try:
        yield readers
    finally:
        for reader in readers.values():
            reader.kill()


@pytest.fixture(params=ONE_SERVER)
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, online_stores: OnlineStores
) -> Settings:
    return online_stores.settings(request.param, tmp_path / "home")


def release_of(settings: Settings, number: int) -> Path:
    rows = [activity(visitor, number, number) for visitor in VISITORS]
    return new_release(settings, f"r{number}", rows)


def test_apps_get_a_file_of_stock_feast_types(
    settings: Settings, tmp_path: Path
) -> None:
    repo = write_feature_repo(tmp_path / "repo", {"a_v1": [ONE]}, ["a_v1"])
    refresh_online_store(settings, release_of(settings, 1), feature_repo=repo)
    told = yaml.safe_load(reader_file(settings).read_text())
    assert told["registry"]["registry_type"] == "sql"
    if settings.online_store == "sqlite":
        assert told["online_store"] == {
            "type": "sqlite",
            "path": str(store_file(settings)),
        }
    else:
        address = settings.redis_url.get_secret_value().removeprefix("redis://")
        assert told["online_store"] == {
            "type": "redis",
            "redis_type": "redis",
            "connection_string": address.replace("/0", ",db=0"),
        }
    assert "nearline." not in reader_file(settings).read_text()


def test_reads_never_fail_or_go_empty_while_views_and_values_change(
    settings: Settings, tmp_path: Path
) -> None:
    repo = write_feature_repo(tmp_path / "repo", {"a_v1": [ONE]}, ["a_v1"])

    def refresh(number: int) -> None:
        refresh_online_store(
            settings,
            release_of(settings, number),
            feature_repo=repo,
            registry_ttl_seconds=TTL,
        )

    def everybody_has_read(value: int) -> None:
        for reader in readers.values():
            reader.wait_until(lambda seen: value in seen["values"])

    def services_are_looked_up_with(features: int) -> None:
        for way in ("looked up", "first time"):
            readers[way].wait_until(lambda seen: len(seen["features"]) == features)

    refresh(1)
    with reading(settings, tmp_path) as readers:
        everybody_has_read(1)
        # New values only.
        refresh(2)
        everybody_has_read(2)
        # A new version of the view, with one feature more; the service points at it.
        write_feature_repo(repo, {"a_v2": [ONE, TWO]}, ["a_v2"])
        refresh(3)
        everybody_has_read(3)
        services_are_looked_up_with(2)
        # The view as it is gains a feature.
        write_feature_repo(repo, {"a_v2": [ONE, TWO, THREE]}, ["a_v2"])
        refresh(4)
        everybody_has_read(4)
        services_are_looked_up_with(3)
        for reader in readers.values():
            reader.stop()
        seen = {way: reader.seen() for way, reader in readers.items()}

    for report in seen.values():
        assert report["errors"] == []
        assert report["nulls"] == 0
        assert report["values"] == [1, 2, 3, 4]
        assert report["reads"] >= 50
    first = [ONE, "visitor_id"]
    assert seen["held"]["features"] == [first]
    assert seen["by name"]["features"] == [first]
    for way in ("looked up", "first time"):
        assert seen[way]["features"] == [
            first,
            sorted([ONE, TWO, "visitor_id"]),
            sorted([ONE, TWO, THREE, "visitor_id"]),
        ]


KILLED = """
    import sys
    from pathlib import Path
    from nearline.online import refresh
    from nearline.settings import Settings

    refresh.BATCH_ENTITIES = 50
    settings = Settings.model_validate_json(sys.argv[1])
    release, repo = (Path(argument) for argument in sys.argv[2:])
    refresh.refresh_online_store(settings, release, feature_repo=repo)
"""


def test_a_killed_refresh_loses_nothing_and_the_next_one_completes_it(
    settings: Settings, tmp_path: Path
) -> None:
    views = {f"{letter}_v1": [ONE] for letter in "abcdef"}
    repo = write_feature_repo(tmp_path / "repo", views, ["a_v1"])
    refresh_online_store(settings, release_of(settings, 1), feature_repo=repo)
    release = release_of(settings, 2)
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(KILLED),
            with_secrets(settings),
            str(release),
            str(repo),
        ]
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while writer.poll() is None and 2 not in values_of(settings, list(views)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()

    assert values_of(settings, list(views)) <= {1, 2}
    refresh_online_store(settings, release, feature_repo=repo)
    assert values_of(settings, list(views)) == {2}


def values_of(settings: Settings, views: list[str]) -> set[Any]:
    from feast import FeatureStore

    store = kept(FeatureStore(repo_path=str(settings.online)))
    answer = store.get_online_features(
        features=[f"{view}:{ONE}" for view in views],
        entity_rows=[{"visitor_id": visitor} for visitor in VISITORS],
        full_feature_names=True,
    ).to_dict()
    return {
        value
        for name, column in answer.items()
        if name != "visitor_id"
        for value in column
    }
