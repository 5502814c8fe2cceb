"""Lists of items as decisions need them: the model that serves now, or sales without one.

Belongs here: holding both in memory and renewing them in a thread of its own, so that no
request waits for a file. Not here: how a list is made (`nearline.recommend`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nearline.publication.tables import scan
from nearline.recommend.requests import Policy as ListRules
from nearline.recommend.requests import Request

if TYPE_CHECKING:
    from nearline.recommend.recommender import Recommender
    from nearline.recommend.requests import Answer
    from nearline.settings import Settings

_LOGGER = logging.getLogger(__name__)

MOST_POPULAR = 100


@dataclass(frozen=True, slots=True, eq=False)
class HeldLists:
    """What lists are made of at one moment; a request keeps the one it began with."""

    recommender: "Recommender | None" = None
    popular: Sequence[str] = ()

    @property
    def version(self) -> int | None:
        """Number of the recommender's version."""
        stated = self.recommender and self.recommender.versions.get("recommender")
        number = (stated or "").rpartition(" v")[2]
        return int(number) if number.isdigit() else None

    @property
    def as_of(self) -> str | None:
        """Up to when the recommender has seen events; None: up to its training."""
        return self.recommender.versions.get("fresh") if self.recommender else None

    def recommend(
        self, request: Request, rules: ListRules, rng: np.random.Generator
    ) -> "Answer | None":
        if self.recommender is None:
            return None
        return replace(self.recommender, policy=rules).recommend(request, rng)

    def knows(self, item_id: str) -> bool:
        held = self.recommender
        return held is not None and item_id in held.shelves.code_of


class ListSource:
    """Keeps `current` up to date; call `refresh` from one thread."""

    def __init__(self, settings: "Settings") -> None:
        from nearline.recommend.serving import ServingRecommender

        self._settings = settings
        self._serving = ServingRecommender(settings)
        self._release: str | None = None
        self.current = HeldLists()

    def refresh(self) -> None:
        """Takes up what was trained or published since the last call."""
        try:
            self._serving.refresh()
            recommender = self._serving.current()
            if recommender is not None and recommender is not self.current.recommender:
                # The first list takes many times as long as the next.
                recommender.recommend(Request(), np.random.default_rng(0))
        except Exception as problem:
            # A version of other code, a disk that fails: what is held goes on serving.
            _LOGGER.warning("no newer recommender (%s)", type(problem).__name__)
            recommender = self.current.recommender
        popular = self._popular()
        if (
            recommender is not self.current.recommender
            or popular is not self.current.popular
        ):
            self.current = HeldLists(recommender, popular)

    def _popular(self) -> Sequence[str]:
        """Items of the published tables, those bought most first."""
        import duckdb

        try:
            release = self._settings.published.resolve(strict=True)
        except OSError:
            return self.current.popular
        if release.name == self._release:
            return self.current.popular
        try:
            with duckdb.connect() as connection:
                rows = connection.execute(
                    f"select item_id from {scan(release, 'dim_items')} "
                    "order by popularity_rank, item_id limit ?",
                    [MOST_POPULAR],
                ).fetchall()
        except duckdb.Error as problem:
            _LOGGER.warning("no popular items (%s)", type(problem).__name__)
            return self.current.popular
        self._release = release.name
        return tuple(item for (item,) in rows)
