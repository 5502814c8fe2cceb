"""What features cost where they are made and read: live, and in training sets.

Writes `docs/benchmarks-features.md`.

    python -m tests.benchmarks.features
"""

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.live import measure_live
from tests.benchmarks.run import describe_machine
from tests.benchmarks.training import measure_training
from tests.pipeline import ROOT

REPORT = ROOT / "docs" / "benchmarks-features.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=600, help="of each live rate")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nearline-bench-") as folder:
        live = measure_live(Path(folder) / "live", options.seconds)
        training = measure_training(Path(folder) / "training", options.scale)
    report = f"""# Benchmarks: features

Written by `python -m tests.benchmarks.features` on {datetime.now(UTC):%Y-%m-%d};
{describe_machine()}. Ratios, measured in one run, are what to look at.

{live}
{training}"""
    REPORT.write_text(report)
    print(report)


if __name__ == "__main__":
    main()
