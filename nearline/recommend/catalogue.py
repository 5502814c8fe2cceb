"""The catalogue: every item that there is, with what is known of it.

Belongs here: items by code, with their attributes' names. Not here: who took them, and
the query that finds them (`warehouse`).
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nearline.recommend.attributes import ItemAttributes
from nearline.recommend.interactions import Coding, code_values

if TYPE_CHECKING:
    from nearline.recommend.interactions import Ids, Times

_COLUMNS: dict[str, pa.DataType] = {
    "item_id": pa.string(),
    "category": pa.string(),
    "brand": pa.string(),
    "price_cents": pa.float64(),
    "title": pa.string(),
    "first_seen": pa.float64(),
}
SCHEMA = pa.schema(_COLUMNS)
"""Columns of a catalogue as a table; all but the id may be null. `first_seen` is seconds
since 1970."""


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """Items by code. `first_seen` is seconds, -inf where not known.

    Items that came later stand behind the others, so that codes stay what they are.
    """

    items: Coding
    categories: Coding
    brands: Coding
    attributes: ItemAttributes
    first_seen: "Times"

    def __len__(self) -> int:
        return len(self.items)

    def name_of(self, item: int) -> str:
        """The title, or the id where there is none."""
        return self.attributes.titles[item] or str(self.items.ids[item])

    def category_of(self, item: int) -> str | None:
        code = int(self.attributes.categories[item])
        return None if code < 0 else str(self.categories.ids[code])

    def brand_of(self, item: int) -> str | None:
        code = int(self.attributes.brands[item])
        return None if code < 0 else str(self.brands.ids[code])

    def extended(self, table: pa.Table) -> "Catalogue":
        """With the items of `table` (of `SCHEMA`) that are not in here yet, at the end."""
        is_more = self.items.codes(_column(table, "item_id")) < 0
        more = table.filter(pa.array(is_more))
        if not more.num_rows:
            return self
        categories = _longer(self.categories, _column(more, "category"))
        brands = _longer(self.brands, _column(more, "brand"))
        added = _read(more, categories, brands)
        old, new = self.attributes, added.attributes
        return replace(
            added,
            items=Coding(pa.concat_arrays([self.items.ids, added.items.ids])),
            attributes=ItemAttributes(
                categories=np.concatenate([old.categories, new.categories]),
                brands=np.concatenate([old.brands, new.brands]),
                prices=np.concatenate([old.prices, new.prices]),
                titles=[*old.titles, *new.titles],
            ),
            first_seen=np.concatenate([self.first_seen, added.first_seen]),
        )

    def as_table(self) -> pa.Table:
        """In the order of the codes."""
        attributes = self.attributes
        return pa.table(
            {
                "item_id": self.items.ids,
                "category": _names(self.categories, attributes.categories),
                "brand": _names(self.brands, attributes.brands),
                "price_cents": pa.array(attributes.prices, from_pandas=True),
                "title": pa.array([title or None for title in attributes.titles]),
                "first_seen": pa.array(
                    self.first_seen, mask=~np.isfinite(self.first_seen)
                ),
            }
        ).cast(SCHEMA)


def catalogue_of(table: pa.Table) -> Catalogue:
    """From a table of `SCHEMA`, one row per item; rows without an id are left out."""
    table = table.filter(table["item_id"].is_valid())
    ids = _column(table, "item_id")
    table = table.take(np.argsort(code_values(ids).codes(ids), kind="stable"))
    return _read(
        table,
        code_values(_column(table, "category").drop_null()),
        code_values(_column(table, "brand").drop_null()),
    )


def _read(table: pa.Table, categories: Coding, brands: Coding) -> Catalogue:
    return Catalogue(
        items=Coding(_column(table, "item_id")),
        categories=categories,
        brands=brands,
        attributes=ItemAttributes(
            categories=categories.codes(_column(table, "category")),
            brands=brands.codes(_column(table, "brand")),
            prices=_numbers(table, "price_cents", np.nan),
            titles=[title or "" for title in _column(table, "title").to_pylist()],
        ),
        first_seen=_numbers(table, "first_seen", -np.inf),
    )


def _longer(coding: Coding, values: "Ids") -> Coding:
    known = values.drop_null().unique()
    more = known.filter(pa.array(coding.codes(known) < 0))
    return Coding(pa.concat_arrays([coding.ids, more]))


def _names(coding: Coding, codes: "np.ndarray[Any, np.dtype[np.int32]]") -> "Ids":
    named: Any = pa.array(codes, mask=codes < 0)
    return coding.ids.take(named)


def _column(table: pa.Table, name: str) -> "Ids":
    column: Ids = table[name].cast(SCHEMA.field(name).type).combine_chunks()
    return column


def _numbers(table: pa.Table, name: str, missing: float) -> "Times":
    return np.asarray(_column(table, name).fill_null(missing), dtype=np.float64)
