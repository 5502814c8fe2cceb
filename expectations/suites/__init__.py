"""Suites by topic, and the list of tables that a release must hold.

Belongs here: declarations alone. Privacy is not among them: it covers every text column
of every table, known or not, and has its own module.
"""

from expectations.checks import Suite
from expectations.suites.behaviour import BEHAVIOUR_SUITES
from expectations.suites.experiments import EXPERIMENT_SUITES
from expectations.suites.features import FEATURE_SUITES
from expectations.suites.measures import MEASURE_SUITES
from expectations.suites.operations import OPERATION_SUITES
from expectations.suites.persons import PERSON_SUITES
from expectations.suites.raw import RAW_SUITES
from expectations.suites.shop import SHOP_SUITES
from nearline.publication.tables import PUBLISHED_TABLES

RELEASE_SUITES: tuple[Suite, ...] = (
    *BEHAVIOUR_SUITES,
    *SHOP_SUITES,
    *PERSON_SUITES,
    *EXPERIMENT_SUITES,
    *MEASURE_SUITES,
    *FEATURE_SUITES,
    *OPERATION_SUITES,
)

REQUIRED_TABLES = frozenset(table.name for table in PUBLISHED_TABLES)
"""Tables that others rely on; absent is an error, empty is not."""

__all__ = ["RAW_SUITES", "RELEASE_SUITES", "REQUIRED_TABLES"]
