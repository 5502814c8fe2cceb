"""What is installed is pinned, checked by hash, and tied to no package index."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILED = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

_PIN = re.compile(r"^([a-z0-9._-]+)(\[[a-z0-9,._-]+\])?==(\S+)( ; .+)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
_LOWER_BOUND = re.compile(r"(>=|==)\s*\d")


def _pins(path: Path) -> dict[str, str]:
    """Name -> version, for each requirement of a compiled file."""
    pins = {}
    for line in path.read_text().splitlines():
        if (pin := _PIN.match(line)) is not None:
            pins[pin[1]] = pin[3]
    return pins


def _declared() -> list[str]:
    development = (ROOT / "requirements" / "dev.in").read_text().split()
    return [*PROJECT["project"]["dependencies"], *development]


def test_there_are_compiled_requirements() -> None:
    assert {path.name for path in COMPILED} == {"base.txt", "dev.txt"}


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_its_hashes(path: Path) -> None:
    unknown = []
    hashed: set[int] = set()
    pinned: set[int] = set()
    last_pin = 0
    for number, line in enumerate(path.read_text().splitlines()):
        if _PIN.match(line):
            last_pin = number
            pinned.add(number)
        elif _HASH.match(line):
            hashed.add(last_pin)
        else:
            unknown.append(line)
    assert unknown == []
    assert pinned
    assert pinned == hashed


@pytest.mark.parametrize(
    "path", [*COMPILED, ROOT / "requirements" / "dev.in", ROOT / "pyproject.toml"],
    ids=lambda path: path.name,
)  # fmt: skip
def test_no_requirement_names_an_index_or_a_place(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert not re.search(
        r"^\s*(-i|-f|--index-url|--extra-index-url|--find)", text, re.M
    )
    assert " @ " not in text


@pytest.mark.parametrize("requirement", _declared())
def test_every_declared_requirement_has_a_lower_bound(requirement: str) -> None:
    assert _LOWER_BOUND.search(requirement)


def test_every_declared_requirement_is_among_the_compiled() -> None:
    compiled = _pins(ROOT / "requirements" / "dev.txt")
    for requirement in _declared():
        name = re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]
        assert name in compiled


def test_development_runs_on_the_versions_that_users_get() -> None:
    base, dev = (_pins(ROOT / "requirements" / f"{n}.txt") for n in ("base", "dev"))
    assert base.items() <= dev.items()
