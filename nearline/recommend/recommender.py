"""The recommender: one list for one visitor, from what was learnt and what they did.

Belongs here: the order of things. Candidates of every source are scored for the whole
catalogue (a few matrix products; no index is needed for tens of thousands of items) and
added up; rules, diversity and exploration make a list of them. Not here: the scores of a
source (`sources`), the words (`reasons`), the models.

A request is answered whatever is in it: `Outcome` says what became of it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nearline.recommend.diversity import diversify
from nearline.recommend.exploration import Shown, explore
from nearline.recommend.ranking import tie_order
from nearline.recommend.reasons import Reasoning
from nearline.recommend.requests import (
    Answer,
    Outcome,
    Policy,
    Recommended,
    Request,
)
from nearline.recommend.rules import apply_rules, cap_per_group, eligible_items
from nearline.recommend.sources import Interest, Shelves, Source, make_shelves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nearline.recommend.fresh import Fresh
    from nearline.recommend.interactions import Codes
    from nearline.recommend.learning import Learnt

CANDIDATES_PER_PLACE = 10
LEAST_CANDIDATES = 60
CANDIDATES_OF_A_SOURCE = 10
"""Every source brings its best so many among the candidates, however it is weighed."""

MOST_HISTORY = 100
"""The latest touches that are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Recommender:
    """Frozen: a newer model is another recommender. Safe to ask from several threads."""

    shelves: Shelves
    policy: Policy
    versions: "dict[str, str | None]"
    order: "Codes"

    def recommend(self, request: Request, rng: np.random.Generator) -> Answer:
        """A list with sources, reasons and odds; never more than `request.count` items."""
        count = max(request.count, 0)
        interest, unknown = self._interest(request)
        if not len(self.shelves):
            return Answer((), "empty_catalogue", None, unknown, versions=self.versions)
        sources = self.shelves.sources(interest, request.channel)
        totals = self._totals(sources)
        is_eligible, outcome, relaxed = self._eligible(request, interest)
        scores = apply_rules(totals, is_eligible)
        candidates = self._candidates(scores, sources, count)
        ranked, capped = self._ranked(candidates, scores, count)
        shown = explore(
            ranked,
            min(count, len(ranked)),
            self.policy.exploration_share,
            rng,
        )
        if not len(ranked) and outcome != "seen_again":
            outcome = "nothing_eligible"
        ids = self.shelves.catalogue.items.ids
        candidate_ids = [str(one) for one in ids.take(ranked).to_pylist()]
        focus = interest.focus
        return Answer(
            items=self._named(shown, totals, sources, interest, request.channel),
            outcome=outcome,
            focus_item_id=None if focus is None else str(ids[focus]),
            unknown_item_count=unknown,
            relaxed=(*relaxed, *capped),
            candidates=dict(
                zip(candidate_ids, shown.candidate_odds.tolist(), strict=True)
            ),
            scores=dict(zip(candidate_ids, totals[ranked].tolist(), strict=True)),
            versions=self.versions,
        )

    def _interest(self, request: Request) -> tuple[Interest, int]:
        """What the request says in codes, and how many of its items are unknown."""
        touches = request.history[-MOST_HISTORY:]
        of_touches = self.shelves.codes([touch.item_id for touch in touches])
        page_item = self.shelves.code_of.get(request.item or "", -1)
        unknown = int((of_touches < 0).sum()) + (
            request.item is not None and page_item < 0
        )
        is_bought = np.array([t.kind == "purchase" for t in touches], dtype=bool)
        known = of_touches[of_touches >= 0]
        bought = of_touches[(of_touches >= 0) & is_bought]
        # The view of the page itself may have arrived already, or not.
        if page_item >= 0 and known[-1:].tolist() != [page_item]:
            known = np.append(known, np.int32(page_item))
        focus, views = self._focus(known, page_item)
        return Interest(
            history=known,
            seen=np.unique(known),
            bought=np.unique(bought),
            focus=focus,
            focus_views=views,
        ), int(unknown)

    def _focus(self, known: "Codes", page_item: int) -> tuple[int | None, int]:
        """The item of the page, or the one that was come back to; and its views."""
        recent = known[-self.policy.focus_touches :]
        if page_item >= 0:
            return page_item, int((recent == page_item).sum())
        if not len(recent):
            return None, 0
        # Of those viewed equally often the one viewed last.
        items, first_from_end, counts = np.unique(
            recent[::-1], return_index=True, return_counts=True
        )
        best = np.lexsort((first_from_end, -counts))[0]
        if counts[best] < self.policy.focus_views:
            return None, 0
        return int(items[best]), int(counts[best])

    def _totals(self, sources: "Sequence[Source]") -> "NDArray[np.float32]":
        """The sum; of an item that nobody took at least what items like it have."""
        total = np.zeros(len(self.shelves), dtype=np.float32)
        for source in sources:
            if source.kind != "new":
                total += source.weighed
        likeness = self.shelves.likeness
        borrowed = likeness.scores_of_new(total[None, :])[0]
        total[likeness.new] = np.maximum(total[likeness.new], borrowed)
        for source in sources:
            if source.kind == "new":
                total += source.weighed
        return total

    def _eligible(
        self, request: Request, interest: Interest
    ) -> "tuple[NDArray[np.bool_], Outcome, tuple[str, ...]]":
        count = len(self.shelves)
        catalogue = self.shelves.catalogue
        in_stock = np.ones(count, dtype=bool)
        unavailable = self.shelves.codes(request.unavailable)
        in_stock[unavailable[unavailable >= 0]] = False
        if interest.focus is not None:
            in_stock[interest.focus] = False
        relaxed: tuple[str, ...] = ()
        if request.category is not None:
            [code] = catalogue.categories.codes(pa.array([request.category]))
            of_category = catalogue.attributes.categories == code
            if code >= 0 and (of_category & in_stock).any():
                in_stock &= of_category
            else:
                relaxed = ("category",)
        bought = interest.bought if self.policy.hide_bought else None
        outcome: Outcome = "personal" if len(interest.history) else "cold_start"
        if self.policy.hide_seen:
            unseen = eligible_items(
                count, seen=interest.seen, bought=bought, in_stock=in_stock
            )
            if unseen.any():
                return unseen, outcome, relaxed
        with_seen = eligible_items(count, bought=bought, in_stock=in_stock)
        if self.policy.hide_seen and with_seen.any():
            return with_seen, "seen_again", (*relaxed, "seen")
        return with_seen, outcome, relaxed

    def _candidates(
        self,
        scores: "NDArray[np.float32]",
        sources: "Sequence[Source]",
        count: int,
    ) -> "Codes":
        """The best of all and of each source, best first; only what may be shown."""
        size = max(CANDIDATES_PER_PLACE * count, LEAST_CANDIDATES)
        chosen = [_best(scores, size, self.order)]
        may_be_shown = np.isfinite(scores)
        chosen += [one.best(CANDIDATES_OF_A_SOURCE, may_be_shown) for one in sources]
        found = np.unique(np.concatenate(chosen))
        return found[np.lexsort((self.order[found], -scores[found]))].astype(np.int32)

    def _ranked(
        self, candidates: "Codes", scores: "NDArray[np.float32]", count: int
    ) -> "tuple[Codes, tuple[str, ...]]":
        """Candidates in the order in which they are shown; and the cap, if it gave way."""
        kept = candidates
        relaxed: tuple[str, ...] = ()
        if self.policy.most_per_brand is not None:
            brands = self.shelves.catalogue.attributes.brands
            kept = cap_per_group(candidates, brands, self.policy.most_per_brand)
            missing = min(count, len(candidates)) - len(kept)
            if missing > 0:
                relaxed = ("brand",)
                others = candidates[~np.isin(candidates, kept)]
                kept = np.append(kept, others[:missing])
        features = self.shelves.features[kept]
        similarity = (features @ features.T).toarray()
        first = kept[
            diversify(scores[kept], similarity, count, self.policy.relevance_share)
        ]
        rest = kept[~np.isin(kept, first)]
        return np.concatenate([first, rest]).astype(np.int32), relaxed

    def _named(
        self,
        shown: Shown,
        totals: "NDArray[np.float32]",
        sources: "Sequence[Source]",
        interest: Interest,
        channel: str | None,
    ) -> tuple[Recommended, ...]:
        reasoning = Reasoning(self.shelves, sources, interest, channel)
        ids = self.shelves.catalogue.items.ids
        named = []
        for place, item in enumerate(shown.items.tolist()):
            is_explored = bool(shown.is_explored[place])
            kinds, reason = reasoning.explain(item, is_explored)
            named.append(
                Recommended(
                    item_id=str(ids[item]),
                    score=round(float(totals[item]), 6),
                    sources=kinds,
                    reason=reason,
                    probability=float(shown.odds[place]),
                    place_probability=float(shown.place_odds[place]),
                    is_explored=is_explored,
                )
            )
        return tuple(named)


