"""What the tests of definitions share: a folder of small experiments, and moments."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from nearline.experiments.definitions import ExperimentDefinition, load_definitions

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def written(folder: Path, key: str = "banner", **changes: Any) -> Path:
    """A definition as a file; None leaves a field out."""
    content: dict[str, Any] = {
        "version": 1,
        "key": key,
        "hypothesis": "A banner sells more.",
        "owner": "shop",
        "unit": "visitor",
        "control": "plain",
        "variants": {"plain": 0.5, "banner": 0.5},
        "starts_at": MARCH,
        "metrics": {"primary": "conversion"},
        **changes,
    }
    path = folder / f"{key}.yml"
    folder.mkdir(parents=True, exist_ok=True)
    stated = {name: value for name, value in content.items() if value is not None}
    path.write_text(yaml.safe_dump(stated, sort_keys=False))
    return path


def layers(folder: Path, **content: Any) -> None:
    """The folder's layers and everybody's hold-out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_layers.yml").write_text(yaml.safe_dump({"version": 1, **content}))


def defined(folder: Path, **changes: Any) -> ExperimentDefinition:
    """The one definition of a folder, read."""
    written(folder, **changes)
    [found] = load_definitions(folder)
    return found


def phase(starts_at: datetime, **changes: Any) -> Mapping[str, Any]:
    return {"starts_at": starts_at, "why": "as planned", **changes}
