"""The `feature_store.yaml` that apps read: stock Feast types, absolute paths.

Belongs here: which stores there are and where. `feature_repo/feature_store.yaml` names
the same ones relative to its folder, for plain Feast commands; a test holds them equal.
"""

from pathlib import Path
from typing import Any

import yaml

from nearline.replacement import replace_file
from nearline.settings import Settings

PROJECT = "nearline"

REGISTRY_TTL_SECONDS = 10
"""How long a reader may go by the registry that it has read. A service is pointed at a
new view only after every reader has had to read that view (see `registry`)."""


def reader_file(settings: Settings) -> Path:
    return settings.online / "feature_store.yaml"


def registry_file(settings: Settings) -> Path:
    return settings.online / "registry.db"


def store_file(settings: Settings) -> Path:
    return settings.online / "online_store.db"


def reader_configuration(
    settings: Settings, registry_ttl_seconds: int = REGISTRY_TTL_SECONDS
) -> dict[str, Any]:
    """What a plain Feast client needs; no class of ours is named in it."""
    return {
        "project": PROJECT,
        "provider": "local",
        "entity_key_serialization_version": 3,
        "registry": {
            "registry_type": "sql",
            "path": f"sqlite:///{registry_file(settings).absolute()}",
            "cache_ttl_seconds": registry_ttl_seconds,
            # For whoever runs `feast materialize` by hand; our refresh sets no state.
            "serve_features_while_materializing": True,
        },
        "offline_store": {"type": "duckdb"},
        "online_store": {
            "type": "sqlite",
            "path": str(store_file(settings).absolute()),
        },
    }


def write_reader_file(settings: Settings, configuration: dict[str, Any]) -> None:
    """Puts the file in place in one step, and only where it says something new."""
    path = reader_file(settings)
    text = "# Written by `nearline run`; apps open this folder with Feast.\n"
    text += yaml.safe_dump(configuration, sort_keys=False)
    if path.exists() and path.read_text() == text:
        return
    replace_file(path, lambda file: file.write(text.encode()))
