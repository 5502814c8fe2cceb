"""What a training set sees and does not see, on releases of few rows."""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.errors import InputError, NearlineError
from nearline.online.refresh import refresh_online_store
from nearline.settings import Settings
from nearline.training import sets
from nearline.training.sets import TrainingSet, build_training_set
from tests.releases import release_tables, write_release
from tests.unit.online.small_shop import (
    NOON,
    TABLE,
    activity,
    publish,
    write_feature_repo,
    write_table,
)

COUNT = "page_view_count_1h"
DATA_UP_TO = NOON + timedelta(days=80)
SECOND = timedelta(seconds=1)


def write_manifest(release: Path, data_up_to: datetime | None = DATA_UP_TO) -> None:
    (release / "manifest.json").write_text(
        json.dumps(
            {
                "release_id": release.name,
                "created_at": "2026-03-02T13:00:00+00:00",
                "code_version": "0.1.0",
                "data_up_to": data_up_to and f"{data_up_to.isoformat()}Z",
                "landings": {},
                "tables": {},
            }
        )
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Nothing is known of ann before noon, one view an hour later, two an hour on."""
    return shop(
        tmp_path,
        [activity("ann", 0, 1), activity("ann", 60, 2), activity("bob", 30, 7)],
    )


def shop(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Settings:
    settings = Settings(home=folder / "home")
    release = settings.releases / "r1"
    write_release(release, release_tables())
    write_table(release, rows, TABLE)
    write_manifest(release)
    publish(settings, release)
    repo = write_feature_repo(
        folder / "repo", {"activity_v1": [COUNT, "revenue_cents_1h"]}, ["activity_v1"]
    )
    for path in repo.glob("*.py"):
        path.write_text(path.read_text().replace("days=36_500", "days=90"))
    refresh_online_store(
        settings, release, feature_repo=repo, now=NOON.replace(tzinfo=UTC)
    )
    return settings


def build(
    settings: Settings, labels: str, out: str = "set.parquet", **options: Any
) -> TrainingSet:
    return build_training_set(
        settings,
        labels,
        options.pop("service", "features_v1"),
        settings.home / out,
        now=datetime.fromisoformat("2026-03-03T00:00:00+00:00"),
        **options,
    )


def counts_at(settings: Settings, *moments: datetime, visitor: str = "ann") -> list:
    values = ", ".join(f"('{visitor}', timestamp '{moment}')" for moment in moments)
    build(
        settings, f"select * from (values {values}) as t(visitor_id, event_timestamp)"
    )
    return pq.read_table(settings.home / "set.parquet")[COUNT].to_pylist()


def test_a_label_sees_a_row_of_its_own_moment_and_none_after_it(
    settings: Settings,
) -> None:
    an_hour_on = NOON + timedelta(hours=1)
    moment = timedelta(microseconds=1)
    assert counts_at(
        settings, NOON - moment, NOON, an_hour_on - moment, an_hour_on
    ) == [None, 1, 1, 2]


def test_a_late_event_is_seen_from_its_arrival_on(tmp_path: Path) -> None:
    # It happened at noon and arrived three hours later.
    settings = shop(tmp_path, [activity("ann", 0, 1), activity("ann", 180, 5)])
    arrival = NOON + timedelta(hours=3)
    assert counts_at(settings, arrival - SECOND, arrival + SECOND) == [1, 5]


def test_a_row_that_rests_on_something_later_than_it_says_is_not_seen(
    tmp_path: Path,
) -> None:
    planted = activity("ann", 60, 99, created=120)
    settings = shop(tmp_path, [activity("ann", 0, 1), planted])
    assert counts_at(
        settings, NOON + timedelta(minutes=90), NOON + timedelta(minutes=120)
    ) == [1, 99]


def test_what_is_older_than_the_views_time_to_live_is_not_known(
    settings: Settings,
) -> None:
    release = settings.published.resolve()
    write_manifest(release, NOON + timedelta(days=100))
    last = NOON + timedelta(hours=1, days=90)
    assert counts_at(settings, last, last + SECOND) == [2, None]


def test_labels_keep_their_order_their_duplicates_and_their_columns(
    settings: Settings,
) -> None:
    done = build(
        settings,
        "select visitor_id, event_timestamp, bought, 'x' as note from (values "
        f"('bob', timestamp '{NOON + timedelta(hours=2)}', true), "
        f"('ann', timestamp '{NOON}', false), "
        f"('bob', timestamp '{NOON + timedelta(hours=2)}', false), "
        f"('nobody', timestamp '{NOON}', null)"
        ") as t(visitor_id, event_timestamp, bought)",
    )
    table = pq.read_table(settings.home / "set.parquet")
    assert table.column_names == [
        "visitor_id",
        "event_timestamp",
        "bought",
        "note",
        COUNT,
        "revenue_cents_1h",
    ]
    assert table["visitor_id"].to_pylist() == ["bob", "ann", "bob", "nobody"]
    assert table["bought"].to_pylist() == [True, False, False, None]
    assert table[COUNT].to_pylist() == [7, 1, 7, None]
    assert done.missing_share == {COUNT: 0.25, "revenue_cents_1h": 0.25}


def test_moments_after_the_releases_data_are_counted_and_left_null(
    settings: Settings,
) -> None:
    assert counts_at(settings, NOON, DATA_UP_TO + SECOND, DATA_UP_TO) == [1, None, 2]
    card = json.loads((settings.home / "set.parquet.card.json").read_text())
    assert card["unknown_row_count"] == 1
    assert card["missing_share"][COUNT] == pytest.approx(1 / 3)


def test_a_set_of_moments_after_the_data_alone_is_all_null(settings: Settings) -> None:
    assert counts_at(settings, DATA_UP_TO + SECOND) == [None]


def test_no_labels_make_an_empty_set_with_all_columns(settings: Settings) -> None:
    done = build(
        settings, "select visitor_id, event_timestamp from fct_events "
        "cross join (select timestamp '2026-03-02' as event_timestamp) where false"
    )  # fmt: skip
    assert done.row_count == 0
    assert done.missing_share == {COUNT: None, "revenue_cents_1h": None}
    assert COUNT in pq.read_schema(settings.home / "set.parquet").names


def test_the_card_says_what_the_set_is_of(settings: Settings) -> None:
    import hashlib

    query = (
        "select visitor_id, started_at as event_timestamp, true as bought "
        "from fct_sessions order by session_id"
    )
    done = build(settings, query)
    card = json.loads((settings.home / "set.parquet.card.json").read_text())
    assert card["release_id"] == done.release_id == "r1"
    assert card["service"] == "features_v1"
    assert card["labels_origin"] == "query"
    assert card["labels_sha256"] == hashlib.sha256(query.encode()).hexdigest()
    assert card["label_columns"] == ["bought"]
    assert card["row_count"] == len(release_tables()["fct_sessions"])


@pytest.mark.parametrize("suffix", ["csv", "parquet", "sql"])
def test_labels_may_come_in_a_file(settings: Settings, suffix: str) -> None:
    path = settings.home / f"labels.{suffix}"
    if suffix == "csv":
        # An hour after noon in UTC; without an offset it is UTC.
        path.write_text(
            "visitor_id,event_timestamp,score\n"
            "ann,2026-03-02T14:00:00+01:00,1\nann,2026-03-02 12:00:00,2\n"
        )
    elif suffix == "parquet":
        hour = [NOON + timedelta(hours=1), NOON]
        moments = pa.array(hour, pa.timestamp("ns", "UTC")).cast(
            pa.timestamp("ns", "Europe/Berlin")
        )
        pq.write_table(
            pa.table(
                {
                    "visitor_id": pa.array(["ann", "ann"]).dictionary_encode(),
                    "event_timestamp": moments,
                    "score": [1, 2],
                }
            ),
            path,
        )
    else:
        path.write_text(
            "select 'ann' as visitor_id, "
            "unnest([timestamp '2026-03-02 13:00:00', timestamp '2026-03-02 12:00:00'])"
            " as event_timestamp, unnest([1, 2]) as score;"
        )
    build(settings, str(path))
    table = pq.read_table(settings.home / "set.parquet")
    assert table["event_timestamp"].to_pylist() == [NOON + timedelta(hours=1), NOON]
    assert table["score"].to_pylist() == [1, 2]
    assert table[COUNT].to_pylist() == [2, 1]


def test_ids_of_digits_keep_their_zeros_in_csv(tmp_path: Path) -> None:
    settings = shop(tmp_path, [activity("0042", 0, 4)])
    path = settings.home / "labels.csv"
    path.write_text("visitor_id,event_timestamp\n0042,2026-03-02T12:00:00Z\n")
    build(settings, str(path), "set.csv")
    written = (settings.home / "set.csv").read_text().splitlines()
    assert written[0].replace('"', "").startswith("visitor_id,event_timestamp,")
    assert written[1].startswith('"0042",2026-03-02 12:00:00')
    assert written[1].endswith(",4,4")


ONE_ROW = "timestamp '2026-03-02 12:00:00' as event_timestamp"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (f"select 'ann' as person, {ONE_ROW}", "column visitor_id is missing"),
        ("select 'ann' as visitor_id", "column event_timestamp is missing"),
        (
            f"select 'ann' as visitor_id, {ONE_ROW}, 3 as page_view_count_1h",
            "page_view_count_1h has the name of a feature",
        ),
        (
            f"select unnest(['ann', null]) as visitor_id, {ONE_ROW}",
            "column visitor_id is null in 1 of 2 rows",
        ),
        (
            "select 'ann' as visitor_id, null::timestamp as event_timestamp",
            "column event_timestamp is null in 1 of 1 rows",
        ),
        (f"select '' as visitor_id, {ONE_ROW}", "visitor_id is empty in 1 rows"),
        (f"select 17 as visitor_id, {ONE_ROW}", "visitor_id is int32, it must be text"),
        (
            "select 'ann' as visitor_id, 17 as event_timestamp",
            "event_timestamp is int32, it must be a timestamp",
        ),
        (
            "select 'ann' as visitor_id, 'soon' as event_timestamp",
            "holds no timestamp in 1 rows",
        ),
        (f"select 'ann' as visitor_id, {ONE_ROW}, 1 as a, 2 as a", "a is there twice"),
        ("drop table fct_events", "must be one SELECT"),
        ("copy fct_sessions to 'x.parquet'", "must be one SELECT"),
        ("select 1; select 2", "must be one SELECT"),
        ("select * from fct_unknown", "fct_unknown does not exist"),
        ("select * from '/etc/passwd.csv'", "Cannot access file"),
        ("select * from read_text('/etc/passwd')", "Cannot access file"),
        ("select * from settings", "settings does not exist"),
        ("bought.txt", "neither a query that can be read nor a file"),
        ("missing.parquet", "there is no file missing.parquet"),
    ],
)
def test_bad_labels_are_refused_in_words_and_nothing_is_written(
    settings: Settings, labels: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        build(settings, labels)
    assert not list(settings.home.glob("set*"))


def test_an_error_of_the_query_never_repeats_a_value(settings: Settings) -> None:
    query = (
        "select visitor_id, started_at as event_timestamp, "
        "cast(visitor_id as integer) as number from fct_sessions"
    )
    with pytest.raises(InputError) as refused:
        build(settings, query)
    assert "ConversionException" in str(refused.value)
    assert "v_" not in str(refused.value)


def test_an_unreadable_file_is_refused(settings: Settings) -> None:
    path = settings.home / "labels.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"labels.parquet cannot be read as Parquet"):
        build(settings, str(path))


def test_an_unknown_service_and_an_odd_file_name_are_refused(
    settings: Settings,
) -> None:
    query = f"select 'ann' as visitor_id, {ONE_ROW}"
    with pytest.raises(InputError, match="registered services: features_v1"):
        build(settings, query, service="features_v2")
    with pytest.raises(InputError, match=r"must end in .parquet or .csv"):
        build(settings, query, "set.xlsx")


def test_without_a_release_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is published yet"):
        build(Settings(home=tmp_path), "select 1")


def test_a_release_that_lacks_a_feature_is_named(settings: Settings) -> None:
    release = settings.published.resolve()
    write_table(release, [activity("ann", 0, 1)], TABLE, without=COUNT)
    with pytest.raises(NearlineError, match=f"column {COUNT} is missing"):
        build(settings, f"select 'ann' as visitor_id, {ONE_ROW}")


def test_a_failed_build_leaves_the_set_before_and_no_card_of_another(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = f"select 'ann' as visitor_id, {ONE_ROW}"
    build(settings, query)
    before = (settings.home / "set.parquet").read_bytes()

    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(settings, query, on_rows=stop)
    assert (settings.home / "set.parquet").read_bytes() == before
    assert (settings.home / "set.parquet.card.json").exists()
    assert not list(settings.home.glob(".set*"))


def test_a_set_goes_on_with_its_release_when_another_is_published_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "MOST_LABELS", 1)

    def publish_another(rows: int) -> None:
        release = settings.releases / "r2"
        write_table(release, [activity("ann", 0, 1000)], TABLE)
        publish(settings, release)

    done = build(
        settings,
        f"select unnest(['ann', 'ann']) as visitor_id, {ONE_ROW}",
        on_rows=publish_another,
    )
    assert done.release_id == "r1"
    assert pq.read_table(settings.home / "set.parquet")[COUNT].to_pylist() == [1, 1]


TWO_KEYS = """
import os
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

HOME = os.environ["NEARLINE_HOME"]
visitor = Entity(name="visitor", join_keys=["visitor_id"], value_type=ValueType.STRING)
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)

