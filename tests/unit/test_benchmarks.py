"""Benchmarks are run by hand and seldom: they must not fall behind what they measure."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in BENCHMARKS.glob("[!_]*.py"))
)
def test_every_name_that_a_benchmark_imports_exists(name: str) -> None:
    importlib.import_module(f"tests.benchmarks.{name}")
