"""Interactions: who took what when, read from a table and coded as small integers.

Belongs here: reading and what must hold of the rows. An *owner* is whoever a history
belongs to: a user, or a session. Not here: splitting, models, measures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.errors import InputError
from nearline.own_tables import FILE_SUFFIXES, reading, require_file, rows_of
from nearline.recommend.attributes import ItemAttributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes: TypeAlias = NDArray[np.int32]
    Times: TypeAlias = NDArray[np.float64]
    Ids: TypeAlias = pa.Array[Any]

USER_COLUMN = "user_id"
SESSION_COLUMN = "session_id"
ATTRIBUTE_COLUMNS = ("category", "brand", "price", "title")
"""What a table may say of the item of each row."""

# Numbers beyond these are no seconds since 1970 of our time: milli-, micro-, nanoseconds.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """One entry per interaction, sorted by owner, then time, then place in the file.

    `owners` and `items` are codes below `owner_count` and `item_count`, `times` are
    seconds; all three have the same length.
    """

    owners: "Codes"
    items: "Codes"
    times: "Times"
    owner_count: int
    item_count: int

    def __len__(self) -> int:
        return len(self.items)

    def take(self, chosen: "NDArray[Any]") -> "Interactions":
        """The entries of a boolean mask or of ascending positions, codes unchanged."""
        return replace(
            self,
            owners=self.owners[chosen],
            items=self.items[chosen],
            times=self.times[chosen],
        )

    def first_of_each_pair(self) -> "Interactions":
        """Without repetitions: of each owner and item the earliest entry."""
        keys = self.owners.astype(np.int64) * self.item_count + self.items
        _, first = np.unique(keys, return_index=True)
        return self.take(np.sort(first))

    def item_counts(self) -> "NDArray[np.int64]":
        """Of each item the number of entries."""
        return np.bincount(self.items, minlength=self.item_count)

    def ends(self) -> "Times":
        """Of each owner the time of the last entry, -inf where there is none."""
        ends = np.full(self.owner_count, -np.inf)
        np.maximum.at(ends, self.owners, self.times)
        return ends


@dataclass(frozen=True, slots=True, eq=False)
class InteractionTable:
    """The usable rows of a file, not coded yet.

    `attributes` has those of `ATTRIBUTE_COLUMNS` that any row has a value of, as text.
    `left_out` counts the rows that were not usable, by reason.
    """

    owners: "Ids"
    items: "Ids"
    times: "Times"
    ratings: "NDArray[np.float64] | None"
    attributes: "Mapping[str, Ids]"
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.times)

    def rated_at_least(self, least: float) -> tuple["InteractionTable", int]:
        """The rows rated `least` or better, and how many are not.

        Raises:
            InputError: there are no ratings, or no row is left.
        """
        if self.ratings is None:
            raise InputError("a least rating needs a column rating; there is none")
        is_good = self.ratings >= least
        if not is_good.any():
            raise InputError("no row is rated so high; take a lower least rating")
        chosen = pa.array(is_good)
        kept = replace(
            self,
            owners=self.owners.filter(chosen),
            items=self.items.filter(chosen),
            times=self.times[is_good],
            ratings=self.ratings[is_good],
            attributes={
                name: values.filter(chosen) for name, values in self.attributes.items()
            },
        )
        return kept, int((~is_good).sum())


def read_table(path: Path, owner_column: str) -> InteractionTable:
    """Rows of `owner_column`, item_id, timestamp and, if there, rating and attributes.

    Times are dates with a time (UTC where they state no offset) or numbers since 1970,
    whose unit is told by their size. Rows without owner, item or time, or with a rating
    that is no number where there is such a column, are left out and counted.

    Raises:
        InputError: the file cannot be read, lacks a column, or has no usable row.
    """
    name = path.name
    require_file(path)
    if not name.lower().endswith(FILE_SUFFIXES):
        raise InputError(f"{name}: the name must end in {', '.join(FILE_SUFFIXES)}")
    if path.stat().st_size == 0:
        raise InputError(f"{name} is empty")
    # Ids of digits alone would lose their leading zeros as numbers.
    source = rows_of(path, "header = true", "all_varchar = true")
    with reading(path) as connection:
        columns = connection.sql(f"select * from {source} limit 0").columns
        _require_columns(name, columns, owner_column)
        found: pa.Table = connection.sql(
            _query(source, columns, owner_column)
        ).to_arrow_table()
    return _usable(name, found, owner_column, "rating" in columns)


def _require_columns(name: str, columns: list[str], owner_column: str) -> None:
    for column in (owner_column, "item_id", "timestamp"):
        # What is there instead is not told: without a header it would be a row.
        if column not in columns:
            raise InputError(
                f"{name}: column {column} is missing; needed are {owner_column}, "
                "item_id, timestamp, named in a header line"
            )


def _query(source: str, columns: list[str], owner_column: str) -> str:
    rating = "try_cast(rating as double)" if "rating" in columns else "null::double"
    attributes = ", ".join(
        f"nullif({name}::varchar, '') as {name}"
        if name in columns
        else f"null::varchar as {name}"
        for name in ATTRIBUTE_COLUMNS
    )
    return f"""
        select
            nullif({owner_column}::varchar, '') as owner,
            nullif(item_id::varchar, '') as item,
            coalesce(
                try_cast("timestamp"::varchar as double),
                epoch(try_cast("timestamp"::varchar as timestamptz))
            ) as moment,
            {rating} as rating,
            {attributes}
        from {source}
    """


def _usable(
    name: str, found: pa.Table, owner_column: str, has_rating: bool
) -> InteractionTable:
    if found.num_rows == 0:
        raise InputError(f"{name} has a header and no rows")
    times = _numbers(found["moment"])
    is_good = np.ones(found.num_rows, dtype=bool)
    left_out: dict[str, int] = {}
    for reason, is_bad in (
        (f"no {owner_column}", _is_null(found["owner"])),
        ("no item_id", _is_null(found["item"])),
        ("timestamp is no time", ~np.isfinite(times)),
        ("rating is no number", has_rating & ~np.isfinite(_numbers(found["rating"]))),
    ):
        count = int((is_good & is_bad).sum())
        if count:
            left_out[reason] = count
        is_good &= ~is_bad
    if not is_good.any():
        reasons = ", ".join(
            f"{reason}: {count:,}" for reason, count in left_out.items()
        )
        raise InputError(f"{name} has no usable row ({reasons})")
    kept = found.filter(pa.array(is_good))
    return InteractionTable(
        owners=kept["owner"].combine_chunks(),
        items=kept["item"].combine_chunks(),
        times=_as_seconds(times[is_good]),
        ratings=_numbers(kept["rating"]) if has_rating else None,
        attributes={
            name: kept[name].combine_chunks()
            for name in ATTRIBUTE_COLUMNS
            if kept[name].null_count < kept.num_rows
        },
        left_out=left_out,
    )


def _numbers(column: "pa.ChunkedArray[Any]") -> "Times":
    """NaN where there is none."""
    return column.to_numpy().astype(np.float64)


def _is_null(column: "pa.ChunkedArray[Any]") -> "NDArray[np.bool_]":
    return np.asarray(column.is_null())


def _as_seconds(times: "Times") -> "Times":
    typical = float(np.median(np.abs(times)))
    for least, per_second in _UNITS:
        if typical >= least:
            return times / per_second
    return times


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """The ids behind codes, sorted: the order of rows has no influence on a code."""

    ids: "Ids"

    def __len__(self) -> int:
        return len(self.ids)

    def codes(self, values: "Ids") -> "Codes":
        """The code of each value, -1 where it has none."""
        found = pc.index_in(values, value_set=self.ids).fill_null(-1)
        return found.to_numpy(zero_copy_only=False).astype(np.int32)


def code_values(values: "Ids") -> Coding:
    """Codes from 0 in the order of the ids as text."""
    unique = values.unique()
    return Coding(unique.take(pc.sort_indices(unique)))


def code_table(table: InteractionTable, items: Coding) -> Interactions:
    """Coded and sorted; rows of items that `items` does not know are left out."""
    owners = code_values(table.owners)
    owner_codes = owners.codes(table.owners)
    item_codes = items.codes(table.items)
    order = np.lexsort((table.times, owner_codes))
    order = order[item_codes[order] >= 0]
    return Interactions(
        owners=owner_codes[order],
        items=item_codes[order],
        times=table.times[order],
        owner_count=len(owners),
        item_count=len(items),
    )


def item_categories(table: InteractionTable, items: Coding) -> "Codes | None":
    """Each item's category as a code, -1 where unknown; None without such a column.

    Of an item with several categories the latest one counts.
    """
    if "category" not in table.attributes:
        return None
    return _as_codes(_latest(table, items, "category"))


def item_attributes(table: InteractionTable, items: Coding) -> ItemAttributes | None:
    """What the table says of each item, the latest of several; None without any."""
    if not table.attributes:
        return None
    prices = pc.if_else(
        pc.match_substring_regex(_latest(table, items, "price"), r"^\d+(\.\d+)?$"),
        _latest(table, items, "price"),
        None,
    )
    return ItemAttributes(
        categories=_as_codes(_latest(table, items, "category")),
        brands=_as_codes(_latest(table, items, "brand")),
        prices=_numbers(pa.chunked_array([prices.cast(pa.float64())])),
        titles=[title or "" for title in _latest(table, items, "title").to_pylist()],
    )


def _latest(table: InteractionTable, items: Coding, name: str) -> "Ids":
    """Of each item the latest value; null where there is none."""
    values = table.attributes.get(name)
    if values is None:
        return pa.nulls(len(items), pa.string())
    order = np.argsort(table.times, kind="stable")
    order = order[np.asarray(values.is_valid())[order]]
    places = np.full(len(items), -1, dtype=np.int64)
    places[items.codes(table.items)[order]] = order
    of_items: Any = pa.array(places, mask=places < 0)
    return values.take(of_items)


def _as_codes(values: "Ids") -> "Codes":
    return code_values(values.drop_null()).codes(values)
