"""`sequential-rules`: what came soon after an item, in the order of time.

Kamehkhosh, Jannach & Ludewig (2017): a rule a -> b counts 1 / distance for each b within
`REACH` places after an a.
"""

from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import sparse, strongest
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.item_knn import ItemNeighbours
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH = 10
RULE_COUNT = 200
DECAY = 0.4
"""How much less the rules of an item count with each item that came after it."""


def fit_sequential_rules(train: Interactions, fitting: Fitting) -> ItemNeighbours:
    first: list[NDArray[np.integer]] = []
    second: list[NDArray[np.integer]] = []
    weights = []
    for distance in range(1, REACH + 1):
        # Interactions are sorted by owner and time.
        is_same = train.owners[distance:] == train.owners[:-distance]
        first.append(train.items[:-distance][is_same])
        second.append(train.items[distance:][is_same])
        weights.append(np.full(int(is_same.sum()), 1 / distance, dtype=np.float32))
    rules = sparse(
        np.concatenate(first),
        np.concatenate(second),
        np.concatenate(weights),
        (train.item_count, train.item_count),
    )
    return ItemNeighbours(strongest(rules, RULE_COUNT), decay=DECAY)
