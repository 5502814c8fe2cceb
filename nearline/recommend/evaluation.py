"""Evaluation on users' histories: hide a part, rank every item, look what is found.

Belongs here: the protocol and its result. Not here: the measures' definitions
(`measures`), the cuts (`splits`), the models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from nearline.errors import InputError
from nearline.recommend.histories import (
    Histories,
    batches,
    histories_of,
    interaction_matrix,
)
from nearline.recommend.interactions import (
    USER_COLUMN,
    code_table,
    code_values,
    item_categories,
    read_table,
)
from nearline.recommend.intervals import (
    CONFIDENCE_LEVEL,
    Estimate,
    coverage_estimate,
    mean_estimates,
)
from nearline.recommend.measures import (
    ACCURACY,
    CategorySimilarity,
    cooccurrence_similarity,
    diversity,
    find_hits,
    novelty,
    popularity_share,
)
from nearline.recommend.models.protocol import Fitting
from nearline.recommend.models.registry import models_for_users
from nearline.recommend.ranking import tie_order, top_items, without_seen
from nearline.recommend.splits import Split, split_by

if TYPE_CHECKING:
    from nearline.recommend.interactions import Codes
    from nearline.recommend.intervals import Numbers
    from nearline.recommend.measures import Similarity
    from nearline.recommend.models.protocol import Fit, Model

DEFAULT_K = (10, 20)
DEFAULT_SPLIT = "random-per-user"
DEFAULT_TEST_SHARE = 0.25

Advance = Callable[[float], None]
"""Told how much more of a model is done, 1 in all for each."""


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What a model reached: k -> measure -> estimate; and the seconds that it took."""

    measures: Mapping[int, Mapping[str, Estimate]]
    fit_seconds: float
    score_seconds: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One table, one split, several models.

    `user_count` is the users with something in test and something in training, who are
    the ones measured; `cold_user_count` those with something in test alone.
    `unknown_target_share` is the share of test items that training does not hold: no
    model can find them, and they count as missed. `left_out` counts rows by reason,
    `refused` says why a model of "all" is missing.
    """

    file: str
    split: str
    test_share: float | None
    min_rating: float | None
    seed: int
    confidence_level: float
    user_count: int
    cold_user_count: int
    train_count: int
    test_count: int
    item_count: int
    unknown_target_share: float
    diversity_by: str
    left_out: Mapping[str, int]
    refused: Mapping[str, str]
    models: Mapping[str, ModelResult]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What all models of an evaluation share. Row n is user n of those measured."""

    split: Split
    histories: Histories
    target_rows: "Codes"
    target_items: "Codes"
    categories: "Codes | None"
    fitting: Fitting
    k: tuple[int, ...]


def evaluate(
    path: Path,
    models: Sequence[str] = ("all",),
    *,
    split: str = DEFAULT_SPLIT,
    test_share: float = DEFAULT_TEST_SHARE,
    seed: int = 0,
    k: Sequence[int] = DEFAULT_K,
    min_rating: float | None = None,
    advance: Advance = lambda share: None,
) -> Evaluation:
    """Measures models on a table of (user_id, item_id, timestamp[, rating, category]).

    The protocol: of each user and item the first interaction counts; the split hides a
    part; a model learns from the rest and ranks every item of the training, less those
    that the user has in training; the list's first k places are held against what was
    hidden. Users without anything hidden, or without anything in training, are not
    measured.

    Args:
        models: names of the registry, or "all".
        test_share: share hidden, 0 to 1; leave-one-out has no use for it.
        k: lengths of lists.
        min_rating: interactions rated lower are left out before the split.
        advance: told what has been done, in all 1 for each model.

    Raises:
        InputError: the file, an option or a model's name cannot be used, or nobody can
            be measured.
    """
    lengths = checked_lengths(k)
    fits = models_for_users(models)
    table = read_table(path, USER_COLUMN)
    left_out = dict(table.left_out)
    if min_rating is not None:
        table, count = table.rated_at_least(min_rating)
        left_out["rating under the least"] = count
    items = code_values(table.items)
    whole = code_table(table, items).first_of_each_pair()
    if repeated := len(table) - len(whole):
        left_out["repetition of a user and an item"] = repeated
    task = _task(
        split_by(split, whole, test_share, seed),
        item_categories(table, items),
        Fitting(seed, split, test_share),
        lengths,
    )
    results, refused = measure_each(
        fits, lambda fit: _measure(fit, task, advance), models
    )
    train = task.split.train
    in_training = np.bincount(train.items, minlength=len(items))
    return Evaluation(
        file=path.name,
        split=split,
        test_share=None if split == "leave-one-out" else test_share,
        min_rating=min_rating,
        seed=seed,
        confidence_level=CONFIDENCE_LEVEL,
        user_count=len(task.histories),
        cold_user_count=len(np.unique(task.split.test.owners)) - len(task.histories),
        train_count=len(train),
        test_count=len(task.target_items),
        item_count=int(np.count_nonzero(in_training)),
        unknown_target_share=float((in_training[task.target_items] == 0).mean()),
        diversity_by="cooccurrence" if task.categories is None else "category",
        left_out=left_out,
        refused=refused,
        models=results,
    )


