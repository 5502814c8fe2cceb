"""A home with a release of few feature rows, and a feature repository of its own.

Belongs here: what the tests of the online store share. The views are small on purpose:
one field tells which release a value is from, another which version of the view.
"""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.settings import Settings
from tests.releases import SCHEMAS

T = TypeVar("T")

NOON = datetime(2026, 3, 2, 12)
TABLE = "ftr_visitor__activity_1h"
COUNTS = tuple(
    name for name, kind in SCHEMAS[TABLE].items() if name.endswith(("_1h",)) and kind
)


def activity(
    visitor: str, minutes: float, value: int, created: float | None = None
) -> dict[str, Any]:
    """A row that became known `minutes` after noon; every feature is `value`."""
    return {
        "visitor_id": visitor,
        "event_timestamp": NOON + timedelta(minutes=minutes),
        "created_timestamp": NOON
        + timedelta(minutes=minutes if created is None else created),
        **dict.fromkeys(COUNTS, value),
        "engaged_seconds_1h": float(value),
    }


def write_table(
    release: Path,
    rows: Sequence[Mapping[str, Any]],
    table: str = TABLE,
    without: str | None = None,
) -> None:
    """Writes `rows` as `table` of `release`, with the columns of the published one."""
    columns = {
        name: pa.array([row.get(name) for row in rows], kind)
        for name, kind in SCHEMAS[table].items()
        if name != without
    }
    release.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), release / f"{table}.parquet")


def new_release(
    settings: Settings, release_id: str, rows: Sequence[Mapping[str, Any]]
) -> Path:
    """A release with one feature table, published."""
    release = settings.releases / release_id
    write_table(release, rows)
    publish(settings, release)
    return release


def publish(settings: Settings, release: Path) -> None:
    settings.published.unlink(missing_ok=True)
    settings.published.symlink_to(Path(release.parent.name) / release.name)


def view_source(
    name: str, fields: Iterable[str], alias: str | None = None, dtype: str = "Int64"
) -> str:
    """Python that defines a view on the one-hour table, and its name in a service."""
    schema = "".join(f"        Field(name={f!r}, dtype={dtype}),\n" for f in fields)
    return (
        f"{name} = FeatureView(\n"
        f"    name={name!r},\n    entities=[visitor],\n    ttl=timedelta(days=36_500),\n"
        "    schema=[\n        Field(name='visitor_id', dtype=String),\n"
        f"{schema}    ],\n    source=one_hour,\n)\n"
    )


def write_feature_repo(
    folder: Path, views: Mapping[str, Sequence[str]], service: Sequence[str]
) -> Path:
    """A repository with `views` (name to fields); its service takes some of them."""
    folder.mkdir(parents=True, exist_ok=True)
    head = textwrap.dedent(
        """
        import os
        from datetime import timedelta
        from feast import Entity, FeatureService, FeatureView, Field, FileSource
        from feast import ValueType
        from feast.types import Float64, Int64, String

        visitor = Entity(
            name="visitor", join_keys=["visitor_id"], value_type=ValueType.STRING
        )
        one_hour = FileSource(
            name="ftr_visitor__activity_1h",
            path=os.environ["NEARLINE_HOME"]
            + "/published/ftr_visitor__activity_1h.parquet",
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        """
    )
    body = "".join(view_source(name, fields) for name, fields in views.items())
    taken = ", ".join(f"{view}.with_name('activity')" for view in service)
    tail = f"features_v1 = FeatureService(name='features_v1', features=[{taken}])\n"
    (folder / "features.py").write_text(head + body + tail)
    return folder


def in_another_process(script: str, *arguments: str) -> Any:
    """What `script` prints as JSON, run by a Python that gets nothing from us."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


_KEPT: list[object] = []


def kept(store: T) -> T:
    """The Feast store, kept until the process ends.

    Feast caches views for the whole process by the address of the registry that it has
    read: were one freed, another test's could come to lie there and be taken for it.
    """
    _KEPT.append(store)
    return store
