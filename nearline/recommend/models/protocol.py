"""What a model is to those who ask it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nearline.recommend.interactions import Interactions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nearline.recommend.histories import Histories

    Scores: TypeAlias = NDArray[np.float32]


class Model(Protocol):
    """Something that has learnt from interactions."""

    def score(self, histories: "Histories") -> "Scores":
        """Histories x items; higher is better, -inf is never. Seen items are scored too.

        The array is the caller's to change.
        """
        ...


Fit: TypeAlias = Callable[[Interactions, int], Model]
"""Learns from interactions, owners being users or sessions, with a seed."""
