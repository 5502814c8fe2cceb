"""Scores visitors live: the champion, held in memory, on features as the store serves them.

Belongs here: which version answers, and when another takes its place. Features come from
whoever serves a page (`FeatureReader.read`), so that one read serves all that need them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nearline.file_stamps import FileStamp, file_stamp
from nearline.models.loading import Champion, NoChampion, load_champion
from nearline.models.registry import state_file
from nearline.propensity.predictor import Predictor, read_predictor
from nearline.propensity.targets import Target
from nearline.settings import Settings

_SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(frozen=True, slots=True)
class Score:
    """A probability, 0 to 1, and the version that gave it; None and why there is none.

    `problems` says why a version before the champion answers.
    """

    probability: float | None
    version: int | None
    problems: tuple[str, ...] = ()
    reason: str | None = None


class PropensityScorer:
    """Holds the champion of one target; a promotion is taken up within seconds.

    Asking costs no file: one look a few seconds at the state's time stamp. Where a new
    champion cannot be read, the version held goes on answering.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = settings.models
        self._name = target.model
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._stamp = self._read_stamp()
        self._champion = self._load()

    def score(self, values: Mapping[str, Any], at: datetime) -> Score:
        """The score of one visitor.

        Args:
            values: features by name, as `FeatureReader` has them; what is missing or None
                is not known.
            at: when it is asked, with a zone.
        """
        self._look()
        held = self._champion
        if isinstance(held, NoChampion):
            return Score(None, None, held.problems, held.reason)
        probability = held.model.score(values, at)
        return Score(probability, held.card.version, held.problems)

    def _look(self) -> None:
        now = self._monotonic()
        if now - self._looked_at < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked_at = now
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            found = self._load()
            if isinstance(found, Champion) or isinstance(self._champion, NoChampion):
                self._champion = found

    def _read_stamp(self) -> FileStamp | None:
        return file_stamp(state_file(self._models, self._name))

    def _load(self) -> Champion[Predictor] | NoChampion:
        return load_champion(self._models, self._name, read_predictor)
