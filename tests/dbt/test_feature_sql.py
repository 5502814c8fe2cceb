"""Feature models against brute force and against themselves run live."""

import bisect
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.dbt.feature_sql import (
    FACTS,
    FAR_FUTURE,
    FeatureSql,
    approximate,
    by_entity,
    compiled_features,
    connect,
    table_rows,
    until_next_arrival,
    values,
)
from tests.dbt.random_facts import TYPES, random_facts
from tests.dbt.reference_features import (
    ONE_DAY,
    ONE_HOUR,
    SEVEN_DAYS,
    THIRTY_DAYS,
    cart_at,
    distincts_at,
    intent_at,
    item_activity_at,
    item_trend_at,
    recency_at,
    recent_at,
    session_at,
)
from tests.dbt.warehouse import Warehouse

Row = dict[str, Any]

_HOURLY = timedelta(hours=1)
REFERENCES: dict[str, Callable[[Iterable[Row], datetime], Row]] = {
    "ftr_item__activity_1h": partial(
        item_activity_at, window=ONE_HOUR, tile=timedelta(minutes=5)
    ),
    "ftr_item__activity_24h": partial(item_activity_at, window=ONE_DAY, tile=_HOURLY),
    "ftr_item__activity_7d": partial(item_activity_at, window=SEVEN_DAYS, tile=_HOURLY),
    "ftr_item__activity_30d": partial(
        item_activity_at, window=THIRTY_DAYS, tile=_HOURLY
    ),
    "ftr_item__trend": item_trend_at,
    "ftr_visitor__cart": cart_at,
    "ftr_visitor__distincts_7d": partial(distincts_at, window=SEVEN_DAYS),
    "ftr_visitor__distincts_30d": partial(distincts_at, window=THIRTY_DAYS),
    "ftr_visitor__intent": intent_at,
    "ftr_visitor__recency": recency_at,
    "ftr_visitor__recent": recent_at,
    "ftr_visitor__session": session_at,
}
SEEDS = range(6)

_MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture(scope="module")
def features(in_pieces: Warehouse) -> dict[str, FeatureSql]:
    """By model; those of persons have tests of their own."""
    return {
        feature.model: feature
        for feature in compiled_features(in_pieces)
        if not feature.is_of_persons
    }


@pytest.fixture(scope="module")
def shop_facts(in_pieces: Warehouse) -> list[Row]:
    return in_pieces.rows(f"select {', '.join(TYPES)} from {FACTS}")


@pytest.mark.parametrize("model", REFERENCES)
@pytest.mark.parametrize("seed", SEEDS)
def test_facts_in_any_order_give_the_brute_force_value(
    features: dict[str, FeatureSql], model: str, seed: int
) -> None:
    facts = random_facts(random.Random(seed))
    with connect(facts) as connection:
        rows = table_rows(connection, features[model], facts)
    assert rows
    check_against(REFERENCES[model], features[model], facts, rows, random.Random(seed))


@pytest.mark.parametrize("model", REFERENCES)
def test_facts_of_a_shop_give_the_brute_force_value(
    in_pieces: Warehouse,
    features: dict[str, FeatureSql],
    shop_facts: list[Row],
    model: str,
) -> None:
    rng = random.Random(4)
    feature = features[model]
    rows = by_entity(
        feature.entity,
        in_pieces.rows(f"select * from {model} order by event_timestamp"),
    )
    chosen = set(rng.sample(sorted(rows), min(40, len(rows))))
    facts = [fact for fact in shop_facts if fact[feature.entity] in chosen]
    assert sum(len(rows[entity]) for entity in chosen) > 20
    check_against(REFERENCES[model], feature, facts, rows, rng)


@pytest.mark.parametrize("seed", SEEDS)
def test_live_clock_over_facts_in_any_order_gives_the_rows_of_the_table(
    features: dict[str, FeatureSql], seed: int
) -> None:
    facts = random_facts(random.Random(seed))
    for feature in features.values():
        assert compare_live(feature, facts, random.Random(seed), moments=12) > 10


def test_live_clock_over_a_shop_gives_the_rows_of_the_table(
    features: dict[str, FeatureSql], shop_facts: list[Row]
) -> None:
    for feature in features.values():
        assert compare_live(feature, shop_facts, random.Random(5), moments=8) > 10


def check_against(
    reference: Callable[[Iterable[Row], datetime], Row],
    feature: FeatureSql,
    facts: Sequence[Row],
    rows: dict[str, list[Row]],
    rng: random.Random,
) -> None:
    """Every row, and the values at moments between rows, are the reference's."""
    received_up_to = max(fact["received_at"] for fact in facts)
    own_facts = by_entity(feature.entity, facts)
    own_facts.pop(None, None)
    for entity, own in own_facts.items():
        moments = [row["event_timestamp"] for row in rows.get(entity, [])]
        assert moments == sorted(set(moments)), entity
        nothing = reference([], received_up_to)
        first = min(fact["received_at"] for fact in own) - timedelta(minutes=1)
        between = [first + rng.random() * (received_up_to - first) for _ in range(10)]
        arrivals = [fact["received_at"] for fact in rng.sample(own, min(len(own), 20))]
        for t in moments + between + arrivals:
            place = bisect.bisect_right(moments, t) - 1
            value = values(rows[entity][place], feature) if place >= 0 else nothing
            assert value == approximate(reference(own, t)), (entity, t)


def compare_live(
    feature: FeatureSql, facts: Sequence[Row], rng: random.Random, moments: int
) -> int:
    """Runs the SQL as live does, at moments drawn; how many rows were compared.

    At T there are the facts that arrived until T, of some entities. The newest row at T
    is the table's; so are all later rows until something more arrives.
    """
    compared = 0
    with connect(facts) as connection:
        table = table_rows(connection, feature, facts)
        received_up_to = max(fact["received_at"] for fact in facts)
        own = by_entity(feature.entity, facts)
        stamps = [row["event_timestamp"] for rows in table.values() for row in rows]
        stamps += [fact["received_at"] for fact in facts]
        for _ in range(moments):
            now = rng.choice(stamps) + rng.choice((0, 0, -1, 1, 1000)) * _MILLISECOND
            chosen = rng.sample(sorted(filter(None, own)), max(1, 2 * len(table) // 3))
            connection.execute("create or replace temp table chosen (entity varchar)")
            connection.executemany(
                "insert into chosen values (?)", [[entity] for entity in chosen]
            )
            connection.execute(
                f"create or replace temp view {FACTS} as select * from all_facts "
                f"where received_at <= timestamp '{now}' "
                f"and {feature.entity} in (select entity from chosen)"
            )
            live = feature.rows(connection, now, FAR_FUTURE)
            for entity in chosen:
                arrivals = [fact["received_at"] for fact in own[entity]]
                until = min(
                    (moment for moment in arrivals if moment > now),
                    default=received_up_to + _MILLISECOND,
                )
                expected = until_next_arrival(table.get(entity, []), now, until)
                found = until_next_arrival(live.get(entity, []), now, until)
                assert found == expected, (feature.model, entity, now)
                compared += len(found)
    return compared
