"""Feature models as SQL over facts and a clock of the test's own, as live runs them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from nearline.feature_views import join_key
from tests.dbt.random_facts import TYPES
from tests.dbt.warehouse import Warehouse

Row = dict[str, Any]

FACTS, CLOCK = "int_events__feature_facts", "int_features__clock"
UNLINKS = "stg_identity__unlinks"
FAR_FUTURE = datetime(9999, 1, 1)

_CLOCK_COLUMNS = ("event_timestamp", "created_timestamp")
_RELATION = re.compile(rf'(?:"[^"]+"\.){{1,2}}"({FACTS}|{CLOCK}|{UNLINKS})"')
_ANY_RELATION = re.compile(r'"[^"]+"\."[^"]+"\."([^"]+)"')


@dataclass(frozen=True)
class FeatureSql:
    """A feature model's compiled SQL, whose relations have the bare names above."""

    model: str
    sql: str

    @property
    def is_of_persons(self) -> bool:
        return self._kind == "person"

    @property
    def entity(self) -> str:
        """The key of its rows; a person's are kept under each of its visitors."""
        return join_key(self._kind)

    @property
    def _kind(self) -> str:
        return self.model.removeprefix("ftr_").split("__")[0]

    def rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        known_from: datetime | None,
        known_up_to: datetime,
    ) -> dict[str, list[Row]]:
        """Rows by entity, in their order, over the connection's table of facts."""
        connection.execute(
            f"create or replace temp table {CLOCK} as "
            "select cast(? as timestamp) as known_from, ? as known_up_to",
            [known_from, known_up_to],
        )
        return by_entity(
            self.entity,
            fetch(connection, f"select * from ({self.sql}) order by event_timestamp"),
        )


def compiled_features(warehouse: Warehouse) -> list[FeatureSql]:
    """All feature models that are kept live, as dbt compiles them for a warehouse."""
    warehouse.dbt(
        "compile", "--quiet", "--write-json", "--select", "path:models/features"
    )
    manifest = json.loads((warehouse.target / "manifest.json").read_text())
    found = []
    for node in manifest["nodes"].values():
        view = node["config"].get("meta", {}).get("feature_view") or {}
        if node["resource_type"] == "model" and view.get("freshness_seconds"):
            sql = _RELATION.sub(r"\1", node["compiled_code"])
            assert not _ANY_RELATION.findall(sql), node["name"]
            found.append(FeatureSql(node["name"], sql))
    return sorted(found, key=lambda feature: feature.model)


def fetch(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found = connection.execute(query)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def by_entity(entity: str, rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[entity]].append(row)
    return found


def connect(facts: Sequence[Row]) -> duckdb.DuckDBPyConnection:
    """A database of its own that holds these facts; nobody was unlinked."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    columns = {name: [fact[name] for fact in facts] for name in TYPES}
    connection.register("given", pa.table(columns))
    typed = ", ".join(
        f"cast({name} as {kind}) as {name}" for name, kind in TYPES.items()
    )
    connection.execute(f"create table all_facts as select {typed} from given")
    connection.execute(f"create view {FACTS} as select * from all_facts")
    connection.execute(
        f"create table {UNLINKS} (identifier_type varchar, identifier varchar, "
        "other_identifier_type varchar, other_identifier varchar, unlinked_at timestamp)"
    )
    return connection


def table_rows(
    connection: duckdb.DuckDBPyConnection, feature: FeatureSql, facts: Sequence[Row]
) -> dict[str, list[Row]]:
    """The model as a table: all rows up to the last arrival."""
    return feature.rows(connection, None, max(fact["received_at"] for fact in facts))


def until_next_arrival(rows: list[Row], now: datetime, until: datetime) -> list[Row]:
    """The newest row at `now`, and those after it before `until`."""
    past = [row for row in rows if row["event_timestamp"] <= now]
    return past[-1:] + [row for row in rows if now < row["event_timestamp"] < until]


def values(row: Row, feature: FeatureSql) -> Row:
    keys = (*_CLOCK_COLUMNS, feature.entity)
    return {name: value for name, value in row.items() if name not in keys}


def approximate(expected: Row) -> Row:
    return {
        name: pytest.approx(value) if isinstance(value, float) else value
        for name, value in expected.items()
    }
