"""What is known of items besides who took them: category, brand, price, title.

Belongs here: attributes by item code. Not here: where they come from (`interactions` of a
file, `catalogue` of the warehouse), and likeness by them (`models.content`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes

PRICE_BANDS_PER_DOUBLING = 1
"""One band holds prices that differ by less than a factor of two."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemAttributes:
    """Of each item by its code; -1, NaN and "" where not known."""

    categories: "Codes"
    brands: "Codes"
    prices: "NDArray[np.float64]"
    titles: Sequence[str]

    def __len__(self) -> int:
        return len(self.categories)

    @property
    def price_bands(self) -> "Codes":
        """Codes of bands that are each twice as dear as the one before; -1 unknown."""
        known = np.isfinite(self.prices) & (self.prices > 0)
        bands = np.full(len(self), -1, dtype=np.int32)
        if known.any():
            steps = np.floor(PRICE_BANDS_PER_DOUBLING * np.log2(self.prices[known]))
            bands[known] = np.unique(steps, return_inverse=True)[1]
        return bands
