"""Feature models as SQL over facts and a clock of the test's own, as live runs them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

Row = dict[str, Any]

FACTS, CLOCK = "int_events__feature_facts", "int_features__clock"
FAR_FUTURE = datetime(9999, 1, 1)

_RELATION = re.compile(rf'(?:"[^"]+"\.){{1,2}}"({FACTS}|{CLOCK})"')
_ANY_RELATION = re.compile(r'"[^"]+"\."[^"]+"\."([^"]+)"')


@dataclass(frozen=True)
class FeatureSql:
    """A feature model's compiled SQL, whose relations have the bare names above."""

    model: str
    sql: str

    @property
    def entity(self) -> str:
        return f"{self.model.removeprefix('ftr_').split('__')[0]}_id"

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


def compiled_features(target: Path) -> list[FeatureSql]:
    """All feature models, as dbt compiled them last into its folder `target`."""
    manifest = json.loads((target / "manifest.json").read_text())
    found = []
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model" and node["name"].startswith("ftr_"):
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
