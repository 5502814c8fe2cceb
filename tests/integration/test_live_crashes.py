"""A processor killed at any moment loses no event and counts none twice."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.unit.live.small_site import SmallSite, small_site

EVENTS = 3_000
VISITORS = 40
KILLS = 6


def test_killed_at_any_moment_it_counts_every_event_once(tmp_path: Path) -> None:
    site = small_site(tmp_path / "home")
    rng = random.Random(3)
    names = [f"person{number:02}" for number in range(VISITORS)]
    events = [site.event(f"{n}", rng.choice(names)) for n in range(EVENTS)]
    again = rng.sample(events, 200)
    site.arrive(*events[:2_000], *again, *events[2_000:])

    killed_at = []
    for _ in range(KILLS):
        process, done = _start(site), 0
        assert process.stdout is not None
        wanted = rng.randint(1, 6)
        for line in process.stdout:
            done += int(line)
            wanted -= 1
            if wanted == 0:
                break
        time.sleep(rng.random() * 0.2)
        process.kill()
        process.wait()
        killed_at.append(done)
    last = _start(site)
    output, _ = last.communicate(timeout=300)

    assert last.returncode == 0
    assert 0 < sum(map(int, output.split())) < EVENTS, "the kills came too late"
    expected = Counter(event["visitor_id"] for event in events)
    assert site.pages(*names) == [expected[f"v_0000{name}"] for name in names]


def _start(site: SmallSite) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.unit.live.processor_process",
            site.settings.model_dump_json(),
            str(site.feature_repo),
            site.now.isoformat(),
            "61",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
