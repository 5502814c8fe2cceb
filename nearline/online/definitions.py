"""Loads what `feature_repo/` defines, as Feast objects.

Belongs here: finding the definitions, and the few rules that the refresh relies on.
Feast's own loader is not used: it depends on the working directory, keeps the modules
(a second load would see the first one's), and drops what it does not know in silence.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nearline.errors import NearlineError
from nearline.feature_views import FEATURE_REPO

if TYPE_CHECKING:
    from types import ModuleType

    from feast import Entity, FeatureService, FeatureView

__all__ = ["FEATURE_REPO", "Definitions", "load_definitions"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Definitions:
    """All module-level objects of a feature repository, each once."""

    entities: "tuple[Entity, ...]"
    views: "tuple[FeatureView, ...]"
    services: "tuple[FeatureService, ...]"


def load_definitions(
    folder: Path, home: Path, dbt_project: Path | None = None
) -> Definitions:
    """The definitions in `folder`, with sources below `home`.

    Args:
        dbt_project: where the feature views are described; else what
            `$NEARLINE_DBT_PROJECT` says, or the project beside `folder`.

    Raises:
        NearlineError: a file cannot be imported, or defines a kind of view that the
            refresh does not fill.
    """
    from feast import Entity, FeatureService, FeatureView
    from feast.base_feature_view import BaseFeatureView

    variables = {"NEARLINE_HOME": home}
    if dbt_project is not None:
        variables["NEARLINE_DBT_PROJECT"] = dbt_project
    with _importable(folder, variables) as names:
        modules = [_load(folder, name) for name in names]
    views = _defined(modules, FeatureView)
    for view in _defined(modules, BaseFeatureView):  # type: ignore[type-abstract]
        if type(view) is not FeatureView:
            raise NearlineError(
                f"feature view {view.name} is a {type(view).__name__}; the refresh "
                "fills a plain FeatureView on a published table"
            )
    return Definitions(
        entities=tuple(_defined(modules, Entity)),
        views=tuple(views),
        services=tuple(_defined(modules, FeatureService)),
    )


def _load(folder: Path, name: str) -> "ModuleType":
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise NearlineError(
            f"{folder.name}/{name}.py cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _defined(modules: "list[ModuleType]", kind: type[T]) -> list[T]:
    found = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, kind)
    }
    return list(found.values())


@contextmanager
def _importable(folder: Path, variables: Mapping[str, Path]) -> Iterator[list[str]]:
    """Lets the folder's modules be imported by their bare names, and forgets them.

    Bare names are what `feast apply` gives them. They are too common to stay. Paths are
    told by environment variables, as `feast apply` is told.
    """
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    if not names:
        raise NearlineError(f"no feature definitions in {folder}")
    set_aside = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    before = {name: os.environ.get(name) for name in variables}
    writes_bytecode = sys.dont_write_bytecode
    os.environ.update({name: str(path.absolute()) for name, path in variables.items()})
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield names
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = writes_bytecode
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(set_aside)
