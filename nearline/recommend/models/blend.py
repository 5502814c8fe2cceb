"""`nearline`: a weighted sum of other models, with weights learnt on a validation set.

The validation set is cut out of the training; the test is never looked at. Members learn
from what is left, and are weighted by greedy selection with replacement (Caruana et al.
2004): the member that helps most joins again and again. So the blend is never worse than
its best member on the validation set, and members that do not help get nothing. Then
every member with a weight learns anew from the whole training.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import Histories, batches, next_items
from nearline.recommend.interactions import Interactions
from nearline.recommend.measures import find_hits, ndcg
from nearline.recommend.models.als import fit_als
from nearline.recommend.models.content import fit_content
from nearline.recommend.models.ease import Ease, fit_ease_on
from nearline.recommend.models.item_knn import fit_covisitation, fit_item_knn
from nearline.recommend.models.popularity import fit_popularity
from nearline.recommend.models.protocol import Fit, Fitting, Model
from nearline.recommend.models.recency import fit_repeats, fit_trending
from nearline.recommend.models.sequence import fit_sequential_rules
from nearline.recommend.models.session_knn import fit_session_knn
from nearline.recommend.ranking import NOTHING, tie_order, top_items, without_seen
from nearline.recommend.splits import hidden_of, split_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes
    from nearline.recommend.models.protocol import Scores

MOST_EASE_ITEMS = 4_000
"""EASE joins with the most popular items alone where there are more: its time grows with
the cube."""

VALIDATION_LENGTH = 20
"""Weights are chosen by nDCG at this length."""

VALIDATION_SESSION_SHARE = 0.2
MOST_VALIDATION_HISTORIES = 2_000
CANDIDATE_COUNT = 60
"""Of each member the best so many are looked at when weights are learnt."""

ROUND_COUNT = 20
# A gain under this is noise of the validation set, and one member more to compute.
LEAST_GAIN = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """`members` with their `weights`, which add up to 1.

    What is weighed is each member's `level`. Where `hides_seen`, items of the history
    itself have no part in it: they are not to be recommended.
    """

    members: Mapping[str, Model]
    weights: Mapping[str, float]
    hides_seen: bool

    def score(self, histories: Histories) -> "Scores":
        total: Scores | None = None
        for name, model in self.members.items():
            scores = level(model.score(histories), histories, self.hides_seen)
            scores *= np.float32(self.weights[name])
            total = scores if total is None else np.add(total, scores, out=total)
        assert total is not None
        return total


def level(scores: "Scores", histories: Histories, hides_seen: bool) -> "Scores":
    """The root of the score's share of the row's highest, negative scores being 0.

    The root brings closer what is far behind the first. Against plain shares, ranks and
    their reciprocals it gave the best blends on the tables of docs/recommend.md. Changes
    `scores`.
    """
    if hides_seen:
        scores = without_seen(scores, histories)
    np.maximum(scores, 0, out=scores)
    scores /= np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.sqrt(scores, out=scores)


def fit_user_blend(train: Interactions, fitting: Fitting) -> Blend:
    """For users: new items, seen ones hidden."""
    return fit_weighed_members(train, learn_user_weights(train, fitting), fitting)


def fit_weighed_members(
    train: Interactions, weights: Mapping[str, float], fitting: Fitting
) -> Blend:
    """A blend for users by weights that were learnt before."""
    members = _with_content(_USER_MEMBERS, fitting)
    return _fit_members(train, members, weights, fitting, hides_seen=True)


def learn_user_weights(
    train: Interactions, fitting: Fitting, without: Collection[str] = ()
) -> Mapping[str, float]:
    """Weights of the members for users, but for those named in `without`."""
    members = {
        name: fit
        for name, fit in _with_content(_USER_MEMBERS, fitting).items()
        if name not in without
    }
    split = split_by(fitting.split, train, fitting.test_share, fitting.seed)
    rng = np.random.default_rng(fitting.seed)
    owners = np.intersect1d(split.train.owners, split.test.owners)
    if len(owners) > MOST_VALIDATION_HISTORIES:
        owners = np.sort(rng.choice(owners, MOST_VALIDATION_HISTORIES, replace=False))
    hidden = hidden_of(split, owners)
    validation = _Validation(
        train=split.train,
        histories=hidden.histories,
        rows=hidden.rows,
        items=hidden.items,
        hides_seen=True,
    )
    return _learn_weights(validation, members, fitting)


def fit_session_blend(train: Interactions, fitting: Fitting) -> Blend:
    """For sessions: the next item, seen or not. The latest sessions validate."""
    ends = train.ends()
    cut = np.quantile(ends[np.isfinite(ends)], 1 - VALIDATION_SESSION_SHARE)
    is_late = ends[train.owners] > cut
    positions = next_items(train.take(is_late))
    rng = np.random.default_rng(fitting.seed)
    if len(positions.targets) > MOST_VALIDATION_HISTORIES:
        positions = positions.take(
            np.sort(
                rng.choice(
                    len(positions.targets), MOST_VALIDATION_HISTORIES, replace=False
                )
            )
        )
    validation = _Validation(
        train=train.take(~is_late),
        histories=positions.histories,
        rows=np.arange(len(positions.targets)),
        items=positions.targets,
        hides_seen=False,
    )
    members = _with_content(_SESSION_MEMBERS, fitting)
    weights = _learn_weights(validation, members, fitting)
    return _fit_members(train, members, weights, fitting, hides_seen=False)


def _with_content(members: Mapping[str, Fit], fitting: Fitting) -> Mapping[str, Fit]:
    """Where something is known of items, likeness by it joins."""
    if fitting.attributes is None:
        return members
    return {**members, "content": fit_content}


def _fit_popular_ease(train: Interactions, fitting: Fitting, *, penalty: float) -> Ease:
    return fit_ease_on(train, MOST_EASE_ITEMS, penalty)


_USER_MEMBERS: Mapping[str, Fit] = {
    "popularity": fit_popularity,
    "trending": fit_trending,
    "item-knn": fit_item_knn,
    "session-knn": fit_session_knn,
    "sequential-rules": fit_sequential_rules,
    "als": fit_als,
    "ease": partial(_fit_popular_ease, penalty=400.0),
    "ease-sparse": partial(_fit_popular_ease, penalty=50.0),
}
_SESSION_MEMBERS: Mapping[str, Fit] = {
    "popularity": fit_popularity,
    "trending": fit_trending,
    "repeats": fit_repeats,
    "item-knn": fit_covisitation,
    "session-knn": fit_session_knn,
    "sequential-rules": fit_sequential_rules,
    "als": fit_als,
}


@dataclass(frozen=True, slots=True, eq=False)
class _Validation:
    """What members learn from, what they are asked, and the right answers."""

    train: Interactions
    histories: Histories
    rows: "NDArray[np.integer]"
    items: "Codes"
    hides_seen: bool


def _fit_members(
    train: Interactions,
    members: Mapping[str, Fit],
    weights: Mapping[str, float],
    fitting: Fitting,
    *,
    hides_seen: bool,
) -> Blend:
    return Blend(
        members={name: members[name](train, fitting) for name in weights},
        weights=weights,
        hides_seen=hides_seen,
    )


def _learn_weights(
    validation: _Validation, members: Mapping[str, Fit], fitting: Fitting
) -> dict[str, float]:
    """Weights of the members that help; all alike where nothing can be learnt."""
    if not len(validation.items) or not len(validation.train):
        return dict.fromkeys(members, 1 / len(members))
    candidates, scores = _candidates(
        validation,
        {name: fit(validation.train, fitting) for name, fit in members.items()},
        fitting.seed,
    )
    hits = find_hits(
        candidates, validation.rows, validation.items, validation.train.item_count
    )

    def quality(blended: "Scores") -> float:
        order = best_places(blended, VALIDATION_LENGTH)
        ranked = np.take_along_axis(hits.is_hit, order, axis=1)
        return float(ndcg(replace(hits, is_hit=ranked), VALIDATION_LENGTH).mean())

    return greedy_weights(scores, quality)


def _candidates(
    validation: _Validation, models: Mapping[str, Model], seed: int
) -> "tuple[Codes, dict[str, Scores]]":
    """The best items of every member together, and how each member scores them.

    Both are histories x places; a place left over has `NOTHING`, scored -1.
    """
    item_count = validation.train.item_count
    order = tie_order(item_count, seed)
    width = min(CANDIDATE_COUNT, item_count)
    candidates: list[Codes] = []
    scores: dict[str, list[Scores]] = {name: [] for name in models}
    # All members' scores of a batch are held at once.
    for part in batches(validation.histories, item_count * len(models)):
        leveled = {
            name: level(model.score(part), part, validation.hides_seen)
            for name, model in models.items()
        }
        best = np.hstack([top_items(s, width, order) for s in leveled.values()])
        best.sort(axis=1)
        best[:, 1:][best[:, 1:] == best[:, :-1]] = NOTHING
        candidates.append(best)
        for name, of_all in leveled.items():
            of_best = np.take_along_axis(of_all, np.maximum(best, 0), axis=1)
            of_best[best == NOTHING] = -1
            scores[name].append(of_best)
    return np.vstack(candidates), {n: np.vstack(parts) for n, parts in scores.items()}


def best_places(scores: "Scores", count: int) -> "NDArray[np.intp]":
    """Where the `count` highest of each row stand, highest first; of equal ones any."""
    count = min(count, scores.shape[1])
    places = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(scores, places, axis=1), axis=1)
    return np.take_along_axis(places, order, axis=1)


def greedy_weights(
    scores: "Mapping[str, Scores]", quality: "Callable[[Scores], float]"
) -> dict[str, float]:
    """Weights over 0, adding up to 1: members join one at a time, as often as they help.

    `quality` rates a sum of scores; its order of places must not depend on their scale.
    """
    joined: list[str] = []
    total: Scores = np.zeros_like(next(iter(scores.values())))
    best, best_length = -np.inf, 0
    for _ in range(ROUND_COUNT):
        qualities = {name: quality(total + s) for name, s in scores.items()}
        winner = max(qualities, key=lambda name: qualities[name])
        joined.append(winner)
        total = total + scores[winner]
        if qualities[winner] > best + LEAST_GAIN:
            best, best_length = qualities[winner], len(joined)
    chosen = joined[:best_length]
    return {name: chosen.count(name) / len(chosen) for name in dict.fromkeys(chosen)}
