"""How long a propensity training takes, and a score for one visitor.

    python -m tests.benchmarks.propensity --rows 20000 200000

A training is timed in a process of its own, whose peak memory is its alone, beside one
logistic regression by scikit-learn on the same rows. A score is timed from features as an
online store serves them to a probability, beside one bare product of as many numbers,
taken in turns with it, so that both meet the same machine.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nearline.propensity.fitting import fitters
from nearline.propensity.inputs import encode_table, find_inputs
from nearline.propensity.predictor import Predictor
from nearline.propensity.sizes import DAILY_ROWS, WEEKLY_ROWS
from nearline.propensity.targets import LABEL, TARGETS
from nearline.propensity.training import NotTrained, train
from nearline.training.labels import MOMENT
from tests.pipeline import ROOT

REPORT = ROOT / "docs" / "benchmarks-propensity.md"

FEATURES = tuple(f"count_{number}" for number in range(48))
ROWS_OF_A_VISITOR = 6
DAYS = 30
ASKED = 2_000
_START = datetime(2026, 3, 1)


def labelled(row_count: int, seed: int) -> pa.Table:
    """Counts of 48 kinds, a tenth of them not known; a few of them drive purchases."""
    rng = np.random.default_rng(seed)
    rates = np.linspace(0.2, 3, len(FEATURES))[::-1]
    habits = rng.gamma(2.0, 1.0, (row_count, 1))
    counts = rng.poisson(habits * rates).astype(float)
    odds = 0.5 * counts[:, 0] - 0.5 * counts[:, 1] + 0.2 * counts[:, 2] - 4
    bought = rng.random(row_count) < 1 / (1 + np.exp(-odds))
    counts[rng.random(counts.shape) < 0.1] = np.nan
    seconds = rng.integers(0, DAYS * 86_400, row_count)
    visitors = rng.integers(0, max(row_count // ROWS_OF_A_VISITOR, 1), row_count)
    return pa.table(
        {
            "visitor_id": [f"v_{visitor:08}" for visitor in visitors],
            MOMENT: pa.array(
                [_START + timedelta(seconds=int(s)) for s in seconds],
                pa.timestamp("us"),
            ),
            LABEL: bought,
            **{
                name: pa.array(counts[:, number], from_pandas=True)
                for number, name in enumerate(FEATURES)
            },
        }
    )


def measure_training(row_count: int) -> dict[str, Any]:
    """Seconds of the whole training and of one logistic regression; the peak in GB."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    rows = labelled(row_count, seed=1)
    before = _peak_gb()
    wall, cpu = time.perf_counter(), time.process_time()
    trained = train(rows, FEATURES, TARGETS["session"], seed=7)
    found = {
        "rows": row_count,
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": _peak_gb(),
        "rows_gb": before,
    }
    if isinstance(trained, NotTrained):
        raise SystemExit(trained.reason)
    inputs = trained.predictor.inputs
    matrix = np.nan_to_num(encode_table(rows, rows[MOMENT], inputs))
    labels = np.asarray(rows[LABEL])
    cpu = time.process_time()
    # One thread, as the training has: others would wait for it at the processor's cost.
    with threadpool_limits(limits=1):
        LogisticRegression(max_iter=500).fit(matrix, labels)
    return found | {
        "logistic_cpu_seconds": time.process_time() - cpu,
        "chosen": trained.chosen,
        "auc": trained.metrics[trained.chosen]["auc"].value,
    }


def measure_scoring(row_count: int) -> dict[str, dict[str, float]]:
    """By kind of model p50 and p99 of a score in milliseconds, and of a bare product."""
    rows = labelled(row_count, seed=2)
    inputs = find_inputs(rows, FEATURES)
    matrix = encode_table(rows, rows[MOMENT], inputs)
    labels = np.asarray(rows[LABEL])
    asked = rows.slice(0, ASKED).select(FEATURES).to_pylist()
    now = datetime(2026, 4, 1, tzinfo=UTC)
    weights = np.random.default_rng(3).standard_normal(len(inputs))
    found = {}
    for name, fit in fitters().items():
        score = Predictor(inputs, fit(matrix, labels, 7)).score
        ours, floor = [], []
        for row, values in zip(matrix, asked, strict=False):
            ours.append(_milliseconds(score, values, now))
            floor.append(_milliseconds(np.dot, row, weights))
        found[name] = {
            f"{who}_{quantile}": float(np.percentile(times, quantile))
            for who, times in (("ours", ours), ("floor", floor))
            for quantile in (50, 99)
        }
    return found


def _milliseconds(run: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    run(*arguments)
    return (time.perf_counter() - began) * 1_000


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _in_a_process(row_count: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--one", str(row_count)],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _report(trainings: list[dict[str, Any]], scoring: dict[str, Any]) -> str:
    load = os.getloadavg()[0]
    rows = " ".join(str(one["rows"]) for one in trainings)
    lines = [
        "# Benchmarks: propensity",
        "",
        f"Measured on {datetime.now(UTC):%d %B %Y} with `python -m "
        f"tests.benchmarks.propensity --rows {rows}` on {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}; load average at "
        f"the end {load:.0f}"
        + (
            ": the machine was shared, so read seconds of the processor."
            if load > 2
            else "."
        )
        + f" Made-up moments with {len(FEATURES)} features.",
        "",
        "## A training",
        "",
        "Leakage check, three kinds of model fitted by thirds of the visitors and then "
        "whole, calibration, measures with their intervals, importances; without the "
        "retrieval of the features. Beside it one logistic regression on the same rows. A "
        f"day's training takes {DAILY_ROWS:,} moments, a week's {WEEKLY_ROWS:,} "
        f"(`--rows {WEEKLY_ROWS}` measures that). The peak holds the libraries and the "
        "rows, and stood at what is before it when the training began.",
        "",
        "| moments | processor s | wall s | one logistic regression, processor s "
        "| peak memory | before it | chosen | AUC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in trainings:
        lines.append(
            f"| {one['rows']:,} | {one['cpu_seconds']:.1f} | {one['wall_seconds']:.1f} "
            f"| {one['logistic_cpu_seconds']:.2f} | {one['peak_gb']:.2f} GB "
            f"| {one['rows_gb']:.2f} GB | {one['chosen'].replace('_', ' ')} "
            f"| {one['auc']:.3f} |"
        )
    lines += [
        "",
        "## A score for one visitor",
        "",
        "Milliseconds in one thread, from features by name to a probability: "
        "`Predictor.score`, which is what the library asks live. Beside it one bare "
        f"product of {len(FEATURES)} numbers, taken in turns in the same process.",
        "",
        "| model | p50 | p99 | bare product p50 | p99 |",
        "|---|---|---|---|---|",
    ]
    for name, one in scoring.items():
        lines.append(
            f"| {name.replace('_', ' ')} | {one['ours_50']:.3f} | {one['ours_99']:.3f} "
            f"| {one['floor_50']:.4f} | {one['floor_99']:.4f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[DAILY_ROWS], metavar="COUNT"
    )
    parser.add_argument("--out", type=Path, default=REPORT)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure_training(asked.one)))
        return
    trainings = [_in_a_process(count) for count in asked.rows]
    asked.out.write_text(_report(trainings, measure_scoring(min(asked.rows))))
    print(asked.out.read_text())


if __name__ == "__main__":
    main()
