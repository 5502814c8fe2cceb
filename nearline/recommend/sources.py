"""Sources: where candidates come from, each a score for every item of the catalogue.

Belongs here: what each source says about one visitor, and how much it weighs. Not here:
what becomes of the sum (`recommender`).

What the blend learnt to weigh adds up to 1 at most; the other weights are beside it. They
were set by hand, and an experiment is the place to judge them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from nearline.recommend.cold_start import (
    Likeness,
    find_likeness,
    scores_for_strangers,
)
from nearline.recommend.histories import Histories, weigh_rows
from nearline.recommend.models.als import AlternatingLeastSquares
from nearline.recommend.models.blend import level
from nearline.recommend.models.content import attribute_features
from nearline.recommend.models.popularity import Popularity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.catalogue import Catalogue
    from nearline.recommend.fresh import Fresh
    from nearline.recommend.interactions import Codes
    from nearline.recommend.learning import Learnt
    from nearline.recommend.models.protocol import Model, Scores
    from nearline.recommend.requests import Policy

_Number = TypeVar("_Number", bound=np.generic)

Kind = Literal[
    "item-item",
    "factors",
    "together",
    "content",
    "goes-with",
    "similar",
    "trending",
    "popular",
    "new",
]

MEMBER_KINDS: Mapping[str, Kind] = {
    "popularity": "popular",
    "trending": "trending",
    "item-knn": "item-item",
    "sequential-rules": "item-item",
    "ease": "item-item",
    "ease-sparse": "item-item",
    "als": "factors",
    "content": "content",
}

TOGETHER_WEIGHT = 0.3
TOGETHER_DECAY = 0.6
"""How much less an item of the visit says with each that came after it."""

FOCUS_WEIGHT = 1.0
"""Whoever comes back to one item is shown what belongs to it before anything else."""

TRENDING_WEIGHT = 0.05
NEW_WEIGHT = 0.05
NEW_WEIGHT_FOR_STRANGERS = 0.2

ANY_CHANNEL = ""

FOREMOST_COUNT = 200
"""Of a source that is the same for all so many are put in order beforehand; candidates
are few of them, and some may not be shown."""

# Decides where nothing else does: before the order of ids, what others take.
_LAST_WEIGHT = 1e-3

# What goes with an item by its category alone, beside pairs that were seen.
_BY_CATEGORY = 0.5
# An item that is like another by its attributes, and one that is viewed with it.
_LIKE_BY_CONTENT, _LIKE_BY_VIEWS = 0.6, 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Interest:
    """What a request says, in codes: `history` oldest first with repetitions; `seen` and
    `bought` each once. `focus` is the item that the list is about, if about one."""

    history: "Codes"
    seen: "Codes"
    bought: "Codes"
    focus: int | None
    focus_views: int


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One source's part in the score of every item, 0 where it has nothing to say."""

    kind: Kind
    weighed: "Scores"
    foremost: "Codes | None" = None
    """The best `FOREMOST_COUNT`, best first, of a source that says the same to all."""

    def best(self, count: int, may_be_shown: "NDArray[np.bool_]") -> "Codes":
        """Codes of the `count` items that it has most to say of, in no order."""
        if self.foremost is not None:
            found = self.foremost[may_be_shown[self.foremost]]
            is_all = len(self.foremost) < FOREMOST_COUNT
            if len(found) >= count or is_all:
                return found[:count]
        return _highest(self.weighed, (self.weighed > 0) & may_be_shown, count)


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Sources that do not hang on what the visitor did, for whoever came by one channel:
    all that there is for strangers, and what stands beside the others' own."""

    for_strangers: tuple[Source, ...]
    beside: tuple[Source, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shelves:
    """All that does not hang on the visitor, worked out once; `code_of` is by item id.

    `together` is items x items, scores; `features` tell likeness, `match_features` the
    same without the category; `likeness` fills in for items that nobody took. `standing`
    is by channel, with `ANY_CHANNEL` for those of which nothing is known.
    """

    catalogue: "Catalogue"
    code_of: Mapping[str, int]
    members: "Mapping[str, Model]"
    weights: Mapping[str, float]
    together: "csr_array"
    features: "csr_array"
    match_features: "csr_array"
    price_bands: "Codes"
    likeness: Likeness
    popularity: "Scores"
    standing: Mapping[str, Standing]
    category_affinity: "Scores"
    trained_count: int

    def __len__(self) -> int:
        return len(self.catalogue)

    def codes(self, items: Collection[str]) -> "Codes":
        """Of each item, -1 where the catalogue does not hold it."""
        return np.array([self.code_of.get(item, -1) for item in items], dtype=np.int32)

    def sources(self, interest: Interest, channel: str | None) -> list[Source]:
        """Every source that has something to say."""
        standing = self.standing.get(channel or ANY_CHANNEL, self.standing[ANY_CHANNEL])
        if not len(interest.history):
            return list(standing.for_strangers)
        found = [
            *self._members(interest),
            Source("together", self._together(interest) * np.float32(TOGETHER_WEIGHT)),
            *standing.beside,
        ]
        if interest.focus is not None:
            weight = np.float32(FOCUS_WEIGHT)
            found.append(Source("goes-with", self._goes_with(interest.focus) * weight))
            found.append(Source("similar", self._similar(interest.focus) * weight))
        return found

    def _members(self, interest: Interest) -> list[Source]:
        whole = _row(interest.history)
        trained = _row(interest.history[interest.history < self.trained_count])
        found = []
        for name, model in self.members.items():
            is_longer = isinstance(model, AlternatingLeastSquares)
            scores = model.score(whole if is_longer else trained)
            # A model that diverged has nothing to say; the others have.
            if not np.isfinite(scores).all():
                np.nan_to_num(scores, copy=False, nan=0, posinf=0, neginf=0)
            leveled = level(_padded(scores, len(self)), whole, True)[0]
            weighed = leveled * np.float32(self.weights[name])
            found.append(Source(MEMBER_KINDS[name], weighed))
        return found

    def _together(self, interest: Interest) -> "Scores":
        history = _row(interest.history)
        scores = weigh_rows(history, self.together, TOGETHER_DECAY)
        leveled: Scores = level(scores, history, True)[0]
        return leveled

    def _goes_with(self, focus: int) -> "Scores":
        """Items of other categories: seen together, or of a category that meets this one
        and alike in brand, price and title."""
        categories = self.catalogue.attributes.categories
        own = int(categories[focus])
        if own < 0:
            return np.zeros(len(self), dtype=np.float32)
        is_other = (categories != own) & (categories >= 0)
        seen = np.where(is_other, _row_of(self.together, focus), 0)
        match = _cosines(self.match_features, focus)
        affinity = np.append(self.category_affinity[own], np.float32(0))[categories]
        guess = affinity * (1 + match + _up_to_one(self.popularity)) / 3
        guess[~is_other] = 0
        return _up_to_one(seen) + np.float32(_BY_CATEGORY) * _up_to_one(guess)

    def _similar(self, focus: int) -> "Scores":
        """Items of the same category, or alike where the category is not known."""
        categories = self.catalogue.attributes.categories
        own = int(categories[focus])
        is_same = categories == own if own >= 0 else np.ones(len(self), dtype=bool)
        alike = np.where(is_same, _cosines(self.features, focus), 0)
        seen = np.where(is_same, _row_of(self.together, focus), 0)
        alike[focus] = seen[focus] = 0
        return np.float32(_LIKE_BY_CONTENT) * _up_to_one(alike) + np.float32(
            _LIKE_BY_VIEWS
        ) * _up_to_one(seen)


def make_shelves(
    learnt: "Learnt",
    fresh: "Fresh | None",
    policy: "Policy",
    before: Shelves | None = None,
) -> Shelves:
    """What was learnt, and what happened since, laid out for asking.

    Args:
        before: shelves of the same `learnt`. As long as no item came, likeness is theirs:
            it takes seconds to find, and readers swap every few.
    """
    trained_count = len(learnt.catalogue)
    catalogue = learnt.catalogue
    members = dict(learnt.blend.members)
    together = learnt.together.scores(learnt.reference)
    trending = learnt.trending
    popularity, now = learnt.counts, learnt.reference
    if fresh is not None:
        catalogue = catalogue.extended(fresh.new_items)
        count = len(catalogue)
        together = fresh.laid_over(together, count)
        trending = trending_by_now(learnt, fresh)
        popularity = _padded(popularity, count) + fresh.counts
        now = fresh.as_of
        if "trending" in members:
            members["trending"] = Popularity(trending)
        als = members.get("als")
        if isinstance(als, AlternatingLeastSquares):
            longer = np.vstack([als.item_factors, fresh.new_item_factors])
            members["als"] = replace(als, item_factors=longer)
    count = len(catalogue)
    popular = _padded(popularity, count).astype(np.float32)
    same = before if before is not None and len(before) == count else None
    features = (
        same.features if same is not None else attribute_features(catalogue.attributes)
    )
    affinity = learnt.category_affinity
    more = len(catalogue.categories) - len(affinity)
    return Shelves(
        catalogue=catalogue,
        code_of={
            str(item): code for code, item in enumerate(catalogue.items.ids.to_pylist())
        },
        members=members,
        weights=learnt.blend.weights,
        together=together,
        features=features,
        match_features=same.match_features
        if same is not None
        else attribute_features(catalogue.attributes, with_category=False),
        price_bands=catalogue.attributes.price_bands,
        likeness=same.likeness
        if same is not None
        else find_likeness(features, popular == 0),
        popularity=popular,
        standing=_standing(
            trending,
            {
                name: _padded(scores, count)
                for name, scores in learnt.trending_by_channel.items()
            },
            popular,
            _newness(catalogue, now, policy.new_days * 86_400),
        ),
        category_affinity=np.pad(affinity, ((0, more), (0, more))),
        trained_count=trained_count,
    )


def trending_by_now(learnt: "Learnt", fresh: "Fresh") -> "Scores":
    """What trended at the training, faded since, and what came after it."""
    faded = np.exp2((learnt.reference - fresh.as_of) / learnt.trending_half_life)
    before = _padded(learnt.trending * np.float32(faded), len(fresh.trending))
    found: Scores = (before + fresh.trending).astype(np.float32)
    return found


def _standing(
    trending: "Scores",
    trending_by_channel: "Mapping[str, Scores]",
    popularity: "Scores",
    newness: "Scores",
) -> dict[str, Standing]:
    trends = _alike_for_all("trending", _up_to_one(trending) * TRENDING_WEIGHT)
    new = _alike_for_all("new", newness * NEW_WEIGHT)
    new_to_strangers = _alike_for_all("new", newness * NEW_WEIGHT_FOR_STRANGERS)
    found = {}
    for channel, of_channel in {**trending_by_channel, ANY_CHANNEL: trending}.items():
        strangers = scores_for_strangers(of_channel, popularity)
        is_trending = strangers > 1
        found[channel] = Standing(
            for_strangers=(
                _alike_for_all("trending", np.where(is_trending, strangers, 0)),
                _alike_for_all("popular", np.where(is_trending, 0, strangers)),
                new_to_strangers,
            ),
            beside=(
                trends,
                new,
                _alike_for_all("popular", strangers * _LAST_WEIGHT),
            ),
        )
    return found


def _alike_for_all(kind: Kind, weighed: "NDArray[np.floating]") -> Source:
    best = _highest(weighed, weighed > 0, FOREMOST_COUNT)
    ordered = best[np.argsort(-weighed[best], kind="stable")]
    return Source(kind, weighed.astype(np.float32), ordered)


def _highest(
    scores: "NDArray[np.floating]", is_among: "NDArray[np.bool_]", count: int
) -> "Codes":
    """Codes of the `count` highest of those that are among them; of equal ones any."""
    # Most sources speak of few items, and equal scores are slow to part.
    among = np.flatnonzero(is_among)
    least = max(len(among) - count, 0)
    best = np.argpartition(scores[among], least)[least:] if least else slice(None)
    return among[best].astype(np.int32)


def _newness(catalogue: "Catalogue", now: float, new_seconds: float) -> "Scores":
    """1 for what came now, halving in half the time that counts as new, then 0.

    What was there when the data begins is not known to be new.
    """
    first_seen = catalogue.first_seen
    known = first_seen[np.isfinite(first_seen)]
    begin = known.min() + new_seconds if len(known) else np.inf
    age = np.maximum(now - first_seen, 0)
    is_new = (age <= new_seconds) & (first_seen >= begin)
    halved = np.exp2(-2 * np.where(is_new, age, 0) / max(new_seconds, 1))
    return np.where(is_new, halved, 0).astype(np.float32)


def _row(items: "Codes") -> Histories:
    return Histories(items, np.array([0]), np.array([len(items)]))


def _padded(values: "NDArray[_Number]", count: int) -> "NDArray[_Number]":
    """With zeros at the end, for items that came after the training."""
    missing = count - values.shape[-1]
    if not missing:
        return values
    return np.pad(values, [*[(0, 0)] * (values.ndim - 1), (0, missing)])


def _cosines(features: "csr_array", item: int) -> "Scores":
    """With the item's own row; rows have length 1 or are empty."""
    cosines: Scores = features @ _row_of(features, item)
    return cosines


def _row_of(matrix: "csr_array", item: int) -> "Scores":
    row = np.zeros(matrix.shape[1], dtype=np.float32)
    places = slice(matrix.indptr[item], matrix.indptr[item + 1])
    row[matrix.indices[places]] = matrix.data[places]
    return row


def _up_to_one(scores: "NDArray[np.floating]") -> "Scores":
    """In shares of the highest; nothing where there is nothing."""
    highest = scores.max(initial=0)
    found: Scores = (scores / highest if highest > 0 else scores * 0).astype(np.float32)
    return found
