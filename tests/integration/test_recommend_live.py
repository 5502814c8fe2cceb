"""Recommendations follow the log in a process of their own, and readers notice no swap."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from nearline.recommend.requests import Policy, Request, Touch
from nearline.recommend.serving import ServingRecommender
from nearline.recommend.training import train
from nearline.settings import Settings
from tests.unit.recommend.small_shop import SmallShop, small_shop

NEARLINE = Path(sys.executable).with_name("nearline")
PATIENCE_SECONDS = 60.0
"""The promise: item-to-item lists take in new behaviour within a minute."""

# Reads in a loop, as an API does; prints what it saw when it is told to stop.
_READER = """
import json, sys, threading
from pathlib import Path
import numpy as np
from nearline.recommend.requests import Request, Touch
from nearline.recommend.serving import ServingRecommender
from nearline.settings import Settings
serving = ServingRecommender(Settings(home=Path(sys.argv[1])))
stopping = threading.Event()
threading.Thread(
    target=lambda: (sys.stdin.readline(), stopping.set()), daemon=True
).start()
rng, request = np.random.default_rng(0), Request([Touch("kettle")], count=5)
reads, short, seen = 0, 0, set()
while not stopping.is_set():
    serving.refresh()
    answer = serving.current().recommend(request, rng)
    reads += 1
    short += len(answer.items) != 5
    seen.add((answer.versions["recommender"], answer.versions["fresh"]))
    if reads == 1:
        print("ready", flush=True)
versions = sorted({version for version, _ in seen})
print(json.dumps({"reads": reads, "short": short, "versions": versions,
                  "files": len({fresh for _, fresh in seen if fresh})}))
"""


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    made = small_shop(tmp_path / "home")
    _learn(made)
    return made


def test_a_pair_is_recommended_within_a_minute_of_being_viewed(shop: SmallShop) -> None:
    with _following(shop.settings):
        serving = ServingRecommender(shop.settings, Policy(exploration_share=0))
        assert _first_beside(serving, "kettle") != "shoe-walk"
        shop.arrive(
            shop.view("anna", "kettle", 40_000), shop.view("anna", "shoe-walk", 40_060)
        )
        _wait_until(lambda: _first_beside(serving, "kettle") == "shoe-walk")


def test_killed_it_begins_again_and_counts_nothing_twice(shop: SmallShop) -> None:
    for number in range(20):
        shop.arrive(
            shop.view(f"p{number}", "kettle", 40_000 + number),
            shop.view(f"p{number}", "shoe-walk", 40_060 + number),
        )
    with _following(shop.settings) as process:
        serving = ServingRecommender(shop.settings)
        _wait_until(lambda: _counted(serving, "shoe-walk") == 21)
        process.kill()
    shop.arrive(shop.view("last", "shoe-walk", 50_000))
    with _following(shop.settings):
        _wait_until(lambda: _counted(serving, "shoe-walk") == 22)


def test_a_reader_sees_no_error_while_models_and_files_are_swapped(
    shop: SmallShop,
) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(shop.settings.home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    with _following(shop.settings):
        serving = ServingRecommender(shop.settings)
        for version in (1, 2, 3):
            if version > 1:
                assert _learn(shop) == version
            for number in range(3):
                at = 40_000 * version + 100 * number
                shop.arrive(shop.view(f"p{at}", "kettle", at))
                _wait_until(
                    lambda v=version, n=number: _is_up_to(
                        serving, v, 40_000 * v + 100 * n
                    )  # type: ignore[misc]
                )
        output, _ = reader.communicate("stop\n", timeout=PATIENCE_SECONDS)
    found = json.loads(output)
    assert reader.returncode == 0
    assert found["short"] == 0
    assert found["versions"][-1] == "recommender v3"
    assert found["files"] >= 1


def _learn(shop: SmallShop) -> int:
    moment = datetime(2026, 9, 22, tzinfo=UTC)
    return train(shop.settings, seed=0, now=moment, code_version="test").version


@contextmanager
def _following(settings: Settings) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(
        [NEARLINE, "recommend", "live", "--write-every", "0.1"],
        env={**os.environ, "NEARLINE_HOME": str(settings.home)},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _first_beside(serving: ServingRecommender, item: str) -> str:
    serving.refresh()
    recommender = serving.current()
    assert recommender is not None
    answer = recommender.recommend(
        Request([Touch(item)], item=item, count=1), np.random.default_rng(0)
    )
    return answer.items[0].item_id


def _counted(serving: ServingRecommender, item: str) -> float:
    serving.refresh()
    recommender = serving.current()
    assert recommender is not None
    ids = recommender.shelves.catalogue.items.ids.to_pylist()
    return float(recommender.shelves.popularity[ids.index(item)])


def _is_up_to(serving: ServingRecommender, version: int, seconds: float) -> bool:
    from tests.unit.recommend.fashion_shop import START

    serving.refresh()
    recommender = serving.current()
    assert recommender is not None
    moment = datetime.fromtimestamp(START + seconds, UTC).isoformat(timespec="seconds")
    return recommender.versions == {
        "recommender": f"recommender v{version}",
        "fresh": moment,
    }


def _wait_until(holds: object) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not within a minute"
        time.sleep(0.05)
