"""What is said of a model version: where it comes from and how good it was.

Belongs here: the card's shape and its JSON. Counts, parameters and measures alone; no
card names a person.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from nearline.errors import NearlineError
from nearline.estimates import Estimate as Estimate

CARD = "card.json"

_CHAMPION = "champion_v"


class BrokenVersionError(NearlineError):
    """A version's folder is not as it was written, or not of this code's making."""


def champion_name(version: int) -> str:
    """What `ModelFacts.beside` calls the champion that a version was held against."""
    return f"{_CHAMPION}{version}"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the trainer states of a version.

    `data_from` and `data_up_to` are the first and last moment (UTC, ISO) of the rows that
    it was trained and measured on. `metrics` are of the model on rows that it was not
    trained on, `beside` the same of what it stands beside on the same rows (by name, such
    as base_rate, and by `champion_name` what served then). `suppression` is the digest of
    the suppression list that the release was built under. `details` is whatever else the
    card shows, as plain JSON.
    """

    release_id: str
    code_version: str
    data_from: str | None
    data_up_to: str | None
    seed: int
    row_counts: Mapping[str, int]
    metrics: Mapping[str, Estimate]
    beside: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    feature_service: str | None = None
    features: tuple[str, ...] = ()
    suppression: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def champions_metrics(self) -> Mapping[str, Estimate]:
        """Those of the champion that the version was held against; none without one."""
        for name, metrics in self.beside.items():
            if name.startswith(_CHAMPION):
                return metrics
        return {}


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One version: its facts, and the SHA-256 of every file beside the card."""

    name: str
    version: int
    trained_at: str
    facts: ModelFacts
    files: Mapping[str, str]


def card_as_json(card: ModelCard) -> dict[str, Any]:
    """The card as one flat object, as it stands in `card.json`."""
    return {
        "name": card.name,
        "version": card.version,
        "trained_at": card.trained_at,
        **asdict(card.facts),
        "files": dict(card.files),
    }


def read_card(folder: Path) -> ModelCard:
    """The card of a version's folder.

    Raises:
        BrokenVersionError: there is none, or it is not a card.
    """
    try:
        content = json.loads((folder / CARD).read_text())
        facts = {name: content[name] for name in (f.name for f in fields(ModelFacts))}
        facts["features"] = tuple(facts["features"])
        facts["metrics"] = _estimates(facts["metrics"])
        facts["beside"] = {
            name: _estimates(found) for name, found in facts["beside"].items()
        }
        return ModelCard(
            name=content["name"],
            version=content["version"],
            trained_at=content["trained_at"],
            facts=ModelFacts(**facts),
            files=content["files"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BrokenVersionError(
            f"{folder.parent.name} {folder.name}: its card cannot be read"
        ) from problem


def _estimates(found: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**values) for name, values in found.items()}
