"""One visitor's morning by hand: the same values live, in the table and in training."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nearline.landing.from_log import land_log
from nearline.live.processor import Processor
from nearline.training.sets import build_training_set
from tests.dbt.nasty_visitors import at, event
from tests.dbt.warehouse import Warehouse

Row = dict[str, Any]

ANN = "v_ann00001"
BEFORE = event("e_0", "v_ben00001", at("09:00"))
VIEWS = [event(f"e_{n}", ANN, at(f"10:0{n}")) for n in (1, 2, 3)]
LATE = event("e_4", ANN, at("10:02:30"), delay=timedelta(minutes=12, seconds=30))
AFTER = event("e_5", "v_ben00001", at("11:00"))

# Pages in five minutes and in an hour, and whether the session goes on, by the gap.
EXPECTED = {
    at("10:03:05"): (3, 3, {30: True, 10: True}),
    at("10:09:30"): (0, 3, {30: True, 10: True}),
    at("10:14:58"): (0, 3, {30: True, 10: False}),
    # The late view has come: known from now on, in the window in which it occurred.
    at("10:15:05"): (0, 4, {30: True, 10: False}),
    at("10:40:00"): (0, 4, {30: False, 10: False}),
}
FEATURES = ("page_view_count_5m", "page_view_count_1h", "is_session_active")


@pytest.mark.parametrize("gap", [30, 10])
def test_live_table_and_training_tell_the_same_of_every_moment(
    homes: Path, target: Path, tmp_path: Path, gap: int
) -> None:
    warehouse = Warehouse(homes / f"gap_{gap}", target)
    warehouse.arrive([BEFORE])
    release(warehouse, "20260902T100000Z", gap)

    live = serve(warehouse)
    warehouse.arrive([AFTER])
    release(warehouse, "20260902T120000Z", gap)

    expected = [(*row[:2], row[2][gap]) for row in EXPECTED.values()]
    assert live == expected
    assert in_tables(warehouse) == expected
    assert in_training(warehouse, tmp_path) == expected


def release(warehouse: Warehouse, name: str, gap: int) -> None:
    land_log(warehouse.settings)
    now = at("12:00").replace(tzinfo=UTC)
    warehouse.publish(name, now, "--vars", f"{{session_gap_minutes: {gap}}}")


def serve(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """What an app reads at each of the moments while events come in."""
    now = at("10:00").replace(tzinfo=UTC)
    to_come = [*VIEWS, LATE]
    found = []
    with Processor(
        warehouse.settings, clock=lambda: now, settling=timedelta(0)
    ) as processor:
        for moment in EXPECTED:
            now = moment.replace(tzinfo=UTC)
            while to_come and _received(to_come[0]) <= now:
                warehouse.arrive([to_come.pop(0)])
            while not processor.run_batch().is_idle:
                pass
            assert processor.views_off == frozenset()
            found.append(online(warehouse))
    return found


def _received(row: Row) -> datetime:
    return datetime.fromisoformat(row["received_at"])


def online(warehouse: Warehouse) -> tuple[Any, ...]:
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(warehouse.settings.online))
    answer = store.get_online_features(
        features=store.get_feature_service("visitor_features_v1"),
        entity_rows=[{"visitor_id": ANN}],
    ).to_dict()
    return tuple(answer[feature][0] for feature in FEATURES)


def in_tables(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    tables = ("activity_5m", "activity_1h", "session")
    return [
        tuple(
            warehouse.rows(
                f"select {feature} from ftr_visitor__{table} where visitor_id = '{ANN}' "
                f"and event_timestamp <= timestamp '{moment}' "
                "order by event_timestamp desc limit 1"
            )[0][feature]
            for feature, table in zip(FEATURES, tables, strict=True)
        )
        for moment in EXPECTED
    ]


def in_training(warehouse: Warehouse, folder: Path) -> list[tuple[Any, ...]]:
    labels, out = folder / "labels.csv", folder / "set.parquet"
    lines = [f"{ANN},{moment.isoformat()}\n" for moment in EXPECTED]
    labels.write_text("visitor_id,event_timestamp\n" + "".join(lines))
    now = at("12:00").replace(tzinfo=UTC)
    build_training_set(
        warehouse.settings, str(labels), "visitor_features_v1", out, now=now
    )
    columns = pq.read_table(out, columns=list(FEATURES)).to_pydict()
    return list(zip(*(columns[feature] for feature in FEATURES), strict=True))
