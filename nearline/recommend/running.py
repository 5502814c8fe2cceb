"""Running counts: what was learnt, kept up with every touch that arrives.

Belongs here: adding touches up and making a `Fresh` of them. Not here: the log
(`following`), or how touches are read (`arriving`). Nothing of it is kept on disk: after a
crash the log is read again from where the training's data end, and gives the same.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nearline.recommend.catalogue import SCHEMA
from nearline.recommend.companions import PairCounts, strongest_of_both
from nearline.recommend.fresh import Fresh
from nearline.recommend.histories import Histories, sparse
from nearline.recommend.learning import PAIRS_KEPT
from nearline.recommend.models.als import AlternatingLeastSquares

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.arriving import ArrivedTouch
    from nearline.recommend.interactions import Codes
    from nearline.recommend.learning import Learnt
    from nearline.recommend.models.protocol import Scores

VISIT_GAP_SECONDS = 1_800.0
"""As sessions are cut (var session_gap_minutes); the next training counts by sessions
themselves, so a project that changes the var loses nothing but a day's precision."""

ITEMS_OF_A_VISIT = 50
"""A visit's pairs grow with the square of its items; crawlers have thousands."""

TAKERS_OF_A_NEW_ITEM = 200
"""Visitors by whose tastes a new item's factors are solved for."""

_EVENT_IDS_KEPT = 500_000
# A time that lies years after the training would overflow; by then all before is nothing.
_MOST_HALVINGS = 400.0


@dataclass(slots=True)
class _Visit:
    """Items of a visit in the order of their first view, with each one's weight."""

    last_at: float
    weights: dict[int, float] = field(default_factory=dict)