def make_recommender(
    learnt: "Learnt",
    fresh: "Fresh | None" = None,
    policy: Policy | None = None,
    *,
    model_version: str | None = None,
    seed: int = 0,
    before: Shelves | None = None,
) -> Recommender:
    """Puts a recommender together.

    Args:
        fresh: what happened since the training; None where nobody follows the log.
        seed: equal scores stand in another order.
        before: shelves of a recommender of the same `learnt`, to save their making.
    """
    policy = policy or Policy()
    shelves = make_shelves(learnt, fresh, policy, before)
    return Recommender(
        shelves=shelves,
        policy=policy,
        versions={
            "recommender": model_version,
            "fresh": None if fresh is None else fresh.as_of_text,
        },
        order=np.argsort(tie_order(len(shelves), seed)).astype(np.int32),
    )


def _best(scores: "NDArray[np.floating]", count: int, order: "Codes") -> "Codes":
    """Codes of the `count` highest finite scores; of equal ones those first in `order`."""
    count = min(count, len(scores))
    if count == 0:
        return np.empty(0, dtype=np.int32)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > least)
    level = np.flatnonzero((scores == least) & np.isfinite(scores))
    level = level[np.argsort(order[level], kind="stable")][: count - len(above)]
    return np.concatenate([above, level]).astype(np.int32)
