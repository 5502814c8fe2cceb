"""What a model is to those who ask it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nearline.recommend.interactions import Interactions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nearline.recommend.attributes import ItemAttributes
    from nearline.recommend.histories import Histories

    Scores: TypeAlias = NDArray[np.float32]


class Model(Protocol):
    """Something that has learnt from interactions."""

    def score(self, histories: "Histories") -> "Scores":
        """Histories x items; higher is better, -inf is never. Seen items are scored too.

        The array is the caller's to change.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a model learns.

    `split` and `test_share` say how a model that needs a validation set cuts one out of
    what it is given to learn from: best in the way in which it will be asked.
    `attributes` are of the items; None where nothing is known of any.
    """

    seed: int
    split: str = "temporal"
    test_share: float = 0.25
    attributes: "ItemAttributes | None" = None


Fit: TypeAlias = Callable[[Interactions, Fitting], Model]
"""Learns from interactions, owners being users or sessions."""
