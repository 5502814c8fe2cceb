"""The `feature_store.yaml` that apps read: stock Feast types, absolute paths.

Belongs here: which stores there are and where. `feature_repo/feature_store.yaml` names
the embedded ones relative to its folder, for plain Feast commands; a test holds them
equal. Beside the apps' file stands one for whoever writes through Feast, or wants what
has expired to be missing at that very moment: the same stores, by our classes.
"""

from pathlib import Path
from typing import Any

import yaml

from nearline.replacement import replace_file
from nearline.settings import Settings

PROJECT = "nearline"

_CLOCKED = {
    "sqlite": "nearline.online.clocked_store.ClockedSqliteOnlineStore",
    "redis": "nearline.online.clocked_redis_store.ClockedRedisOnlineStore",
}

REGISTRY_TTL_SECONDS = 10
"""How long a reader may go by the registry that it has read. A service is pointed at a
new view only after every reader has had to read that view (see `registry`)."""


def reader_file(settings: Settings) -> Path:
    return settings.online / "feature_store.yaml"


def clocked_file(settings: Settings) -> Path:
    return settings.online / "clocked.yaml"


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
        "online_store": _online_store(settings),
    }


def clocked_configuration(configuration: dict[str, Any]) -> dict[str, Any]:
    """The same stores as in a reader's `configuration`, by the classes that compare."""
    store = configuration["online_store"]
    return {**configuration, "online_store": {**store, "type": _CLOCKED[store["type"]]}}


def write_configurations(settings: Settings, configuration: dict[str, Any]) -> None:
    """Puts both files in place, each in one step and only where it says anything new."""
    _write(
        reader_file(settings),
        "Written by `nearline run`; apps open this folder with Feast.",
        configuration,
    )
    _write(
        clocked_file(settings),
        "Written by `nearline run`, for who writes features through Feast.",
        clocked_configuration(configuration),
    )


def named_store(settings: Settings) -> str | None:
    """The type of the store that apps were last pointed at; None: at none so far."""
    path = reader_file(settings)
    if not path.exists():
        return None
    named: str = yaml.safe_load(path.read_text())["online_store"]["type"]
    return named


def _online_store(settings: Settings) -> dict[str, Any]:
    if settings.online_store == "redis":
        from nearline.online.redis_address import feast_configuration, redis_address

        return feast_configuration(redis_address(settings))
    return {"type": "sqlite", "path": str(store_file(settings).absolute())}


def _write(path: Path, comment: str, configuration: dict[str, Any]) -> None:
    text = f"# {comment}\n" + yaml.safe_dump(configuration, sort_keys=False)
    if path.exists() and path.read_text() == text:
        return
    replace_file(path, lambda file: file.write(text.encode()))
