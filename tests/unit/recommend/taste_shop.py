"""Many people with a plain taste, over ten days: enough to judge lists by.

Everybody likes one of three groups of ten items, each a category of its own. On each of
the days they are there they take an item of it that they had not; one in four of another.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from nearline.recommend.catalogue import SCHEMA, Catalogue, catalogue_of
from nearline.recommend.learning import Behaviour
from nearline.recommend.warehouse import behaviour_of
from tests.unit.recommend.fashion_shop import DAY, START

GROUPS, ITEMS_OF_A_GROUP, DAYS = 3, 10, 10

Row = dict[str, object]


def group_of(item: int) -> int:
    return item // ITEMS_OF_A_GROUP


def taste_catalogue(
    name: Callable[[int], str] = "i{:02}".format, first: str | None = None
) -> Catalogue:
    """Items by their names, and one more, `first`, of no category."""
    rows: list[Row] = [{"item_id": first}] if first else []
    rows += [
        {"item_id": name(n), "category": f"group {group_of(n)}", "first_seen": START}
        for n in range(GROUPS * ITEMS_OF_A_GROUP)
    ]
    return catalogue_of(pa.Table.from_pylist(rows, SCHEMA))


def taste_rows(people: int = 90, days: int = DAYS, seed: int = 0) -> list[Row]:
    """Who took what when, in order of time; a person is there on half of the days."""
    rng = np.random.default_rng(seed)
    liked = [
        rng.permutation(ITEMS_OF_A_GROUP) + ITEMS_OF_A_GROUP * (person % GROUPS)
        for person in range(people)
    ]
    rows: list[Row] = []
    for day in range(days):
        for person in np.flatnonzero(rng.random(people) < 0.5).tolist():
            stray = int(rng.integers(0, GROUPS * ITEMS_OF_A_GROUP))
            item = int(liked[person][day]) if rng.random() < 0.75 else stray
            at = START + day * DAY + float(rng.random()) * DAY
            rows.append(
                {
                    "person_id": f"p_{person:03}",
                    "session_id": f"s_{person:03}_{day}",
                    "item_id": f"i{item:02}",
                    "seconds": at,
                    "channel": "direct",
                }
            )
    return sorted(rows, key=lambda row: float(str(row["seconds"])))


def taste_behaviour(
    rows: list[Row] | None = None, catalogue: Catalogue | None = None
) -> Behaviour:
    table = pa.Table.from_pylist(taste_rows() if rows is None else rows)
    return behaviour_of(table, catalogue or taste_catalogue())
