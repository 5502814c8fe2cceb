"""A small shop, simulated, and what its files hold. No test logic here."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from nearline.simulate import Plan, Summary, simulate

PLAN = Plan(visitors=300, days=21, seed=11, start=date(2026, 9, 1), effect=0.5)


@dataclass(frozen=True)
class Shop:
    """A simulated shop: its folder, its lines, and its events once each."""

    folder: Path
    summary: Summary
    lines: list[dict[str, Any]]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event once, in the order in which they happened."""
        once = {line["event_id"]: line for line in reversed(self.lines)}
        return sorted(once.values(), key=lambda e: (e["occurred_at"], e["event_id"]))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event_name"] == name]

    def truth(self, name: str) -> list[dict[str, Any]]:
        return read_records(self.folder / "truth" / f"{name}.jsonl.gz")

    @property
    def experiment(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            (self.folder / "truth" / "experiment.json").read_text()
        )
        return found

    @property
    def bot_ids(self) -> set[str]:
        return {bot["visitor_id"] for bot in self.truth("bots")}


def read_records(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def open_shop(folder: Path, **changes: Any) -> Shop:
    summary = simulate(replace(PLAN, **changes), folder)
    return Shop(folder, summary, list(_lines(folder)))


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "events").iterdir()):
        yield from read_records(path)
