"""Releases: written aside, whole or not at all, costing what changed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from nearline.errors import NearlineError
from nearline.privacy.suppression import list_digest, mark_applied, suppress
from nearline.publication.releases import (
    Manifest,
    TableEntry,
    new_release_id,
    publish,
    read_manifest,
    remove_old_releases,
    write_candidate,
)
from nearline.publication.tables import scan, table_path
from nearline.settings import Settings
from tests.described_views import ONE_HOUR, described, write_project
from tests.releases import PUBLISHED_TABLES
from tests.unit.publication.small_warehouse import (
    DAYS,
    FACTS,
    NOON,
    build_fact,
    change,
    day_files,
    rows_of,
    write,
    write_and_publish,
    written_days,
)


def _manifest(release: Path) -> Manifest:
    manifest = read_manifest(release)
    assert manifest is not None
    return manifest


def test_a_release_holds_every_published_table(settings: Settings) -> None:
    release = write(settings, "r1")
    assert {path.name for path in release.iterdir()} == {
        "manifest.json",
        *(f"{table.name}.parquet" for table in PUBLISHED_TABLES),
    }
    for table in PUBLISHED_TABLES:
        rows = rows_of(release, table.name)
        assert len(rows) == (6 if table.day_column else 2)
    for name in FACTS:
        assert set(day_files(release, name)) == set(DAYS)


def test_a_feature_table_is_published_while_its_model_is_described(
    settings: Settings, tmp_path: Path
) -> None:
    # The warehouse keeps what dbt built, whether or not the model is still there.
    project = write_project(tmp_path / "project", described())
    fewer = settings.model_copy(update={"dbt_project": project})
    release = write(fewer, "r1")
    assert sorted(path.stem for path in release.glob("ftr_*")) == [ONE_HOUR]
    assert [name for name in _manifest(release).tables if name.startswith("ftr_")] == [
        ONE_HOUR
    ]


def test_a_described_model_that_was_not_built_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    new = described("ftr_visitor__new", name="new", services=[])
    project = write_project(tmp_path / "project", described(), new)
    more = settings.model_copy(update={"dbt_project": project})
    with pytest.raises(NearlineError, match="has no table ftr_visitor__new; did dbt"):
        write(more, "r1")
    assert list(settings.releases.iterdir()) == []


def test_the_manifest_says_what_the_release_holds(settings: Settings) -> None:
    manifest = _manifest(write(settings, "r1"))
    assert manifest.release_id == "r1"
    assert manifest.created_at == "2026-03-02T12:00:00+00:00"
    assert manifest.code_version == "test"
    assert manifest.data_up_to == "2026-03-03T12:00:00Z"
    assert manifest.landings == {"nearline": 3, "rees46": 2}
    assert list(manifest.tables) == [table.name for table in PUBLISHED_TABLES]
    assert manifest.tables["dim_items"] == TableEntry(rows=2)
    events = manifest.tables["fct_events"]
    assert (events.rows, events.written_days, events.linked_days) == (6, 3, 0)
    assert list(events.days) == list(DAYS)


def test_data_reach_as_far_as_what_visits_sent(settings: Settings) -> None:
    change(settings, "update fct_events set session_id = null where value = 1")
    change(settings, "update fct_events set received_at = '2099-01-01' where value = 1")
    assert _manifest(write(settings, "r1")).data_up_to == "2026-03-03T12:00:00Z"
    change(settings, "update fct_events set session_id = null")
    assert _manifest(write(settings, "r2")).data_up_to == "2099-01-01T00:00:00Z"


def test_files_landed_after_the_tables_were_built_are_not_claimed(
    settings: Settings,
) -> None:
    later = settings.raw / "format=nearline" / "landing_id=00000009"
    later.mkdir(parents=True)
    (later / "landing.json").write_text(
        json.dumps(
            {
                "landing_id": 9,
                "format": "nearline",
                "source_file": "late.jsonl",
                "digest": "d",
                "accepted_count": 1,
                "rejected_count": 0,
            }
        )
    )
    assert _manifest(write(settings, "r1")).landings == {"nearline": 3, "rees46": 2}


def test_bookkeeping_is_not_published(settings: Settings) -> None:
    release = write(settings, "r1")
    for name, table in FACTS.items():
        described = duckdb.sql(f"describe select * from {scan(release, name)}")
        columns = {row[0] for row in described.fetchall()}
        published = {"session_id", "received_at", "value"}
        assert columns == {*table.key, table.day_column} | published


def test_unchanged_days_are_the_very_files_of_the_release_before(
    settings: Settings,
) -> None:
    first = write_and_publish(settings, "r1")
    second = write(settings, "r2")
    for name in FACTS:
        assert written_days(first, second, name) == []
        entry = _manifest(second).tables[name]
        assert (entry.written_days, entry.linked_days) == (0, 3)
        assert rows_of(second, name) == rows_of(first, name)


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize(
    ("statement", "written"),
    [
        ("update {t} set value = 9, change_seq = 2 where {k} = '2026-03-02-1'",
         ["2026-03-02"]),
        ("update {t} set value = 9, change_seq = 2 where {d} = '2026-03-02'",
         ["2026-03-02"]),
        ("insert into {t} ({c}) values ('late', '2026-03-01', '2026-03-09', 3, 2)",
         ["2026-03-01"]),
        ("insert into {t} ({c}) values ('new', '2026-03-04', '2026-03-04', 3, 2)",
         ["2026-03-04"]),
        ("delete from {t} where {k} = '2026-03-03-2'",
         ["2026-03-03"]),
        ("delete from {t} where {d} = '2026-03-02'",
         []),
        ("update {t} set {d} = '2026-03-01', change_seq = 2 where {k} = '2026-03-03-1'",
         ["2026-03-01", "2026-03-03"]),
        ("insert into {t} ({c}) select {k} || 'again', {d}, received_at, value, change_seq "
         "from {t} where {d} = '2026-03-02'",
         ["2026-03-02"]),
    ],
)  # fmt: skip
def test_a_change_rewrites_exactly_its_days(
    settings: Settings, name: str, statement: str, written: list[str]
) -> None:
    first = write_and_publish(settings, "r1")
    table = FACTS[name]
    key, day = table.key[0], table.day_column
    columns = f"{key}, {day}, received_at, value, change_seq"
    change(settings, statement.format(t=name, k=key, d=day, c=columns))
    second = write_and_publish(settings, "r2")
    assert written_days(first, second, name) == written
    others = [other for other in FACTS if other != name]
    assert all(written_days(first, second, other) == [] for other in others)
    with duckdb.connect(str(settings.warehouse), read_only=True) as warehouse:
        expected = warehouse.execute(
            f"select * exclude (change_seq) from {name} order by all"
        ).fetchall()
    assert rows_of(second, name) == expected


def test_a_table_built_anew_is_rewritten_whole(settings: Settings) -> None:
    first = write_and_publish(settings, "r1")
    change(settings, *build_fact("fct_sessions", build="second"))
    second = write(settings, "r2")
    assert written_days(first, second, "fct_sessions") == list(DAYS)
    assert written_days(first, second, "fct_events") == []


def test_a_table_with_other_columns_is_rewritten_whole(settings: Settings) -> None:
    first = write_and_publish(settings, "r1")
    change(settings, "alter table fct_sessions add column channel varchar")
    second = write(settings, "r2")
    assert written_days(first, second, "fct_sessions") == list(DAYS)
    assert written_days(first, second, "fct_events") == []


def test_days_are_linked_from_what_is_published_not_from_a_refused_candidate(
    settings: Settings,
) -> None:
    first = write_and_publish(settings, "r1")
    change(settings, "update fct_events set value = 8, change_seq = 2")
    refused = write(settings, "r2")
    change(settings, *build_fact("fct_events"))
    third = write(settings, "r3")
    assert written_days(first, refused, "fct_events") == list(DAYS)
    assert written_days(first, third, "fct_events") == []


def test_a_day_whose_file_is_gone_is_written_again(settings: Settings) -> None:
    first = write_and_publish(settings, "r1")
    day_files(first, "fct_events")[DAYS[1]].unlink()
    second = write(settings, "r2")
    assert written_days(first, second, "fct_events") == [DAYS[1]]
    assert len(rows_of(second, "fct_events")) == 6


def test_empty_tables_are_readable_with_their_columns(settings: Settings) -> None:
    change(settings, *(f"delete from {table.name}" for table in PUBLISHED_TABLES))
    change(settings, "delete from int_events__deduplicated")
    release = write_and_publish(settings, "r1")
    for table in PUBLISHED_TABLES:
        assert rows_of(release, table.name) == []
    assert rows_of(release, "fct_events", "max(value)") == [(None,)]
    manifest = _manifest(release)
    assert manifest.data_up_to is None
    assert manifest.landings == {}
    change(settings, *build_fact("fct_events"))
    assert len(rows_of(write(settings, "r2"), "fct_events")) == 6


def test_what_is_not_published_yet_is_seen_by_nobody(settings: Settings) -> None:
    first = write_and_publish(settings, "r1")
    second = write(settings, "r2")
    assert settings.published.resolve() == first.resolve()
    assert settings.candidate.resolve() == second.resolve()
    publish(settings, second)
    assert settings.published.resolve() == second.resolve()


def test_the_links_survive_moving_the_home(settings: Settings) -> None:
    write_and_publish(settings, "r1")
    moved = settings.home.rename(settings.home.with_name("moved"))
    assert len(rows_of(moved / "published", "dim_items")) == 2


def test_a_failed_write_leaves_no_release(settings: Settings) -> None:
    first = write_and_publish(settings, "r1")
    change(settings, "drop table ops_lateness")
    with pytest.raises(NearlineError, match="no table ops_lateness"):
        write(settings, "r2")
    assert [path.name for path in settings.releases.iterdir()] == ["r1"]
    assert settings.published.resolve() == first.resolve()
    assert settings.candidate.resolve() == first.resolve()


def test_what_a_killed_run_left_is_removed(settings: Settings) -> None:
    abandoned = settings.releases / ".draft-r0"
    abandoned.mkdir(parents=True)
    (abandoned / "fct_events.parquet").touch()
    write(settings, "r1")
    assert [path.name for path in settings.releases.iterdir()] == ["r1"]


def test_an_incomplete_release_is_not_published(settings: Settings) -> None:
    first = write_and_publish(settings, "r1")
    (settings.releases / "r2").mkdir()
    for name in ("r2", "r3"):
        with pytest.raises(NearlineError, match=f"no complete release {name}"):
            publish(settings, settings.releases / name)
    assert settings.published.resolve() == first.resolve()


def test_old_releases_are_removed_but_never_the_published_one(
    settings: Settings,
) -> None:
    write_and_publish(settings, "r1")
    for number in range(2, 8):
        write(settings, f"r{number}")
    (settings.quality / "r2").mkdir(parents=True)
    assert sorted(remove_old_releases(settings, kept=3)) == ["r2", "r3", "r4"]
    left = {path.name for path in settings.releases.iterdir()}
    assert left == {"r1", "r5", "r6", "r7"}
    assert not (settings.quality / "r2").exists()
    assert len(rows_of(settings.published, "fct_events")) == 6
    assert sorted(remove_old_releases(settings, kept=0)) == ["r5", "r6", "r7"]
    assert [path.name for path in settings.releases.iterdir()] == ["r1"]


def test_releases_that_may_hold_somebody_erased_since_are_removed(
    settings: Settings,
) -> None:
    write(settings, "r1")
    suppress(settings, "visitor", "v_anna00001", "erased", NOON)
    mark_applied(settings, list_digest(settings))
    write_and_publish(settings, "r2")
    write(settings, "r3")
    assert remove_old_releases(settings) == ["r1"]


def test_a_linked_day_outlives_the_release_that_wrote_it(settings: Settings) -> None:
    for number in range(1, 5):
        write_and_publish(settings, f"r{number}")
    remove_old_releases(settings, kept=1)
    assert len(rows_of(settings.published, "fct_events")) == 6


def test_release_ids_sort_by_time_and_are_never_reused(settings: Settings) -> None:
    first = new_release_id(settings, NOON)
    assert first == "20260302T120000Z"
    write_candidate(settings, first, "test", NOON)
    second = new_release_id(settings, NOON)
    assert second == "20260302T120001Z"
    assert new_release_id(settings, datetime(2026, 3, 3, tzinfo=UTC)) > second


def test_no_release_has_no_manifest(settings: Settings) -> None:
    assert read_manifest(settings.published) is None


def test_a_path_with_a_quote_is_read(settings: Settings) -> None:
    release = write(settings, "r1").rename(settings.releases / "o'r1")
    assert len(rows_of(release, "fct_events")) == 6
    assert len(rows_of(release, "dim_items")) == 2
    assert table_path(release, "dim_items").is_file()
