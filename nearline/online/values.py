"""What every online store can do, whichever system keeps it.

Belongs here: what writers of features rely on. Readers do not: they use Feast's stock
client on Feast's own layout. A store holds, per view and entity, one row with the exact
moment at which it became known; a row is replaced by a newer one alone, whoever writes
it and whoever comes last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from nearline.errors import NearlineError

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import Entity, FeatureView

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

HELD_COLUMNS = ("entity_id", "event_us", "created_us", "fingerprint")


class OnlineStoreUnavailableError(NearlineError):
    """The store cannot take or give anything now; trying again later may work.

    Whoever wrote has no answer: some of the rows may be stored. Writing all of them again
    is harmless, so hold the position that they came from.
    """


@dataclass(frozen=True, slots=True)
class EntityRow:
    """The values of one entity in one view, encoded as Feast stores them.

    `event_us` and `created_us` are microseconds since 1970, UTC. `values` holds
    (feature, encoded value, value as text or None). Without a `fingerprint`, a value of
    the same moment counts as a correction.
    """

    key: bytes
    event_us: int
    created_us: int
    fingerprint: int | None
    values: Sequence[tuple[str, bytes, str | None]]

    @property
    def moment(self) -> tuple[int, int]:
        return (self.event_us, self.created_us)


@dataclass(frozen=True, slots=True)
class StoredView:
    """What a store has to know of a feature view.

    `ttl_us` is how long a value holds after its event time, in microseconds; None: for
    ever.
    """

    name: str
    join_key: str
    features: tuple[str, ...]
    ttl_us: int | None

    def known_since(self, now: datetime) -> int | None:
        """The oldest event time (microseconds) that still holds at `now`.

        A value of exactly that age still holds, as in Feast's point-in-time join.
        """
        return None if self.ttl_us is None else microseconds(now) - self.ttl_us


class OnlineValues(Protocol):
    """An online store, for writing. An instance belongs to one thread.

    Everything may raise `OnlineStoreUnavailableError`, and may then be called again
    with the same arguments.
    """

    def prepare(self, view: StoredView) -> None:
        """Makes room for a view's values where there is none."""
        ...

    def held(self, view: StoredView) -> "pa.Table":
        """What the store holds of a view: `entity_id, event_us, created_us,
        fingerprint`, one row per entity.

        The moment is null where it is not exactly known: the value was written past
        the clock, by plain Feast, is incomplete, or was taken away past the clock.
        `write` looks at each of those.
        """
        ...

    def write(self, view: StoredView, rows: Iterable[EntityRow]) -> int:
        """Writes the rows that are newer than what is stored; returns how many.

        Compared in the same atomic step that writes, so that of two writers the newer
        value wins whoever comes last. At the same moment, a different fingerprint is a
        correction and wins. All features of an entity change at once.
        """
        ...

    def write_together(
        self, rows_of_views: Iterable[tuple[StoredView, Iterable[EntityRow]]]
    ) -> int:
        """As `write`, of several views, each of them once; returns how many rows.

        Cheaper where the store can write all views of an entity at once.
        """
        ...

    def delete(self, view: StoredView, keys: Sequence[bytes]) -> None:
        """Removes these entities from a view, and nothing else."""
        ...

    def delete_entities(self, keys: Sequence[bytes]) -> None:
        """Removes everything that is stored of these entities, in whichever view."""
        ...

    def expire(self, view: StoredView, before_us: int) -> int:
        """Removes values with an event time before `before_us`; returns how many.

        Costs in proportion to what is removed: values are found by an index.
        """
        ...

    def keep_only(self, views: Iterable[StoredView]) -> None:
        """Removes the values of every view that was prepared and is not among these."""
        ...

    def close(self) -> None:
        """Frees connections; what was written stays."""
        ...


def stored_view(view: "FeatureView", entities: "Iterable[Entity]") -> StoredView:
    """What a store has to know of Feast's `view` with one of `entities` as its key."""
    join_keys = {entity.name: entity.join_key for entity in entities}
    (entity,) = view.entities
    return StoredView(
        name=view.name,
        join_key=join_keys[entity],
        features=tuple(sorted(field.name for field in view.features)),
        # Feast writes "no limit" as zero.
        ttl_us=view.ttl // _MICROSECOND if view.ttl else None,
    )


def expire_values(
    values: OnlineValues, views: Iterable[StoredView], now: datetime
) -> int:
    """Removes what holds no longer at `now`; returns how many values that were.

    Feast's clients do not look at a view's limit when they read online, so what has
    expired is missing for them from the next call of this on. Cheap enough for every
    minute.
    """
    removed = 0
    for view in views:
        known_since = view.known_since(now)
        if known_since is not None:
            removed += values.expire(view, known_since)
    return removed


def newest_rows(rows: Iterable[EntityRow]) -> list[EntityRow]:
    """One row per entity: its newest; of several at one moment, the last."""
    newest: dict[bytes, EntityRow] = {}
    for row in rows:
        rival = newest.get(row.key)
        if rival is None or row.moment >= rival.moment:
            newest[row.key] = row
    return list(newest.values())


def microseconds(moment: datetime) -> int:
    """Since 1970; a moment without a zone is UTC, as everywhere in Feast."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def held_table(
    rows: Iterable[tuple[str, int | None, int | None, int | None]],
) -> "pa.Table":
    """Rows as `OnlineValues.held` returns them."""
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(HELD_COLUMNS)
    types = (pa.string(), pa.int64(), pa.int64(), pa.int64())
    return pa.table(
        {
            name: pa.array(column, kind)
            for name, column, kind in zip(HELD_COLUMNS, columns, types, strict=True)
        }
    )
