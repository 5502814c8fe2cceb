"""Trains a target on the published release, judges what came out, and puts it in service.

Belongs here: what is read, what the gate is asked, what the card says. Not here: fitting
(`training`), the registry (`models`).
"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nearline.errors import NearlineError
from nearline.feature_views import DescribedView, find_feature_views
from nearline.models.cards import ModelCard, ModelFacts, champion_name
from nearline.models.gate import Judgement, judge
from nearline.models.loading import Champion, NoChampion, load_champion
from nearline.models.registry import decide, register
from nearline.propensity.predictor import (
    Predictor,
    read_predictor,
    write_predictor,
)
from nearline.propensity.sizes import DAILY_ROWS
from nearline.propensity.targets import LABEL, SERVICE, Target, label_query
from nearline.propensity.training import NotTrained, Trained, train
from nearline.publication.releases import read_manifest
from nearline.settings import Settings

SEED = 7


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What came of one training: a version and its judgement, or why there is none."""

    target: str
    model: str
    card: ModelCard | None
    judgement: Judgement | None
    is_promoted: bool
    reason: str

    def as_json(self) -> dict[str, Any]:
        """For machines: measures of the version and what it stands beside."""
        facts = self.card.facts if self.card else None
        return {
            "target": self.target,
            "model": self.model,
            "version": self.card.version if self.card else None,
            "is_promoted": self.is_promoted,
            "reason": self.reason,
            "metrics": _plain(facts.metrics) if facts else {},
            "beside": {name: _plain(one) for name, one in facts.beside.items()}
            if facts
            else {},
            "row_counts": dict(facts.row_counts) if facts else {},
            "judgement": asdict(self.judgement) if self.judgement else None,
        }


def _plain(metrics: Any) -> dict[str, Any]:
    return {name: asdict(estimate) for name, estimate in metrics.items()}


def learn(
    settings: Settings,
    target: Target,
    *,
    now: datetime,
    max_rows: int = DAILY_ROWS,
    seed: int = SEED,
    is_held: bool = False,
) -> Learnt:
    """Trains `target` on the published release; registers, judges, and promotes.

    Data that no model can be made of are an outcome, not an error.

    Args:
        now: when it is trained, with a zone.
        max_rows: labelled moments at most.
        is_held: whether what passes stays a challenger until somebody promotes it.

    Raises:
        InputError: nothing is published, or the service is not registered.
    """
    from nearline.training.sets import build_training_set

    with tempfile.TemporaryDirectory(prefix="nearline-propensity-") as scratch:
        # Pseudonyms: gone with the folder, not out of erasure's reach.
        file = Path(scratch) / "rows.parquet"
        done = build_training_set(
            settings, label_query(target, max_rows), SERVICE, file, now=now
        )
        rows = _read(file)
    trained = train(
        rows,
        told_in_time(done.features, find_feature_views(settings.dbt_project)),
        target,
        seed,
    )
    if isinstance(trained, NotTrained):
        return Learnt(target.key, target.model, None, None, False, trained.reason)
    # Of the release that was read; another may be published by now.
    manifest = read_manifest(settings.releases / done.release_id)
    origin = Origin(
        done.release_id, done.code_version, manifest.suppression if manifest else ""
    )
    return put_forward(settings, target, trained, origin, seed, now, is_held=is_held)


def told_in_time(features: Sequence[str], views: Iterable[DescribedView]) -> list[str]:
    """Those of `features` that a request can go by: what runs alone tell may be a day old.
    Among it are the scores themselves: a model that learnt from them would follow its own
    past."""
    told_by_runs = {
        feature.name
        for view in views
        if not view.is_kept_live
        for feature in view.features
    }
    return [name for name in features if name not in told_by_runs]


