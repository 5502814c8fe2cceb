"""Imports run one way: orchestration, expectations, nearline; Feast's repo stands alone.

Read from the source, not from what a run happens to import: a lazy import in the wrong
direction is one too.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FEATURE_REPO_MODULES = {path.stem for path in (ROOT / "feature_repo").glob("*.py")}

# What costs seconds to import, and is to be paid by those alone who use it.
SLOW = {"feast", "great_expectations", "pandas", "sklearn"}
DAGSTER = {"dagster", "dagster_dbt", "dbt"}


@dataclass(frozen=True, slots=True)
class Import:
    path: Path
    line: int
    module: str
    is_at_once: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


def _imports(package: str) -> Iterator[Import]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield from _imports_of(path, ast.parse(path.read_text()), True)


def _imports_of(path: Path, node: ast.AST, is_at_once: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for name in node.names:
            yield Import(path, node.lineno, name.name, is_at_once)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{path}:{node.lineno} imports by a relative name"
        # What is imported may itself be a module.
        for name in node.names:
            yield Import(path, node.lineno, f"{node.module}.{name.name}", is_at_once)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        is_at_once = False
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        is_at_once = False
    for child in ast.iter_child_nodes(node):
        yield from _imports_of(path, child, is_at_once)


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        (
            "nearline",
            {"orchestration", "expectations", "feature_repo", "dagster", "dbt",
             "dagster_dbt", "great_expectations", "tests"},
        ),
        (
            "expectations",
            {"orchestration", "feature_repo", "dagster", "dagster_dbt", "dbt", "tests"},
        ),
        ("orchestration", {"feature_repo", "tests"}),
    ],
)  # fmt: skip
def test_a_package_imports_only_what_lies_below_it(
    package: str, forbidden: set[str]
) -> None:
    found = [str(i) for i in _imports(package) if i.package in forbidden]
    assert found == []


def test_the_feature_repository_imports_feast_and_yaml_alone() -> None:
    allowed = {"feast", "yaml", *FEATURE_REPO_MODULES, *sys.stdlib_module_names}
    assert [str(i) for i in _imports("feature_repo") if i.package not in allowed] == []


def _modules() -> dict[str, Path]:
    modules = {}
    for package in ("nearline", "expectations", "orchestration"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


def _loaded_with(module: str) -> set[str]:
    """Packages and modules that importing `module` imports at once, in the end."""
    modules = _modules()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parents = name.split(".")
        for depth in range(1, len(parents) + 1):
            part = ".".join(parents[:depth])
            if part in seen:
                continue
            seen.add(part)
            if part in modules:
                tree = ast.parse(modules[part].read_text())
                waiting.extend(
                    found.module
                    for found in _imports_of(modules[part], tree, True)
                    if found.is_at_once
                )
    return seen


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        *(
            (name, SLOW | DAGSTER | {"duckdb"})
            for name in sorted(_modules())
            if name.endswith("command") or name in {"nearline.cli", "orchestration.run"}
        ),
        *(
            (name, SLOW)
            for name in sorted(_modules())
            if name.startswith("orchestration.")
        ),
        ("nearline.landing.landings", SLOW | {"duckdb"}),
        ("nearline.publication.releases", SLOW | {"duckdb"}),
        ("nearline.simulate.simulation", SLOW | {"duckdb"}),
    ],
)
def test_who_does_not_use_it_does_not_wait_for_it(
    module: str, spared: set[str]
) -> None:
    assert _loaded_with(module) & spared == set()


@pytest.mark.parametrize("package", ["nearline", "expectations", "orchestration"])
def test_nobody_leans_on_what_dagster_keeps_to_itself(package: str) -> None:
    private = ("dagster._", "dagster_dbt._")
    found = [str(i) for i in _imports(package) if i.module.startswith(private)]
    assert found == []