def measure_each(
    fits: "Mapping[str, Fit]",
    measure: "Callable[[Fit], ModelResult]",
    named: Sequence[str],
) -> tuple[dict[str, ModelResult], dict[str, str]]:
    """Each model's result, and why a model has none.

    Raises:
        InputError: a model that was asked for by its name, not by "all", refuses the
            data.
    """
    results: dict[str, ModelResult] = {}
    refused: dict[str, str] = {}
    for name, fit in fits.items():
        try:
            results[name] = measure(fit)
        except InputError as problem:
            if name in named:
                raise
            refused[name] = str(problem)
    return results, refused


def checked_lengths(k: Sequence[int]) -> tuple[int, ...]:
    """The list lengths, ascending and each once.

    Raises:
        InputError: there is none, or one under 1.
    """
    if not k or min(k) < 1:
        raise InputError("k: give whole numbers from 1 on, such as 10,20")
    return tuple(sorted(set(k)))


def _task(
    split: Split, categories: "Codes | None", fitting: Fitting, k: tuple[int, ...]
) -> _Task:
    trained = np.unique(split.train.owners)
    tested = np.unique(split.test.owners)
    if not len(tested):
        raise InputError(
            "cannot evaluate because no user has anything in test: each needs at least "
            "two different items"
        )
    measured = np.intersect1d(tested, trained).astype(np.int32)
    if not len(measured):
        raise InputError(
            "cannot evaluate because no user has interactions both in training and in "
            "test; try --split random-per-user, or more users or days"
        )
    rows = np.searchsorted(measured, split.test.owners)
    rows = np.minimum(rows, len(measured) - 1)
    is_measured = measured[rows] == split.test.owners
    return _Task(
        split=split,
        histories=histories_of(split.train, measured),
        target_rows=rows[is_measured].astype(np.int32),
        target_items=split.test.items[is_measured],
        categories=categories,
        fitting=fitting,
        k=k,
    )


def _measure(fit: "Fit", task: _Task, advance: Advance) -> ModelResult:
    began = perf_counter()
    model = fit(task.split.train, task.fitting)
    fitted = perf_counter()
    advance(0.5)
    lists = _rank_unseen(model, task, advance)
    scored = perf_counter()
    return ModelResult(
        measures=_measures(lists, task),
        fit_seconds=round(fitted - began, 3),
        score_seconds=round(scored - fitted, 3),
    )


def _rank_unseen(model: "Model", task: _Task, advance: Advance) -> "Codes":
    """Lists of the longest k (fewer columns where there are fewer items)."""
    train = task.split.train
    width = min(task.k[-1], train.item_count)
    order = tie_order(train.item_count, task.fitting.seed)
    is_unknown = np.bincount(train.items, minlength=train.item_count) == 0
    lists = []
    for part in batches(task.histories, train.item_count):
        scores = without_seen(model.score(part), part)
        # Nobody could recommend these: what is known of them lies in the test.
        scores[:, is_unknown] = -np.inf
        lists.append(top_items(scores, width, order))
        advance(0.5 * len(part) / len(task.histories))
    return np.vstack(lists)


def _measures(lists: "Codes", task: _Task) -> dict[int, dict[str, Estimate]]:
    train = task.split.train
    in_training = np.bincount(train.items, minlength=train.item_count)
    hits = find_hits(lists, task.target_rows, task.target_items, train.item_count)
    similarity: Similarity = (
        cooccurrence_similarity(lists, interaction_matrix(train))
        if task.categories is None
        else CategorySimilarity(task.categories)
    )
    trained_count = len(np.unique(train.owners))
    columns: dict[tuple[int, str], Numbers] = {}
    for k in task.k:
        first = lists[:, :k]
        for name, measure in ACCURACY.items():
            columns[k, name] = measure(hits, k)
        columns[k, "diversity"] = diversity(first, similarity)
        columns[k, "novelty"] = novelty(first, in_training, trained_count)
        columns[k, "popularity_share"] = popularity_share(first, in_training)
    estimates = dict(
        zip(
            columns,
            mean_estimates(np.column_stack(list(columns.values())), task.fitting.seed),
            strict=True,
        )
    )
    for k in task.k:
        estimates[k, "coverage"] = coverage_estimate(
            lists[:, :k], int(np.count_nonzero(in_training)), task.fitting.seed
        )
    return {
        k: {name: estimates[k, name] for length, name in estimates if length == k}
        for k in task.k
    }
