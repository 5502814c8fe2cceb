"""Assignment: bit for bit the vectors, fair, independent, sticky."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import mmh3
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from nearline.errors import InputError
from nearline.experiments.assignment import (
    BUCKET_COUNT,
    Allocation,
    Assigner,
    HoldOut,
    Slot,
    Span,
    bucket_of,
)

VECTORS = json.loads(
    (Path(__file__).parents[2] / "contracts" / "assignment_vectors.json").read_text()
)["vectors"]
KEYS = [f"v_{number:016x}" for number in range(40_000)]
HALVES = Allocation.from_weights({"control": 5000, "treatment": 5000})


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['salt']}:{v['key'][:9]}")
def test_buckets_are_those_of_the_published_vectors(vector: dict[str, object]) -> None:
    # The vectors come from a second implementation of the algorithm.
    salt, key = str(vector["salt"]), str(vector["key"])
    assert mmh3.hash(f"{salt}:{key}".encode(), signed=False) == vector["hash"]
    assert bucket_of(salt, key) == vector["bucket"]


def test_the_hash_gives_what_its_author_published() -> None:
    assert mmh3.hash(b"", 1, signed=False) == 0x514E28B7
    assert mmh3.hash(b"Hello, world!", 0, signed=False) == 0xC0363E43


def test_each_bucket_is_as_likely_as_any() -> None:
    buckets = np.array([bucket_of("fair", key) for key in KEYS])
    counts = np.bincount(buckets // 100, minlength=100)
    assert chisquare(counts).pvalue > 1e-4
    assert 0 <= buckets.min() <= buckets.max() < BUCKET_COUNT


def test_arms_have_the_sizes_of_their_weights() -> None:
    allocation = Allocation.from_weights({"a": 5000, "b": 3000, "c": 1000})
    counts = Counter(Assigner("sizes", allocation).variant_of(key) for key in KEYS)
    planned = np.array([0.5, 0.3, 0.1, 0.1]) * len(KEYS)
    assert chisquare([counts[k] for k in ("a", "b", "c", None)], planned).pvalue > 1e-4


def test_no_two_experiments_arms_hang_together_nor_with_order_or_kind_of_key() -> None:
    salts = [f"experiment-{number}" for number in range(8)]
    arms = {
        salt: np.array(
            [Assigner(salt, HALVES).variant_of(key) == "treatment" for key in KEYS]
        )
        for salt in salts
    }
    place = np.arange(len(KEYS))
    traits = {"parity": place % 2, "arrival": place // 4000, "weekday": place % 7}
    p_values = [
        _association(arms[one], arms[other]) for one, other in combinations(salts, 2)
    ]
    p_values += [
        _association(arms[salt], trait) for salt in salts for trait in traits.values()
    ]
    assert min(p_values) > 0.001 / len(p_values)
    # Nor is there too little: p-values of independent tables are spread evenly.
    assert 0.2 < np.mean(p_values) < 0.8


def _association(one: "np.ndarray", other: "np.ndarray") -> float:
    table = np.zeros((2, int(other.max()) + 1))
    np.add.at(table, (one.astype(int), other.astype(int)), 1)
    return float(chi2_contingency(table, correction=False).pvalue)


def test_the_same_key_sees_the_same_variant_always() -> None:
    first = [Assigner("again", HALVES).variant_of(key) for key in KEYS[:500]]
    assert first == [Assigner("again", HALVES).variant_of(key) for key in KEYS[:500]]


WEIGHTS = st.dictionaries(
    st.sampled_from("abcde"), st.integers(0, 2000), min_size=1
).filter(lambda weights: sum(weights.values()) > 0)


@settings(max_examples=40, deadline=None)
@given(WEIGHTS, WEIGHTS)
def test_new_weights_move_nobody_who_need_not_move(
    old: dict[str, int], new: dict[str, int]
) -> None:
    before = Allocation.from_weights(old)
    after = before.reweigh(new)
    owners = [
        (before.variant_of(bucket), after.variant_of(bucket))
        for bucket in range(BUCKET_COUNT)
    ]
    sizes = Counter(owner for _, owner in owners if owner is not None)
    assert sizes == {variant: count for variant, count in new.items() if count}
    for variant, count in old.items():
        stayed = sum(pair == (variant, variant) for pair in owners)
        assert stayed == min(count, new.get(variant, 0))


def test_a_wider_test_group_keeps_those_who_were_in_it() -> None:
    tenth = Allocation.from_weights({"control": 9000, "treatment": 1000})
    half = tenth.reweigh({"control": 5000, "treatment": 5000})
    assert half.spans[0] == Span("control", 0, 5000)
    for key in KEYS[:2000]:
        if Assigner("wider", tenth).variant_of(key) == "treatment":
            assert Assigner("wider", half).variant_of(key) == "treatment"


def test_in_a_layer_nobody_is_in_two_experiments() -> None:
    one = Assigner("one", HALVES, Slot("layer.checkout", 0, 4000))
    two = Assigner("two", HALVES, Slot("layer.checkout", 4000, 6000))
    seen = [(one.variant_of(key), two.variant_of(key)) for key in KEYS[:5000]]
    assert all((first is None) != (second is None) for first, second in seen)
    assert sum(first is not None for first, _ in seen) == pytest.approx(2000, abs=150)


def test_a_hold_out_sees_no_experiment() -> None:
    hold_out = HoldOut("holdout.global", 500)
    one, two = (Assigner(salt, HALVES, None, (hold_out,)) for salt in ("one", "two"))
    seen = [(one.variant_of(key), two.variant_of(key)) for key in KEYS[:5000]]
    assert all((first is None) == (second is None) for first, second in seen)
    assert sum(first is None for first, _ in seen) == pytest.approx(250, abs=70)


@pytest.mark.parametrize("salt", ["", "a:b", "a b", "ä"])
def test_a_salt_that_could_be_mistaken_is_refused(salt: str) -> None:
    with pytest.raises(InputError, match="salt"):
        bucket_of(salt, "key")


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 5}, {"a": 10_001}])
def test_weights_that_are_no_shares_are_refused(weights: dict[str, int]) -> None:
    with pytest.raises(InputError, match="weights"):
        Allocation.from_weights(weights)
    with pytest.raises(InputError, match="weights"):
        HALVES.reweigh(weights)
