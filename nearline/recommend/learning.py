"""Learning: from behaviour to all that a recommender needs, without a row of a person.

Belongs here: what is learnt and its measures. Not here: where behaviour comes from
(`warehouse`), how it is kept (`artifacts`), what is made of it for a visitor
(`recommender`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.catalogue import Catalogue
from nearline.recommend.companions import PairCounts, count_pairs, strongest_of_both
from nearline.recommend.held_out import HeldOut
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.blend import (
    Blend,
    fit_weighed_members,
    learn_user_weights,
)
from nearline.recommend.models.protocol import Fitting
from nearline.recommend.models.recency import trending_half_life

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.interactions import Codes
    from nearline.recommend.models.protocol import Scores

TOGETHER_HALF_LIFE = 14 * 86_400.0
"""Seconds in which what was viewed together comes to count half: a season's start must
show, and a month's few pairs must not be forgotten."""

PAIRS_KEPT = 60
"""Of each item so many pairs within its category, and as many across."""

VALIDATION_SHARE = 0.2

# It keeps rows of the training's people, and models are kept longer than people may want.
_KEEPS_PEOPLE = ("session-knn",)


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """Who took what: by person, by session, and how each session's visitor came.

    Items are coded by `catalogue`. `channels` are codes of `channel_names` for each entry
    of `by_session`, -1 where not known.
    """

    catalogue: Catalogue
    by_person: Interactions
    by_session: Interactions
    channels: "Codes"
    channel_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What a recommender is made of. Times are seconds, counts are as of `reference`.

    `trending` halves with `trending_half_life`; `trending_by_channel` is the same of the
    visitors of one channel. `category_affinity` is how often two categories meet in a
    session, in shares of a row's most.
    """

    catalogue: Catalogue
    blend: Blend
    together: PairCounts
    counts: "NDArray[np.int64]"
    trending: "Scores"
    trending_by_channel: "Mapping[str, Scores]"
    trending_half_life: float
    category_affinity: "Scores"

    @property
    def reference(self) -> float:
        return self.together.reference


def learn(
    behaviour: Behaviour, seed: int, held_out: HeldOut | None = None
) -> tuple[Learnt, Blend | None]:
    """Learns everything anew; works on any behaviour, none at all included.

    Args:
        held_out: what the blend is to be measured on.

    Returns:
        What was learnt of everything, and the blend to measure in its place: of the same
        weights, with members that have seen nothing of what is held out. The weights
        have not either. Without anything held out there is none, and the weights are
        learnt of everything, too.
    """
    by_session = behaviour.by_session
    catalogue = behaviour.catalogue
    reference = float(by_session.times.max(initial=0.0))
    blend, stand_in = _learn_blends(behaviour, seed, held_out)
    half_life = max(trending_half_life(by_session), 86_400.0)
    weights = np.exp2((by_session.times - reference) / half_life)
    counted = count_pairs(by_session, reference, TOGETHER_HALF_LIFE)
    learnt = Learnt(
        catalogue=catalogue,
        blend=blend,
        together=_kept_pairs(counted, catalogue.attributes.categories),
        counts=by_session.item_counts(),
        trending=_weighed_counts(by_session.items, weights, len(catalogue)),
        trending_by_channel={
            name: _weighed_counts(
                by_session.items[behaviour.channels == code],
                weights[behaviour.channels == code],
                len(catalogue),
            )
            for code, name in enumerate(behaviour.channel_names)
        },
        trending_half_life=half_life,
        category_affinity=_category_affinity(counted, catalogue),
    )
    return learnt, stand_in


def _learn_blends(
    behaviour: Behaviour, seed: int, held_out: HeldOut | None
) -> tuple[Blend, Blend | None]:
    by_person = behaviour.by_person.first_of_each_pair()
    if not len(by_person):
        return Blend({}, {}, hides_seen=True), None
    fitting = Fitting(
        seed,
        split="temporal",
        test_share=VALIDATION_SHARE,
        attributes=behaviour.catalogue.attributes,
    )
    learnt_from = by_person if held_out is None else held_out.before
    weights = learn_user_weights(learnt_from, fitting, without=_KEEPS_PEOPLE)
    blend = fit_weighed_members(by_person, weights, fitting)
    if held_out is None:
        return blend, None
    return blend, fit_weighed_members(held_out.before, weights, fitting)


def _weighed_counts(
    items: "Codes", weights: "NDArray[np.float64]", item_count: int
) -> "Scores":
    return np.bincount(items, weights, minlength=item_count).astype(np.float32)


def _kept_pairs(counted: PairCounts, categories: "Codes") -> PairCounts:
    """Each item's best pairs, of either kind, with their counts as they were."""
    kept = strongest_of_both(counted.scores(counted.reference), categories, PAIRS_KEPT)
    kept.data[:] = 1
    pairs: csr_array = counted.pairs.multiply(kept).tocsr()
    return PairCounts(pairs, counted.own, counted.reference, counted.half_life)


def _category_affinity(counted: PairCounts, catalogue: Catalogue) -> "Scores":
    categories = catalogue.attributes.categories
    count = len(catalogue.categories)
    pairs = counted.pairs.tocoo()
    of_item, of_other = categories[pairs.row], categories[pairs.col]
    is_known = (of_item >= 0) & (of_other >= 0) & (of_item != of_other)
    keys = of_item[is_known].astype(np.int64) * count + of_other[is_known]
    totals = np.bincount(keys, pairs.data[is_known], count * count)
    matrix = totals.reshape(count, count)
    most = matrix.max(axis=1, keepdims=True, initial=0)
    return (matrix / np.where(most > 0, most, 1)).astype(np.float32)