def source(table):
    return FileSource(
        name=table,
        path=f"{HOME}/published/{table}.parquet",
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )

of_visitor = FeatureView(
    name="of_visitor_v1", entities=[visitor], ttl=timedelta(days=20),
    schema=[Field(name="visitor_id", dtype=String)]
    + [Field(name=n, dtype=Int64) for n in ("page_view_count_1h", "item_view_count_1h")]
    + [Field(name="engaged_seconds_1h", dtype=Float64)],
    source=source("ftr_visitor__activity_1h"),
)
of_item = FeatureView(
    name="of_item_v1", entities=[item], ttl=timedelta(days=90),
    schema=[Field(name="item_id", dtype=String), Field(name="view_count_24h", dtype=Int64)],
    source=source("ftr_item__activity_24h"),
)
pair_v1 = FeatureService(name="pair_v1", features=[of_visitor, of_item])
"""


@pytest.mark.parametrize("seed", range(3))
def test_any_set_equals_an_asof_join_written_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    # Small parts, so that several are put together.
    monkeypatch.setattr(sets, "MOST_LABELS", 150)
    rng = random.Random(seed)
    settings = Settings(home=tmp_path / "home")
    release = settings.releases / "r1"
    write_release(release, release_tables())
    minutes = {
        key: sorted(rng.sample(range(-40_000, 40_000), rng.randint(0, 60)))
        for key in [f"v{n}" for n in range(20)] + [f"i{n}" for n in range(5)]
    }
    write_table(
        release,
        [
            activity(key, minute, rng.randint(0, 50)) | {"engaged_seconds_1h": None}
            if rng.random() < 0.1
            else activity(key, minute, rng.randint(0, 50))
            for key, moments in minutes.items()
            if key.startswith("v")
            for minute in moments
        ],
        TABLE,
    )
    write_table(
        release,
        [
            {
                "item_id": key,
                "event_timestamp": NOON + timedelta(minutes=minute),
                "created_timestamp": NOON + timedelta(minutes=minute),
                "view_count_24h": rng.randint(0, 50),
            }
            for key, moments in minutes.items()
            if key.startswith("i")
            for minute in moments
        ],
        "ftr_item__activity_24h",
    )
    write_manifest(release, NOON + timedelta(minutes=39_000))
    publish(settings, release)
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "features.py").write_text(TWO_KEYS)
    refresh_online_store(settings, release, feature_repo=repo)
    known = [moment for moments in minutes.values() for moment in moments]
    labels = pa.table(
        {
            "number": range(400),
            "visitor_id": [f"v{rng.randint(0, 21)}" for _ in range(400)],
            "item_id": [f"i{rng.randint(0, 6)}" for _ in range(400)],
            # Half of them at the very moment of a row.
            "event_timestamp": pa.array(
                [
                    NOON
                    + timedelta(
                        minutes=rng.choice(known)
                        if rng.random() < 0.5
                        else rng.randint(-45_000, 45_000)
                    )
                    for _ in range(400)
                ],
                pa.timestamp("us"),
            ),
        }
    )
    pq.write_table(labels, tmp_path / "labels.parquet")
    build(settings, str(tmp_path / "labels.parquet"), service="pair_v1")
    features = (
        "page_view_count_1h, item_view_count_1h, engaged_seconds_1h, view_count_24h"
    )
    by_hand = f"""
        with labels as (select * from '{tmp_path}/labels.parquet'),
        of_visitor as (select * from '{release}/{TABLE}.parquet'),
        of_item as (select * from '{release}/ftr_item__activity_24h.parquet'),
        joined as (
            select labels.*, v.event_timestamp as v_at, v.* exclude (visitor_id,
                event_timestamp), i.event_timestamp as i_at, i.view_count_24h
            from labels
            asof left join of_visitor as v
                on labels.visitor_id = v.visitor_id
                and labels.event_timestamp >= v.event_timestamp
            asof left join of_item as i
                on labels.item_id = i.item_id
                and labels.event_timestamp >= i.event_timestamp
        ),
        alive as (
            select number,
                event_timestamp <= timestamp '{NOON + timedelta(minutes=39_000)}' as k,
                k and v_at + interval 20 days >= event_timestamp as is_v,
                k and i_at + interval 90 days >= event_timestamp as is_i,
                page_view_count_1h, item_view_count_1h, engaged_seconds_1h,
                view_count_24h
            from joined
        )
        select number,
            if(is_v, page_view_count_1h, null), if(is_v, item_view_count_1h, null),
            if(is_v, engaged_seconds_1h, null), if(is_i, view_count_24h, null)
        from alive order by number
    """
    found = duckdb.sql(
        f"select number, {features} from '{settings.home}/set.parquet'"
    ).fetchall()
    expected = duckdb.sql(by_hand).fetchall()
    assert found == expected
    # Both kinds of answer are in the data.
    assert {row[1] is None for row in expected} == {True, False}
    assert {row[4] is None for row in expected} == {True, False}
