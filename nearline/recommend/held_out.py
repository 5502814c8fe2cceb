"""Held out: what people took after a moment, for judging what was learnt before it.

Belongs here: which interactions and people these are, and how good lists for them are.
Not here: which moment is fair to whom (`judging`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import Histories
from nearline.recommend.interactions import Interactions
from nearline.recommend.measures import find_hits, ndcg
from nearline.recommend.ranking import tie_order, unseen_lists
from nearline.recommend.splits import Split, hidden_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes
    from nearline.recommend.models.protocol import Model

HELD_OUT_SHARE = 0.2

LIST_LENGTH = 20

MOST_PEOPLE = 2_000
"""More are drawn from: each costs a score of every item, by every model."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What people took from `begins` (seconds) on and had not before.

    `before` is all that a model to be measured may have learnt from. Asked are the
    histories that people have there; `items[n]` is what the person of history `rows[n]`
    took afterwards. Equal scores are ordered by `seed`.
    """

    begins: float
    before: Interactions
    histories: Histories
    rows: "NDArray[np.integer]"
    items: "Codes"
    seed: int

    def __len__(self) -> int:
        """People."""
        return len(self.histories)

    def qualities(self, model: "Model") -> "NDArray[np.float64]":
        """nDCG of each person's list of `LIST_LENGTH`, by a model of these item codes.

        Ranked is every item that somebody took before; one that came later is missed
        by every model.
        """
        item_count = self.before.item_count
        lists = unseen_lists(
            model,
            self.histories,
            self.before.item_counts() > 0,
            LIST_LENGTH,
            tie_order(item_count, self.seed),
        )
        return ndcg(find_hits(lists, self.rows, self.items, item_count), LIST_LENGTH)


def hold_out(distinct: Interactions, begins: float, seed: int) -> HeldOut:
    """Holds out everything from a moment on.

    Args:
        distinct: each owner and item once.
        begins: seconds.
    """
    is_held = distinct.times >= begins
    split = Split(distinct.take(~is_held), distinct.take(is_held))
    people = np.intersect1d(split.train.owners, split.test.owners)
    if len(people) > MOST_PEOPLE:
        rng = np.random.default_rng(seed)
        people = np.sort(rng.choice(people, MOST_PEOPLE, replace=False))
    hidden = hidden_of(split, people)
    return HeldOut(
        begins=begins,
        before=split.train,
        histories=hidden.histories,
        rows=hidden.rows,
        items=hidden.items,
        seed=seed,
    )


def latest_share_begins(distinct: Interactions) -> float:
    """The moment from which on the latest `HELD_OUT_SHARE` of everything happened."""
    return float(np.quantile(distinct.times, 1 - HELD_OUT_SHARE, method="higher"))
