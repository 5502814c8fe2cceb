"""From the YAML of a model to what a plain Feast client reads, version by version."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.errors import NearlineError
from nearline.online.refresh import refresh_online_store
from nearline.settings import Settings
from tests.described_views import ONE_HOUR, Description, described, write_project
from tests.unit.online.small_shop import NOON, kept, publish

TWO = f"{ONE_HOUR}_v2"
CLOCK = {
    "visitor_id": pa.string(),
    "event_timestamp": pa.timestamp("us"),
    "created_timestamp": pa.timestamp("us"),
}


class Home:
    """A home whose feature views are those that a test describes."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "dbt_project"
        self.settings = Settings(home=folder / "home", dbt_project=self.project)

    def release(
        self, **tables: tuple[Mapping[str, pa.DataType], Sequence[Mapping[str, Any]]]
    ) -> Path:
        """Publishes tables of these types; a row gets the clock's columns by itself."""
        release = self.settings.releases / "r1"
        release.mkdir(parents=True, exist_ok=True)
        for table, (types, rows) in tables.items():
            timed = [
                {"event_timestamp": NOON, "created_timestamp": NOON, **row}
                for row in rows
            ]
            schema = pa.schema({**CLOCK, **types})
            path = release / f"{table}.parquet"
            pq.write_table(pa.Table.from_pylist(timed, schema), path)
        publish(self.settings, release)
        return release

    def refresh(self, *models: Description) -> dict[str, int]:
        """Rows written by view, with these models as the whole project."""
        write_project(self.project, *models)
        later = datetime.now(UTC) + timedelta(hours=1)
        done = refresh_online_store(
            self.settings, self.settings.published.resolve(), clock=lambda: later
        )
        return {view.view: view.rows_written for view in done}

    def store(self) -> Any:
        from feast import FeatureStore

        return kept(FeatureStore(repo_path=str(self.settings.online)))


