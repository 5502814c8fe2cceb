"""Suites by topic.

Belongs here: declarations alone. Privacy is not among them: it covers every text column
of every table, known or not, and has its own module.
"""

from pathlib import Path

from expectations.checks import Suite
from expectations.suites.behaviour import BEHAVIOUR_SUITES
from expectations.suites.decisions import DECISION_SUITES
from expectations.suites.experiments import EXPERIMENT_SUITES
from expectations.suites.features import feature_suites
from expectations.suites.measures import MEASURE_SUITES
from expectations.suites.operations import OPERATION_SUITES
from expectations.suites.persons import PERSON_SUITES
from expectations.suites.raw import RAW_SUITES
from expectations.suites.shop import SHOP_SUITES
from nearline.feature_views import find_feature_views

__all__ = ["RAW_SUITES", "release_suites"]


def release_suites(dbt_project: Path) -> tuple[Suite, ...]:
    """The suites of a release; those of feature tables follow from their YAML.

    Raises:
        InputError: a feature view is described in a way that cannot be served.
    """
    return (
        *BEHAVIOUR_SUITES,
        *SHOP_SUITES,
        *PERSON_SUITES,
        *EXPERIMENT_SUITES,
        *DECISION_SUITES,
        *MEASURE_SUITES,
        *feature_suites(find_feature_views(dbt_project)),
        *OPERATION_SUITES,
    )
