"""Loading a feature repository: complete, isolated, below the home asked for."""

import os
import sys
from pathlib import Path

import pytest
import yaml

from nearline.errors import NearlineError
from nearline.online.configuration import reader_configuration
from nearline.online.definitions import FEATURE_REPO, load_definitions
from nearline.online.latest import view_source
from nearline.settings import Settings
from tests.releases import SCHEMAS
from tests.unit.online.small_shop import write_feature_repo


def test_our_views_cover_every_feature_column_of_every_feature_table(
    tmp_path: Path,
) -> None:
    defined = load_definitions(FEATURE_REPO, tmp_path)
    entities = {entity.name: entity for entity in defined.entities}
    covered = {}
    for view in defined.views:
        source = view_source(view, entities)
        covered[source.table] = set(source.features)
    own = {"visitor_id", "item_id", "event_timestamp", "created_timestamp"}
    assert covered == {
        table: set(columns) - own
        for table, columns in SCHEMAS.items()
        if table.startswith("ftr_")
    }


def test_our_services_offer_every_view(tmp_path: Path) -> None:
    defined = load_definitions(FEATURE_REPO, tmp_path)
    offered = {
        service.name: {p.name for p in service.feature_view_projections}
        for service in defined.services
    }
    assert set(offered) == {"visitor_features_v1", "item_features_v1"}
    assert set().union(*offered.values()) == {view.name for view in defined.views}


def test_fields_of_our_views_carry_nothing_that_must_not_differ(tmp_path: Path) -> None:
    for view in load_definitions(FEATURE_REPO, tmp_path).views:
        assert not [field for field in view.features if field.description or field.tags]


def test_sources_are_below_the_home_that_was_asked_for(tmp_path: Path) -> None:
    before = os.environ.get("NEARLINE_HOME")
    for home in (tmp_path / "one", tmp_path / "two"):
        for view in load_definitions(FEATURE_REPO, home).views:
            assert Path(view.batch_source.path).parent == home / "published"
    assert os.environ.get("NEARLINE_HOME") == before


def test_module_names_do_not_stay(tmp_path: Path) -> None:
    path = list(sys.path)
    load_definitions(FEATURE_REPO, tmp_path)
    assert not {"entities", "views", "services"} & set(sys.modules)
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
