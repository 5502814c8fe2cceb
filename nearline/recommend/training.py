"""Training: the published tables in, a version in the registry out, judged before it serves.

Belongs here: the order of things and what the card says. Not here: what is learnt
(`learning`), the tables (`warehouse`), when it runs (Dagster).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from nearline.models import ModelFacts, decide, judge, register
from nearline.recommend.artifacts import write_learnt
from nearline.recommend.intervals import Estimate, mean_estimates
from nearline.recommend.learning import Behaviour, Learnt, Quality, learn
from nearline.recommend.warehouse import (
    ReleaseRead,
    published_release,
    read_behaviour,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.settings import Settings

MODEL_NAME = "recommender"

_NDCG = "ndcg_at_20"


@dataclass(frozen=True, slots=True)
class Training:
    """One training and what was decided. `is_serving` is whether it is the champion now.

    `weights` are of the blend's members; `ndcg` and `popularity_ndcg` are of the people
    that the weights were chosen on, with items that came after what members learnt from.
    """

    version: int
    is_serving: bool
    reason: str
    release_id: str
    item_count: int
    person_count: int
    interaction_count: int
    weights: dict[str, float]
    ndcg: Estimate | None
    popularity_ndcg: Estimate | None


def train(
    settings: "Settings",
    *,
    seed: int,
    now: datetime,
    code_version: str,
    advance: Callable[[float], None] = lambda share: None,
) -> Training:
    """Trains on what is published now, and lets the new version serve unless it is bad.

    It is refused where its lists are worse than popularity's beyond noise; what serves
    then goes on. The version appears whole, or not at all.

    Args:
        advance: told how much more of the whole is done, 1 in all.

    Raises:
        NearlineError: nothing is published yet.
    """
    release = published_release(settings)
    behaviour = read_behaviour(settings, release.folder)
    advance(0.3)
    learnt, quality = learn(behaviour, seed)
    advance(0.6)
    facts = _facts(release, behaviour, learnt, quality, seed, code_version)
    card = register(
        settings.models,
        MODEL_NAME,
        facts,
        lambda folder: write_learnt(learnt, folder),
        now,
    )
    is_serving, reason = _judged(quality, seed)
    decide(settings.models, MODEL_NAME, card.version, is_serving, reason, now)
    advance(0.1)
    return Training(
        version=card.version,
        is_serving=is_serving,
        reason=reason,
        release_id=release.release_id,
        item_count=facts.row_counts["items"],
        person_count=facts.row_counts["persons"],
        interaction_count=facts.row_counts["interactions"],
        weights=dict(learnt.blend.weights),
        ndcg=facts.metrics.get(_NDCG),
        popularity_ndcg=facts.beside.get("popularity", {}).get(_NDCG),
    )


def _judged(quality: Quality, seed: int) -> tuple[bool, str]:
    """Whether it may serve, and why. With nobody to judge by it may: all that it then
    has is what trends and what is alike."""
    if not len(quality.blend):
        return True, "too few people to measure it by"
    # The champion is not asked: it learnt from the very rows that this one is measured on.
    judgement = judge(-quality.blend, None, -quality.popularity, quality.persons, seed)
    return judgement.is_passed, judgement.reason


def _facts(
    release: ReleaseRead,
    behaviour: Behaviour,
    learnt: Learnt,
    quality: Quality,
    seed: int,
    code_version: str,
) -> ModelFacts:
    times = behaviour.by_person.times
    return ModelFacts(
        release_id=release.release_id,
        code_version=code_version,
        data_from=_text(times.min()) if len(times) else None,
        data_up_to=_text(times.max()) if len(times) else None,
        seed=seed,
        row_counts={
            "interactions": len(times),
            "persons": int(np.count_nonzero(_counts(behaviour))),
            "items": len(behaviour.catalogue),
            "measured_persons": len(quality.blend),
        },
        metrics=_measured(quality.blend, seed),
        beside={"popularity": _measured(quality.popularity, seed)},
        suppression=release.suppression,
        details={
            "weights": dict(learnt.blend.weights),
            "channels": list(learnt.trending_by_channel),
            "log": release.log,
            "log_positions": dict(release.log_positions),
        },
    )


def _measured(qualities: "NDArray[np.float64]", seed: int) -> dict[str, Estimate]:
    if not len(qualities):
        return {}
    [estimate] = mean_estimates(qualities[:, None], seed)
    return {_NDCG: estimate}


def _counts(behaviour: Behaviour) -> "NDArray[np.int64]":
    by_person = behaviour.by_person
    return np.bincount(by_person.owners, minlength=by_person.owner_count)


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
