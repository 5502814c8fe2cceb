"""The Kafka log against a real Apache Kafka broker, which is also killed."""

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nearline.log import LogUnavailableError, NewRecord, open_log
from nearline.settings import Settings
from tests.brokers import KafkaBroker, kafka_broker
from tests.integration.test_nothing_lost import check_that_nothing_is_lost, fire_at
from tests.log_conformance import LogConformance, read_all
from tests.pipeline import Home

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


def settings_for(broker: KafkaBroker, home: Path) -> Settings:
    return Settings(
        home=home,
        log_kind="kafka",
        log_timeout_seconds=20,
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_topic_prefix=f"{uuid.uuid4().hex}-",
    )


@pytest.fixture
def settings(broker: KafkaBroker, tmp_path: Path) -> Settings:
    return settings_for(broker, tmp_path)


class TestKafkaLog(LogConformance):
    """The suite that every backend passes."""

    @pytest.fixture
    def settings(self, broker: KafkaBroker, tmp_path: Path) -> Settings:
        return settings_for(broker, tmp_path)


def test_a_broker_away_is_said_and_survived(
    settings: Settings, broker: KafkaBroker
) -> None:
    impatient = settings.model_copy(update={"log_timeout_seconds": 3})
    with closing(open_log(impatient, "events")) as log:
        _append_until_taken(log, NewRecord("k", b"before"))
        broker.kill()
        with pytest.raises(LogUnavailableError, match="Kafka"):
            log.append([NewRecord("k", b"lost")])
        with pytest.raises(LogUnavailableError, match="Kafka"):
            log.ends()
        broker.start()
        _append_until_taken(log, NewRecord("k", b"after"))
        values = {record.value for record in read_all(log)}
    # What was refused must not turn up on its own.
    assert values == {b"before", b"after"}


def _append_until_taken(log, record: NewRecord) -> None:  # type: ignore[no-untyped-def]
    for _ in range(60):
        try:
            log.append([record])
        except LogUnavailableError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError("the broker is back, and the log is not")


def test_what_a_killed_broker_had_confirmed_is_there(
    settings: Settings, broker: KafkaBroker
) -> None:
    confirmed: list[bytes] = []
    stop = threading.Event()
    with closing(open_log(settings, "events")) as log:

        def append_all() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                value = str(number).encode()
                try:
                    log.append([NewRecord(f"k{number % 7}", value)])
                except LogUnavailableError:
                    continue
                confirmed.append(value)

        appending = threading.Thread(target=append_all)
        appending.start()
        try:
            for shot in range(2):
                _wait_for_more(confirmed)
                time.sleep(random.Random(shot).uniform(0, 1))
                broker.kill()
                broker.start()
            _wait_for_more(confirmed)
        finally:
            stop.set()
            appending.join(timeout=60)
        found = {record.value for record in read_all(log)}
    assert set(confirmed) <= found


def _wait_for_more(confirmed: list[bytes]) -> None:
    """Under load before each shot, however slow the broker came back."""
    wanted = len(confirmed) + 5
    end = time.monotonic() + 180
    while len(confirmed) < wanted:
        assert time.monotonic() < end, "the log did not recover"
        time.sleep(0.05)


def test_events_survive_kills_of_broker_collector_and_landing(
    broker: KafkaBroker, tmp_path: Path
) -> None:
    variables = {
        "NEARLINE_LOG_KIND": "kafka",
        "NEARLINE_LOG_TIMEOUT_SECONDS": "5",
        "NEARLINE_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "NEARLINE_KAFKA_TOPIC_PREFIX": f"{uuid.uuid4().hex}-",
    }
    home = Home(tmp_path / "home", variables)
    home.path.mkdir()
    shots = random.Random(3)

    def sometimes_kill_the_broker() -> None:
        if shots.random() < 0.3:
            broker.kill()
            time.sleep(shots.uniform(0, 2))
            broker.start()

    clients = fire_at(home, 25, sometimes_kill_the_broker)
    home.nearline("run")
    check_that_nothing_is_lost(home, clients)
