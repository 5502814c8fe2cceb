"""Scores of all who were seen lately, made with each run, for the online store.

Belongs here: who is scored again, on which features, and the file that dbt reads back. A
score is an observation: what was published is never made again, a run adds to it. Not
here: scoring in a request (`scoring`), which says the same of the same features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.feature_views import DescribedView, views_of_service
from nearline.models.loading import Champion, NoChampion, load_champion
from nearline.propensity.inputs import encode_table
from nearline.propensity.predictor import Predictor, read_predictor
from nearline.propensity.targets import SERVICE, TARGETS
from nearline.publication.tables import table_path
from nearline.replacement import replace_file
from nearline.sql_text import parquet_rows

if TYPE_CHECKING:
    import duckdb

TARGET = TARGETS["7d"]
"""What is scored ahead. Whether a session ends in a purchase is asked within it."""

PUBLISHED_TABLE = "ftr_visitor__propensity"
SCORES_FILE = Path("visitor_scores") / "visitor_scores.parquet"
"""Below the folder of models."""

RECENT = timedelta(days=30)
"""Who has not been seen for longer is scored no more: the longest window of a feature."""

RENEWED_AFTER = timedelta(days=1)
"""Ages of moments change a score, too, where nothing else does."""

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("visitor_id", pa.string(), nullable=False),
    pa.field("scored_at", pa.timestamp("us"), nullable=False),
    pa.field("known_up_to", pa.timestamp("us"), nullable=False),
    pa.field("probability", pa.float64()),
    pa.field("model_version", pa.int64()),
]
SCORES_SCHEMA = pa.schema(_FIELDS)
"""One row per visitor that a run said something of; null where nothing holds any more.
`scored_at` is the moment that was scored, `known_up_to` the latest arrival in it (UTC)."""

_ROWS_AT_A_TIME = 50_000


@dataclass(frozen=True, slots=True)
class LatestScores:
    """What a run said: whom it scored, and how many of those whose consent ended it told
    that nothing is known. `reason` says why nobody was scored."""

    scored_count: int
    withdrawn_count: int
    model_version: int | None
    mean_probability: float | None
    problems: tuple[str, ...] = ()
    reason: str | None = None


def write_latest_scores(
    warehouse: "duckdb.DuckDBPyConnection",
    published: Path,
    models: Path,
    views: Sequence[DescribedView],
) -> LatestScores:
    """Scores who acted since their last score, by the champion; replaces `SCORES_FILE`.

    Scored again is also whom another version scored, or whose score is a day old. Without
    a champion nobody is, and the scores there are expire.

    Args:
        warehouse: with the feature tables of this run; temporary tables are made in it.
        published: the release before this run, whose scores are gone on from; need not
            exist.
        models: the folder of the registry.
        views: as described in the project.
    """
    champion = load_champion(models, TARGET.model, read_predictor)
    known_up_to, at = _moments(warehouse, published)
    parts = []
    if known_up_to is not None and at is not None:
        parts = [_withdrawn(warehouse, known_up_to, at)]
        if isinstance(champion, Champion):
            parts += _scored(warehouse, champion, views, known_up_to, at)
    found = pa.concat_tables([SCORES_SCHEMA.empty_table(), *parts])
    replace_file(models / SCORES_FILE, lambda file: pq.write_table(found, file))
    return _counted(found, champion)


def _counted(
    found: pa.Table, champion: Champion[Predictor] | NoChampion
) -> LatestScores:
    import pyarrow.compute as pc

    scored = found.num_rows - found["model_version"].null_count
    mean = pc.mean(found["probability"]).as_py()
    problems = champion.problems
    if isinstance(champion, NoChampion):
        return LatestScores(
            0, found.num_rows, None, None, problems, reason=champion.reason
        )
    return LatestScores(
        scored_count=scored,
        withdrawn_count=found.num_rows - scored,
        model_version=champion.card.version,
        mean_probability=mean,
        problems=problems,
    )


def _moments(
    warehouse: "duckdb.DuckDBPyConnection", published: Path
) -> tuple[datetime | None, datetime | None]:
    """How far the features reach, and the moment to score: that one, or next to the last
    one that was published where they reach no further.

    Leaves the last score of each visitor in the temporary table `scores_before`.
    """
    path = table_path(published, PUBLISHED_TABLE)
    rows = (
        f"select visitor_id, event_timestamp as scored_at, "
        f"purchase_propensity_7d as probability, "
        f"purchase_propensity_7d_model_version as model_version "
        f"from {parquet_rows(path)}"
        if path.exists()
        else "select null::varchar as visitor_id, null::timestamp as scored_at, "
        "null::double as probability, null::bigint as model_version where false"
    )
    warehouse.execute(
        f"""
        create or replace temp table scores_before as
        from ({rows})
        qualify
            row_number() over (partition by visitor_id order by scored_at desc) = 1
        """
    )
    [(known_up_to, at)] = warehouse.execute(
        """
        select
            known_up_to,
            greatest(
                known_up_to,
                (select max(scored_at) from scores_before) + interval 1 microsecond
            ),
        from int_features__clock
        """
    ).fetchall()
    return known_up_to, at


def _withdrawn(
    warehouse: "duckdb.DuckDBPyConnection", known_up_to: datetime, at: datetime
) -> pa.Table:
    """Nothing is known any more of whoever refused since the last score."""
    found: pa.Table = (
        warehouse.sql(
            """
            select
                visitor_id,
                $at::timestamp as scored_at,
                $known_up_to::timestamp as known_up_to,
                null::double as probability,
                null::bigint as model_version,
            from scores_before
            inner join dim_consents using (visitor_id)
            where
                scores_before.probability is not null
                and not dim_consents.has_personalization_consent
            order by visitor_id
            """,
            params={"at": at, "known_up_to": known_up_to},
        )
        .to_arrow_table()
        .cast(SCORES_SCHEMA)
    )
    return found


def _scored(
    warehouse: "duckdb.DuckDBPyConnection",
    champion: Champion[Predictor],
    views: Sequence[DescribedView],
    known_up_to: datetime,
    at: datetime,
) -> Iterator[pa.Table]:
    predictor, version = champion.model, champion.card.version
    wanted = {one.feature for one in predictor.inputs}
    columns = {
        view: tuple(f.name for f in view.features if f.name in wanted)
        for view in views_of_service(views, SERVICE)
        if view.is_kept_live
    }
    reader = warehouse.sql(
        _due({view: names for view, names in columns.items() if names}),
        params={
            "at": at,
            "known_up_to": known_up_to,
            "recent_from": known_up_to - RECENT,
            "renewed_from": at - RENEWED_AFTER,
            "version": version,
        },
    ).to_arrow_reader(_ROWS_AT_A_TIME)
    for batch in reader:
        rows = pa.Table.from_batches([batch])
        if rows.num_rows == 0:
            continue
        moments = pa.chunked_array([pa.array([at] * rows.num_rows, pa.timestamp("us"))])
        scores = predictor.scores(encode_table(rows, moments, predictor.inputs))
        said: list[Any] = [
            rows["visitor_id"],
            moments,
            pa.array([known_up_to] * rows.num_rows, pa.timestamp("us")),
            # What is no number is not known.
            pa.array(scores, pa.float64(), from_pandas=True),
            pa.array([version] * rows.num_rows, pa.int64()),
        ]
        yield pa.table(said, schema=SCORES_SCHEMA)


def _due(columns: Mapping[DescribedView, Sequence[str]]) -> str:
    """Who is to be scored, with the features that an app would be served at the moment."""
    latest = [
        f"""
        view_{number} as (
            select
                visitor_id,
                event_timestamp as said_at_{number},
                {", ".join(f'"{name}"' for name in names)},
            from "{view.model}"
            semi join recent using (visitor_id)
            where
                event_timestamp <= (select known_up_to from asked)
                and event_timestamp
                >= (select scored_at from asked) - interval {view.ttl_days} days
            qualify
                row_number() over (
                    partition by visitor_id order by event_timestamp desc
                ) = 1
        )"""
        for number, (view, names) in enumerate(columns.items())
    ]
    joins = "".join(
        f" left join view_{number} using (visitor_id)" for number in range(len(latest))
    )
    said = ", ".join(
        ["scores_before.scored_at", *(f"said_at_{n}" for n in range(len(latest)))]
    )
    features = "".join(f', "{name}"' for names in columns.values() for name in names)
    return f"""
        with asked as (
            select $at::timestamp as scored_at, $known_up_to::timestamp as known_up_to
        ),

        recent as (
            select visitor_id
            from int_events__feature_facts
            inner join dim_consents using (visitor_id)
            where has_personalization_consent
            group by visitor_id
            having max(received_at) > $recent_from
        ),
        {",".join([*latest, "every_one as (from recent" + joins + ")"]).lstrip()}
        select every_one.visitor_id{features}
        from every_one
        left join scores_before using (visitor_id)
        where
            scores_before.model_version is null
            or scores_before.model_version != $version
            or scores_before.scored_at <= $renewed_from
            or greatest({said}) > scores_before.scored_at
        order by every_one.visitor_id
    """
