"""The reader that our own apps use: values, moments, ages, and what it logs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nearline.errors import InputError
from nearline.online.fill_mark import mark_filled, read_fill_mark
from nearline.online.reading import FeatureReader
from nearline.online.refresh import refresh_online_store
from nearline.served.landing import land_served, landed_folder
from nearline.served.log import ServedLog, segments_folder
from nearline.settings import Settings
from tests.releases import FEATURE_VIEWS, release_tables, write_release
from tests.unit.online.small_shop import NOON, TABLE, activity, publish, write_table
from tests.unit.training.test_training_sets import write_manifest

SERVICE = "visitor_features_v1"
SERVED_AT = datetime(2026, 3, 2, 14, tzinfo=UTC)
FEATURES = sum(len(view.features) for view in FEATURE_VIEWS if SERVICE in view.services)
DATA_UP_TO = NOON + timedelta(hours=1, milliseconds=250)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", served_sample_share=1)
    release = settings.releases / "r1"
    write_release(release, release_tables())
    write_table(release, [activity("ann", 0.01, 1), activity("ben", 30, 7)], TABLE)
    write_manifest(release, DATA_UP_TO)
    publish(settings, release)
    refresh_online_store(settings, release, now=SERVED_AT)
    mark_filled(settings, release)
    return settings


@pytest.fixture
def reader(settings: Settings) -> Iterator[FeatureReader]:
    reader = FeatureReader(settings, SERVICE, clock=lambda: SERVED_AT)
    yield reader
    reader.close()


def landed(settings: Settings) -> list[dict]:
    land_served(settings, SERVED_AT)
    return [
        row
        for path in landed_folder(settings).glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]


def test_values_come_with_the_moment_and_the_age_of_each_view(
    reader: FeatureReader,
) -> None:
    ben, nobody, anna = reader.read(["ben", "nobody", "v_anna00001"])
    assert ben.values["page_view_count_1h"] == 7
    assert ben.values["page_view_count_30d"] is None
    half_past = NOON + timedelta(minutes=30)
    assert ben.event_timestamps["visitor_activity_1h"] == half_past
    assert ben.ages["visitor_activity_1h"] == 90 * 60
    assert ben.ages["visitor_latest"] is None
    assert set(nobody.values.values()) == {None}
    assert set(nobody.ages.values()) == {None}
    assert anna.values["last_item_category"] == "shoes"
    assert anna.values["page_view_count_1h"] is None
    assert len(anna.values) == FEATURES
    assert reader.read([]) == []


def test_the_store_is_marked_with_what_it_was_filled_from(settings: Settings) -> None:
    mark = read_fill_mark(settings)
    assert mark is not None
    assert (mark.release_id, mark.data_up_to, mark.suppression) == (
        "r1",
        DATA_UP_TO,
        "",
    )


def test_what_was_served_is_logged_with_the_rows_own_moment(
    settings: Settings, reader: FeatureReader
) -> None:
    reader.read(["ann", "nobody"])
    reader.close()
    rows = landed(settings)
    assert len(rows) == 2 * FEATURES
    (ann,) = [
        row
        for row in rows
        if row["entity_id"] == "ann" and row["feature"] == "revenue_cents_1h"
    ]
    assert ann["served_at"] == SERVED_AT.replace(tzinfo=None)
    assert ann["view"] == "visitor_activity_1h_v1"
    assert ann["view_table"] == TABLE
    # Of 12:00:00.6 the embedded store keeps the second.
    assert ann["event_timestamp"] == NOON
    assert ann["known_up_to"] == DATA_UP_TO
    assert ann["known_from"] == ann["served_at"] - timedelta(days=90)
    assert (ann["value_text"], ann["value_number"]) == ("1", 1.0)
    nothing = [row for row in rows if row["entity_id"] == "nobody"]
    assert {row["event_timestamp"] for row in nothing} == {None}


def test_a_moment_is_logged_in_whole_seconds(
    settings: Settings, reader: FeatureReader
) -> None:
    (anna,) = reader.read(["v_anna00001"])
    reader.close()
    (logged,) = [row for row in landed(settings) if row["feature"] == "last_event_at"]
    seconds = int((NOON + timedelta(seconds=60)).replace(tzinfo=UTC).timestamp())
    assert anna.values["last_event_at"].timestamp() == seconds
    assert logged["value_text"] == str(seconds)


def test_only_sampled_entities_are_logged(settings: Settings) -> None:
    log = ServedLog(segments_folder(settings), 0.3)
    reader = FeatureReader(settings, SERVICE, log=log)
    keys = [f"v_{number:08}" for number in range(60)]
    sampled = {key for key in keys if log.samples(key)}
    assert 0 < len(sampled) < 60
    reader.read(keys)
    reader.close()
    assert {row["entity_id"] for row in landed(settings)} == sampled


def test_without_sampling_nothing_is_written(settings: Settings) -> None:
    quiet = settings.model_copy(update={"served_sample_share": 0.0})
    reader = FeatureReader(quiet, SERVICE)
    reader.read(["ann"])
    reader.close()
    assert not settings.served.exists()


def test_a_service_that_is_not_there_is_refused_in_words(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError,
        match="there are item_features_v1, person_features_v1, visitor_features",
    ):
        FeatureReader(settings, "visitor_features_v9")
    with pytest.raises(InputError, match="nothing is online yet"):
        FeatureReader(Settings(home=tmp_path / "empty"), SERVICE)