def read(store: Any, service: Any, *visitors: str) -> dict[str, list[Any]]:
    return dict(
        store.get_online_features(
            features=service,
            entity_rows=[{"visitor_id": visitor} for visitor in visitors],
            full_feature_names=True,
        ).to_dict()
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_every_type_of_the_contract_reads_back_as_it_was(home: Home) -> None:
    types = {
        "count": ("bigint", pa.int64()),
        "level": ("integer", pa.int32()),
        "share": ("double", pa.float64()),
        "score": ("float", pa.float32()),
        "page": ("varchar", pa.string()),
        "is_new": ("boolean", pa.bool_()),
        "last_at": ("timestamp", pa.timestamp("us")),
        "items": ("varchar[]", pa.list_(pa.string())),
        "hours": ("bigint[]", pa.list_(pa.int64())),
    }
    ann = {
        "count": 2**53 + 1,
        "level": -7,
        "share": 0.1,
        "score": 0.5,
        "page": "ü",
        "is_new": False,
        "last_at": NOON,
        "items": ["sku_2", "", "sku_1", "sku_2"],
        "hours": [9, 2**53 + 1, 0],
    }
    null = dict.fromkeys(types)
    empty = {**null, "items": [], "hours": []}
    home.release(
        **{
            ONE_HOUR: (
                {name: kind for name, (_, kind) in types.items()},
                [
                    {"visitor_id": "ann", **ann},
                    {"visitor_id": "ben", **null},
                    {"visitor_id": "eve", **empty},
                ],
            )
        }
    )
    model = described(features={name: said for name, (said, _) in types.items()})
    assert home.refresh(model) == {"activity_v1": 3}
    assert home.refresh(model) == {"activity_v1": 0}
    store = home.store()
    service = store.get_feature_service("features_v1")

    found = read(store, service, "ann", "ben", "eve", "nobody")
    for name in types:
        of_ann, of_ben, of_eve, of_nobody = found[f"activity__{name}"]
        if name == "last_at":
            of_ann = of_ann.replace(tzinfo=None)
        assert of_ann == ann[name], name
        assert of_eve == empty[name], name
        assert of_ben is None, name
        assert of_nobody is None, name

    asked = pd.DataFrame({"visitor_id": ["ann"], "event_timestamp": [NOON]})
    trained = store.get_historical_features(asked, service).to_df().iloc[0]
    assert list(trained["items"]) == ann["items"]
    assert list(trained["hours"]) == ann["hours"]
    assert trained["count"] == ann["count"]


def test_a_list_with_a_null_inside_is_refused_before_it_becomes_something_else(
    home: Home,
) -> None:
    home.release(
        **{
            ONE_HOUR: (
                {"items": pa.list_(pa.string())},
                [{"visitor_id": "ann", "items": ["sku_1", None]}],
            )
        }
    )
    with pytest.raises(NearlineError, match="feature items: a list has a null inside"):
        home.refresh(described(features={"items": "varchar[]"}))


def views_of(home: Home) -> Path:
    """Two versions' tables: the second counts in parts, and knows revenue."""
    return home.release(
        **{
            ONE_HOUR: (
                {"page_view_count_1h": pa.int64()},
                [{"visitor_id": "ann", "page_view_count_1h": 3}],
            ),
            TWO: (
                {"page_view_count_1h": pa.float64(), "revenue_cents_1h": pa.int64()},
                [
                    {
                        "visitor_id": "ann",
                        "page_view_count_1h": 2.5,
                        "revenue_cents_1h": 4999,
                    }
                ],
            ),
        }
    )


FIRST = described()
SECOND = described(
    TWO,
    {"page_view_count_1h": "double", "revenue_cents_1h": "bigint"},
    version=2,
)


def test_two_versions_stand_side_by_side_and_the_service_takes_the_higher(
    home: Home,
) -> None:
    views_of(home)
    assert home.refresh(FIRST) == {"activity_v1": 1}
    running_app = home.store()
    held = running_app.get_feature_service("features_v1")
    assert read(running_app, held, "ann")["activity__page_view_count_1h"] == [3]

    assert home.refresh(FIRST, SECOND) == {"activity_v1": 0, "activity_v2": 1}

    store = home.store()
    assert read(store, store.get_feature_service("features_v1"), "ann") == {
        "visitor_id": ["ann"],
        "activity__page_view_count_1h": [2.5],
        "activity__revenue_cents_1h": [4999],
    }
    assert read(running_app, held, "ann")["activity__page_view_count_1h"] == [3]


def test_each_service_takes_the_highest_version_that_names_it(home: Home) -> None:
    views_of(home)
    apart = described(
        TWO, {"revenue_cents_1h": "bigint"}, version=2, services=["features_v2"]
    )
    home.refresh(FIRST, apart)
    store = home.store()
    for service, feature in (
        ("features_v1", "activity__page_view_count_1h"),
        ("features_v2", "activity__revenue_cents_1h"),
    ):
        found = read(store, store.get_feature_service(service), "ann")
        assert set(found) == {"visitor_id", feature}


@pytest.mark.parametrize(
    "features",
    [{"revenue_cents_1h": "bigint"}, {"page_view_count_1h": "double"}],
    ids=["gone", "of another type"],
)
def test_a_field_that_changes_in_place_is_refused_in_words_of_the_yaml(
    home: Home, features: dict[str, str]
) -> None:
    views_of(home)
    home.refresh(FIRST)
    (home.settings.published / f"{ONE_HOUR}.parquet").unlink()
    with pytest.raises(NearlineError) as refused:
        home.refresh(described(features=features))
    assert str(refused.value) == (
        "feature view activity_v1: field page_view_count_1h changed or is gone; "
        f"a running app would fail at it; leave {ONE_HOUR} as it was and add a model "
        f"{TWO} beside it, whose YAML says `name: activity` and `version: 2`"
    )


def test_a_model_taken_away_is_refused_while_its_service_promises_it(
    home: Home,
) -> None:
    views_of(home)
    home.refresh(FIRST)
    other = described(TWO, {"revenue_cents_1h": "bigint"}, name="other")
    with pytest.raises(NearlineError) as refused:
        home.refresh(other)
    assert "features_v1: page_view_count_1h is gone" in str(refused.value)
    assert "`services: [features_v2]` in the YAML" in str(refused.value)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (
            {"page_view_count_1h": "bigint", "scroll_count_1h": "bigint"},
            f"column scroll_count_1h is missing in {ONE_HOUR}; add it to the SQL and "
            f"run the build again, or take it out of {ONE_HOUR}.yml",
        ),
        (
            {"page_view_count_1h": "varchar[]"},
            f"column page_view_count_1h is BIGINT in {ONE_HOUR}, the view expects "
            "VARCHAR[]",
        ),
    ],
    ids=["missing", "of another type"],
)
def test_yaml_that_has_drifted_from_the_parquet_writes_nothing(
    home: Home, features: dict[str, str], words: str
) -> None:
    views_of(home)
    with pytest.raises(NearlineError) as refused:
        home.refresh(described(features=features))
    assert str(refused.value) == f"feature view activity_v1: {words}"
    assert not (home.settings.online / "online_store.db").exists()
