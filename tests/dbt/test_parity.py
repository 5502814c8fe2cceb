"""What a real reader is served from a real store, against tables that real dbt builds."""

import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import yaml
from feast.protos.feast.types.Value_pb2 import Value

from nearline.online.fill_mark import mark_filled
from nearline.online.reading import FeatureReader
from nearline.online.refresh import refresh_online_store
from nearline.privacy.suppression import suppress
from nearline.publication.releases import publish, write_candidate
from nearline.served.landing import land_served
from nearline.served.parity import ParityVerdict, judge_parity
from nearline.settings import Settings
from tests.dbt.nasty_visitors import at, event
from tests.dbt.warehouse import Row, Warehouse

ANNA, BEN, CARL, NOBODY = "v_anna00001", "v_ben000001", "v_carl00001", "v_nobody001"
# A full run of all models, on a machine that does other things besides.
_SECONDS = 600
OUTCOMES = ("mismatched_count", "missing_count", "extra_count", "pending_count")

FIRST = [
    event("a1", ANNA, at("10:00"), page_path="/"),
    event("a2", ANNA, at("10:00:00.400"), "view_item", item_id="sku-1"),
    event("b1", BEN, at("10:10"), page_path="/"),
    event("c1", CARL, at("10:20"), page_path="/"),
    event("z1", "v_zoe000001", at("10:40"), page_path="/"),
]
LATER = [
    # Happened before all that was served, and arrives an hour after.
    event("a3", ANNA, at("09:59"), page_path="/cart", delay=timedelta(minutes=70)),
    event("z2", "v_zoe000001", at("12:00"), page_path="/"),
]


def settings_of(warehouse: Warehouse) -> Settings:
    return warehouse.settings.model_copy(update={"served_sample_share": 1.0})


def release(warehouse: Warehouse, name: str) -> Path:
    settings = warehouse.settings
    made = write_candidate(settings, name, "0", datetime(2026, 9, 2, tzinfo=UTC))
    publish(settings, made)
    # Real time would have it all expired a season from now.
    refresh_online_store(settings, made, now=at("12:30").replace(tzinfo=UTC))
    mark_filled(settings, made)
    return made


def serve(warehouse: Warehouse, *visitors: str, when: datetime) -> None:
    for service, keys in (
        ("visitor_features_v1", visitors),
        ("item_features_v1", ["sku-1"]),
    ):
        reader = FeatureReader(
            settings_of(warehouse), service, clock=lambda: when.replace(tzinfo=UTC)
        )
        reader.read(keys)
        reader.close()


def compare(warehouse: Warehouse) -> list[Row]:
    """Rows of ops_parity for what has been served so far."""
    land_served(settings_of(warehouse), datetime(2026, 9, 3, tzinfo=UTC))
    warehouse.dbt(
        "run", "--select", "stg_served__feature_values", "ops_parity", timeout=_SECONDS
    )
    return warehouse.rows("select * from ops_parity order by all")


def wrong(rows: list[Row], outcome: str = "mismatched_count") -> dict[str, int]:
    return {row["feature"]: row[outcome] for row in rows if row[outcome]}


@pytest.fixture(scope="module")
def served(homes: Path, target: Path) -> Warehouse:
    """Served from a release of the first events; the later ones are built then."""
    warehouse = Warehouse(homes / "parity", target)
    warehouse.land(FIRST, "first")
    warehouse.dbt("run", timeout=_SECONDS)
    release(warehouse, "20260902T104100Z")
    serve(warehouse, ANNA, BEN, NOBODY, when=at("10:45"))
    warehouse.land(LATER, "later")
    warehouse.dbt("run", timeout=_SECONDS)
    return warehouse


@pytest.fixture
def copy(served: Warehouse, tmp_path: Path) -> Warehouse:
    """The warehouse, filled from all events; what was served before is forgotten."""
    copied = served.copy_to(tmp_path / "home")
    for link in (copied.settings.candidate, copied.settings.published):
        # Copied as the folder that it led to.
        shutil.rmtree(link)
    for file in copied.settings.served.rglob("*.*"):
        file.unlink()
    release(copied, "20260902T120100Z")
    return copied


def test_values_served_before_a_late_event_match_at_their_own_moment(
    served: Warehouse,
) -> None:
    rows = compare(served)
    (landed,) = served.rows("select count(*) as n from stg_served__feature_values")
    assert sum(row["served_count"] for row in rows) == landed["n"] > 3 * 36
    assert not any(wrong(rows, name) for name in OUTCOMES)
    assert {row["speed"] for row in rows} == {"batch"}
    # The late event did change what is known of Anna since.
    counts = served.rows(
        "select page_view_count_24h as n from ftr_visitor__activity_24h "
        f"where visitor_id = '{ANNA}' order by event_timestamp"
    )
    assert counts[-1]["n"] == counts[-2]["n"] + 1


def plant(warehouse: Warehouse, statement: str, *parameters: object) -> int:
    """Changes the online store behind everybody's back."""
    path = warehouse.settings.online / "online_store.db"
    with sqlite3.connect(path) as connection:
        return connection.execute(statement, parameters).rowcount


