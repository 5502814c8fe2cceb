"""Feature tables: the knowledge clock, keys, types and ranges, from their own YAML.

Belongs here: what every feature view must keep, and what follows from how a view is
described: types from the contract, `not_null` and `holds` from the tests that dbt runs
too, ranges from a column's name. Not here: that only consented visitors have features
(`expectations/privacy.py`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from expectations.checks import (
    Check,
    Family,
    Suite,
    has_columns,
    holds,
    not_negative,
    not_null,
    unique_together,
)
from nearline.feature_views import DescribedView, Feature, Rule

_FAMILIES: Mapping[str, Family] = {
    "bigint": Family.INTEGER,
    "integer": Family.INTEGER,
    "double": Family.NUMBER,
    "float": Family.NUMBER,
    "varchar": Family.TEXT,
    "boolean": Family.BOOLEAN,
    "timestamp": Family.TIMESTAMP,
    "varchar[]": Family.TEXTS,
    "bigint[]": Family.INTEGERS,
}
_CLOCK = {"event_timestamp": Family.TIMESTAMP, "created_timestamp": Family.TIMESTAMP}
_ORDER = "created_timestamp <= event_timestamp"

# `page_view_count`, `page_view_count_24h`: a count is never null and never below zero.
_COUNT = re.compile(r"(\w+_)?count(_\d+[smhd])?")


def feature_suites(views: Iterable[DescribedView]) -> tuple[Suite, ...]:
    """One suite for each view's table."""
    return tuple(Suite(view.model, tuple(_checks(view))) for view in views)


def _checks(view: DescribedView) -> Iterator[Check]:
    families = {feature.name: _FAMILIES[feature.data_type] for feature in view.features}
    yield has_columns({view.join_key: Family.TEXT, **_CLOCK, **families})
    yield not_null(view.join_key)
    yield not_null("event_timestamp")
    yield not_null("created_timestamp")
    # Strictly increasing per entity: an online store keeps one row per instant.
    yield unique_together(*view.key)
    yield holds(
        "nothing_is_known_before_it_arrives",
        "created_timestamp is not after event_timestamp",
        _ORDER,
        column="created_timestamp",
    )
    for feature in view.features:
        yield from _feature_checks(feature)
    for number, rule in enumerate(view.rules, start=1):
        # What dbt has to fill in first is for dbt alone.
        if rule.expression != _ORDER and "{{" not in rule.expression:
            yield _rule_check(rule, number)


def _feature_checks(feature: Feature) -> Iterator[Check]:
    is_count = _COUNT.fullmatch(feature.name) and feature.data_type in (
        "bigint",
        "integer",
    )
    if feature.is_not_null or is_count:
        yield not_null(feature.name)
    if is_count:
        yield from not_negative(feature.name)
    if feature.data_type.endswith("[]"):
        # Feast has no null inside a list.
        yield holds(
            f"{feature.name}_has_no_null_inside",
            f"no entry of {feature.name} is null",
            f"len({feature.name}) = list_count({feature.name})",
            column=feature.name,
        )


def _rule_check(rule: Rule, number: int) -> Check:
    # As in dbt's test, what is unknown does not hold.
    condition = f"coalesce({rule.expression}, false)"
    return holds(
        rule.name or f"rule_{number}_holds",
        f"of every row: {rule.expression}",
        condition.replace("{", "{{").replace("}", "}}"),
    )
