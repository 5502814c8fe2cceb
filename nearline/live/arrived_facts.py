"""Arrived events and which of them may be used, by the SQL of one release.

Belongs here: a DuckDB in memory that holds a batch of arrivals and runs the release's
`live_feature_facts` over it, for followers of the log beside `nearline live`. Consent,
bots, sources and the suppression list are judged by the release's own SQL alone. Not here:
what a follower makes of it.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from nearline.errors import NearlineError
from nearline.live.arrivals import Arrivals, read_arrivals
from nearline.log import LogRecord
from nearline.privacy.suppression import suppressed_rows
from nearline.publication.live_files import (
    ARRIVALS,
    ARRIVED_FACTS,
    SUPPRESSED,
    read_live_models,
)

if TYPE_CHECKING:
    from nearline.settings import Settings


class ArrivedFacts:
    """Reads records by the SQL of one release. `close` it.

    Raises:
        NearlineError: the release has no such SQL.
    """

    def __init__(self, settings: "Settings", release: Path) -> None:
        models = read_live_models(release)
        if ARRIVED_FACTS not in models:
            raise NearlineError(
                "the published release does not say how to read arriving events; "
                "run `nearline run` once"
            )
        self._settings = settings
        self.sql = models[ARRIVED_FACTS].sql
        """Its rows are facts of the batch that was taken last."""
        self._connection = duckdb.connect()
        self._connection.execute("set timezone = 'UTC'")
        self._connection.execute("set threads = 1")
        self.follow_suppression()

    def close(self) -> None:
        self._connection.close()

    def follow_suppression(self) -> None:
        """Takes up the suppression list as it is now."""
        self._fill(SUPPRESSED, suppressed_rows(self._settings))

    def take(self, records: Iterable[LogRecord], now: datetime) -> Arrivals:
        """Puts the events among `records` in place of the batch before."""
        arrivals = read_arrivals(records, now)
        if arrivals.events.num_rows:
            self._fill(ARRIVALS, arrivals.events)
        return arrivals

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the batch; `ARRIVALS` has its events."""
        rows: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return rows

    def usable_event_ids(self) -> frozenset[str]:
        """Events of the batch that may be used."""
        rows = self.query(f"select event_id from ({self.sql})")
        return frozenset(event_id for (event_id,) in rows)

    def _fill(self, name: str, table: pa.Table) -> None:
        self._connection.register("given", table)
        self._connection.execute(
            f"create or replace temp table {name} as select * from given"
        )
        self._connection.unregister("given")
