"""How long one visitor's list takes over 20,000 items, and how long learning takes.

    python -m tests.benchmarks.recommendations --interactions 1000000

Serving is timed against one bare product of 20,000 x 64 numbers with 64, taken in turns
with it, so that both meet the same machine. Learning is timed in a process of its own,
whose peak memory is its alone.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from nearline.models import NoChampion
from nearline.recommend.catalogue import SCHEMA, catalogue_of
from nearline.recommend.interactions import Interactions
from nearline.recommend.judging import (
    NDCG,
    POPULARITY,
    judge_version,
    prepare_trial,
)
from nearline.recommend.learning import Behaviour, Learnt, learn
from nearline.recommend.recommender import make_recommender
from nearline.recommend.requests import Request, Touch
from tests.pipeline import ROOT

REPORT = ROOT / "docs" / "benchmarks-recommend.md"

ITEMS, CATEGORIES, BRANDS, TASTES = 20_000, 60, 300, 40
WORDS = 800
DAYS = 30
REQUESTS = 1_000
HISTORY = 20


def shop(
    interaction_count: int, item_count: int, seed: int, first_ids: Sequence[str] = ()
) -> Behaviour:
    """People with a taste for some categories, sessions of about five items.

    A twentieth of a person's views are of anything; popularity is skewed as in shops. The
    first items have the ids of `first_ids`.
    """
    rng = np.random.default_rng(seed)
    categories = rng.integers(0, CATEGORIES, item_count)
    table = pa.table(
        {
            "item_id": [
                *first_ids,
                *(f"i{n:07}" for n in range(len(first_ids), item_count)),
            ],
            "category": [f"category {c}" for c in categories],
            "brand": [f"brand {b}" for b in rng.integers(0, BRANDS, item_count)],
            "price_cents": rng.lognormal(8, 0.8, item_count).round(),
            "title": [
                " ".join(f"word{w}" for w in rng.integers(0, WORDS, 4))
                for _ in range(item_count)
            ],
            "first_seen": np.zeros(item_count),
        }
    ).cast(SCHEMA)
    sessions = max(interaction_count // 5, 1)
    people = max(interaction_count // 20, 1)
    tastes = rng.random((TASTES, CATEGORIES)) ** 6
    of_person = rng.integers(0, TASTES, people)
    session_person = np.sort(rng.integers(0, people, sessions))
    session = np.sort(rng.integers(0, sessions, interaction_count))
    person = session_person[session]
    popularity = rng.pareto(1.1, item_count) + 0.1
    items = np.empty(interaction_count, dtype=np.int32)
    for taste in range(TASTES):
        odds = popularity * tastes[taste][categories]
        rows = np.flatnonzero(of_person[person] == taste)
        items[rows] = rng.choice(item_count, len(rows), p=odds / odds.sum())
    strays = rng.random(interaction_count) < 0.05
    items[strays] = rng.integers(0, item_count, int(strays.sum()))
    starts = np.sort(rng.random(sessions)) * DAYS * 86_400
    times = rng.permutation(starts)[session] + rng.random(interaction_count) * 600

    def by(
        owners: "np.ndarray[tuple[int], np.dtype[np.int64]]", count: int
    ) -> Interactions:
        order = np.lexsort((times, owners))
        return Interactions(
            owners[order].astype(np.int32),
            items[order],
            times[order],
            count,
            item_count,
        )

    channels = np.zeros(interaction_count, dtype=np.int32)
    return Behaviour(
        catalogue_of(table),
        by(person, people),
        by(session, sessions),
        channels,
        ("web",),
    )


def measure_learning(interaction_count: int) -> tuple[Learnt, dict[str, float]]:
    """What was learnt, with wall and processor seconds and the peak in GB."""
    behaviour = shop(interaction_count, ITEMS, seed=1)
    wall, cpu = time.perf_counter(), time.process_time()
    first = NoChampion("nothing serves yet")
    trial = prepare_trial(behaviour.by_person, first, seed=0)
    learnt, stand_in = learn(behaviour, 0, trial.held_out)
    verdict = judge_version(trial, stand_in, behaviour, seed=0)
    found = {
        "interactions": float(interaction_count),
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "ndcg": verdict.metrics[NDCG].value or 0.0,
        "popularity_ndcg": verdict.beside[POPULARITY][NDCG].value or 0.0,
    }
    return learnt, found


def measure_serving(learnt: Learnt) -> dict[str, float]:
    """p50 and p99 in milliseconds: a list of ten, and the bare product, in turns."""
    began = time.perf_counter()
    recommender = make_recommender(learnt)
    made = time.perf_counter() - began
    rng = np.random.default_rng(2)
    popular = np.argsort(-learnt.counts)[:5_000]
    ids = learnt.catalogue.items.ids.to_pylist()
    matrix = rng.standard_normal((len(ids), 64), dtype=np.float32)
    taste = rng.standard_normal(64, dtype=np.float32)
    requests = {
        "known": [
            Request([Touch(ids[i]) for i in rng.choice(popular, HISTORY)])
            for _ in range(REQUESTS)
        ],
        "focus": [
            Request([Touch(ids[i]) for i in rng.choice(popular, HISTORY)], item=ids[i])
            for i in rng.choice(popular, REQUESTS)
        ],
        "stranger": [Request()] * REQUESTS,
    }
    found = {"make_seconds": made}
    for kind, asked in requests.items():
        ours, floor = [], []
        for request in asked:
            ours.append(_milliseconds(lambda r=request: recommender.recommend(r, rng)))  # type: ignore[misc]
            floor.append(_milliseconds(lambda: matrix @ taste))
        for name, times in ((kind, ours), (f"{kind}_floor", floor)):
            found[f"{name}_p50"], found[f"{name}_p99"] = np.percentile(times, [50, 99])
    return found


def _milliseconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1_000


def _in_a_process(interaction_count: int) -> dict[str, dict[str, float]]:
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--one", str(interaction_count)],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def _report(found: list[dict[str, dict[str, float]]]) -> str:
    load = os.getloadavg()[0]
    lines = [
        "# Benchmarks: recommendations",
        "",
        f"Measured on {datetime.now(UTC):%d %B %Y} with `python -m "
        f"tests.benchmarks.recommendations` on {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}; load average at the "
        f"end {load:.0f}"
        + (
            ": the machine was shared, so read seconds of the processor."
            if load > 2
            else "."
        )
        + " A synthetic shop of "
        f"{ITEMS:,} items with attributes, sessions of about five views.",
        "",
        f"## One visitor's list of ten over {ITEMS:,} items",
        "",
        "Milliseconds, in one thread: all sources, blend, rules, diversity, exploration and "
        f"reasons, for a history of {HISTORY} views. Beside it one bare product of "
        f"{ITEMS:,} x 64 numbers with 64, taken in turns in the same process.",
        "",
        "| request | p50 | p99 | bare product p50 | p99 |",
        "|---|---|---|---|---|",
    ]
    serving = found[0]["serving"]
    for kind, words in (
        ("known", "known visitor"),
        ("focus", "known visitor, on an item's page"),
        ("stranger", "nothing known"),
    ):
        lines.append(
            f"| {words} | {serving[kind + '_p50']:.2f} | {serving[kind + '_p99']:.2f} "
            f"| {serving[kind + '_floor_p50']:.2f} | {serving[kind + '_floor_p99']:.2f} |"
        )
    lines += [
        "",
        f"Putting a recommender together for a new version, or when an item came that "
        "is new; other swaps reuse most of it: "
        f"{serving['make_seconds']:.1f} s. Call `refresh()` from a thread of its own.",
        "",
        "## Learning",
        "",
        "All members to weigh them, those with a weight twice more (to be judged, then on "
        "everything), pairs, trends, the judging; without the reading of the tables.",
        "",
        "| interactions | processor s | wall s | peak memory | nDCG@20 | popularity |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        learning = one["learning"]
        lines.append(
            f"| {learning['interactions']:,.0f} | {learning['cpu_seconds']:.0f} "
            f"| {learning['wall_seconds']:.0f} | {learning['peak_gb']:.1f} GB "
            f"| {learning['ndcg']:.3f} | {learning['popularity_ndcg']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument(
        "--interactions", type=int, nargs="+", default=[1_000_000], metavar="COUNT"
    )
    parser.add_argument("--out", type=Path, default=REPORT)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        learnt, learning = measure_learning(asked.one)
        print(json.dumps({"learning": learning, "serving": measure_serving(learnt)}))
        return
    found = [_in_a_process(count) for count in asked.interactions]
    asked.out.write_text(_report(found))
    print(asked.out.read_text())


if __name__ == "__main__":
    main()