class Running:
    """Counts since one training.

    Args:
        model_version: of the training, which readers hold against theirs.
    """

    def __init__(self, learnt: "Learnt", model_version: str) -> None:
        self._learnt = learnt
        self._model_version = model_version
        ids = learnt.catalogue.items.ids.to_pylist()
        self._codes = {str(item): code for code, item in enumerate(ids)}
        self._new_items: dict[int, dict[str, object]] = {}
        self._pairs: defaultdict[tuple[int, int], float] = defaultdict(float)
        self._own: defaultdict[int, float] = defaultdict(float)
        self._trending: defaultdict[int, float] = defaultdict(float)
        self._counts: defaultdict[int, float] = defaultdict(float)
        self._visits: dict[str, _Visit] = {}
        self._takers: dict[int, dict[str, list[int]]] = {}
        self._event_ids: OrderedDict[str, None] = OrderedDict()
        self._as_of = learnt.reference

    @property
    def as_of(self) -> float:
        """The latest moment that is counted, in seconds."""
        return self._as_of

    def open_visits(self, rows: Iterable[tuple[str, str, float]]) -> None:
        """Takes up visits that the training has counted and that may go on.

        Args:
            rows: visitor, item and seconds, by time.
        """
        for visitor, item, at in rows:
            if (code := self._codes.get(item)) is not None:
                self._visit(visitor, at).weights.setdefault(code, self._weight(at))

    def add(self, touches: "Iterable[ArrivedTouch]") -> int:
        """Counts what arrived; an event that came before is not counted again. Returns
        how many were new."""
        added = 0
        for touch in touches:
            if touch.event_id not in self._event_ids:
                self._event_ids[touch.event_id] = None
                self._add(touch)
                added += 1
        while len(self._event_ids) > _EVENT_IDS_KEPT:
            self._event_ids.popitem(last=False)
        over = self._as_of - VISIT_GAP_SECONDS
        for visitor in [v for v, visit in self._visits.items() if visit.last_at < over]:
            del self._visits[visitor]
        return added

    def _add(self, touch: "ArrivedTouch") -> None:
        code = self._code(touch)
        self._as_of = max(self._as_of, touch.at)
        self._counts[code] += 1
        self._trending[code] += self._faded(touch.at, self._learnt.trending_half_life)
        visit = self._visit(touch.visitor_id, touch.at)
        if code in visit.weights:
            return
        weight = self._weight(touch.at)
        self._own[code] += weight * weight
        for other, its_weight in visit.weights.items():
            self._pairs[code, other] += weight * its_weight
            self._pairs[other, code] += weight * its_weight
        if len(visit.weights) < ITEMS_OF_A_VISIT:
            visit.weights[code] = weight
        if code in self._new_items:
            takers = self._takers.setdefault(code, {})
            takers[touch.visitor_id] = []
            if len(takers) > TAKERS_OF_A_NEW_ITEM:
                del takers[next(iter(takers))]
        for new in [
            c for c in visit.weights if touch.visitor_id in self._takers.get(c, {})
        ]:
            self._takers[new][touch.visitor_id] = [
                c for c in visit.weights if c not in self._new_items
            ]

    def _code(self, touch: "ArrivedTouch") -> int:
        code = self._codes.setdefault(touch.item_id, len(self._codes))
        if code >= len(self._learnt.catalogue):
            known = self._new_items.setdefault(
                code, {"item_id": touch.item_id, "first_seen": touch.at}
            )
            for name in ("category", "brand", "price_cents", "title"):
                value = getattr(touch, name)
                if value is not None:
                    known[name] = value
        return code

    def _visit(self, visitor: str, at: float) -> _Visit:
        visit = self._visits.get(visitor)
        if visit is None or at - visit.last_at > VISIT_GAP_SECONDS:
            visit = self._visits[visitor] = _Visit(at)
        visit.last_at = max(visit.last_at, at)
        return visit

    def _weight(self, at: float) -> float:
        """The root of what a touch counts: a pair counts the product of two."""
        return self._faded(at, 2 * self._learnt.together.half_life)

    def _faded(self, at: float, half_life: float) -> float:
        halvings = (at - self._learnt.reference) / half_life
        return float(np.exp2(min(halvings, _MOST_HALVINGS)))

    def snapshot(self) -> Fresh:
        """What readers lay over the training."""
        learnt = self._learnt
        count = len(self._codes)
        counted = self._counted(count)
        touched = np.array(sorted(self._own), dtype=np.int32)
        new_items = pa.Table.from_pylist(
            [self._new_items[code] for code in sorted(self._new_items)], SCHEMA
        )
        faded = self._faded(self._as_of, learnt.trending_half_life)
        return Fresh(
            model_version=self._model_version,
            as_of=self._as_of,
            items=touched,
            lists=self._lists(counted, touched, new_items),
            trending=_laid_out(self._trending, count) / faded,
            counts=_laid_out(self._counts, count).astype(np.int64),
            new_items=new_items,
            new_item_factors=self._new_item_factors(count),
        )

    def _counted(self, count: int) -> PairCounts:
        """The training's counts and those since, all as of the training's reference."""
        trained = self._learnt.together
        base = trained.pairs.tocoo()
        places = np.array(list(self._pairs), dtype=np.int64).reshape(-1, 2)
        pairs = sparse(
            np.concatenate([base.row, places[:, 0]]),
            np.concatenate([base.col, places[:, 1]]),
            np.concatenate([base.data, np.array(list(self._pairs.values()))]),
            (count, count),
        )
        own = _laid_out(self._own, count)
        own[: len(trained.own)] += trained.own
        return PairCounts(pairs, own, trained.reference, trained.half_life)

    def _lists(
        self, counted: PairCounts, touched: "Codes", new_items: pa.Table
    ) -> "csr_array":
        """Of each item touched its best pairs, of either kind."""
        catalogue = self._learnt.catalogue.extended(new_items)
        categories = catalogue.attributes.categories
        scores = counted.scores(self._as_of, touched)
        return strongest_of_both(scores, categories, PAIRS_KEPT, categories[touched])

    def _new_item_factors(self, count: int) -> "Scores":
        """Solved for with the takers' tastes, which follow from what else they viewed."""
        trained_count = len(self._learnt.catalogue)
        als = self._learnt.blend.members.get("als")
        new_count = count - trained_count
        if not isinstance(als, AlternatingLeastSquares):
            return np.zeros((new_count, 0), dtype=np.float32)
        histories: list[list[int]] = []
        rows: list[int] = []
        for code, takers in self._takers.items():
            for items in takers.values():
                if items:
                    rows.append(code - trained_count)
                    histories.append(items)
        if not histories:
            return np.zeros((new_count, als.item_factors.shape[1]), dtype=np.float32)
        ends = np.cumsum([len(items) for items in histories])
        owners = als.owner_factors(
            Histories(
                items=np.array([i for items in histories for i in items], np.int32),
                starts=np.append(0, ends[:-1]),
                ends=ends,
            )
        )
        taken_by = sparse(
            np.array(rows),
            np.arange(len(rows)),
            np.ones(len(rows), dtype=np.float32),
            (new_count, len(rows)),
        )
        return als.with_items(taken_by, owners).item_factors[trained_count:]


def _laid_out(counted: Mapping[int, float], count: int) -> "NDArray[np.float64]":
    values = np.zeros(count)
    values[list(counted)] = list(counted.values())
    return values
