"""Training: the published tables in, a version in the registry out, judged before it serves.

Belongs here: the order of things and what the card says. Not here: what is learnt
(`learning`), the tables (`warehouse`), when it runs (Dagster).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from nearline.estimates import Estimate
from nearline.models import ModelFacts, decide, load_champion, register
from nearline.recommend.artifacts import read_learnt, write_learnt
from nearline.recommend.judging import (
    NDCG,
    POPULARITY,
    Verdict,
    as_text,
    judge_version,
    prepare_trial,
)
from nearline.recommend.learning import Behaviour, Learnt, learn
from nearline.recommend.warehouse import (
    ReleaseRead,
    published_release,
    read_behaviour,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.settings import Settings

MODEL_NAME = "recommender"


@dataclass(frozen=True, slots=True)
class Training:
    """One training and what was decided. `is_serving` is whether it is the champion now.

    `weights` are of the blend's members. `ndcg`, `popularity_ndcg` and `champion_ndcg` are
    by what people took after all that was learnt for measuring; None where too few did.
    `champion` is the version that it was held against, None where that could not be.
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
    champion: int | None
    champion_ndcg: Estimate | None


def train(
    settings: "Settings",
    *,
    seed: int,
    now: datetime,
    code_version: str,
    advance: Callable[[float], None] = lambda share: None,
) -> Training:
    """Trains on what is published now, and lets the new version serve unless it is bad.

    It is refused where its lists are worse than those of what serves now, or than what is
    popular, beyond noise, or where inputs drifted (`judging`); what serves then goes on.
    The version appears whole, or not at all.

    Args:
        advance: told how much more of the whole is done, 1 in all.

    Raises:
        NearlineError: nothing is published yet.
    """
    release = published_release(settings)
    behaviour = read_behaviour(settings, release.folder)
    advance(0.3)
    serving = load_champion(settings.models, MODEL_NAME, read_learnt)
    trial = prepare_trial(behaviour.by_person, serving, seed)
    learnt, stand_in = learn(behaviour, seed, trial.held_out)
    advance(0.5)
    verdict = judge_version(trial, stand_in, behaviour, seed)
    advance(0.1)
    facts = _facts(release, behaviour, learnt, verdict, seed, code_version)
    card = register(
        settings.models,
        MODEL_NAME,
        facts,
        lambda folder: write_learnt(learnt, folder),
        now,
    )
    decide(
        settings.models,
        MODEL_NAME,
        card.version,
        verdict.is_passed,
        verdict.reason,
        now,
    )
    advance(0.1)
    champion = trial.champion.card.version if trial.champion else None
    return Training(
        version=card.version,
        is_serving=verdict.is_passed,
        reason=verdict.reason,
        release_id=release.release_id,
        item_count=facts.row_counts["items"],
        person_count=facts.row_counts["persons"],
        interaction_count=facts.row_counts["interactions"],
        weights=dict(learnt.blend.weights),
        ndcg=verdict.metrics.get(NDCG),
        popularity_ndcg=verdict.beside.get(POPULARITY, {}).get(NDCG),
        champion=champion,
        champion_ndcg=facts.champions_metrics().get(NDCG),
    )


def _facts(
    release: ReleaseRead,
    behaviour: Behaviour,
    learnt: Learnt,
    verdict: Verdict,
    seed: int,
    code_version: str,
) -> ModelFacts:
    times = behaviour.by_person.times
    return ModelFacts(
        release_id=release.release_id,
        code_version=code_version,
        data_from=as_text(times.min()) if len(times) else None,
        data_up_to=as_text(times.max()) if len(times) else None,
        seed=seed,
        row_counts={
            "interactions": len(times),
            "persons": int(np.count_nonzero(_counts(behaviour))),
            "items": len(behaviour.catalogue),
            "held_out_persons": verdict.details["held_out_people"],
        },
        metrics=verdict.metrics,
        beside=verdict.beside,
        suppression=release.suppression,
        details={
            "weights": dict(learnt.blend.weights),
            "channels": list(learnt.trending_by_channel),
            "log": release.log,
            "log_positions": dict(release.log_positions),
            "judgement": verdict.details,
        },
    )


def _counts(behaviour: Behaviour) -> "NDArray[np.int64]":
    by_person = behaviour.by_person
    return np.bincount(by_person.owners, minlength=by_person.owner_count)
