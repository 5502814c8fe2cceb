"""Names that outlive a fit: which cluster of today is which one of before.

Belongs here: what is remembered of a clustering, the matching, the words of a new name.
Not here: sentences, which are written anew with each fit (`description`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearline.segments.behaviour import BEHAVIOUR_METRICS

if TYPE_CHECKING:
    from nearline.segments.behaviour import Matrix

OUTLIER = "outlier"
"""The segment of those whom DBSCAN finds like nobody else."""

MOST_MATCH_DISTANCE = 0.5
"""A cluster whose centre lies further from all known ones (root mean square over the
metrics, in standard deviations of today) is a new one."""

WORD_DEVIATION = 0.5
"""Standard deviations from the mean of all above which a metric gives a name a word."""

MOST_WORDS = 2

MOST_REMEMBERED = 100

_HIGH_LOW = {
    "session_count": ("frequent", "rare"),
    "page_views_per_session": ("many_pages", "few_pages"),
    "engaged_seconds_per_session": ("long_visits", "short_visits"),
    "add_to_cart_count": ("many_carts", "few_carts"),
    "purchase_count": ("many_purchases", "few_purchases"),
    "revenue_cents": ("high_value", "low_value"),
    "recency_days": ("long_gone", "recent"),
}
_NAME = re.compile(r"cluster_(0|[1-9][0-9]*)_[a-z_]+")


@dataclass(frozen=True, slots=True)
class KnownCluster:
    """A cluster that once was given a name; `centre` is in unscaled (logged) metrics."""

    number: int
    name: str
    centre: tuple[float, ...]
    is_present: bool
    """Whether the fit that the memory is of had it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one fit hands to the next: the names, never to be given again, and its k."""

    clusters: tuple[KnownCluster, ...] = ()
    next_number: int = 0
    k: int | None = None

    def as_card(self) -> Mapping[str, object]:
        """As the model's card has it; `read_memory` is its inverse."""
        return {
            "metrics": list(BEHAVIOUR_METRICS),
            "next_number": self.next_number,
            "k": self.k,
            "clusters": [
                {
                    "number": cluster.number,
                    "name": cluster.name,
                    "centre": list(cluster.centre),
                    "is_present": cluster.is_present,
                }
                for cluster in self.clusters
            ],
        }


def read_memory(card: object) -> Memory | str:
    """The memory in a card, or the reason why it cannot be used."""
    if not isinstance(card, dict) or not isinstance(card.get("memory"), dict):
        return "it holds no memory of names"
    fields = card["memory"]
    if fields.get("metrics") != list(BEHAVIOUR_METRICS):
        return "it is of other metrics"
    try:
        clusters = tuple(
            KnownCluster(
                int(cluster["number"]),
                str(cluster["name"]),
                tuple(float(value) for value in cluster["centre"]),
                bool(cluster["is_present"]),
            )
            for cluster in fields["clusters"]
        )
        next_number = int(fields["next_number"])
        k = None if fields["k"] is None else int(fields["k"])
    except (KeyError, TypeError, ValueError):
        return "its memory of names is damaged"
    numbers = [cluster.number for cluster in clusters]
    if (
        len(set(numbers)) < len(numbers)
        or any(number >= next_number for number in numbers)
        or any(len(known.centre) != len(BEHAVIOUR_METRICS) for known in clusters)
        or any(number_of(known.name) != known.number for known in clusters)
    ):
        return "its memory of names is damaged"
    return Memory(clusters, next_number, k)


def number_of(name: str) -> int | None:
    """The number in a cluster's name; None where it is no cluster's."""
    found = _NAME.fullmatch(name)
    return int(found.group(1)) if found else None


def name_clusters(
    centres: "Matrix",
    deviations: Sequence[Sequence[float]],
    spread: Sequence[float],
    before: Memory,
) -> tuple[tuple[str, ...], Memory]:
    """A name for each cluster, and what to remember for the next fit.

    `centres` are in logged metrics (clusters x metrics), `deviations` the same as
    scaled, `spread` the standard deviation by which they were. Names go to the clusters
    by the assignment that is best in total (Kuhn 1955), first those of the last fit,
    then those of fits before it; a cluster too far from all gets the next number, and
    words for the metrics in which it differs most. A name stays as it was given.
    """
    present = [cluster for cluster in before.clusters if cluster.is_present]
    absent = [cluster for cluster in before.clusters if not cluster.is_present]
    names: dict[int, KnownCluster] = {}
    for known in (present, absent):
        free = [index for index in range(len(centres)) if index not in names]
        names |= _matched(centres, free, known, spread)
    next_number = before.next_number
    given = []
    for index, centre in enumerate(centres.tolist()):
        if index in names:
            number, name = names[index].number, names[index].name
        else:
            number = next_number
            name = f"cluster_{number}_{_words(deviations[index])}"
            next_number += 1
        given.append(KnownCluster(number, name, tuple(centre), True))
    taken = {cluster.number for cluster in given}
    gone = [
        KnownCluster(known.number, known.name, known.centre, False)
        for known in (*present, *absent)
        if known.number not in taken
    ]
    memory = Memory((*given, *gone)[:MOST_REMEMBERED], next_number, len(given))
    return tuple(cluster.name for cluster in given), memory


def _matched(
    centres: "Matrix",
    free: Sequence[int],
    known: Sequence[KnownCluster],
    spread: Sequence[float],
) -> dict[int, KnownCluster]:
    import numpy as np
    from scipy.optimize import (  # type: ignore[import-untyped, unused-ignore]
        linear_sum_assignment,
    )

    if not free or not known:
        return {}
    before = np.array([cluster.centre for cluster in known])
    # A metric in which today all are alike tells nothing; its distance counts as it is.
    unit = np.where(np.asarray(spread) > 0, spread, 1.0)
    apart = (centres[list(free)][:, None, :] - before[None, :, :]) / unit
    distances = np.sqrt((apart**2).mean(axis=2))
    # Beyond the threshold any number of near pairs is worth more than one far pair.
    near = distances <= MOST_MATCH_DISTANCE
    far_cost = MOST_MATCH_DISTANCE * (len(free) + len(known) + 1)
    rows, columns = linear_sum_assignment(np.where(near, distances, far_cost))
    return {
        free[row]: known[column]
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if near[row, column]
    }


def _words(deviations: Sequence[float]) -> str:
    told = sorted(
        (
            index
            for index, deviation in enumerate(deviations)
            if abs(deviation) >= WORD_DEVIATION
        ),
        key=lambda index: (-round(abs(deviations[index]), 6), index),
    )[:MOST_WORDS]
    return (
        "_".join(
            _HIGH_LOW[BEHAVIOUR_METRICS[index]][int(deviations[index] < 0)]
            for index in told
        )
        or "average"
    )
