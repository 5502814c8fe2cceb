"""Rules: what may be shown at all, whatever a model thinks of it."""

from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.ranking import NOTHING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes


def eligible_items(
    item_count: int,
    *,
    seen: "Codes | None" = None,
    bought: "Codes | None" = None,
    in_stock: "NDArray[np.bool_] | None" = None,
) -> "NDArray[np.bool_]":
    """One flag per item. A rule that is not given excludes nothing.

    Args:
        seen, bought: codes of items that are not to be shown again.
        in_stock: one flag per item.
    """
    is_eligible = np.ones(item_count, dtype=bool)
    for excluded in (seen, bought):
        if excluded is not None:
            is_eligible[excluded] = False
    if in_stock is not None:
        is_eligible &= in_stock
    return is_eligible


def apply_rules(
    scores: "NDArray[np.float32]", is_eligible: "NDArray[np.bool_]"
) -> "NDArray[np.float32]":
    """Scores with -inf where an item must not be shown, or has no score (NaN)."""
    return np.where(is_eligible & ~np.isnan(scores), scores, np.float32(-np.inf))


def cap_per_group(ranked: "Codes", groups: "Codes", most: int) -> "Codes":
    """`ranked` (best first) without what exceeds `most` items of a brand or category.

    Args:
        groups: one code per item of the catalogue; -1, unknown, is not capped.
    """
    ranked = ranked[ranked != NOTHING]
    of_ranked = groups[ranked]
    order = np.argsort(of_ranked, kind="stable")
    ordered = of_ranked[order]
    place = np.arange(len(ranked)) - np.searchsorted(ordered, ordered, side="left")
    is_kept = np.empty(len(ranked), dtype=bool)
    is_kept[order] = (place < most) | (ordered < 0)
    return ranked[is_kept]
