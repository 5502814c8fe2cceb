"""A training set by Feast's join, beside an ASOF join written by hand.

Both make the same file from the same release, each in a process of its own; the query
by hand knows no time to live beyond the one condition it states, no card, no checks.
"""

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import duckdb

from nearline.online.configuration import (
    reader_configuration,
    write_configurations,
)
from nearline.online.definitions import FEATURE_REPO, load_definitions
from nearline.online.latest import ViewSource, view_source
from nearline.online.registry import (
    open_registry,
    register_services,
    register_views,
)
from nearline.publication.releases import Manifest
from nearline.settings import Settings
from tests.benchmarks.run import Measured, measure
from tests.pipeline import ROOT, Home

_SERVICE = "visitor_features_v1"
_LABELS = 1_000_000
_VISITORS = 100_000
_ROWS_EACH = 20
# Of the growth: the same rows and labels in all, spread over fewer entities.
_GROWTH_ROWS = 1_000_000
_GROWTH_LABELS = 20_000
_GROWTH = (10, 100, 1_000)
_DAYS = 30


@dataclass(frozen=True)
class Compared:
    """The same set, made both ways."""

    rows_each: int
    label_count: int
    view_count: int
    feature_count: int
    ours: Measured
    by_hand: Measured

    @property
    def ratio(self) -> float:
        return self.ours.seconds / self.by_hand.seconds


