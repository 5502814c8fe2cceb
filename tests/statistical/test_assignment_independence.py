"""The bucketing key decides and nothing else does: arms hang together with nothing.

Chi-square over many salts. At the 5 % level independent tables reject in 5 %: as many have
to, within four standard deviations, and the smallest p-value may not be smaller than that
many tables make likely (Bonferroni, 0.1 %). Nothing is drawn, but for the devices, whose
seed is fixed. The same tests see what a weaker hash does.
"""

import zlib
from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
from scipy.stats import chi2

from nearline.experiments.assignment import BUCKET_COUNT, bucket_of

LEVEL = 0.05
KEY_COUNT = 3_000
SALTS = [
    *(f"experiment-{number}" for number in range(80)),
    # As people name them: a year more, a letter more, the same word in another layer.
    *(f"checkout.{year}" for year in range(1_990, 2_030)),
    *("a" * length for length in range(1, 31)),
    *(f"layer.page-{number}" for number in range(25)),
    *(f"hold_out.page-{number}" for number in range(25)),
]
KEYS = {
    "pseudonyms": [
        f"v_{number * 2_654_435_761 % 2**64:016x}" for number in range(KEY_COUNT)
    ],
    "counted ids": [str(number) for number in range(KEY_COUNT)],
    "times": [f"{1_767_225_600_000 + 977 * number}.1" for number in range(KEY_COUNT)],
}

Hash = Callable[[str, str], int]
Arms = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def arms_of(keys: list[str], hashed: Hash = bucket_of) -> Arms:
    """A row per salt: 1 for keys of its second half of buckets, else 0."""
    return np.array(
        [
            [float(hashed(salt, key) >= BUCKET_COUNT // 2) for key in keys]
            for salt in SALTS
        ]
    )


@pytest.fixture(scope="module", params=list(KEYS))
def arms(request: pytest.FixtureRequest) -> Arms:
    return arms_of(KEYS[request.param])


def p_values_of_pairs(arms: Arms) -> np.ndarray:
    """Of the chi-square of each two salts' arms, by their correlation."""
    correlations = np.corrcoef(arms)
    one, other = np.triu_indices(len(arms), 1)
    return chi2.sf(arms.shape[1] * correlations[one, other] ** 2, 1)


def p_values_with(arms: Arms, groups: np.ndarray) -> np.ndarray:
    """Of the chi-square of each salt's arms against groups 0, 1, ... of the keys."""
    sizes = np.bincount(groups)
    in_second = np.array(
        [np.bincount(groups, weights=row, minlength=len(sizes)) for row in arms]
    )
    shares = arms.mean(axis=1, keepdims=True)
    expected = shares * sizes
    statistics = ((in_second - expected) ** 2 / (expected * (1 - shares))).sum(axis=1)
    return chi2.sf(statistics, len(sizes) - 1)


def rejects_as_chance_would(p_values: np.ndarray) -> bool:
    count = len(p_values)
    rejected = (p_values < LEVEL).sum()
    tolerance = 4 * sqrt(LEVEL * (1 - LEVEL) * count)
    return abs(rejected - LEVEL * count) < tolerance and p_values.min() * count > 0.001


def groups_of_keys() -> dict[str, np.ndarray]:
    """What keys differ by, in their order of arrival, 7 a minute from a Monday on."""
    place = np.arange(KEY_COUNT)
    rng = np.random.default_rng(20_260_301)
    # More phones late in the day: a device hangs together with when one comes.
    phone = 0.4 + 0.3 * np.sin(place / 300)
    device = np.where(
        rng.random(KEY_COUNT) < phone, 0, 1 + rng.integers(2, size=KEY_COUNT)
    )
    return {
        "device": device,
        "weekday": place // (KEY_COUNT // 28 + 1) % 7,
        "hour": place // 42 % 24,
        "tenth to arrive": place * 10 // KEY_COUNT,
        "every other": place % 2,
        "sixteenth": place % 16,
    }


def test_the_arms_of_no_two_experiments_hang_together(arms: Arms) -> None:
    assert rejects_as_chance_would(p_values_of_pairs(arms))


@pytest.mark.parametrize("name", list(groups_of_keys()))
def test_arms_hang_together_with_nothing_of_the_visitor(arms: Arms, name: str) -> None:
    assert rejects_as_chance_would(p_values_with(arms, groups_of_keys()[name]))


def test_who_is_assigned_next_does_not_follow_from_who_was_before(arms: Arms) -> None:
    """Neighbours in order of arrival, 1 to 8 apart."""
    for apart in range(1, 9):
        products = [
            p_values_with(row[np.newaxis, apart:], row[:-apart].astype(int))[0]
            for row in arms
        ]
        assert rejects_as_chance_would(np.array(products))


def test_the_tests_see_what_a_weaker_hash_does() -> None:
    """CRC-32 is linear: two salts of one length move every key alike."""

    def weak(salt: str, key: str) -> int:
        return zlib.crc32(f"{salt}:{key}".encode()) * BUCKET_COUNT >> 32

    def unsalted(salt: str, key: str) -> int:
        return int(key) * BUCKET_COUNT // KEY_COUNT

    counted = KEYS["counted ids"]
    assert not rejects_as_chance_would(p_values_of_pairs(arms_of(counted, weak)))
    by_order = arms_of(counted, unsalted)[:1]
    assert not rejects_as_chance_would(
        p_values_with(by_order, groups_of_keys()["tenth to arrive"])
    )
