"""A run holds what apps were served against its tables before it publishes."""

import json
import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pytest
from feast.protos.feast.types.Value_pb2 import Value

from nearline.online.reading import FeatureReader
from tests.pipeline import Home, simulate


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("parity")
    home = Home(folder / "home")
    # Of these days: what is older than a view's time to live is not served.
    start = date.today() - timedelta(days=6)
    events = simulate(
        folder / "shop", visitors=60, days=4, seed=3, effect=0.0, start=start
    )
    home.nearline("ingest", events)
    home.nearline("run")
    return home


def serve(home: Home, service: str, ids: list[str]) -> None:
    settings = home.settings.model_copy(update={"served_sample_share": 1.0})
    reader = FeatureReader(settings, service)
    reader.read(ids)
    reader.close()


def spoil(path: Path, visitor: str) -> None:
    with sqlite3.connect(path) as connection:
        changed = connection.execute(
            "update nearline_visitor_activity_30d_v1 set value = ? "
            "where feature_name = 'page_view_count_30d' and instr(entity_key, ?) > 0",
            (Value(int64_val=10**6).SerializeToString(), visitor.encode()),
        )
    assert changed.rowcount == 1


def test_right_values_pass_and_a_wrong_one_blocks_and_is_named(home: Home) -> None:
    visitors = [
        row[0]
        for row in home.published(
            "select distinct visitor_id from {ftr_visitor__activity_30d} order by all"
        )
    ]
    items = [row[0] for row in home.published("select item_id from {dim_items}")]
    serve(home, "visitor_features_v1", [*visitors, "v_never_seen"])
    serve(home, "item_features_v1", items)
    home.nearline("run")
    views = home.published(
        "select view_name, sum(served_count - pending_count), sum(matched_count) "
        "from {ops_parity} group by all"
    )
    assert all(compared == matched for _, compared, matched in views)
    assert {"visitor_activity_30d_v1", "item_activity_7d_v1"} <= {
        view for view, compared, _ in views if compared
    }

    before = home.settings.published.resolve()
    spoil(home.settings.online / "online_store.db", visitors[0])
    serve(home, "visitor_features_v1", visitors[:1])
    failed = home.nearline("run", exit_code=4)
    assert "served_values_match" in failed.stderr
    assert (
        "visitor_activity_30d_v1, page_view_count_30d (batch): 1 mis" in failed.stderr
    )
    assert visitors[0] not in failed.stderr + failed.stdout
    assert home.settings.published.resolve() == before

    checked = json.loads((home.settings.candidate / "manifest.json").read_text())
    assert checked["release_id"] != before.name
