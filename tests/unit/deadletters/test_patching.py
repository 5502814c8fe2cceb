"""Changes to a record: what a fix, a drop and a merge patch do to it."""

from pathlib import Path
from typing import Any

import pytest

from nearline.deadletters.patching import (
    Changes,
    masked_paths,
    merge,
    parse_fix,
    parse_path,
    read_patch,
)
from nearline.errors import InputError

RECORD = {"a": 1, "items": [{"item_id": "x", "quantity": 1}, {"item_id": "y"}]}
TEXTS = frozenset({"currency", "schema_version", "items.*.item_id"})


def _fixed(*fixes: str) -> dict[str, Any]:
    return Changes(fixes=tuple(map(parse_fix, fixes))).apply(RECORD, TEXTS)


@pytest.mark.parametrize(
    ("fix", "changed"),
    [
        ("a=2", {"a": 2}),
        ("a=two words", {"a": "two words"}),
        ("a=", {"a": ""}),
        ("a=x=y", {"a": "x=y"}),
        ("b=true", {"b": True}),
        ("b=null", {"b": None}),
        ('b={"c": [1]}', {"b": {"c": [1]}}),
        ("b.c.d=1", {"b": {"c": {"d": 1}}}),
        # Where the contract asks for text, a number is text and quotes are JSON's.
        ("currency=EUR", {"currency": "EUR"}),
        ('currency="EUR"', {"currency": "EUR"}),
        ("schema_version=1.1", {"schema_version": "1.1"}),
    ],
)
def test_a_fix_sets_json_or_else_text(fix: str, changed: dict[str, Any]) -> None:
    assert _fixed(fix) == {**RECORD, **changed}


def test_a_fix_reaches_into_lists() -> None:
    assert _fixed("items.0.quantity=2", "items.1.item_id=77")["items"] == [
        {"item_id": "x", "quantity": 2},
        {"item_id": "77"},
    ]
    assert _fixed('items.2={"item_id": "z"}')["items"][2] == {"item_id": "z"}


@pytest.mark.parametrize(
    ("fix", "says"),
    [
        ("currency", "has no '='"),
        ("a=\udcff", "cannot be printed"),
        ("items..quantity=1", "empty part"),
        ("=1", "empty part"),
        ("items.5.quantity=1", "items is a list of 2"),
        ("items.one=1", "items is a list of 2"),
        ("a.b=1", "a is no object or list"),
        ("items.0.quantity.x=1", "items.0.quantity is no object or list"),
    ],
)
def test_a_fix_that_leads_nowhere_is_told(fix: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        _fixed(fix)


def test_drops_leave_out_what_is_there() -> None:
    paths = ("a", "items.0.quantity", "items.1", "not.there")
    changed = Changes(drops=tuple(map(parse_path, paths))).apply(RECORD)
    assert changed == {"items": [{"item_id": "x"}]}


def test_the_record_itself_is_left_as_it_is() -> None:
    record = {"items": [{"quantity": 1}]}
    Changes(
        patch={"a": 1},
        drops=(("items", "0", "quantity"),),
        fixes=(parse_fix("items.1=2"),),
    ).apply(record)
    assert record == {"items": [{"quantity": 1}]}


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # The test cases of RFC 7396, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_merges_as_the_rfc_says(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


@pytest.mark.parametrize(
    ("content", "says"), [("{", "cannot be read as JSON"), ("[1]", "no JSON object")]
)
def test_a_file_that_is_no_patch_is_told(
    tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "patch.json"
    path.write_text(content)
    with pytest.raises(InputError, match=says):
        read_patch(path)


def test_masks_are_found_in_values_and_keys_at_any_depth() -> None:
    record = {"a": "***", "b": [1, {"c": "***"}], "d": {"***": 1}, "e": "**"}
    assert list(masked_paths(record)) == ["a", "b.1.c", "d.***"]
