"""Clusters of persons by what they do, beside the rule segments, which are SQL.

What a session or a metric means, and how segments get validity periods, is dbt's.
"""

from nearline.segments.behaviour import BEHAVIOUR_COLUMNS, BEHAVIOUR_METRICS
from nearline.segments.clustering import (
    ASSIGNMENT_SCHEMA,
    Clustering,
    ClusterModel,
    fit_clusters,
)
from nearline.segments.files import write_clusters

__all__ = [
    "ASSIGNMENT_SCHEMA",
    "BEHAVIOUR_COLUMNS",
    "BEHAVIOUR_METRICS",
    "ClusterModel",
    "Clustering",
    "fit_clusters",
    "write_clusters",
]
