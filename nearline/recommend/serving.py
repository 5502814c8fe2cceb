"""The recommender that serves now: the champion, with what happened since laid over it.

Belongs here: noticing that either was replaced, and swapping. A request that has begun goes
on with the recommender that it began with. Not here: training, or following the log.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.file_stamps import FileStamp, file_stamp
from nearline.models import Champion, NoChampion, load_champion, state_file
from nearline.recommend.artifacts import read_learnt
from nearline.recommend.fresh import BrokenFreshError, Fresh, read_fresh
from nearline.recommend.recommender import Recommender, make_recommender
from nearline.recommend.requests import Policy
from nearline.recommend.training import MODEL_NAME

if TYPE_CHECKING:
    from nearline.recommend.learning import Learnt
    from nearline.settings import Settings

_LOGGER = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0

FRESH_FILE = "fresh.npz"


def fresh_path(settings: "Settings") -> Path:
    """Where what happened since the training is kept."""
    return settings.home / "recommend" / FRESH_FILE


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    champion: "Champion[Learnt]"
    recommender: Recommender


class ServingRecommender:
    """Hands out the newest recommender that can be read; never fails once it has one.

    Looking for a newer one costs two `stat`s a second; loading it is done by whoever asks
    then, unless `refresh` is called by a thread of its own.
    """

    def __init__(
        self,
        settings: "Settings",
        policy: Policy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._policy = policy or Policy()
        self._clock = clock
        self._looked_at = float("-inf")
        self._stamps: tuple[FileStamp | None, ...] = ()
        self._loaded: _Loaded | None = None
        self._reason = f"no version of {MODEL_NAME} was promoted yet"

    def current(self) -> Recommender | None:
        """The recommender of now; None where nothing was ever trained (see `reason`)."""
        if self._clock() - self._looked_at >= LOOK_EVERY_SECONDS:
            self.refresh()
        return None if self._loaded is None else self._loaded.recommender

    @property
    def reason(self) -> str:
        """Why there is none."""
        return self._reason

    def refresh(self) -> None:
        """Loads what was replaced since the last look."""
        self._looked_at = self._clock()
        stamps = (
            file_stamp(state_file(self._settings.models, MODEL_NAME)),
            file_stamp(fresh_path(self._settings)),
        )
        if stamps == self._stamps:
            return
        champion = self._champion(stamps)
        if champion is not None:
            fresh = self._fresh(champion)
            is_same = self._loaded is not None and self._loaded.champion is champion
            before = self._loaded if is_same else None
            self._loaded = _Loaded(
                champion,
                make_recommender(
                    champion.model,
                    fresh,
                    self._policy,
                    model_version=f"{MODEL_NAME} v{champion.card.version}",
                    seed=champion.card.version,
                    before=before.recommender.shelves if before else None,
                ),
            )
        self._stamps = stamps

    def _champion(
        self, stamps: "tuple[FileStamp | None, ...]"
    ) -> "Champion[Learnt] | None":
        if self._loaded is not None and stamps[0] == self._stamps[0]:
            return self._loaded.champion
        found = load_champion(self._settings.models, MODEL_NAME, read_learnt)
        if isinstance(found, NoChampion):
            self._reason = found.reason
            return None if self._loaded is None else self._loaded.champion
        return found

    def _fresh(self, champion: "Champion[Learnt]") -> Fresh | None:
        """What came since this very version was trained; another version's is not."""
        try:
            fresh = read_fresh(fresh_path(self._settings))
        except FileNotFoundError:
            return None
        except BrokenFreshError as problem:
            _LOGGER.warning("serving without what came since the training: %s", problem)
            return None
        is_its = fresh.model_version == str(champion.card.version)
        return fresh if is_its else None
