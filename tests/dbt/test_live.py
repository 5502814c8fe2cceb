"""What is online after any micro-batches is what the tables say of that very moment.

Histories of Hypothesis arrive in the log. A part is in the release that the processor
hangs on, the others come in micro-batches of any size, over restarts and a second
release; after each stretch everything is read as an app reads it. The tables, built from
the whole log at the end, are the yardstick: their newest row up to the moment is what
must have been online. The processor runs the tables' own SQL, so what is proved here is
that no fact is lost, doubled or unseen; that the tables are right is `test_features`.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nearline.feature_views import find_feature_views
from nearline.landing.from_log import land_log
from nearline.live.processor import Processor
from nearline.live.views import live_views
from nearline.online.definitions import FEATURE_REPO, load_definitions
from nearline.publication.live_files import read_live_models
from tests.dbt.histories import draw_histories, placed
from tests.dbt.nasty_visitors import DAY, moment
from tests.dbt.reference_sessions import parse
from tests.dbt.warehouse import DBT_PROJECT, Warehouse

Row = dict[str, Any]

HISTORIES = 120
STRETCHES = 14
KNOWN_FOR = timedelta(days=90)
"""The views' limit."""

_TIMES = ("occurred_at", "sent_at", "received_at")


@dataclass(frozen=True)
class Reading:
    """What an app read at a moment, by view and entity."""

    at: datetime
    values: dict[str, dict[str, Row]]


@dataclass
class Site:
    """A home whose log is filled by hand and whose clock stands still."""

    warehouse: Warehouse
    now: datetime

    def publish(self, name: str) -> None:
        land_log(self.warehouse.settings)
        self.warehouse.publish(name, self.now)

    def processor(self, max_records: int) -> Processor:
        return Processor(
            self.warehouse.settings,
            clock=lambda: self.now,
            max_records=max_records,
            settling=timedelta(0),
        )


def in_order_of_arrival(count: int, seed: int) -> list[Row]:
    """Rows of many histories that begin at about the same time.

    What the batch alone can tell is left out: heartbeats, and a later version of an event
    that says something else than the first (which of two wins is told by their content).
    """
    rng = random.Random(seed)
    rows: list[Row] = []
    for number, history in enumerate(draw_histories(count, seed)):
        arrivals = [arrival.row for arrival in placed(history, number)]
        first = min(parse(row["occurred_at"]) for row in arrivals)
        shift = DAY + timedelta(seconds=rng.randrange(7_200)) - first
        rows += [
            row
            | {
                name: moment(parse(row[name]) + shift)
                for name in _TIMES
                if row.get(name) is not None
            }
            for row in arrivals
            if row["source"] != "snowplow"
        ]
    rows.sort(key=lambda row: (row["received_at"], row["event_id"]))
    said: dict[str, Row] = {}
    kept = []
    for row in rows:
        content = {name: value for name, value in row.items() if name != "received_at"}
        if said.setdefault(row["event_id"], content) == content:
            kept.append(row)
    return kept


@pytest.fixture(scope="module")
def site(homes: Path, target: Path) -> Site:
    return Site(Warehouse(homes / "live", target), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def readings(site: Site) -> list[Reading]:
    rng = random.Random(8)
    rows = in_order_of_arrival(HISTORIES, 41)
    cuts = sorted(rng.sample(range(len(rows) // 3, len(rows)), STRETCHES))
    site.now = _received(rows[cuts[0] - 1])
    site.warehouse.arrive(rows[: cuts[0]])
    site.publish("20260101T000000Z")
    found = []
    processor = site.processor(5_000)
    try:
        for number, (start, end) in enumerate(_stretches([*cuts, len(rows)])):
            site.warehouse.arrive(rows[start:end])
            site.now = _received(rows[end - 1])
            if end < len(rows):
                idle = (_received(rows[end]) - site.now) * rng.random()
                site.now += min(idle, timedelta(days=3))
            if number % 3 == 1:
                processor.__exit__(None, None, None)
                processor = site.processor(rng.randint(3, 200))
            if number == STRETCHES // 2:
                site.publish("20260102T000000Z")
            while not processor.run_batch().is_idle:
                pass
            assert processor.views_off == frozenset()
            assert processor.lag() == 0
            found.append(Reading(site.now, read_everything(site, rows)))
    finally:
        processor.__exit__(None, None, None)
    site.publish("20260103T000000Z")
    return found


def _stretches(cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    yield from itertools.pairwise(cuts)


def _received(row: Row) -> datetime:
    return parse(row["received_at"]).replace(tzinfo=UTC)


def read_everything(site: Site, rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Every feature of every entity through Feast, by view and entity."""
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(site.warehouse.settings.online))
    found: dict[str, dict[str, Row]] = {}
    for view in store.list_feature_views():
        key = store.get_entity(view.entities[0]).join_key
        ids = sorted({row[key] for row in rows if row.get(key)})
        answer = store.get_online_features(
            features=[f"{view.name}:{field.name}" for field in view.features],
            entity_rows=[{key: entity_id} for entity_id in ids],
        ).to_dict()
        names = [field.name for field in view.features]
        found[Path(view.batch_source.path).stem] = {
            entity_id: {name: answer[name][place] for name in names}
            for place, entity_id in enumerate(ids)
        }
    return found


def test_what_is_online_equals_the_table_at_that_moment(
    site: Site, readings: list[Reading]
) -> None:
    compared = differing = 0
    told: list[str] = []
    # What runs alone tell is read from a run on, not from the moment that it speaks of.
    views = [view for view in find_feature_views(DBT_PROJECT) if view.is_kept_live]
    for table, key in {view.model: view.join_key for view in views}.items():
        for reading in readings:
            at = reading.at.replace(tzinfo=None)
            wanted = {
                row.pop(key): row
                for row in site.warehouse.rows(
                    f"select * exclude (event_timestamp, created_timestamp) from {table} "
                    f"where event_timestamp <= timestamp '{at}' qualify row_number() "
                    f"over (partition by {key} order by event_timestamp desc) = 1 "
                    f"and event_timestamp >= timestamp '{at - KNOWN_FOR}'"
                )
            }
            for entity_id, values in reading.values[table].items():
                nothing = dict.fromkeys(values)
                row = {
                    name: _as_served(value)
                    for name, value in wanted.get(entity_id, nothing).items()
                }
                compared += any(value is not None for value in row.values())
                if values != row:
                    differing += 1
                    told.append(f"{table} {entity_id} {at}: {values} wanted {row}")
    assert compared > 5_000
    assert differing == 0, f"{differing} of {compared}:\n" + "\n".join(told[:5])


@pytest.mark.usefixtures("readings")
def test_what_models_say_word_for_word_is_made_once(site: Site) -> None:
    settings = site.warehouse.settings
    definitions = load_definitions(FEATURE_REPO, settings.home, DBT_PROJECT)
    views = live_views(definitions, read_live_models(settings.published))
    sharing = defaultdict(set)
    for view in views:
        for name in view.shared:
            sharing[name].add(view.model.name)

    assert sorted(map(sorted, sharing.values())) == [
        sorted(view.model.name for view in views if view.is_of_persons),
        [
            "ftr_visitor__distincts_30d",
            "ftr_visitor__distincts_7d",
            "ftr_visitor__session",
        ],
    ]


def _as_served(value: Any) -> Any:
    """Feast gives times in whole seconds and UTC."""
    if isinstance(value, datetime):
        return value.replace(microsecond=0, tzinfo=UTC)
    return value
