"""Evaluation on users' histories: hide a part, rank every item, look what is found.

Belongs here: the protocol and its result. Not here: the measures' definitions
(`measures`), the cuts (`splits`), the models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nearline.errors import InputError
from nearline.recommend.histories import Histories, interaction_matrix
from nearline.recommend.interactions import (
    USER_COLUMN,
    code_table,
    code_values,
    item_attributes,
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
from nearline.recommend.measuring import (
    Advance,
    ModelResult,
    by_length,
    checked_lengths,
    measure_each,
)
from nearline.recommend.models.protocol import Fitting
from nearline.recommend.models.registry import models_for_users
from nearline.recommend.ranking import tie_order, unseen_lists
from nearline.recommend.splits import Split, hidden_of, split_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes
    from nearline.recommend.intervals import Numbers
    from nearline.recommend.measures import Similarity
    from nearline.recommend.models.protocol import Model

DEFAULT_K = (10, 20)
DEFAULT_SPLIT = "random-per-user"
DEFAULT_TEST_SHARE = 0.25


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
    """What all models of an evaluation share. Row n is user n of those measured.

    `in_training` counts each item's interactions in training, `trained_count` the users
    there; `similarity_of` is told the lists whose pairs will be looked at.
    """

    split: Split
    histories: Histories
    target_rows: "NDArray[np.integer]"
    target_items: "Codes"
    in_training: "NDArray[np.int64]"
    trained_count: int
    order: "Codes"
    similarity_of: "Callable[[Codes], Similarity]"
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
    """Measures models on a table of (user_id, item_id, timestamp[, rating, attributes]).

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
        advance: told how much more is done, 1 in all.

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
    categories = item_categories(table, items)
    task = _task(
        split_by(split, whole, test_share, seed),
        categories,
        Fitting(seed, split, test_share, item_attributes(table, items)),
        lengths,
    )
    results, refused = measure_each(
        fits,
        models,
        task.split.train,
        task.fitting,
        lambda model, advance: _rank_unseen(model, task, advance),
        lambda lists: _measures(lists, task),
        advance,
    )
    return Evaluation(
        file=path.name,
        split=split,
        test_share=None if split == "leave-one-out" else test_share,
        min_rating=min_rating,
        seed=seed,
        confidence_level=CONFIDENCE_LEVEL,
        user_count=len(task.histories),
        cold_user_count=len(np.unique(task.split.test.owners)) - len(task.histories),
        train_count=len(task.split.train),
        test_count=len(task.target_items),
        item_count=int(np.count_nonzero(task.in_training)),
        unknown_target_share=float((task.in_training[task.target_items] == 0).mean()),
        diversity_by="cooccurrence" if categories is None else "category",
        left_out=left_out,
        refused=refused,
        models=results,
    )


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
    measured = np.intersect1d(tested, trained)
    if not len(measured):
        raise InputError(
            "cannot evaluate because no user has interactions both in training and in "
            "test; try --split random-per-user, or more users or days"
        )
    hidden = hidden_of(split, measured)
    return _Task(
        split=split,
        histories=hidden.histories,
        target_rows=hidden.rows,
        target_items=hidden.items,
        in_training=split.train.item_counts(),
        trained_count=len(trained),
        order=tie_order(split.train.item_count, fitting.seed),
        similarity_of=_similarity_by(split, categories),
        fitting=fitting,
        k=k,
    )


def _similarity_by(
    split: Split, categories: "Codes | None"
) -> "Callable[[Codes], Similarity]":
    if categories is not None:
        by_category = CategorySimilarity(categories)
        return lambda lists: by_category
    matrix = interaction_matrix(split.train)
    return lambda lists: cooccurrence_similarity(lists, matrix)


def _rank_unseen(model: "Model", task: _Task, advance: Advance) -> "Codes":
    """Lists of the longest k (fewer columns where there are fewer items)."""
    return unseen_lists(
        model,
        task.histories,
        # Nobody could recommend the others: what is known of them lies in the test.
        task.in_training > 0,
        min(task.k[-1], task.split.train.item_count),
        task.order,
        advance,
    )


def _measures(lists: "Codes", task: _Task) -> dict[int, dict[str, Estimate]]:
    hits = find_hits(
        lists, task.target_rows, task.target_items, task.split.train.item_count
    )
    similarity = task.similarity_of(lists)
    columns: dict[tuple[int, str], Numbers] = {}
    for k in task.k:
        first = lists[:, :k]
        for name, measure in ACCURACY.items():
            columns[k, name] = measure(hits, k)
        columns[k, "diversity"] = diversity(first, similarity)
        columns[k, "novelty"] = novelty(first, task.in_training, task.trained_count)
        columns[k, "popularity_share"] = popularity_share(first, task.in_training)
    estimates = dict(
        zip(
            columns,
            mean_estimates(np.column_stack(list(columns.values())), task.fitting.seed),
            strict=True,
        )
    )
    for k in task.k:
        estimates[k, "coverage"] = coverage_estimate(
            lists[:, :k], int(np.count_nonzero(task.in_training)), task.fitting.seed
        )
    return by_length(estimates)
