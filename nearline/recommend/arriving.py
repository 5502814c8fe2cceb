"""Records of the event log as touches of items: what may be used, by the release's own SQL.

Belongs here: from records to touches. Consent, bots, sources and the suppression list are
judged by the SQL that the release was built with (`live/features.json`), so that what is
learnt within a minute rests on no other rules than what is learnt overnight.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from nearline.live.arrived_facts import ArrivedFacts
from nearline.log import LogRecord
from nearline.publication.live_files import ARRIVALS

if TYPE_CHECKING:
    from nearline.recommend.requests import Kind

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


class Arriving(ArrivedFacts):
    """Reads records by the SQL of one release. `close` it.

    Raises:
        NearlineError: the release has no such SQL.
    """

    def touches(
        self, records: Iterable[LogRecord], now: datetime
    ) -> list[ArrivedTouch]:
        """What may be used of `records`, in the order in which it happened."""
        if not self.take(records, now).events.num_rows:
            return []
        rows = self.query(_TOUCHES.format(sql=self.sql))
        return [ArrivedTouch(*row) for row in rows]
