"""Behaviour and catalogue as the published tables have them.

Belongs here: the queries, and whose events may be used: those with consent to
personalization as of the event, no bots, nobody who has been put on the suppression list
since. Not here: what is learnt of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nearline.errors import NearlineError
from nearline.log.protocol import EVENTS
from nearline.privacy.suppression import suppressed_rows
from nearline.publication.releases import read_manifest
from nearline.publication.tables import scan
from nearline.recommend.catalogue import SCHEMA, Catalogue, catalogue_of
from nearline.recommend.interactions import Interactions, code_values
from nearline.recommend.learning import Behaviour
from nearline.recommend.requests import Touch

if TYPE_CHECKING:
    import duckdb

    from nearline.recommend.interactions import Codes, Ids
    from nearline.settings import Settings

_TOUCHES = """
select
    person_id, visitor_id, user_id, session_id, item_id, event_id,
    epoch(occurred_at) as seconds,
    case event_name when 'view_item' then 'view' else 'cart' end as kind
from {events}
where event_name in ('view_item', 'add_to_cart') and item_id is not null
    and has_personalization_consent and not is_bot
union all by name
-- An order's lines have no consent of their own: it is that of the purchase's event.
select
    events.person_id, events.visitor_id, events.user_id, events.session_id,
    order_items.item_id, events.event_id,
    epoch(events.occurred_at) as seconds,
    'purchase' as kind
from {order_items} as order_items
inner join {orders} as orders using (source, order_id)
inner join {events} as events
    on events.event_name = 'purchase'
    and events.source = orders.source
    and events.order_id = orders.order_id
where order_items.item_id is not null
    and events.has_personalization_consent and not events.is_bot
"""

_CATALOGUE = """
with titled as (
    select
        item_id,
        min(epoch(occurred_at)) as first_seen,
        arg_max(page_title, (occurred_at, event_id)) filter (
            where event_name = 'view_item' and page_title is not null
        ) as title
    from {events}
    where item_id is not null
    group by item_id
)
select
    items.item_id, items.item_category as category, items.item_brand as brand,
    items.price_cents::double as price_cents, titled.title, titled.first_seen
from {items} as items
left join titled using (item_id)
"""


@dataclass(frozen=True, slots=True)
class ReleaseRead:
    """Which release was read: its folder, and what its manifest says.

    `log_positions` are of the events' log (partition to offset), before which everything
    is in its tables; `log` says of which.
    """

    folder: Path
    release_id: str
    suppression: str
    log: str | None
    log_positions: Mapping[str, int]


def published_release(settings: "Settings") -> ReleaseRead:
    """The release that is published now; a later one does not change what is read.

    Raises:
        NearlineError: nothing is published yet.
    """
    folder = settings.published.resolve()
    manifest = read_manifest(folder)
    if manifest is None:
        raise NearlineError("nothing is published yet; run `nearline run` once")
    return ReleaseRead(
        folder,
        manifest.release_id,
        manifest.suppression,
        manifest.log,
        dict(manifest.log_positions.get(EVENTS, {})),
    )


def read_behaviour(settings: "Settings", release: Path) -> Behaviour:
    """Everything that recommendations may be learnt from."""
    with _reading(settings) as connection:
        catalogue = catalogue_of(
            connection.sql(_filled(_CATALOGUE, release)).to_arrow_table().cast(SCHEMA)
        )
        rows = connection.sql(
            f"select touches.*, channel from ({_allowed(release)}) as touches "
            f"left join (select session_id, channel from {scan(release, 'fct_sessions')})"
            " as sessions using (session_id)"
        ).to_arrow_table()
    return behaviour_of(rows, catalogue)


def read_history(
    settings: "Settings", release: Path, visitor_id: str, most: int
) -> list[Touch]:
    """The latest touches of the person behind a visitor, oldest first."""
    with _reading(settings) as connection:
        rows = connection.execute(
            f"select item_id, kind, seconds from ({_allowed(release)}) where person_id in "
            f"(select person_id from {scan(release, 'bridge_identities')} "
            "where identifier = ?) order by seconds desc, event_id desc limit ?",
            [visitor_id, most],
        ).fetchall()
    return [Touch(item, kind, at) for item, kind, at in reversed(rows)]


def read_open_sessions(
    settings: "Settings", release: Path, gap_seconds: float
) -> pa.Table:
    """(visitor_id, item_id, seconds) of visits that may go on beyond the release."""
    with _reading(settings) as connection:
        connection.execute(
            f"create temp table touches as {_allowed(release)} and kind != 'purchase'"
        )
        found: pa.Table = connection.sql(
            "select visitor_id, item_id, seconds from touches where seconds >= "
            f"(select max(seconds) from touches) - {float(gap_seconds)} "
            "order by seconds, event_id"
        ).to_arrow_table()
    return found


def behaviour_of(rows: pa.Table, catalogue: Catalogue) -> Behaviour:
    """From rows of person_id, session_id, item_id, seconds (since 1970) and channel.

    Rows of items that the catalogue does not hold, or without a time, are left out.
    """
    items = catalogue.items.codes(_column(rows, "item_id"))
    times = np.asarray(_column(rows, "seconds").cast(pa.float64()), dtype=np.float64)
    usable = np.flatnonzero((items >= 0) & np.isfinite(times))
    channel_ids = _column(rows, "channel").cast(pa.string())
    channels = code_values(channel_ids.drop_null())
    of_rows = channels.codes(channel_ids)

    def interactions(column: str) -> "tuple[Interactions, Codes]":
        ids = _column(rows, column).cast(pa.string())
        kept = usable[np.asarray(ids.is_valid())[usable]]
        owners = code_values(ids.take(pa.array(kept)))
        codes = owners.codes(ids)
        order = kept[np.lexsort((times[kept], codes[kept]))]
        return Interactions(
            owners=codes[order],
            items=items[order],
            times=times[order],
            owner_count=len(owners),
            item_count=len(catalogue),
        ), of_rows[order]

    by_person, _ = interactions("person_id")
    by_session, channel_codes = interactions("session_id")
    return Behaviour(
        catalogue=catalogue,
        by_person=by_person,
        by_session=by_session,
        channels=channel_codes,
        channel_names=tuple(map(str, channels.ids.to_pylist())),
    )


def _allowed(release: Path) -> str:
    """Touches of those who are not suppressed."""
    return (
        f"select * from ({_filled(_TOUCHES, release)}) where visitor_id not in "
        "(select key from suppressed) and (user_id is null or user_id not in "
        "(select key from suppressed))"
    )


def _filled(query: str, release: Path) -> str:
    return query.format(
        events=scan(release, "fct_events"),
        orders=scan(release, "fct_orders"),
        order_items=scan(release, "fct_order_items"),
        items=scan(release, "dim_items"),
    )


def _reading(settings: "Settings") -> "duckdb.DuckDBPyConnection":
    """A connection that knows who is suppressed; `with` closes it."""
    import duckdb

    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    connection.execute("set timezone = 'UTC'")
    connection.register("listed", suppressed_rows(settings))
    connection.execute(
        "create temp table suppressed as select key_value as key from listed "
        "where key_type in ('visitor', 'user')"
    )
    return connection


def _column(table: pa.Table, name: str) -> "Ids":
    return table[name].combine_chunks()
