"""Records of the event log as touches of items: what may be used, by the release's own SQL.

Belongs here: from records to touches. Consent, bots, sources and the suppression list are
judged by the SQL that the release was built with (`live/features.json`), so that what is
learnt within a minute rests on no other rules than what is learnt overnight.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from nearline.errors import NearlineError
from nearline.live.arrivals import read_arrivals
from nearline.log import LogRecord
from nearline.privacy.suppression import suppressed_rows
from nearline.publication.live_files import (
    ARRIVALS,
    ARRIVED_FACTS,
    SUPPRESSED,
    read_live_models,
)

if TYPE_CHECKING:
    from nearline.recommend.requests import Kind
    from nearline.settings import Settings

_TOUCHES = f"""
with facts as ({{sql}})
select
    facts.event_id, facts.visitor_id, facts.item_id, epoch(facts.occurred_at) as seconds,
    case facts.event_name when 'view_item' then 'view' else 'cart' end as kind,
    facts.item_category as category, facts.item_brand as brand,
    facts.price_cents::double as price_cents,
    case facts.event_name when 'view_item' then arrived.page_title end as title
from facts
inner join {ARRIVALS} as arrived using (event_id)
where facts.event_name in ('view_item', 'add_to_cart') and facts.item_id is not null
order by seconds, facts.event_id
"""


@dataclass(frozen=True, slots=True)
class ArrivedTouch:
    """A view of an item, or an item put into the cart; attributes are None if unknown."""

    event_id: str
    visitor_id: str
    item_id: str
    at: float
    kind: "Kind"
    category: str | None
    brand: str | None
    price_cents: float | None
    title: str | None


class Arriving:
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
        self._query = _TOUCHES.format(sql=models[ARRIVED_FACTS].sql)
        self._connection = duckdb.connect()
        self._connection.execute("set timezone = 'UTC'")
        self._connection.execute("set threads = 1")
        self.follow_suppression()

    def close(self) -> None:
        self._connection.close()

    def follow_suppression(self) -> None:
        """Takes up the suppression list as it is now."""
        self._fill(SUPPRESSED, suppressed_rows(self._settings))

    def touches(
        self, records: Iterable[LogRecord], now: datetime
    ) -> list[ArrivedTouch]:
        """What may be used of `records`, in the order in which it happened."""
        arrivals = read_arrivals(records, now)
        if not arrivals.events.num_rows:
            return []
        self._fill(ARRIVALS, arrivals.events)
        rows: list[tuple[Any, ...]] = self._connection.execute(self._query).fetchall()
        return [ArrivedTouch(*row) for row in rows]

    def _fill(self, name: str, table: pa.Table) -> None:
        self._connection.register("given", table)
        self._connection.execute(
            f"create or replace temp table {name} as select * from given"
        )
        self._connection.unregister("given")
