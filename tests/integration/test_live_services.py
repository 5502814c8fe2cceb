"""The processor on Kafka with three partitions and on Redis, killed, and left waiting."""

import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nearline.live.following import follow
from nearline.live.processor import Batch
from tests.brokers import KafkaBroker, kafka_broker
from tests.online_stores import OnlineStores, with_secrets
from tests.unit.live.small_site import SmallSite, run_until_idle, small_site

pytestmark = pytest.mark.services

EVENTS = 2_000
VISITORS = 30


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found


@pytest.fixture
def site(
    tmp_path: Path,
    broker: KafkaBroker,
    online_stores: OnlineStores,
) -> SmallSite:
    settings = online_stores.settings("redis", tmp_path / "home").model_copy(
        update={
            "log_kind": "kafka",
            "log_partitions": 3,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topic_prefix": f"{uuid.uuid4().hex}-",
        }
    )
    return small_site(tmp_path / "home", settings)


def test_killed_at_random_it_counts_every_event_of_every_partition_once(
    site: SmallSite,
) -> None:
    rng = random.Random(5)
    names = [f"person{number:02}" for number in range(VISITORS)]
    events = [site.event(f"{n}", rng.choice(names)) for n in range(EVENTS)]
    site.arrive(*events, *rng.sample(events, 100))

    for _ in range(4):
        process = _start(site)
        assert process.stdout is not None
        for _ in range(rng.randint(1, 5)):
            process.stdout.readline()
        time.sleep(rng.random() * 0.2)
        process.kill()
        process.wait()
    last = _start(site)
    last.communicate(timeout=600)

    assert last.returncode == 0
    expected = Counter(event["visitor_id"] for event in events)
    assert site.pages(*names) == [expected[f"v_0000{name}"] for name in names]


def test_redis_that_is_away_is_waited_for_and_the_position_held(
    site: SmallSite, online_stores: OnlineStores
) -> None:
    server = online_stores.server()
    settings = site.settings.model_copy(update={"redis_timeout_seconds": 0.5})
    site.settings = settings
    waited: list[str] = []
    batches: list[Batch] = []
    with site.processor() as processor:
        site.view_page("1")
        run_until_idle(processor)
        server.kill()
        site.view_page("2", "3")
        stopping = threading.Event()

        def note_wait(part: str) -> None:
            waited.append(part)
            if len(waited) == 2:
                server.start()

        follow(
            processor,
            stopping,
            until_idle=True,
            on_batch=batches.append,
            on_wait=note_wait,
        )
        assert processor.lag() == 0

    assert waited[:2] == ["store", "store"]
    assert sum(batch.facts for batch in batches) == 2
    assert site.pages("ada") == [3]


def test_kafka_that_is_away_is_waited_for(site: SmallSite, broker: KafkaBroker) -> None:
    settings = site.settings.model_copy(update={"log_timeout_seconds": 2})
    waited: list[str] = []
    with replace(site, settings=settings).processor() as processor:
        site.view_page("1")
        run_until_idle(processor)
        broker.kill()

        def note_wait(part: str) -> None:
            waited.append(part)
            if len(waited) == 1:
                broker.start()
                site.view_page("2")

        follow(processor, threading.Event(), until_idle=True, on_wait=note_wait)

    assert set(waited) == {"log"}
    assert site.pages("ada") == [2]


def _start(site: SmallSite) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.unit.live.processor_process",
            with_secrets(site.settings),
            str(site.feature_repo),
            site.now.isoformat(),
            "61",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
