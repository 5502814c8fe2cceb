"""A home with a release of a few small views, a log and a clock, without dbt.

The views are SQL of the same form as those that dbt compiles: a visitor's pages in five
minutes, which expire at once and not by hops, all pages of a person, who is whoever ever
signed in to the same account and was not unlinked from it, each item's views by the hour,
and a person's level, which runs alone tell.
That dbt's own SQL is run is for `tests/dbt/test_live.py`.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from nearline.live.processor import Batch, Processor
from nearline.log import EVENTS, NewRecord, open_log
from nearline.online.configuration import (
    clocked_configuration,
    reader_configuration,
)
from nearline.publication.live_files import (
    LiveModel,
    accounts_file,
    facts_file,
    timers_file,
)
from nearline.settings import Settings
from tests.releases import publish_with_live_sql

if TYPE_CHECKING:
    from feast import FeatureStore

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

_FACTS = """
select
    event_id, visitor_id, user_id, item_id, occurred_at, received_at,
    cast(event_name = 'page_view' as bigint) as page_view_count,
from live_arrivals as arrived
where consent_personalization and not exists (
    select 1 from stg_privacy__suppressed_keys as suppressed
    where (key_type = 'visitor' and key_value = visitor_id)
        or (key_type = 'user' and key_value = user_id)
)
"""

_PAGES = """
with changes as (
    select visitor_id, received_at as changed_at, received_at, page_view_count as pages
    from int_events__feature_facts
    union all
    select visitor_id, occurred_at + interval 5 minutes, null, -page_view_count
    from int_events__feature_facts
),
changed as (
    select visitor_id, changed_at, max(received_at) as received_at, sum(pages) as pages
    from changes, int_features__clock
    where changed_at <= known_up_to
    group by visitor_id, changed_at
)
select
    visitor_id,
    changed_at as event_timestamp,
    max(received_at) over so_far as created_timestamp,
    cast(sum(pages) over so_far as bigint) as pages_5m,
