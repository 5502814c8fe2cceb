"""Reasons: why an item stands in a list, in words that may be shown to anybody.

A sentence is about the source that gave the item most of its score. It names items of the
visitor's own request and attributes of the catalogue, never another person.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nearline.recommend.sources import Interest, Shelves, Source

# A source that gave less than this share of an item's score is not named.
_LEAST_SHARE = 0.1
_LATEST_ITEMS = 10


class Reasoning:
    """Explains the items of one list."""

    def __init__(
        self,
        shelves: "Shelves",
        sources: "Sequence[Source]",
        interest: "Interest",
        channel: str | None,
    ) -> None:
        self._shelves = shelves
        self._sources = sources
        self._interest = interest
        self._channel = channel if channel in shelves.standing else None
        self._latest = list(dict.fromkeys(reversed(interest.history.tolist())))[
            :_LATEST_ITEMS
        ]
        self._near = shelves.together[np.array(self._latest, dtype=np.int32)]

    def explain(self, item: int, is_explored: bool) -> tuple[tuple[str, ...], str]:
        """Kinds of sources, the one that says most first, and a sentence on it."""
        parts: dict[str, float] = {}
        for source in self._sources:
            value = source.weighed.item(item)
            if value > 0:
                parts[source.kind] = parts.get(source.kind, 0) + value
        total = sum(parts.values())
        kinds = sorted(parts, key=lambda kind: -parts[kind])
        kinds = [kind for kind in kinds if parts[kind] >= _LEAST_SHARE * total]
        if item in self._shelves.likeness.new and kinds in ([], ["new"]):
            kinds.append("content")
        if is_explored:
            kinds.insert(0, "random")
        return tuple(kinds), self._sentence(kinds[0] if kinds else "popular", item)

    def _sentence(self, kind: str, item: int) -> str:
        focus = self._interest.focus
        if kind == "goes-with" and focus is not None:
            return f"goes with {self._focus_name(focus)}"
        if kind == "similar" and focus is not None:
            shared = self._shared(item, focus)
            return f"like {self._focus_name(focus)}" + (f": {shared}" if shared else "")
        if kind in ("together", "item-item"):
            anchor = self._anchor(item)
            if anchor is not None:
                return f"often viewed with {self._shelves.catalogue.name_of(anchor)}"
            return "viewed by people who viewed the same items"
        if kind == "factors":
            return "taken by people with a like taste"
        if kind == "content":
            return self._content(item)
        if kind == "trending":
            came = f" by visitors from {self._channel}" if self._channel else ""
            return f"viewed much lately{came}"
        if kind == "new":
            return "new in the shop"
        if kind == "random":
            return "shown at random, to learn who likes it"
        return "popular in the shop"

    def _focus_name(self, focus: int) -> str:
        name = self._shelves.catalogue.name_of(focus)
        views = self._interest.focus_views
        return f"{name}, viewed {views} times" if views > 1 else name

    def _content(self, item: int) -> str:
        for anchor in self._latest:
            shared = self._shared(item, anchor)
            if shared:
                return f"like {self._shelves.catalogue.name_of(anchor)}: {shared}"
        return "like items that people take"

    def _anchor(self, item: int) -> int | None:
        """The latest item of the history that this one is most often seen with."""
        is_item = self._near.indices == item
        if not is_item.any():
            return None
        strongest = np.flatnonzero(is_item)[self._near.data[is_item].argmax()]
        row = np.searchsorted(self._near.indptr, strongest, side="right") - 1
        return int(self._latest[int(row)])

    def _shared(self, item: int, other: int) -> str:
        """What two items have in common, such as "Jackets, Bryndal, price"."""
        catalogue = self._shelves.catalogue
        bands = self._shelves.price_bands
        shared = []
        category, brand = catalogue.category_of(item), catalogue.brand_of(item)
        if category is not None and category == catalogue.category_of(other):
            shared.append(category)
        if brand is not None and brand == catalogue.brand_of(other):
            shared.append(brand)
        if bands[item] >= 0 and bands[item] == bands[other]:
            shared.append("price")
        return ", ".join(shared)