def _read(file: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(file)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model was trained on and by, as its card states it."""

    release_id: str
    code_version: str
    suppression: str


def put_forward(
    settings: Settings,
    target: Target,
    trained: Trained,
    origin: Origin,
    seed: int,
    now: datetime,
    *,
    is_held: bool = False,
) -> Learnt:
    """Registers what was trained, judges it beside what serves, and promotes it or not.

    The card has the champion's measures on the same rows beside its own.
    """
    held_out = trained.held_out
    serving = load_champion(settings.models, target.model, read_predictor)
    card = register(
        settings.models,
        target.model,
        _facts(trained, origin, serving, seed),
        lambda folder: write_predictor(trained.predictor, folder),
        now,
    )
    judgement = judge(
        held_out.losses(trained.predictor),
        held_out.losses(serving.model) if isinstance(serving, Champion) else None,
        trained.floor_losses(),
        held_out.units,
        seed,
        trained.drifts,
    )
    is_passed, reason = judgement.is_passed, judgement.reason
    if not (is_passed and is_held):
        decide(settings.models, target.model, card.version, is_passed, reason, now)
    is_promoted = is_passed and not is_held
    return Learnt(target.key, target.model, card, judgement, is_promoted, reason)


def _facts(
    trained: Trained,
    origin: Origin,
    serving: Champion[Predictor] | NoChampion,
    seed: int,
) -> ModelFacts:
    beside = dict(trained.metrics)
    if isinstance(serving, Champion):
        name = champion_name(serving.card.version)
        beside[name] = trained.held_out.measures(serving.model, seed)
    return ModelFacts(
        release_id=origin.release_id,
        code_version=origin.code_version,
        data_from=_utc(trained.data_from),
        data_up_to=_utc(trained.data_up_to),
        seed=seed,
        row_counts=trained.row_counts,
        metrics=beside.pop(trained.chosen),
        beside=beside,
        feature_service=SERVICE,
        features=tuple(dict.fromkeys(one.feature for one in trained.predictor.inputs)),
        suppression=origin.suppression,
        details={"label": LABEL, **trained.details},
    )


def _utc(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=UTC).isoformat(timespec='seconds')}"


@dataclass(frozen=True, slots=True)
class Shadow:
    """Champion and challenger on the same rows, those of the newest moments.

    `mean_gap` is the mean absolute difference of scores, `far_share` the share of rows
    further apart than `FAR`.
    """

    champion: int
    challenger: int
    row_count: int
    mean_champion: float
    mean_challenger: float
    mean_gap: float
    far_share: float


FAR = 0.05


def compare_in_shadow(
    settings: Settings, target: Target, *, now: datetime, max_rows: int = 5_000
) -> Shadow | str:
    """Scores the latest known features of visitors by both versions; why not, otherwise.

    The scores are left in `models/<name>/shadow.parquet`, without ids: row for row what
    both said.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from nearline.models.loading import load_version
    from nearline.models.registry import read_state
    from nearline.propensity.inputs import encode_table
    from nearline.replacement import replace_file
    from nearline.training.labels import MOMENT
    from nearline.training.sets import build_training_set

    serving = load_champion(settings.models, target.model, read_predictor)
    if not isinstance(serving, Champion):
        return serving.reason
    challenger = read_state(settings.models, target.model).challenger
    if challenger is None:
        return "there is no challenger"
    try:
        beside = load_version(settings.models, target.model, challenger, read_predictor)
    except NearlineError as problem:
        return str(problem)
    with tempfile.TemporaryDirectory(prefix="nearline-propensity-") as scratch:
        file = Path(scratch) / "rows.parquet"
        build_training_set(settings, _newest(max_rows), SERVICE, file, now=now)
        rows = _read(file)
    if rows.num_rows == 0:
        return "no visitor has features"
    scores = [
        one.model.scores(encode_table(rows, rows[MOMENT], one.model.inputs))
        for one in (serving, beside)
    ]
    table = pa.table(
        {"champion": pa.array(scores[0]), "challenger": pa.array(scores[1])}
    )
    replace_file(
        settings.models / target.model / "shadow.parquet",
        lambda out: pq.write_table(table, out),
    )
    gap = np.abs(scores[0] - scores[1])
    return Shadow(
        champion=serving.card.version,
        challenger=challenger,
        row_count=rows.num_rows,
        mean_champion=float(scores[0].mean()),
        mean_challenger=float(scores[1].mean()),
        mean_gap=float(gap.mean()),
        far_share=float((gap > FAR).mean()),
    )


def _newest(max_rows: int) -> str:
    return f"""
        select visitor_id, max(received_at) as event_timestamp,
        from fct_events
        where
            session_id is not null
            and not is_bot
            and has_personalization_consent
        group by visitor_id
        order by md5(visitor_id)
        limit {max_rows}
    """