def test_a_wrong_value_online_is_found_named_and_blocks(copy: Warehouse) -> None:
    serve(copy, ANNA, BEN, when=at("12:30"))
    rows = compare(copy)
    assert not any(wrong(rows, name) for name in OUTCOMES[:3])
    assert judge(copy).is_kept
    changed = plant(
        copy,
        "update nearline_visitor_activity_30d_v1 set value = ? "
        "where feature_name = 'page_view_count_30d' and instr(entity_key, ?) > 0",
        Value(int64_val=41).SerializeToString(),
        ANNA.encode(),
    )
    assert changed == 1
    serve(copy, ANNA, BEN, when=at("12:31"))
    rows = compare(copy)
    assert wrong(rows) == {"page_view_count_30d": 1}
    (row,) = [row for row in rows if row["mismatched_count"]]
    # She has seen three pages: two of them and the late one.
    known = copy.rows(
        "select max_by(page_view_count_30d, event_timestamp) as n "
        f"from ftr_visitor__activity_30d where visitor_id = '{ANNA}'"
    )[0]["n"]
    assert row["max_difference"] == 41 - known
    verdict = judge(copy)
    assert not verdict.is_kept
    assert "visitor_activity_30d_v1, page_view_count_30d (batch): 1 mis" in (
        verdict.in_words()
    )
    assert "anna" not in verdict.in_words()


def judge(warehouse: Warehouse) -> ParityVerdict:
    name = f"20260903T00000{len(list(warehouse.settings.releases.iterdir()))}Z"
    return judge_parity(
        write_candidate(warehouse.settings, name, "0", datetime(2026, 9, 3, tzinfo=UTC))
    )


def test_values_that_are_gone_online_are_missing_unless_they_had_expired(
    copy: Warehouse,
) -> None:
    gone = plant(
        copy,
        "delete from nearline_visitor_activity_24h_v1 where instr(entity_key, ?) > 0",
        BEN.encode(),
    )
    assert gone == 6
    serve(copy, BEN, when=at("12:30"))
    # An event an hour later: until then, something might still be on its way.
    assert wrong(compare(copy), "pending_count")
    with duckdb.connect(str(copy.file)) as connection:
        connection.execute(
            "insert into int_events__feature_facts select * replace ('z3' as event_id, "
            "received_at + interval 1 hour as received_at) "
            "from int_events__feature_facts where event_id = 'z2'"
        )
    rows = compare(copy)
    day = {
        row["feature"] for row in rows if row["view_name"] == "visitor_activity_24h_v1"
    }
    assert wrong(rows, "missing_count") == dict.fromkeys(day, 1)
    for file in copy.settings.served.rglob("*.parquet"):
        file.unlink()
    # Known for 90 days; then the store may forget it.
    serve(copy, BEN, when=at("12:30", day=91))
    assert wrong(compare(copy), "missing_count") == {}


def test_values_of_a_row_that_no_table_has_are_extra(copy: Warehouse) -> None:
    serve(copy, BEN, when=at("12:30"))
    with duckdb.connect(str(copy.file)) as connection:
        connection.execute(
            f"delete from ftr_visitor__latest where visitor_id = '{BEN}'"
        )
    rows = compare(copy)
    extra = wrong(rows, "extra_count")
    assert set(extra) == {"last_event_at"}


def test_values_served_before_the_moment_of_judgement_are_left_out(
    copy: Warehouse,
) -> None:
    serve(copy, BEN, when=at("12:30"))
    land_served(settings_of(copy), datetime(2026, 9, 3, tzinfo=UTC))
    copy.dbt(
        "run",
        "--select",
        "ops_parity",
        "--vars",
        '{"parity_judged_from": "2026-09-02 12:30:01"}',
        timeout=_SECONDS,
    )
    assert copy.rows("select * from ops_parity") == []


def test_values_of_an_erased_visitor_are_dropped(copy: Warehouse) -> None:
    serve(copy, BEN, CARL, when=at("12:30"))
    now = datetime(2026, 9, 3, tzinfo=UTC)
    land_served(settings_of(copy), now)
    suppress(copy.settings, "visitor", BEN, "erased", now)
    # dbt leaves the key out by itself, whether or not a landing came before.
    copy.dbt(
        "run", "--select", "stg_privacy__suppressed_keys", "stg_served__feature_values"
    )
    left = copy.rows("select distinct entity_id from stg_served__feature_values")
    assert {row["entity_id"] for row in left} == {CARL, "sku-1"}
    land_served(settings_of(copy), now)
    assert BEN.encode() not in b"".join(
        path.read_bytes() for path in copy.settings.served.rglob("*.parquet")
    )


def test_values_served_under_another_version_of_a_view_are_not_compared(
    copy: Warehouse, tmp_path: Path
) -> None:
    serve(copy, BEN, when=at("12:30"))
    land_served(settings_of(copy), datetime(2026, 9, 3, tzinfo=UTC))
    project = tmp_path / "project"
    shutil.copytree(
        copy.project, project, ignore=shutil.ignore_patterns("target", "logs")
    )
    path = project / "models" / "features" / "ftr_visitor__activity_1h.yml"
    described = yaml.safe_load(path.read_text())
    (model,) = described["models"]
    meta = model.pop("meta", {}) | model["config"].get("meta", {})
    view = {"name": "visitor_activity_1h", "version": 2}
    meta["feature_view"] = meta.get("feature_view", {}) | view
    model["config"]["meta"] = meta
    path.write_text(yaml.safe_dump(described))
    (tmp_path / "target").mkdir()
    moved_on = replace(copy, project=project, target=tmp_path / "target")
    compared = {row["view_name"] for row in compare(moved_on)}
    assert "visitor_activity_5m_v1" in compared
    assert "visitor_activity_1h_v1" not in compared
