"""A reader of `published` never meets an error, whatever is published meanwhile."""

import os
import subprocess
import sys

from nearline.publication.releases import publish
from nearline.settings import Settings
from tests.unit.publication.small_warehouse import change, write

# Reads a table of days through `scan`, and one file as Feast does, by its path through
# the link. In either release all six events have one value, so a mixture would show.
_READER = """
import sys
import threading
import duckdb
from nearline.publication.tables import scan
from nearline.settings import load_settings

published = load_settings().published
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
while not stop.is_set():
    events = duckdb.sql(
        f"select count(*), count(distinct value) from {scan(published, 'fct_events')}"
    ).fetchall()
    assert events == [(6, 1)], events
    items = duckdb.sql(
        f"select distinct value from '{published / 'dim_items.parquet'}'"
    ).fetchall()
    assert len(items) == 1, items
    print(items[0][0], flush=True)
"""


def test_a_reader_sees_one_release_or_the_other_through_a_hundred_publications(
    settings: Settings,
) -> None:
    releases = []
    for number, days in enumerate(("0 days", "1 day")):
        change(
            settings,
            f"update fct_events set value = {number}, change_seq = {number + 2}, "
            f"event_date = event_date + interval {days}",
            f"update dim_items set value = '{number}'",
        )
        releases.append(write(settings, f"r{number}"))
    publish(settings, releases[0])
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER],
        env={**os.environ, "NEARLINE_HOME": str(settings.home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    seen = [reader.stdout.readline().strip()]
    while reader.poll() is None and len(seen) < 100:
        for _ in range(3):
            releases.reverse()
            publish(settings, releases[0])
        seen.append(reader.stdout.readline().strip())
    out, err = reader.communicate(timeout=60)
    assert err == ""
    assert reader.returncode == 0
    assert {*seen, *out.split()} == {"0", "1"}
