"""The ASOF join of historical retrieval gives what Feast's own DuckDB store gives."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RepoConfig,
    ValueType,
)
from feast.types import Int64, String

from nearline.training.asof_store import TYPE

NOON = datetime(2026, 3, 2, 12)
_COLUMNS = {
    "visitor_id": pa.string(),
    "item_id": pa.string(),
    "event_timestamp": pa.timestamp("us"),
    "created_timestamp": pa.timestamp("us"),
    "first": pa.int64(),
    "second": pa.string(),
}

Row = tuple[str, str, int, int, int | None]


def answers(
    folder: Path, store_type: str, asked: pd.DataFrame, **options: bool
) -> list:
    """What a store of this type says of `folder`'s rows, in the order asked."""
    (folder / store_type).mkdir()
    store = FeatureStore(
        config=RepoConfig(
            project="trial",
            provider="local",
            registry=str(folder / store_type / "registry.db"),
            offline_store={"type": store_type},
            online_store={"type": "sqlite", "path": str(folder / store_type / "o.db")},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    source = FileSource(
        name="rows",
        path=str(folder / "rows.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    visitor = Entity(
        name="visitor", join_keys=["visitor_id"], value_type=ValueType.STRING
    )
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)
    fields = [Field(name="first", dtype=Int64), Field(name="second", dtype=String)]
    view = FeatureView(
        name="of_pair",
        entities=[visitor, item],
        ttl=timedelta(minutes=40),
        schema=[
            Field(name="visitor_id", dtype=String),
            Field(name="item_id", dtype=String),
            *fields,
        ],
        source=source,
    )
    forever = FeatureView(
        name="of_pair_forever",
        entities=[visitor, item],
        ttl=timedelta(0),
        schema=view.schema,
        source=source,
    )
    service = FeatureService(name="both", features=[view, forever])
    store.apply([visitor, item, source, view, forever, service])
    found = store.get_historical_features(
        entity_df=asked, features=service, full_feature_names=True, **options
    ).to_df()
    found = found.sort_values("row")
    names = ["of_pair__first", "of_pair__second"]
    names += ["of_pair_forever__first", "of_pair_forever__second"]
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in found[names].itertuples(index=False)
    ]


def write_rows(folder: Path, rows: list[Row]) -> None:
    columns = list(zip(*rows, strict=True))
    moments = [
        [NOON + timedelta(minutes=minute) for minute in column]
        for column in columns[2:4]
    ]
    values = [*columns[:2], *moments, columns[4], [f"s{value}" for value in columns[4]]]
    pq.write_table(
        pa.table(
            [
                pa.array(column, kind)
                for column, kind in zip(values, _COLUMNS.values(), strict=True)
            ],
            names=list(_COLUMNS),
        ),
        folder / "rows.parquet",
    )


def moments_asked(rows: list[tuple[str, str, int]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": range(len(rows)),
            "visitor_id": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "event_timestamp": pd.to_datetime(
                [NOON.replace(tzinfo=UTC) + timedelta(minutes=row[2]) for row in rows]
            ),
        }
    )


@pytest.mark.parametrize("waits_for_creation", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_any_question_has_the_answer_of_feasts_own_join(
    tmp_path: Path, seed: int, waits_for_creation: bool
) -> None:
    rng = random.Random(seed)

    def pair() -> tuple[str, str]:
        return rng.choice("abc"), rng.choice("xy")

    # Crowded, so that event times, creations and both at once coincide; at equal times
    # of both no order is promised, so each such pair is there once.
    drawn = {
        (*pair(), minute, minute + rng.choice([-5, 0, 0, 0, 3, 30, 90]))
        for minute in (rng.randint(0, 60) for _ in range(150))
    }
    rows = [
        (*key, None if rng.random() < 0.1 else number)
        for number, key in enumerate(sorted(drawn))
    ]
    write_rows(tmp_path, rows)
    asked = moments_asked([(*pair(), rng.randint(-10, 170)) for _ in range(300)])
    options = {"filter_by_created_timestamp": waits_for_creation}
    expected = answers(tmp_path, "duckdb", asked, **options)
    assert answers(tmp_path, TYPE, asked, **options) == expected
    assert {value is None for answer in expected for value in answer} == {True, False}


def test_a_row_known_after_a_newer_one_is_never_the_answer(tmp_path: Path) -> None:
    write_rows(tmp_path, [("a", "x", 0, 30, 1), ("a", "x", 10, 10, 2)])
    asked = moments_asked([("a", "x", minute) for minute in (5, 10, 29, 30, 51)])
    found = answers(tmp_path, TYPE, asked, filter_by_created_timestamp=True)
    assert [row[0] for row in found] == [None, 2, 2, 2, None]
    assert [row[2] for row in found] == [None, 2, 2, 2, 2]
