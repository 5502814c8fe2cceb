"""Products of an event, as lines in the columns that are kept of them."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from nearline.collector.segment import hashed_id
from nearline.landing.declarations import Column
from nearline.landing.formats import MASK, type_name
from nearline.landing.treatments import make_treatment

Line = dict[str, Any]


def line_reader(least_price: int = 0, least_quantity: int = 1) -> Callable[[Any], Line]:
    """A function from a product, an object with `product_id` (or `sku`), `category`,
    `brand`, `price` and `quantity`, to its line, with `price_cents` for the price.

    It raises ValueError where the product is none; the text goes on after the number
    of the line.

    Args:
        least_price: in cents.
    """
    treatments = {
        name: make_treatment(
            Column(name, kind, (name,), way, options=options), hashed_id, _no_pseudonym
        )
        for name, kind, way, options in (
            ("product_id", pa.string(), "key", {"otherwise": "hash"}),
            ("category", pa.string(), "text", {}),
            ("brand", pa.string(), "text", {}),
            ("price", pa.int64(), "cents", {"at_least": least_price}),
            (
                "quantity",
                pa.int64(),
                "integer",
                {"at_least": least_quantity, "at_most": 10_000},
            ),
        )
    }

    def read(product: Any) -> Line:
        if not isinstance(product, dict):
            raise ValueError(f" must be an object; got {type_name(product)}")
        fields: Mapping[str, Any] = {
            **product,
            "product_id": product.get("product_id") or product.get("sku"),
        }
        line: Line = {}
        for name, treat in treatments.items():
            value = fields.get(name)
            if value in (None, ""):
                continue
            try:
                kept = treat(value)
            except ValueError as problem:
                raise ValueError(f", {name}: {problem}") from None
            if kept not in (None, MASK):
                line["price_cents" if name == "price" else name] = kept
        if "product_id" not in line:
            raise ValueError(", product_id: is missing; every product needs it or sku")
        return line

    return read


def _no_pseudonym(kind: str, identifier: str) -> str:
    raise AssertionError("no part of a product is a pseudonym")
