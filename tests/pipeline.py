"""Runs Nearline as a user does: its commands, in processes of their own."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb

from nearline.publication.tables import scan
from nearline.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
NEARLINE = Path(sys.executable).with_name("nearline")


@dataclass(frozen=True)
class Home:
    """One `$NEARLINE_HOME`, with what tests ask of it."""

    path: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    """Settings beside the home, as environment variables."""

    @property
    def settings(self) -> Settings:
        return Settings(home=self.path)

    def nearline(
        self, *arguments: str | Path, exit_code: int = 0, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command and holds it to its exit code."""
        done = subprocess.run(
            [str(NEARLINE), *map(str, arguments)],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            **options,  # type: ignore[call-overload]
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done

    def environment(self) -> dict[str, str]:
        return {**os.environ, "NEARLINE_HOME": str(self.path), **self.variables}

    def published(self, query: str) -> list[tuple]:
        """Rows of a query in which `{table}` stands for a published table."""
        return duckdb.sql(
            query.format_map(_Scans(self.settings.published.resolve()))
        ).fetchall()

    def fingerprint(self) -> dict[str, str]:
        """What readers see, byte for byte: the release, its files, the online store."""
        files = [
            file
            for folder in (self.settings.published.resolve(), self.settings.online)
            for file in sorted(folder.rglob("*"))
            if file.is_file() and not file.name.endswith(("-shm", "-wal"))
        ]
        return {
            str(file.relative_to(self.path)): hashlib.sha256(
                file.read_bytes()
            ).hexdigest()
            for file in files
        }


class _Scans(dict):
    def __init__(self, release: Path) -> None:
        super().__init__()
        self.release = release

    def __missing__(self, table: str) -> str:
        return scan(self.release, table)


def simulate(
    out: Path,
    *,
    visitors: int,
    days: int,
    seed: int,
    effect: float,
    start: date = date(2026, 3, 1),
) -> Path:
    """Makes a shop; returns the folder of its events."""
    from nearline.simulate import Plan
    from nearline.simulate import simulate as make

    make(Plan(visitors, days, seed, start, effect), out)
    return out / "events"
