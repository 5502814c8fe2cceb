"""What features cost where they are made and read: live, by apps, and in training sets.

Writes `docs/benchmarks-features.md`; with `--only`, one of its parts, and leaves the
others as they are.

    python -m tests.benchmarks.features [--only live|reads|training]
"""

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.live import measure_live
from tests.benchmarks.reads import measure_reads
from tests.benchmarks.run import describe_machine
from tests.benchmarks.training import measure_training
from tests.pipeline import ROOT

REPORT = ROOT / "docs" / "benchmarks-features.md"
PARTS = ("live", "reads", "training")
_HEAD = """# Benchmarks: features

Written by `python -m tests.benchmarks.features`. Ratios, measured in one run, are what to
look at.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=600, help="of each live rate")
    options = parser.parse_args()
    parts = _parts(REPORT.read_text())
    with tempfile.TemporaryDirectory(prefix="nearline-bench-") as folder:
        for part in [options.only] if options.only else PARTS:
            if part == "live":
                text = measure_live(Path(folder) / part, options.seconds)
            elif part == "reads":
                text = measure_reads(Path(folder) / part)
            else:
                text = measure_training(Path(folder) / part, options.scale)
            when = f"{datetime.now(UTC):%Y-%m-%d}; {describe_machine()}."
            parts[part] = f"Measured on {when}\n\n{text.strip()}\n"
    report = "\n".join(
        [_HEAD, *(f"{_mark(part)}\n\n{parts[part]}" for part in PARTS if part in parts)]
    )
    REPORT.write_text(report)
    print(report)


def _parts(report: str) -> dict[str, str]:
    """The parts of a report that was written before."""
    found = {}
    for part in PARTS:
        _, mark, rest = report.partition(_mark(part))
        if mark:
            found[part] = rest.partition("<!--")[0].strip() + "\n"
    return found


def _mark(part: str) -> str:
    return f"<!-- {part} -->"


if __name__ == "__main__":
    main()
