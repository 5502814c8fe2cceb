"""The registry of trained models: versions on disk, which one serves, and the gate.

Belongs here: writing a version whole, promoting and rolling back, loading the champion or
the last good one, judging a challenger, the command. Not here: how a model is trained or
scores (`propensity`, `recommend`), or when that happens (Dagster). No version holds rows
of persons: parameters and counts alone, so that erasure need not open it.
"""

from nearline.models.cards import Estimate, ModelCard, ModelFacts, champion_name
from nearline.models.drift import (
    FeatureDrift,
    Reference,
    drift_of,
    drift_of_counts,
    index_by_chance,
    reference_of,
)
from nearline.models.gate import Judgement, judge
from nearline.models.loading import Champion, NoChampion, load_champion, load_version
from nearline.models.registry import (
    ModelState,
    decide,
    note,
    promote,
    read_state,
    register,
    registered_names,
    rollback,
    state_file,
    versions,
)

__all__ = [
    "Champion",
    "Estimate",
    "FeatureDrift",
    "Judgement",
    "ModelCard",
    "ModelFacts",
    "ModelState",
    "NoChampion",
    "Reference",
    "champion_name",
    "decide",
    "drift_of",
    "drift_of_counts",
    "index_by_chance",
    "judge",
    "load_champion",
    "load_version",
    "note",
    "promote",
    "read_state",
    "reference_of",
    "register",
    "registered_names",
    "rollback",
    "state_file",
    "versions",
]
