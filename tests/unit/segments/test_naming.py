"""Names of clusters from fit to fit; distances derived by hand."""

import json

import numpy as np
import pytest

from nearline.segments.behaviour import BEHAVIOUR_METRICS
from nearline.segments.naming import (
    KnownCluster,
    Memory,
    name_clusters,
    number_of,
    read_memory,
)

METRIC_COUNT = len(BEHAVIOUR_METRICS)
SPREAD = [2.0] * METRIC_COUNT


def centre(value: float) -> tuple[float, ...]:
    """All metrics alike, so that the distance of two is their difference."""
    return (value,) * METRIC_COUNT


def known(number: int, value: float, is_present: bool = True) -> KnownCluster:
    return KnownCluster(number, f"cluster_{number}_average", centre(value), is_present)


def named(before: Memory, *values: float) -> tuple[tuple[str, ...], Memory]:
    centres = np.array([centre(value) for value in values])
    return name_clusters(centres, [[0.0] * METRIC_COUNT] * len(values), SPREAD, before)


def numbers(before: Memory, *values: float) -> list[int | None]:
    return [number_of(name) for name in named(before, *values)[0]]


def test_the_first_fit_counts_from_zero() -> None:
    names, memory = named(Memory(), 1.0, 5.0)
    assert names == ("cluster_0_average", "cluster_1_average")
    assert (memory.next_number, memory.k) == (2, 2)


def test_words_tell_the_two_strongest_deviations_of_a_new_cluster() -> None:
    # In the order of the metrics: sessions, pages, seconds, carts, purchases, cents, days.
    deviations = [[0.4, 0.9, 0.0, 0.0, -1.2, 0.8, 0.0], [0, 0, 0, 0, 0, 0, -0.5]]
    centres = np.zeros((2, METRIC_COUNT))
    names, _ = name_clusters(centres, deviations, SPREAD, Memory())
    assert names == ("cluster_0_few_purchases_many_pages", "cluster_1_recent")


def test_a_near_cluster_keeps_its_name_and_a_far_one_gets_a_new_number() -> None:
    before = Memory((known(0, 0.0), known(1, 10.0)), 2, 2)
    # A standard deviation is 2, so half of one is 1.
    assert numbers(before, 11.0, 0.5) == [1, 0]
    assert numbers(before, 11.01, 0.5) == [2, 0]


def test_names_go_where_they_are_nearest_in_total_and_not_one_by_one() -> None:
    # 0.9 is nearer to 1.0 (cluster 1) than to 0.0, but 1.9 can only be cluster 1.
    before = Memory((known(0, 0.0), known(1, 1.0)), 2, 2)
    assert numbers(before, 0.9, 1.9) == [0, 1]


def test_a_pair_within_reach_is_worth_more_than_a_small_total() -> None:
    # 0.4 and cluster 1 alone would be nearest; two pairs within reach go first.
    before = Memory((known(0, -0.5), known(1, 0.5)), 2, 2)
    assert numbers(before, 0.4, 1.4) == [0, 1]


def test_a_cluster_that_comes_back_gets_its_name_back() -> None:
    before = Memory((known(0, 0.0), known(1, 10.0)), 2, 2)
    names, gone = named(before, 0.0)
    assert names == ("cluster_0_average",)
    assert [(c.number, c.is_present) for c in gone.clusters] == [(0, True), (1, False)]
    assert numbers(gone, 0.0, 10.0) == [0, 1]
    # One that is there goes before one that was.
    both = Memory((known(0, 0.0), known(1, 0.2, is_present=False)), 2, 1)
    assert numbers(both, 0.2) == [0]


def test_words_stay_as_they_were_given() -> None:
    before = Memory((KnownCluster(7, "cluster_7_frequent", centre(0), True),), 8, 1)
    assert named(before, 0.1)[0] == ("cluster_7_frequent",)


def test_a_memory_survives_its_card() -> None:
    _, memory = named(Memory(), 1.0, 5.0)
    card = json.loads(json.dumps({"memory": memory.as_card()}))
    assert read_memory(card) == memory


GOOD = Memory((known(0, 0.0),), 1, 1).as_card()


@pytest.mark.parametrize(
    "damage",
    [
        {"clusters": None},
        {"clusters": [{"number": 0}]},
        {"next_number": 0},
        {"next_number": None},
        {"clusters": [GOOD["clusters"][0] | {"centre": [1.0]}]},  # type: ignore[index]
        {"clusters": [GOOD["clusters"][0] | {"name": "mine"}]},  # type: ignore[index]
        {"metrics": ["other"]},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_a_damaged_memory_is_refused_with_a_reason(damage: dict[str, object]) -> None:
    assert isinstance(read_memory({"memory": {**GOOD, **damage}}), str)
