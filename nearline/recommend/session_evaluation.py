"""Evaluation on sessions: at every position, predict the next item from those before.

The protocol of GRU4Rec (Hidasi et al. 2016) and session-rec (Ludewig & Jannach 2018):
items of the test that the training does not know are taken out of the test's sessions,
neither asked about nor shown to a model; every item of the training is ranked, those
seen in the session too, since people go back; each position counts alike, so long
sessions count more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nearline.errors import InputError
from nearline.recommend.histories import Positions, batches, next_items
from nearline.recommend.interactions import (
    SESSION_COLUMN,
    code_table,
    code_values,
    item_attributes,
    read_table,
)
from nearline.recommend.intervals import CONFIDENCE_LEVEL, Estimate, ratio_estimates
from nearline.recommend.measuring import (
    Advance,
    ModelResult,
    by_length,
    checked_lengths,
    measure_each,
)
from nearline.recommend.models.protocol import Fitting
from nearline.recommend.models.registry import models_for_sessions
from nearline.recommend.ranking import ranks_of, tie_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes
    from nearline.recommend.models.protocol import Model

DEFAULT_K = (20,)


@dataclass(frozen=True, slots=True)
class SessionEvaluation:
    """Two tables, several models.

    `session_count` is the test's sessions with two items or more that training knows,
    `position_count` the items predicted in them, `unknown_item_count` the rows of the
    test whose item the training does not know; `refused` says why a model of "all" is
    missing.
    """

    train_file: str
    test_file: str
    seed: int
    confidence_level: float
    session_count: int
    position_count: int
    train_count: int
    item_count: int
    unknown_item_count: int
    train_left_out: Mapping[str, int]
    test_left_out: Mapping[str, int]
    refused: Mapping[str, str]
    models: Mapping[str, ModelResult]


def evaluate_sessions(
    train: Path,
    test: Path,
    models: Sequence[str] = ("all",),
    *,
    seed: int = 0,
    k: Sequence[int] = DEFAULT_K,
    advance: Advance = lambda share: None,
) -> SessionEvaluation:
    """Measures models on two tables of (session_id, item_id, timestamp).

    Of items at the same time the order in the file counts. HR@k is the share of
    positions whose next item stands among the first k, MRR@k the mean of 1 / its place,
    0 beyond k; intervals resample sessions.

    Args:
        models: names of the registry, or "all".
        k: lengths of lists.
        advance: told how much more is done, 1 in all.

    Raises:
        InputError: a file, an option or a model's name cannot be used, or there is
            nothing to predict.
    """
    lengths = checked_lengths(k)
    fits = models_for_sessions(models)
    train_table = read_table(train, SESSION_COLUMN)
    test_table = read_table(test, SESSION_COLUMN)
    items = code_values(train_table.items)
    learnt = code_table(train_table, items)
    asked = code_table(test_table, items)
    positions = next_items(asked)
    if not len(positions.targets):
        raise InputError(
            "cannot evaluate because no session of the test has two items that the "
            "training knows"
        )
    results, refused = measure_each(
        fits,
        models,
        learnt,
        Fitting(seed, attributes=item_attributes(train_table, items)),
        lambda model, advance: _target_ranks(
            model, positions, len(items), seed, advance
        ),
        lambda ranks: _measures(ranks, positions.sessions, lengths, seed),
        advance,
    )
    return SessionEvaluation(
        train_file=train.name,
        test_file=test.name,
        seed=seed,
        confidence_level=CONFIDENCE_LEVEL,
        session_count=len(np.unique(positions.sessions)),
        position_count=len(positions.targets),
        train_count=len(learnt),
        item_count=len(items),
        unknown_item_count=len(test_table) - len(asked),
        train_left_out=train_table.left_out,
        test_left_out=test_table.left_out,
        refused=refused,
        models=results,
    )


def _target_ranks(
    model: "Model", positions: Positions, item_count: int, seed: int, advance: Advance
) -> "NDArray[np.float64]":
    order = tie_order(item_count, seed)
    ranks = []
    first = 0
    for part in batches(positions.histories, item_count):
        targets = positions.targets[first : first + len(part)]
        ranks.append(ranks_of(model.score(part), targets, order))
        first += len(part)
        advance(len(part) / len(positions.targets))
    return np.concatenate(ranks)


def _measures(
    ranks: "NDArray[np.float64]", sessions: "Codes", k: tuple[int, ...], seed: int
) -> dict[int, dict[str, Estimate]]:
    _, units = np.unique(sessions, return_inverse=True)
    counts = np.bincount(units).astype(np.float64)
    columns = {}
    for length in k:
        is_hit = ranks <= length
        columns[length, "hr"] = np.bincount(units, is_hit.astype(np.float64))
        columns[length, "mrr"] = np.bincount(units, np.where(is_hit, 1 / ranks, 0))
    sums = np.column_stack(list(columns.values())).astype(np.float64)
    estimates = ratio_estimates(sums, counts[:, None], seed)
    return by_length(dict(zip(columns, estimates, strict=True)))