def measure_training(folder: Path, scale: float = 1.0) -> str:
    """A section of the report; `scale` makes the shop smaller for a trial."""
    large = _compare(
        folder / "large", int(_VISITORS * scale), _ROWS_EACH, int(_LABELS * scale)
    )
    growth = [
        _compare(
            folder / f"growth-{rows}",
            max(1, int(_GROWTH_ROWS * scale) // rows),
            rows,
            int(_GROWTH_LABELS * scale),
        )
        for rows in _GROWTH
    ]
    return "\n".join(
        [
            "## Training sets",
            "",
            f"`nearline training-set` for `{_SERVICE}` ({large.view_count} views, "
            f"{large.feature_count} features) beside "
            "one hand-written DuckDB query with an ASOF join per view. Whole processes, "
            "imports and writing the file included.",
            "",
            "| labels | feature rows of an entity, per view | by hand, s | ours, s | "
            "times the baseline | by hand, peak MiB | ours, peak MiB |",
            "|---|---|---|---|---|---|---|",
            *map(_line, [large, *growth]),
            "",
            "Both cost what follows the sum of labels and rows of the entities asked "
            "about; ours also looks for rows that became known after newer ones.",
            "",
        ]
    )


def _line(one: Compared) -> str:
    return (
        f"| {one.label_count:,} | {one.rows_each:,} | {one.by_hand.seconds:.1f} | "
        f"{one.ours.seconds:.1f} | {one.ratio:.1f} | {one.by_hand.peak_mib:.0f} | "
        f"{one.ours.peak_mib:.0f} |"
    )


def _compare(folder: Path, visitors: int, rows_each: int, label_count: int) -> Compared:
    home = Home(folder)
    labels = folder / "labels.parquet"
    # In a process of its own: the kernel counts this one's memory as a child's peak.
    with ProcessPoolExecutor(1, get_context("spawn")) as writing:
        sources = writing.submit(
            _write_release, home.settings, visitors, rows_each
        ).result()
        writing.submit(_write_labels, labels, visitors, label_count).result()
    by_hand = measure(
        [sys.executable, "-c", _BY_HAND, _query(home.settings, sources, labels)],
        dict(os.environ),
        ROOT,
    )
    ours = measure(
        [
            str(Path(sys.executable).parent / "nearline"),
            "training-set",
            "--labels",
            str(labels),
            "--service",
            _SERVICE,
            "--out",
            str(folder / "ours.parquet"),
        ],
        home.environment(),
        ROOT,
    )
    with ProcessPoolExecutor(1, get_context("spawn")) as comparing:
        comparing.submit(_hold_equal, folder, sources).result()
    return Compared(
        rows_each,
        label_count,
        len(sources),
        sum(len(source.features) for source in sources),
        ours,
        by_hand,
    )


_BY_HAND = (
    "import duckdb, sys\n"
    "connection = duckdb.connect(config={'threads': 2})\n"
    "connection.execute(\"set timezone = 'UTC'\")\n"
    "connection.execute(sys.argv[1])\n"
)


def _query(settings: Settings, sources: list[ViewSource], labels: Path) -> str:
    joins, columns = [], []
    for number, source in enumerate(sources):
        alias = f"f{number}"
        columns += [
            f"case when {alias}.event_timestamp + interval 90 days "
            f">= labels.event_timestamp then {alias}.{feature} end as {feature}"
            for feature in source.features
        ]
        joins.append(
            f"asof left join '{settings.published}/{source.table}.parquet' as {alias} "
            f"on labels.visitor_id = {alias}.visitor_id "
            f"and labels.event_timestamp >= {alias}.event_timestamp"
        )
    return (
        f"copy (select labels.*, {', '.join(columns)} from '{labels}' as labels "
        f"{' '.join(joins)}) to '{labels.with_name('by_hand.parquet')}' "
        "(format parquet, compression zstd)"
    )


def _hold_equal(folder: Path, sources: list[ViewSource]) -> None:
    """A comparison of two queries that differ in their answer would mean nothing."""
    names = ", ".join(
        ["label_id", *(name for source in sources for name in source.features)]
    )
    [[differing]] = duckdb.execute(
        f"select count(*) from (select {names} from '{folder}/ours.parquet' "
        f"except all select {names} from '{folder}/by_hand.parquet')"
    ).fetchall()
    if differing:
        raise ValueError(f"{differing:,} rows of the training set differ")


def _write_release(
    settings: Settings, visitors: int, rows_each: int
) -> list[ViewSource]:
    """A release of random features, and its service registered; nothing is online."""
    release = settings.releases / "20261001T000000Z"
    release.mkdir(parents=True)
    defined = load_definitions(FEATURE_REPO, settings.home)
    entities = {entity.name: entity for entity in defined.entities}
    (service,) = [one for one in defined.services if one.name == _SERVICE]
    wanted = {part.name for part in service.feature_view_projections}
    sources = [
        view_source(view, entities) for view in defined.views if view.name in wanted
    ]
    kinds = {
        "STRING": "'value_' || (random() * 50)::integer",
        "STRING_LIST": "['value_' || (random() * 50)::integer, 'value_' || visitor]",
        "INT64_LIST": "[(random() * 20)::bigint]",
        "BOOL": "random() < 0.5",
        "INT64": "(random() * 20)::bigint",
        "DOUBLE": "random() * 600",
        "UNIX_TIMESTAMP": "known_at",
    }
    with duckdb.connect() as connection:
        for source in sources:
            columns = ", ".join(
                f"{kinds[kind]} as {name}" for name, kind in source.features.items()
            )
            connection.execute(
                f"""
                copy (
                    select
                        'v_bench_' || visitor as visitor_id,
                        known_at as event_timestamp,
                        known_at as created_timestamp,
                        {columns}
                    from (
                        select
                            visitor,
                            timestamp '2026-09-01' + to_microseconds(
                                ((position + random()) * {_DAYS} * 86400e6 / {rows_each})
                                ::bigint
                            ) as known_at
                        from range({visitors}) as v(visitor)
                        cross join range({rows_each}) as r(position)
                    )
                    order by 1, 2
                ) to '{release}/{source.table}.parquet' (format parquet)
                """
            )
    manifest = Manifest(
        release.name,
        "2026-10-01T00:00:00+00:00",
        "bench",
        "2026-10-01T00:00:00Z",
        {},
        {},
    )
    (release / "manifest.json").write_text(json.dumps(asdict(manifest)))
    settings.published.symlink_to(Path("releases") / release.name)
    configuration = reader_configuration(settings)
    settings.online.mkdir(parents=True, exist_ok=True)
    with open_registry(configuration) as registry:
        register_views(registry, defined)
        register_services(registry, defined, timedelta(0))
    write_configurations(settings, configuration)
    return sources


def _write_labels(path: Path, visitors: int, count: int) -> None:
    duckdb.execute(
        f"""
        copy (
            select
                label_id,
                'v_bench_' || (random() * {visitors - 1})::bigint as visitor_id,
                timestamp '2026-09-01' + to_microseconds(
                    (random() * {_DAYS} * 86400e6)::bigint
                ) as event_timestamp
            from range({count}) as t(label_id)
        ) to '{path}' (format parquet)
        """
    )
