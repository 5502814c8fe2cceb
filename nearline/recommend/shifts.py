"""Whether what people take now resembles what was learnt from.

Belongs here: three measures that are far off where something broke on the way (events
lost or doubled, ids of another form, categories gone) and stay put while a shop goes
about its business. Not here: the index (`models.drift`), what follows from it (`judging`).
"""

from dataclasses import replace
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from nearline.models import FeatureDrift, drift_of_counts, index_by_chance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Interactions
    from nearline.recommend.learning import Behaviour

UNKNOWN_ITEMS_LIMIT = 1.0
"""Of the index: from half a percent to a quarter, or from a tenth to over half. A new
collection may well be a tenth of a day's views, and is best met by a newer model."""

RATE_LIMIT = log(4)
"""A sale brings twice or three times as much; four times, or a quarter, is no season."""

_DAY = 86_400.0
_DAYS_BEFORE = 7
# In less the hour of the day would tell. A day's data end with its last event.
_LEAST_DAYS = 0.75


def shifts_of(behaviour: "Behaviour", begins: float) -> tuple[FeatureDrift, ...]:
    """What was taken from `begins` (seconds) on against what was taken before.

    - `categories`: population stability index between the categories taken.
    - `unknown_items`: the same of what nobody had taken before, where that rose; against
      the stretch of the same length just before `begins`.
    - `interactions_per_day`: the log of how many times as many as in the week before.

    Everybody counts one in the first two, spread over what they took, since one person's
    interactions are alike. What cannot be told is left out.
    """
    taken = behaviour.by_person
    is_since = taken.times >= begins
    before, since = taken.take(~is_since), taken.take(is_since)
    if not len(before) or not len(since):
        return ()
    found = (
        _of_categories(behaviour, before, since),
        _of_unknown_items(before, since, begins),
        _of_rate(before, since, begins),
    )
    return tuple(one for one in found if one is not None)


def _of_categories(
    behaviour: "Behaviour", before: "Interactions", since: "Interactions"
) -> FeatureDrift:
    catalogue = behaviour.catalogue
    bins = catalogue.attributes.categories + 1
    count = len(catalogue.categories) + 1
    return drift_of_counts(
        "categories",
        _each_person_one(before, bins[before.items], count),
        _each_person_one(since, bins[since.items], count),
    )


def _of_unknown_items(
    before: "Interactions", since: "Interactions", begins: float
) -> FeatureDrift | None:
    window_begins = begins - (float(since.times.max()) - begins)
    is_earlier = before.times < window_begins
    earlier, window = before.take(is_earlier), before.take(~is_earlier)
    if not len(earlier) or not len(window):
        return None
    then = _each_person_one(window, _is_new(window, earlier), 2)
    now = _each_person_one(since, _is_new(since, before), 2)
    drift = drift_of_counts("unknown_items", then, now, UNKNOWN_ITEMS_LIMIT)
    has_risen = now[1] / now.sum() > then[1] / then.sum()
    return drift if has_risen else replace(drift, index=0.0)


def _is_new(taken: "Interactions", earlier: "Interactions") -> "NDArray[np.int64]":
    """1 where an item was not taken earlier by anybody."""
    is_new = earlier.item_counts()[taken.items] == 0
    return np.asarray(is_new, dtype=np.int64)


def _of_rate(
    before: "Interactions", since: "Interactions", begins: float
) -> FeatureDrift | None:
    first = max(float(before.times.min()), begins - _DAYS_BEFORE * _DAY)
    window = before.take(before.times >= first)
    days_before = (begins - first) / _DAY
    days_since = (float(since.times.max()) - begins) / _DAY
    if min(days_before, days_since) < _LEAST_DAYS or not len(window):
        return None
    ratio = (len(since) / days_since) / (len(window) / days_before)
    people = [len(np.unique(part.owners)) for part in (window, since)]
    # The log of a ratio of two counts has about the variance 1/n + 1/m.
    by_chance = sqrt(index_by_chance(1, *people))
    return FeatureDrift("interactions_per_day", abs(log(ratio)), by_chance, RATE_LIMIT)


def _each_person_one(
    taken: "Interactions", bins: "NDArray[np.integer]", bin_count: int
) -> "NDArray[np.float64]":
    """Counts of bins in which everybody has a weight of 1 in all."""
    weights = 1 / np.bincount(taken.owners)[taken.owners]
    counts = np.bincount(bins, weights, minlength=bin_count)
    return counts.astype(np.float64)
