"""The names that conditions of policies and triggers may use, and what each of them holds.

Belongs here: features of the services that are read for a decision or a firing, and what a
page says of itself. Not here: their values.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.errors import InputError
from nearline.feature_views import find_feature_views

if TYPE_CHECKING:
    from nearline.decisions.expressions import Expression, Kind

SERVICE = "visitor_features_v1"
"""The feature service of a visitor's own values, by their plain names."""

PERSON_SERVICE = "person_features_v1"
"""That of all devices of the visitor's person, under the same key."""

PERSON = "person."
"""Before the names of a person's features, many of which a visitor has, too."""

SEGMENT = "segment"
"""A second name of the primary segment."""
PRIMARY_SEGMENT = "primary_segment"

SEGMENTS = "segments"
"""The feature that lists the segments of the visitor's person."""

CONTEXT = "context."
CONTEXT_FIELDS = (
    "page_type",
    "page_path",
    "item",
    "channel",
    "campaign",
    "device_class",
)
"""What a page may say of itself; in conditions `context.page_type` and so on, all text."""

_SEGMENT_NAMES = frozenset(
    f"{prefix}{name}"
    for prefix in ("", PERSON)
    for name in (SEGMENT, PRIMARY_SEGMENT, "segments")
)

_KINDS: "Mapping[str, Kind]" = {
    "bigint": "number",
    "integer": "number",
    "double": "number",
    "float": "number",
    "varchar": "text",
    "boolean": "flag",
    "timestamp": "moment",
    "varchar[]": "texts",
}


def known_names(dbt_project: Path) -> "dict[str, Kind]":
    """Every name that a condition of a policy may use.

    Raises:
        InputError: the feature views of the project cannot be read.
    """
    page: dict[str, Kind] = {f"{CONTEXT}{name}": "text" for name in CONTEXT_FIELDS}
    return known_features(dbt_project) | page


def known_features(dbt_project: Path) -> "dict[str, Kind]":
    """Every feature that a condition may use, by its name there.

    Raises:
        InputError: the feature views of the project cannot be read.
    """
    views = find_feature_views(dbt_project)
    features = {
        f"{prefix}{feature.name}": _KINDS[feature.data_type]
        for service, prefix in ((SERVICE, ""), (PERSON_SERVICE, PERSON))
        for view in views
        if service in view.services
        for feature in view.features
        if feature.data_type in _KINDS
    }
    if PRIMARY_SEGMENT in features:
        features.setdefault(SEGMENT, features[PRIMARY_SEGMENT])
    return features


def known_segments(dbt_project: Path) -> tuple[str, ...]:
    """The segments by rule that a project declares.

    Raises:
        InputError: the project's file cannot be read.
    """
    import yaml

    path = dbt_project / "dbt_project.yml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(one["name"] for one in content["vars"]["segments"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as problem:
        raise InputError(
            f"{path} names no segments under vars; see docs/segments.md"
        ) from problem


def check_segments(expression: "Expression", segments: Collection[str]) -> None:
    """Whether segments that an expression compares with are there: one that is not would
    never be met, without a word.

    Raises:
        ExpressionError: one is not.
    """
    from sqlglot import exp, parse_one

    from nearline.decisions.expressions import ExpressionError

    if not expression.names & _SEGMENT_NAMES:
        return
    compared = (exp.EQ, exp.NEQ, exp.In, exp.ArrayContains)
    for node in parse_one(expression.text, read="duckdb").find_all(*compared):
        columns = {
            ".".join(part.name for part in column.parts)
            for column in node.find_all(exp.Column)
        }
        named = [one.this for one in node.find_all(exp.Literal) if one.is_string]
        for name in named if columns & _SEGMENT_NAMES else ():
            if name not in segments:
                raise ExpressionError(
                    f"knows no segment {name}; there are {', '.join(segments)}"
                )


def services_of(expression: "Expression | None") -> frozenset[str]:
    """The feature services that an expression needs to have been read."""
    names = expression.names if expression is not None else ()
    # Any other prefix is of what no store serves, such as the page.
    return frozenset(
        PERSON_SERVICE if name.startswith(PERSON) else SERVICE
        for name in names
        if name.startswith(PERSON) or "." not in name
    )


def reads_features(expression: "Expression | None") -> bool:
    """Whether an expression asks for anything of the visitor, and not of the page alone."""
    return bool(services_of(expression))
