"""The Kinesis log against a server that speaks Kinesis' API."""

import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest

from nearline.errors import NearlineError
from nearline.log import EventLog, LogUnavailableError, NewRecord, open_log
from nearline.settings import Settings
from tests.kinesis_server import CREDENTIALS, KinesisServer, running_kinesis
from tests.log_conformance import (
    LogConformance,
    OpenLog,
    as_appended,
    read_all,
    values_by_key,
)

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def server() -> Iterator[KinesisServer]:
    with running_kinesis() as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def settings_for(server: KinesisServer, home: Path) -> Settings:
    return Settings(
        home=home,
        log_kind="kinesis",
        # Long enough for a busy machine; one test waits for its end.
        log_timeout_seconds=5,
        kinesis_endpoint_url=server.url,
        kinesis_stream_prefix=f"{uuid.uuid4().hex}-",
    )


@pytest.fixture
def settings(server: KinesisServer, tmp_path: Path) -> Settings:
    return settings_for(server, tmp_path)


def impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"log_timeout_seconds": 0.5})


def append_until_kept(log: EventLog, record: NewRecord, seconds: float = 60) -> None:
    """As a sender does whom the log has no answer for."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            log.append([record])
            return
        except LogUnavailableError:
            if time.monotonic() > deadline:
                raise


class TestKinesisLog(LogConformance):
    @pytest.fixture
    def settings(self, server: KinesisServer, tmp_path: Path) -> Settings:
        return settings_for(server, tmp_path)

    def test_stream_is_made_with_the_shards_of_the_settings(
        self, settings: Settings
    ) -> None:
        settings = settings.model_copy(update={"log_partitions": 5})
        with closing(open_log(settings, "events")) as log:
            assert log.partitions() == [0, 1, 2, 3, 4]

    def test_ends_are_found_by_one_who_neither_wrote_nor_read(
        self, settings: Settings, open: OpenLog, tmp_path: Path
    ) -> None:
        writer = open("events")
        writer.append([NewRecord(f"v_{n}", b"x") for n in range(50)])
        elsewhere = settings.model_copy(update={"home": tmp_path / "elsewhere"})
        with closing(open_log(elsewhere, "events")) as other:
            assert other.ends() == writer.ends()

    def test_records_are_read_from_shards_that_were_split(
        self, settings: Settings, server: KinesisServer, open: OpenLog
    ) -> None:
        log = open("events")
        log.append([NewRecord(f"v_{n}", b"before") for n in range(20)])
        client = boto3.session.Session().client(
            "kinesis", region_name=settings.kinesis_region, endpoint_url=server.url
        )
        stream = f"{settings.kinesis_stream_prefix}events"
        parent = client.describe_stream(StreamName=stream)["StreamDescription"][
            "Shards"
        ][0]
        hashes = parent["HashKeyRange"]
        middle = (int(hashes["StartingHashKey"]) + int(hashes["EndingHashKey"])) // 2
        client.split_shard(
            StreamName=stream,
            ShardToSplit=parent["ShardId"],
            NewStartingHashKey=str(middle),
        )
        assert log.partitions() == [0, 1, 2, 3, 4]
        log.append([NewRecord(f"v_{n}", b"after") for n in range(20)])
        after = [record for record in read_all(log) if record.value == b"after"]
        # Where they went is the server's business: this one still puts into the parent.
        assert len(after) == 20

    @pytest.mark.parametrize(
        "record",
        [
            NewRecord("", b"x"),
            NewRecord("k" * 257, b"x"),
            NewRecord("v_1", bytes(1024 * 1024)),
        ],
        ids=["no key", "long key", "large value"],
    )
    def test_record_that_kinesis_never_takes_is_told_apart_from_a_log_away(
        self, open: OpenLog, record: NewRecord
    ) -> None:
        log = open("events")
        with pytest.raises(NearlineError, match="Kinesis takes") as refusal:
            log.append([NewRecord("v_1", b"good"), record])
        assert not isinstance(refusal.value, LogUnavailableError)
        assert read_all(log) == []


def test_records_that_kinesis_refuses_are_put_again(
    settings: Settings, server: KinesisServer
) -> None:
    records = [NewRecord(f"v_{n % 40}", f"{n}".encode()) for n in range(300)]
    with closing(open_log(settings, "events")) as log:
        log.partitions()
        with server.refusing(every=3, times=200):
            log.append(records)
        assert as_appended(read_all(log)) == Counter(records)
        assert set(values_by_key(read_all(log))) == {r.key for r in records}


def test_refusals_without_end_are_a_log_unavailable(
    settings: Settings, server: KinesisServer
) -> None:
    with closing(open_log(settings, "events")) as log:
        log.partitions()
        with (
            server.refusing(every=1, times=1_000_000),
            pytest.raises(LogUnavailableError, match="refused 2 of 2 records"),
        ):
            log.append([NewRecord("v_1", b"a"), NewRecord("v_1", b"b")])
        log.append([NewRecord("v_1", b"c")])
        assert [record.value for record in read_all(log)] == [b"c"]


def test_server_away_is_a_log_unavailable_and_back_it_works_again(
    tmp_path: Path,
) -> None:
    with running_kinesis() as server:
        settings = impatient(settings_for(server, tmp_path))
        with closing(open_log(settings, "events")) as log:
            append_until_kept(log, NewRecord("v_1", b"before"))
            server.stop(signal.SIGKILL)
            for call in (
                lambda: log.append([NewRecord("v_1", b"lost")]),
                lambda: log.read(0, 0, 10),
                log.ends,
                log.partitions,
            ):
                with pytest.raises(LogUnavailableError, match="cannot be used now"):
                    call()
            # It comes back without its streams, too: the log makes them anew.
            server.start()
            append_until_kept(log, NewRecord("v_1", b"after"))
            patient = settings.model_copy(update={"log_timeout_seconds": 60})
            with closing(open_log(patient, "events")) as reader:
                assert {record.value for record in read_all(reader)} == {b"after"}


def test_server_that_does_not_answer_is_a_log_unavailable(tmp_path: Path) -> None:
    with running_kinesis() as server:
        settings = impatient(settings_for(server, tmp_path))
        with closing(open_log(settings, "events")) as log:
            append_until_kept(log, NewRecord("v_1", b"before"))
            server.halt()
            with pytest.raises(LogUnavailableError, match="timeout"):
                log.append([NewRecord("v_1", b"perhaps")])
            server.go_on()
            append_until_kept(log, NewRecord("v_1", b"after"))
            patient = settings.model_copy(update={"log_timeout_seconds": 60})
            with closing(open_log(patient, "events")) as reader:
                values = {record.value for record in read_all(reader)}
            assert {b"before", b"after"} <= values <= {b"before", b"perhaps", b"after"}


def test_append_waits_out_a_server_that_pauses(
    settings: Settings, server: KinesisServer
) -> None:
    with closing(open_log(settings, "events")) as log:
        log.append([NewRecord("v_1", b"before")])
        server.halt()
        going_on = threading.Timer(0.5, server.go_on)
        going_on.start()
        log.append([NewRecord("v_1", b"after")])
        going_on.join()
        assert [record.value for record in read_all(log)] == [b"before", b"after"]


def test_missing_credentials_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with (
        closing(open_log(settings, "events")) as log,
        pytest.raises(LogUnavailableError, match="credentials"),
    ):
        log.append([NewRecord("v_1", b"x")])
