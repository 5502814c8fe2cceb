"""Loading a feature repository: complete, isolated, below the home asked for."""

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from nearline.errors import NearlineError
from nearline.online.configuration import reader_configuration
from nearline.online.definitions import FEATURE_REPO, load_definitions
from nearline.online.latest import view_source
from nearline.settings import Settings
from tests.described_views import described, write_project
from tests.releases import FEATURE_VIEWS
from tests.unit.online.small_shop import write_feature_repo

VISITOR_FEATURES = (
    ("page_view_count", "INT64"),
    ("item_view_count", "INT64"),
    ("add_to_cart_count", "INT64"),
    ("purchase_count", "INT64"),
    ("revenue_cents", "INT64"),
    ("engaged_seconds", "DOUBLE"),
)
ITEM_FEATURES = (
    ("view_count", "INT64"),
    ("add_to_cart_count", "INT64"),
    ("purchase_count", "INT64"),
)
RELIED_ON = {
    **{
        f"visitor_activity_{window}": [
            (f"{name}_{window}", kind) for name, kind in VISITOR_FEATURES
        ]
        for window in ("5m", "1h", "24h", "7d", "30d")
    },
    "visitor_latest": [
        ("last_event_at", "UNIX_TIMESTAMP"),
        ("last_page_type", "STRING"),
        ("last_item_id", "STRING"),
        ("last_item_category", "STRING"),
        ("last_cart_item_id", "STRING"),
        ("last_purchase_at", "UNIX_TIMESTAMP"),
    ],
    **{
        f"item_activity_{window}": [
            (f"{name}_{window}", kind) for name, kind in ITEM_FEATURES
        ]
        for window in ("24h", "7d")
    },
}
"""Views that apps were given, by alias, with their fields: they may only grow."""


def test_what_running_apps_rely_on_is_there_under_its_name_and_type(
    tmp_path: Path,
) -> None:
    defined = load_definitions(FEATURE_REPO, tmp_path)
    views = {view.name: view for view in defined.views}
    for alias, fields in RELIED_ON.items():
        view = views[f"{alias}_v1"]
        found = [(f.name, f.dtype.to_value_type().name) for f in view.features]
        assert found[: len(fields)] == fields
        assert view.ttl == timedelta(days=90)
        assert view.entities == [alias.partition("_")[0]]
        assert Path(view.batch_source.path).stem == f"ftr_{alias.replace('_', '__', 1)}"


def test_services_offer_what_apps_ask_them_for(tmp_path: Path) -> None:
    defined = load_definitions(FEATURE_REPO, tmp_path)
    offered = {
        service.name: [p.name_to_use() for p in service.feature_view_projections]
        for service in defined.services
    }
    for entity in ("visitor", "item"):
        asked = [alias for alias in RELIED_ON if alias.startswith(f"{entity}_")]
        found = offered[f"{entity}_features_v1"]
        # In this order: the columns of a training set come in it.
        assert [alias for alias in found if alias in asked] == asked


def test_every_described_view_is_loaded_with_the_columns_of_its_contract(
    tmp_path: Path,
) -> None:
    defined = load_definitions(FEATURE_REPO, tmp_path)
    entities = {entity.name: entity for entity in defined.entities}
    assert {
        view.name: (source.table, source.join_key, [f.name for f in view.features])
        for view in defined.views
        for source in [view_source(view, entities)]
    } == {
        view.view: (view.model, view.join_key, [f.name for f in view.features])
        for view in FEATURE_VIEWS
    }


def test_fields_of_our_views_carry_nothing_that_must_not_differ(tmp_path: Path) -> None:
    for view in load_definitions(FEATURE_REPO, tmp_path).views:
        assert not [field for field in view.features if field.description or field.tags]


def test_sources_are_below_the_home_that_was_asked_for(tmp_path: Path) -> None:
    before = os.environ.get("NEARLINE_HOME")
    for home in (tmp_path / "one", tmp_path / "two"):
        for view in load_definitions(FEATURE_REPO, home).views:
            assert Path(view.batch_source.path).parent == home / "published"
    assert os.environ.get("NEARLINE_HOME") == before


def test_views_are_those_of_the_project_that_was_asked_for(tmp_path: Path) -> None:
    before = os.environ.get("NEARLINE_DBT_PROJECT")
    project = write_project(tmp_path / "project", described(version=4))
    views = load_definitions(FEATURE_REPO, tmp_path, project).views
    assert [view.name for view in views] == ["activity_v4"]
    assert os.environ.get("NEARLINE_DBT_PROJECT") == before


def test_a_description_that_cannot_be_served_is_named(tmp_path: Path) -> None:
    project = write_project(tmp_path, described(entity="basket"))
    with pytest.raises(NearlineError, match=r"feature_view\.entity is 'basket'"):
        load_definitions(FEATURE_REPO, tmp_path, project)


def test_module_names_do_not_stay(tmp_path: Path) -> None:
    path = list(sys.path)
    load_definitions(FEATURE_REPO, tmp_path)
    assert not {"dbt_models", "entities", "views", "services"} & set(sys.modules)
    assert sys.path == path


def test_a_second_load_sees_what_was_changed(tmp_path: Path) -> None:
    for version in ("one_v1", "two_v1"):
        repo = write_feature_repo(
            tmp_path / "repo", {version: ["page_view_count_1h"]}, [version]
        )
        views = load_definitions(repo, tmp_path).views
        assert [view.name for view in views] == [version]


def test_a_file_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import does_not_exist")
    with pytest.raises(NearlineError, match=r"broken\.py cannot be loaded"):
        load_definitions(tmp_path, tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NearlineError, match="no feature definitions"):
        load_definitions(tmp_path, tmp_path)


def test_a_view_that_would_not_be_filled_is_refused(tmp_path: Path) -> None:
    repo = write_feature_repo(tmp_path, {"one_v1": ["page_view_count_1h"]}, ["one_v1"])
    with (repo / "features.py").open("a") as file:
        file.write(
            "from feast import OnDemandFeatureView\n"
            "from feast.on_demand_feature_view import on_demand_feature_view\n"
            "@on_demand_feature_view(sources=[one_v1], mode='python',\n"
            "    schema=[Field(name='twice', dtype=Int64)])\n"
            "def doubled(inputs: dict) -> dict:\n"
            "    return {'twice': inputs['page_view_count_1h']}\n"
        )
    with pytest.raises(NearlineError, match="doubled is a OnDemandFeatureView"):
        load_definitions(repo, tmp_path)


def test_plain_feast_and_apps_are_told_of_the_same_stores() -> None:
    plain = yaml.safe_load((FEATURE_REPO / "feature_store.yaml").read_text())
    home = FEATURE_REPO.parent / ".nearline"
    ours = reader_configuration(Settings(home=home))
    relative, absolute = "../.nearline", str(home)
    plain["registry"]["path"] = plain["registry"]["path"].replace(relative, absolute)
    plain["online_store"]["path"] = plain["online_store"]["path"].replace(
        relative, absolute
    )
    assert plain == ours
