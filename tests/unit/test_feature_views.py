"""What is read from the YAML of features, and what is refused in which words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nearline.errors import InputError
from nearline.feature_views import (
    DescribedView,
    Feature,
    Rule,
    find_feature_views,
    views_of_service,
)
from tests.described_views import ONE_HOUR, Description, described, write_project


def test_a_description_becomes_a_view(tmp_path: Path) -> None:
    model = described(
        features={"page_view_count_1h": "bigint", "last_items": "VARCHAR[]"},
        name="visitor_activity_1h",
        version=3,
        window="1h",
        freshness_seconds=5,
    )
    model["columns"][4]["data_tests"] = ["not_null"]
    model["data_tests"] = [
        {"holds": {"arguments": {"expression": "a\n  <= b"}, "name": "a_first"}},
        {"holds": {"arguments": {"expression": "b < c"}}},
        {"holds": {"arguments": {"expression": "d"}, "config": {"severity": "warn"}}},
    ]
    assert find_feature_views(write_project(tmp_path, model)) == (
        DescribedView(
            model=ONE_HOUR,
            view="visitor_activity_1h_v3",
            alias="visitor_activity_1h",
            version=3,
            entity="visitor",
            join_key="visitor_id",
            services=("features_v1",),
            ttl_days=36_500,
            window="1h",
            freshness_seconds=5,
            features=(
                Feature("page_view_count_1h", "bigint"),
                Feature("last_items", "varchar[]", is_not_null=True),
            ),
            rules=(Rule("a <= b", "a_first"), Rule("b < c")),
        ),
    )


def test_views_are_told_by_the_length_of_their_window(tmp_path: Path) -> None:
    models = [
        described(f"ftr_visitor__{name}", {f"{name}_count": "bigint"}, **meta)
        for name, meta in {
            "all": {"name": "all"},
            "week": {"name": "week", "window": "7d"},
            "day": {"name": "day", "window": "24h"},
            "minutes": {"name": "minutes", "window": "90m"},
        }.items()
    ]
    found = find_feature_views(write_project(tmp_path, *models))
    assert [view.alias for view in found] == ["minutes", "day", "week", "all"]


def test_a_service_offers_of_each_view_the_highest_version_that_names_it(
    tmp_path: Path,
) -> None:
    both, first = ["features_v1", "features_v2"], ["features_v1"]
    models = [
        described("ftr_visitor__a", {"a_count": "bigint"}, name="a", services=both),
        described(
            "ftr_visitor__a_v2", {"a_count": "bigint"}, name="a", version=2,
            services=["features_v2"],
        ),
        described("ftr_visitor__b", {"b_count": "bigint"}, name="b", services=first),
    ]  # fmt: skip
    views = find_feature_views(write_project(tmp_path, *models))

    offered = {
        service: [view.view for view in views_of_service(views, service)]
        for service in ("features_v1", "features_v2", "features_v3")
    }

    assert offered == {
        "features_v1": ["a_v1", "b_v1"],
        "features_v2": ["a_v2"],
        "features_v3": [],
    }


def test_a_view_without_promised_freshness_is_kept_by_runs_alone(
    tmp_path: Path,
) -> None:
    models = [
        described("ftr_visitor__live", {"a_count": "bigint"}, name="live",
                  freshness_seconds=5),
        described("ftr_visitor__of_runs", {"b_count": "bigint"}, name="of_runs"),
    ]  # fmt: skip
    views = find_feature_views(write_project(tmp_path, *models))

    assert {view.alias: view.is_kept_live for view in views} == {
        "live": True,
        "of_runs": False,
    }


def test_a_model_that_is_switched_off_is_no_view(tmp_path: Path) -> None:
    model = described()
    model["config"]["enabled"] = False
    assert find_feature_views(write_project(tmp_path, model)) == ()


def test_a_project_without_features_has_no_views(tmp_path: Path) -> None:
    assert find_feature_views(tmp_path) == ()


def refusal(folder: Path, *models: Description) -> str:
    with pytest.raises(InputError) as refused:
        find_feature_views(write_project(folder, *models))
    return str(refused.value)


def with_meta(**meta: Any) -> Callable[[Description], None]:
    def change(model: Description) -> None:
        model["config"]["meta"]["feature_view"].update(meta)

    return change


def without_meta(key: str) -> Callable[[Description], None]:
    def change(model: Description) -> None:
        del model["config"]["meta"]["feature_view"][key]

    return change


def without_column(name: str) -> Callable[[Description], None]:
    def change(model: Description) -> None:
        model["columns"] = [c for c in model["columns"] if c["name"] != name]

    return change


def with_type(name: str, data_type: str | None) -> Callable[[Description], None]:
    def change(model: Description) -> None:
        (column,) = [c for c in model["columns"] if c["name"] == name]
        column["data_type"] = data_type

    return change


def without_contract(model: Description) -> None:
    del model["config"]["contract"]


def without_view(model: Description) -> None:
    model["config"]["meta"] = {"owner": "features"}


def with_a_column_twice(model: Description) -> None:
    model["columns"] += model["columns"][-1:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            without_view,
            "config.meta.feature_view is missing; add it with name, version",
        ),
        *(
            (
                without_meta(key),
                f"feature_view.{key} is missing; add it, as in `{key}: ",
            )
            for key in ("name", "version", "entity", "services", "ttl_days")
        ),
        (with_meta(ttl=90), "feature_view.ttl is unknown; use name, version, entity"),
        (
            with_meta(entity="basket"),
            "feature_view.entity is 'basket'; use one of item, person, visitor",
        ),
        (
            with_meta(entity="item"),
            "a feature view of item is a model named ftr_item__",
        ),
        (with_meta(name="Activity"), "feature_view.name is 'Activity'; use lowercase"),
        (with_meta(name="activity_v2"), "leave the version to feature_view.version"),
        (with_meta(version="2"), "feature_view.version is '2'; use a whole number"),
        (with_meta(version=0), "feature_view.version is 0; use a whole number from 1"),
        (with_meta(ttl_days=True), "feature_view.ttl_days is True; use a whole number"),
        (with_meta(services="features_v1"), "is 'features_v1'; use a list, as in ["),
        (
            with_meta(services=["features"]),
            "has 'features'; a service is named <word>_v<number>, as in visitor_features",
        ),
        (with_meta(services=["features_v0"]), "has 'features_v0'; a service is named"),
        (
            with_meta(window="a day"),
            "feature_view.window is 'a day'; use a length such",
        ),
        (
            with_meta(window="30d", ttl_days=7),
            "feature_view.ttl_days is 7, shorter than the window of 30d",
        ),
        (with_meta(freshness_seconds=0), "feature_view.freshness_seconds is 0; use a"),
        (without_contract, "its contract is not enforced, so its types are not sure"),
        (
            with_type("page_view_count_1h", None),
            "column page_view_count_1h has no data_type; add one of bigint, integer",
        ),
        (
            with_type("page_view_count_1h", "hugeint"),
            "column page_view_count_1h is hugeint, which cannot be served; use one of",
        ),
        (with_a_column_twice, "column page_view_count_1h is described twice"),
        (without_column("page_view_count_1h"), "there is no feature among its columns"),
        *(
            (without_column(name), f"column {name} is missing, which says ")
            for name in ("visitor_id", "event_timestamp", "created_timestamp")
        ),
        (with_type("visitor_id", "bigint"), "visitor_id is bigint; it must be varchar"),
        (
            with_type("event_timestamp", "varchar"),
            "event_timestamp is varchar; it must be timestamp",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_file_model_and_fix(
    tmp_path: Path, change: Callable[[Description], None], words: str
) -> None:
    model = described()
    change(model)
    said = refusal(tmp_path, model)
    assert said.startswith(f"models/features/{ONE_HOUR}.yml, model {ONE_HOUR}: ")
    assert words in said


def test_two_models_must_not_be_one_version_of_a_view(tmp_path: Path) -> None:
    assert refusal(tmp_path, described(), described("ftr_visitor__other")) == (
        f"{ONE_HOUR} and ftr_visitor__other are both feature view activity, version 1; "
        "give one of them the next version"
    )


def test_versions_of_a_view_are_of_one_entity(tmp_path: Path) -> None:
    item = described("ftr_item__activity", entity="item", version=2)
    item["columns"][0]["name"] = "item_id"
    assert "both feature view activity, of item and of visitor" in refusal(
        tmp_path, described(), item
    )


def test_a_service_must_not_offer_two_features_of_one_name(tmp_path: Path) -> None:
    other = described("ftr_visitor__other", name="other")
    said = refusal(tmp_path, described(), other)
    assert said.startswith("service features_v1 would offer page_view_count_1h twice")
    apart = described("ftr_visitor__other", name="other", services=["other_v1"])
    assert len(find_feature_views(write_project(tmp_path, described(), apart))) == 2


def test_sql_that_nothing_describes_is_named(tmp_path: Path) -> None:
    write_project(tmp_path, described())
    (tmp_path / "models" / "features" / "ftr_visitor__new.sql").touch()
    with pytest.raises(InputError, match=r"add ftr_visitor__new\.yml beside it"):
        find_feature_views(tmp_path)


def test_a_description_without_sql_is_named(tmp_path: Path) -> None:
    write_project(tmp_path, described())
    (tmp_path / "models" / "features" / f"{ONE_HOUR}.sql").unlink()
    with pytest.raises(InputError, match=rf"there is no {ONE_HOUR}\.sql beside it"):
        find_feature_views(tmp_path)


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    write_project(tmp_path, described())
    path = tmp_path / "models" / "features" / f"{ONE_HOUR}.yml"
    path.write_text("models: [")
    with pytest.raises(InputError, match=rf"{ONE_HOUR}\.yml is not YAML"):
        find_feature_views(tmp_path)
