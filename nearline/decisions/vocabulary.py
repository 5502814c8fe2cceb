"""The names that conditions of policies may use, with what each of them holds.

Belongs here: features of the service that a decision reads, and what a page says of
itself. Not here: their values.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Every name that a condition may use.

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
    return features | {f"{CONTEXT}{name}": "text" for name in CONTEXT_FIELDS}


def services_of(expression: "Expression | None") -> frozenset[str]:
    """The feature services that an expression needs to have been read."""
    names = expression.names if expression is not None else ()
    return frozenset(
        PERSON_SERVICE if name.startswith(PERSON) else SERVICE
        for name in names
        if not name.startswith(CONTEXT)
    )


def reads_features(expression: "Expression | None") -> bool:
    """Whether an expression asks for anything of the visitor, and not of the page alone."""
    return bool(services_of(expression))
