"""What a release takes along for `nearline live`: its SQL, facts by visitor, timers.

`live/features.json` holds the compiled SQL of each feature model, `live/facts.parquet`
the facts that it reads, ordered by visitor so that one visitor's are found fast,
`live/accounts.parquet` which visitors are of an account, and `live/timers.parquet` when
values change next if nothing arrives. Nobody else reads them.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.feature_views import join_key
from nearline.sql_text import literal

if TYPE_CHECKING:
    import duckdb

FOLDER = "live"
FACTS, CLOCK = "int_events__feature_facts", "int_features__clock"
ARRIVALS, ARRIVED_FACTS = "live_arrivals", "live_feature_facts"
SUPPRESSED = "stg_privacy__suppressed_keys"
UNLINKS, ACCOUNTS = "stg_identity__unlinks", "live_accounts"
"""Relations by the names that the compiled SQL has for them."""

# Visitors are looked up by hundreds: a group is what is read for one.
_ROWS_A_GROUP = 4_096
_SQL_TABLE = "live_sql"


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model's compiled SQL, in which relations have bare names, and its dbt meta."""

    name: str
    sql: str
    meta: dict[str, Any]

    @property
    def is_kept_live(self) -> bool:
        """Whether its view promises live values; what a run alone can tell has none."""
        view = self.meta.get("feature_view", {})
        return view.get("freshness_seconds") is not None


def facts_file(release: Path) -> Path:
    return release / FOLDER / "facts.parquet"


def accounts_file(release: Path) -> Path:
    return release / FOLDER / "accounts.parquet"


def timers_file(release: Path) -> Path:
    return release / FOLDER / "timers.parquet"


def read_live_models(release: Path) -> dict[str, LiveModel]:
    """The models of a release by name; none where it was written without them."""
    path = release / FOLDER / "features.json"
    if not path.exists():
        return {}
    return {model["name"]: LiveModel(**model) for model in json.loads(path.read_text())}


def write_live_files(warehouse: "duckdb.DuckDBPyConnection", draft: Path) -> None:
    """Writes the folder `live/` of a release from the warehouse.

    Writes none where the warehouse was built before there was any of this.
    """
    tables = warehouse.execute(
        "select 1 from duckdb_tables() where table_name = ? "
        "and schema_name = current_schema()",
        [_SQL_TABLE],
    ).fetchall()
    if not tables:
        return
    models = [
        LiveModel(name, sql, json.loads(meta))
        for name, sql, meta in warehouse.execute(
            f"select model, compiled, meta from {_SQL_TABLE} order by model"
        ).fetchall()
    ]
    folder = draft / FOLDER
    folder.mkdir()
    warehouse.execute(
        f"copy (select * exclude (change_seq) from {FACTS} "
        f"order by visitor_id, received_at, event_id) to {literal(facts_file(draft))} "
        f"(format parquet, compression zstd, row_group_size {_ROWS_A_GROUP})"
    )
    warehouse.execute(
        f"copy (select distinct user_id, visitor_id from {ACCOUNTS} where is_of_the_last "
        f"order by user_id, visitor_id) to {literal(accounts_file(draft))} "
        f"(format parquet, compression zstd, row_group_size {_ROWS_A_GROUP})"
    )
    _write_timers(warehouse, draft, models)
    text = json.dumps([asdict(model) for model in models], indent=1)
    (folder / "features.json").write_text(text + "\n")


def _write_timers(
    warehouse: "duckdb.DuckDBPyConnection", draft: Path, models: list[LiveModel]
) -> None:
    """Runs every live model from the last arrival on: its first later row is a timer."""
    warehouse.execute(
        f"create or replace temp view {CLOCK} as "
        "select max(received_at) as known_from, "
        f"timestamp '9999-01-01' as known_up_to from {FACTS}"
    )
    warehouse.execute(
        "create or replace temp table timers "
        "(model varchar, entity_id varchar, due_at timestamp)"
    )
    for model in models:
        if model.is_kept_live:
            key = join_key(model.meta["feature_view"]["entity"])
            warehouse.execute(
                f"insert into timers select '{model.name}', {key}, "
                f"min(event_timestamp) from ({model.sql}) "
                f"where event_timestamp > (select known_from from {CLOCK}) "
                f"group by {key}"
            )
    warehouse.execute(
        f"copy timers to {literal(timers_file(draft))} (format parquet, compression zstd)"
    )
    warehouse.execute("drop table timers")
    warehouse.execute(f"drop view {CLOCK}")