from changed
window so_far as (partition by visitor_id order by changed_at)
"""

_VIEWS = """
with tiled as (
    select item_id, received_at,
        epoch_ms((epoch_ms(received_at) + 3599999) // 3600000 * 3600000) as known_at
    from int_events__feature_facts
    where item_id is not null
)
select
    item_id,
    known_at as event_timestamp,
    max(received_at) as created_timestamp,
    cast(sum(count(*)) over (partition by item_id order by known_at) as bigint) as views,
from tiled
group by item_id, known_at
"""

_ACCOUNTS = """
select
    visitor_id, user_id, cast(null as timestamp) as ends_at, true as is_of_the_last
from int_events__feature_facts
where user_id is not null and not exists (
    select 1 from stg_identity__unlinks as unlinks
    where identifier = visitor_id and other_identifier = user_id
)
group by visitor_id, user_id
"""

_PAGES_OF_PERSONS = f"""
with accounts as ({_ACCOUNTS}),
members as (
    select distinct mine.visitor_id, theirs.visitor_id as member_id
    from accounts as mine inner join accounts as theirs using (user_id)
    union
    select visitor_id, visitor_id from int_events__feature_facts
)
select
    members.visitor_id,
    max(received_at) as event_timestamp,
    max(received_at) as created_timestamp,
    cast(sum(page_view_count) as bigint) as pages,
from members
inner join int_events__feature_facts as facts on members.member_id = facts.visitor_id
group by members.visitor_id
"""

MODELS = {
    "live_accounts": LiveModel("live_accounts", _ACCOUNTS, {}),
    "ftr_person__pages": LiveModel(
        "ftr_person__pages",
        _PAGES_OF_PERSONS,
        {"feature_view": {"freshness_seconds": 5}},
    ),
    "live_feature_facts": LiveModel("live_feature_facts", _FACTS, {}),
    "ftr_visitor__pages": LiveModel(
        "ftr_visitor__pages", _PAGES, {"feature_view": {"freshness_seconds": 5}}
    ),
    "ftr_item__views": LiveModel(
        "ftr_item__views",
        _VIEWS,
        {"feature_view": {"freshness_seconds": 3600, "tile_minutes": 60}},
    ),
    "ftr_person__level": LiveModel(
        "ftr_person__level",
        "select * from a_table_of_the_warehouse",
        {"feature_view": {"freshness_seconds": None}},
    ),
}

_DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Int64, String

visitor = Entity(name="visitor", join_keys=["visitor_id"], value_type=ValueType.STRING)
person = Entity(name="person", join_keys=["visitor_id"], value_type=ValueType.STRING)
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)


def _view(name, entity, key, feature, dtype=Int64):
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(days=2),
        schema=[Field(name=key, dtype=String), Field(name=feature, dtype=dtype)],
        source=FileSource(
            name=name,
            path=f"ftr_{name}.parquet",
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        ),
    )


pages = _view("visitor__pages", visitor, "visitor_id", "pages_5m")
views = _view("item__views", item, "item_id", "views")
person_pages = _view("person__pages", person, "visitor_id", "pages")
person_level = _view("person__level", person, "visitor_id", "level")
hats = _view("visitor__hats", visitor, "visitor_id", "hats", Array(String))
gloves = _view("visitor__gloves", visitor, "visitor_id", "gloves", Array(String))
"""


@dataclass
class SmallSite:
    """What a test does with it: events arrive, time passes, the processor runs."""

    settings: Settings
    feature_repo: Path
    now: datetime = NOON
    models: dict[str, LiveModel] = field(default_factory=lambda: dict(MODELS))

    def event(self, event_id: str, visitor: str, **fields: Any) -> dict[str, Any]:
        """A page view of now, with consent, unless said otherwise."""
        at = self.now.isoformat()
        return {
            "event_id": f"event_{event_id}",
            "event_name": "page_view",
            "schema_version": "1.2",
            "occurred_at": at,
            "received_at": at,
            "source": "web",
            "visitor_id": f"v_0000{visitor}",
            "consent_analytics": True,
            "consent_personalization": True,
            "consent_marketing": False,
            "consent_notice_version": "1",
        } | fields

    def arrive(self, *events: Mapping[str, Any] | bytes) -> None:
        with closing(open_log(self.settings, EVENTS)) as log:
            log.append(
                [
                    NewRecord(
                        "key",
                        event
                        if isinstance(event, bytes)
                        else json.dumps(event).encode(),
                    )
                    for event in events
                ]
            )

    def view_page(self, *ids: str, visitor: str = "ada") -> None:
        """Events by their ids, a second apart."""
        for event_id in ids:
            self.arrive(self.event(event_id, visitor))
            self.now += timedelta(seconds=1)

    def pass_time(self, **time: float) -> None:
        self.now += timedelta(**time)

    def release(
        self,
        name: str,
        facts: Sequence[Mapping[str, Any]] = (),
        position: int = 0,
        timers: Sequence[tuple[str, str, datetime]] = (),
    ) -> None:
        """Publishes a release that holds `facts`, all of the log before `position`."""
        folder = self.settings.releases / name
        (folder / "live").mkdir(parents=True)
        with duckdb.connect() as connection:
            connection.execute(
                "create table facts (event_id varchar, visitor_id varchar, "
                "user_id varchar, item_id varchar, occurred_at timestamp, "
                "received_at timestamp, page_view_count bigint)"
            )
            for fact in facts:
                connection.execute(
                    "insert into facts values (?, ?, ?, ?, ?, ?, ?)",
                    [
                        fact["event_id"],
                        fact["visitor_id"],
                        fact.get("user_id"),
                        fact.get("item_id"),
                        _naive(fact["occurred_at"]),
                        _naive(fact["received_at"]),
                        1,
                    ],
                )
            connection.execute(f"copy facts to '{facts_file(folder)}' (format parquet)")
            connection.execute(
                "copy (select distinct user_id, visitor_id from facts "
                f"where user_id is not null) to '{accounts_file(folder)}' "
                "(format parquet)"
            )
            connection.execute(
                "create table timers (model varchar, entity_id varchar, due_at timestamp)"
            )
            for model, entity_id, due_at in timers:
                connection.execute(
                    "insert into timers values (?, ?, ?)",
                    [model, entity_id, due_at.replace(tzinfo=None)],
                )
            connection.execute(
                f"copy timers to '{timers_file(folder)}' (format parquet)"
            )
        publish_with_live_sql(
            self.settings,
            folder,
            [asdict(model) for model in self.models.values()],
            self.now,
            position,
        )

    def processor(self, **options: Any) -> Processor:
        return Processor(
            self.settings,
            feature_repo=self.feature_repo,
            clock=lambda: self.now,
            **{"settling": timedelta(0), **options},
        )

    def process(self, **options: Any) -> list[Batch]:
        """A processor's life from its start until nothing is left."""
        with self.processor(**options) as processor:
            return run_until_idle(processor)

    def say_levels(self, **levels: int) -> None:
        """Writes what a run told of these visitors' persons now."""
        import pandas as pd

        moment = self.now.replace(tzinfo=None)
        self._store(is_clocked=True).write_to_online_store(
            "person__level",
            pd.DataFrame(
                {
                    "visitor_id": [f"v_0000{name}" for name in levels],
                    "level": list(levels.values()),
                    "event_timestamp": moment,
                    "created_timestamp": moment,
                }
            ),
        )

    def levels(self, *visitors: str) -> list[int | None]:
        return self.online("person__level", *(f"v_0000{name}" for name in visitors))

    def _store(self, is_clocked: bool = False) -> "FeatureStore":
        from feast import FeatureStore, RepoConfig

        from nearline.online.definitions import load_definitions

        self.settings.online.mkdir(exist_ok=True)
        read = reader_configuration(self.settings, 0)
        store = FeatureStore(
            config=RepoConfig(**(clocked_configuration(read) if is_clocked else read))
        )
        defined = load_definitions(self.feature_repo, self.settings.home)
        store.apply([*defined.entities, *defined.views], partial=True)
        return store

    def online(self, view: str, *ids: str) -> list[Any]:
        """The view's only feature of each entity, as a stock Feast client reads it."""
        store = self._store()
        found = store.get_feature_view(view)
        key = found.entity_columns[0].name
        answer = store.get_online_features(
            features=[f"{view}:{found.features[0].name}"],
            entity_rows=[{key: entity_id} for entity_id in ids],
        ).to_dict()
        return list(answer[found.features[0].name])

    def pages(self, *visitors: str) -> list[int | None]:
        return self.online("visitor__pages", *(f"v_0000{name}" for name in visitors))

    def person_pages(self, *visitors: str) -> list[int | None]:
        return self.online("person__pages", *(f"v_0000{name}" for name in visitors))


def run_until_idle(processor: Processor) -> list[Batch]:
    batches = []
    while not (batch := processor.run_batch()).is_idle:
        batches.append(batch)
    return batches


def small_site(home: Path, settings: Settings | None = None) -> SmallSite:
    """A site with an empty release published; `settings` are of the same home."""
    feature_repo = home.parent / "feature_repo"
    feature_repo.mkdir(exist_ok=True)
    (feature_repo / "definitions.py").write_text(_DEFINITIONS)
    site = SmallSite(settings or Settings(home=home), feature_repo)
    site.release("20260501T000000Z")
    return site


def _naive(moment: str) -> datetime:
    return datetime.fromisoformat(moment).astimezone(UTC).replace(tzinfo=None)
