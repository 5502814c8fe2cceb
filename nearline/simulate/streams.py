"""Random streams and pseudonyms, each addressed by what it is for.

Every visit has a stream of its own. So one more draw in one visit, such as for the
purchase that only one arm makes, moves nothing in any other visit. `random.Random` is
taken rather than numpy: draws here come one at a time, where numpy is several times
slower, and the sequence for an integer seed is the same on every platform.
"""

import hashlib
from bisect import bisect
from collections.abc import Sequence
from enum import IntEnum
from itertools import accumulate
from math import exp
from random import Random


class Topic(IntEnum):
    """What a stream is for."""

    CATALOGUE = 0
    PERSON = 1
    VISIT = 2
    BOT = 3


def open_stream(seed: int, topic: Topic, index: int = 0, part: int = 0) -> Random:
    """The stream of one topic, one index below 2**40 and one part below 2**24."""
    return Random((((seed * len(Topic) + topic) << 40 | index) << 24) | part)


def make_pseudonym(prefix: str, seed: int, index: int) -> str:
    """An opaque id such as `v_` and 16 hex digits; the same for the same arguments."""
    text = f"{prefix}:{seed}:{index}".encode()
    return f"{prefix}_{hashlib.blake2b(text, digest_size=8).hexdigest()}"


def cumulate(weights: Sequence[float]) -> list[float]:
    """Running sums divided by the total, for `draw_index`."""
    total = sum(weights)
    return [part / total for part in accumulate(weights)]


def draw_index(rng: Random, cumulated: Sequence[float]) -> int:
    """An index with the probability its weight has."""
    return min(bisect(cumulated, rng.random()), len(cumulated) - 1)


def draw_poisson(rng: Random, mean: float) -> int:
    """A Poisson number, by counting exponential gaps (mean of some hundreds at most)."""
    count = -1
    while mean > 0:
        count += 1
        mean -= rng.expovariate(1.0)
    return max(count, 0)


def draw_between(u: float, low: float, high: float) -> int:
    """A whole number log-uniform from `low` to `high`, for a uniform `u`."""
    return int(low * (high / low) ** u)


def draw_lognormal(rng: Random, median: float, sigma: float) -> float:
    """A log-normal number."""
    return median * exp(sigma * rng.gauss(0.0, 1.0))
