"""Whoever scores has the champion at hand, and a good one whatever happens to files."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from nearline.models import ModelFacts, promote, register, rollback
from nearline.models.registry import version_folder
from nearline.propensity.inputs import Input
from nearline.propensity.predictor import Network, Predictor, write_predictor
from nearline.propensity.scoring import PropensityScorer, Score
from nearline.propensity.targets import TARGETS
from nearline.settings import Settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TARGET = TARGETS["session"]
FACTS = ModelFacts("r1", "0.1.0", None, None, 7, {}, {})


class Clock:
    """Moves on by a minute whenever it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 60
        return self.now


def put_in_service(settings: Settings, shift: float) -> int:
    """A model that says the same of everybody."""
    scorer = Network(
        is_logged=np.array([False]),
        means=np.zeros(1),
        scales=np.ones(1),
        missing=np.zeros(0, np.int32),
        weights=(np.zeros((1, 1)),),
        biases=(np.zeros(1),),
    )
    predictor = Predictor((Input("a", "a", "number"),), scorer, 1.0, shift)
    card = register(
        settings.models,
        TARGET.model,
        FACTS,
        lambda folder: write_predictor(predictor, folder),
        NOW,
    )
    promote(settings.models, TARGET.model, card.version, "test", NOW)
    return card.version


def scorer_of(settings: Settings) -> PropensityScorer:
    return PropensityScorer(settings, TARGET, monotonic=Clock())


def test_without_a_champion_there_is_no_score_but_a_reason(tmp_path: Path) -> None:
    assert scorer_of(Settings(home=tmp_path)).score({}, NOW) == Score(
        None, None, (), "no version of propensity_session was promoted yet"
    )


def test_a_new_champion_is_taken_up_and_so_is_a_rollback(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    put_in_service(settings, 0.0)
    scorer = scorer_of(settings)
    assert scorer.score({"a": 1}, NOW) == Score(0.5, 1)
    put_in_service(settings, 50.0)
    assert scorer.score({"a": 1}, NOW) == Score(1.0, 2)
    rollback(settings.models, TARGET.model, "odd", NOW)
    assert scorer.score({"a": 1}, NOW).version == 1


def test_the_first_champion_is_taken_up_by_who_waited_for_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    scorer = scorer_of(settings)
    assert scorer.score({}, NOW).probability is None
    put_in_service(settings, 0.0)
    assert scorer.score({}, NOW).probability == 0.5


def test_a_damaged_champion_is_answered_for_by_the_one_before(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    put_in_service(settings, 0.0)
    put_in_service(settings, 50.0)
    folder = version_folder(settings.models, TARGET.model, 2)
    (folder / "predictor.npz").write_bytes(b"")
    found = scorer_of(settings).score({}, NOW)
    assert (found.probability, found.version) == (0.5, 1)
    assert found.problems == (
        "propensity_session v2: predictor.npz is not what was written",
    )
