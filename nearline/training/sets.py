"""Makes a training set: labels, and beside each what was known at its moment.

Belongs here: the order of things and what is written. The data appear whole or not at
all; the card beside them is written last and removed first, so a card always describes
the file beside it.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from nearline.errors import InputError
from nearline.publication.releases import read_manifest
from nearline.replacement import replace_file
from nearline.settings import Settings
from nearline.training.labels import MOMENT, Labels, read_labels
from nearline.training.retrieval import ServiceFeatures, open_service

CARD_SUFFIX = ".card.json"

# So many labels and their features are in memory at a time.
MOST_LABELS = 500_000


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What was written, as its card says it.

    `unknown_row_count` counts the labels whose moment lies after `data_up_to`: what was
    known then is not in the release, so their features are null. `missing_share` is the
    share of null, 0 to 1, per feature over all rows; null where there are no rows.
    """

    file: str
    release_id: str
    code_version: str
    data_up_to: str | None
    service: str
    keys: tuple[str, ...]
    label_columns: tuple[str, ...]
    features: tuple[str, ...]
    labels_origin: str
    labels_sha256: str
    row_count: int
    unknown_row_count: int
    missing_share: dict[str, float | None]
    made_at: str


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...


def build_training_set(
    settings: Settings,
    labels: str,
    service: str,
    out: Path,
    *,
    now: datetime,
    on_start: Callable[[int], None] = lambda rows: None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> TrainingSet:
    """Writes `out` (.parquet or .csv) and its card, `out` + `.card.json`.

    One row per label, in the labels' order: the labels' columns as they came, then the
    features of the registered `service` as known at `event_timestamp`: the newest row
    of each view that became known at or before it, within the view's time to live.

    Args:
        labels: a SELECT over the published tables, or a path (.sql, .csv, .parquet).
        now: the moment that the card states.
        on_start: called once with the number of labels.
        on_rows: called with the number of rows written by each part.

    Raises:
        InputError: labels, service or `out` cannot be used; nothing is written then.
        NearlineError: the release does not fit the service.
    """
    if out.suffix.lower() not in (".parquet", ".csv"):
        raise InputError("--out must end in .parquet or .csv")
    release = settings.published.resolve()
    manifest = read_manifest(release)
    if manifest is None:
        raise InputError("nothing is published yet; `nearline run` publishes tables")
    with open_service(settings, release, service) as found:
        given = read_labels(labels, release, found.keys)
        _check_names(given, found, out)
        on_start(given.table.num_rows)
        out.parent.mkdir(parents=True, exist_ok=True)
        card = out.with_name(out.name + CARD_SUFFIX)
        counts = _Counts(dict.fromkeys(found.features, 0))

        def write(file: IO[bytes]) -> None:
            _write(file, out, given, found, manifest.data_up_to, counts, on_rows)
            # Of the file that is about to be replaced.
            card.unlink(missing_ok=True)

        replace_file(out, write)
        rows = given.table.num_rows
        done = TrainingSet(
            file=out.name,
            release_id=manifest.release_id,
            code_version=manifest.code_version,
            data_up_to=manifest.data_up_to,
            service=service,
            keys=found.keys,
            label_columns=tuple(
                name for name in given.names if name not in (*found.keys, MOMENT)
            ),
            features=tuple(found.features),
            labels_origin=given.origin,
            labels_sha256=given.digest,
            row_count=rows,
            unknown_row_count=counts.unknown,
            missing_share={
                name: missing / rows if rows else None
                for name, missing in counts.missing.items()
            },
            made_at=now.astimezone(UTC).isoformat(timespec="seconds"),
        )
        text = json.dumps(asdict(done), indent=1) + "\n"
        replace_file(card, lambda file: file.write(text.encode()))
    return done


@dataclass(slots=True)
class _Counts:
    missing: dict[str, int]
    unknown: int = 0


def _check_names(labels: Labels, service: ServiceFeatures, out: Path) -> None:
    taken = sorted(set(labels.names) & set(service.features))
    if taken:
        raise InputError(
            f"--labels: column {taken[0]} has the name of a feature of {service.name}; "
            f"rename it ({taken[0]} as label_{taken[0]})"
        )
    if out.suffix.lower() == ".csv":
        for name, kind in [
            *service.features.items(),
            *zip(labels.names, labels.table.schema.types, strict=True),
        ]:
            if pa.types.is_nested(kind):
                raise InputError(
                    f"column {name} is {kind}, which CSV cannot hold; let --out end in "
                    ".parquet"
                )


def _write(
    file: IO[bytes],
    out: Path,
    labels: Labels,
    service: ServiceFeatures,
    data_up_to: str | None,
    counts: _Counts,
    on_rows: Callable[[int], None],
) -> None:
    schema = pa.schema([*labels.table.schema, *service.schema])
    is_csv = out.suffix.lower() == ".csv"
    writer: AbstractContextManager[_Writer] = (
        pyarrow.csv.CSVWriter(file, schema)
        if is_csv
        else pq.ParquetWriter(file, schema, compression="zstd")
    )
    with writer as opened:
        for first in range(0, labels.table.num_rows, MOST_LABELS):
            part = labels.table.slice(first, MOST_LABELS)
            values, unknown = _values(part, service, data_up_to)
            counts.unknown += unknown
            for name in service.features:
                counts.missing[name] += values[name].null_count
            for name in service.features:
                part = part.append_column(service.schema.field(name), values[name])
            opened.write_table(part.cast(schema))
            on_rows(part.num_rows)


def _values(
    part: pa.Table, service: ServiceFeatures, data_up_to: str | None
) -> tuple[pa.Table, int]:
    """Features of `part`, row for row, and how many moments the release does not hold."""
    if data_up_to is None:
        is_known = pa.array([False] * part.num_rows)
    else:
        limit = datetime.fromisoformat(data_up_to).astimezone(UTC).replace(tzinfo=None)
        is_known = pc.less_equal(part[MOMENT], pa.scalar(limit, pa.timestamp("us")))
    known = part.filter(is_known)
    unknown = part.num_rows - known.num_rows
    if known.num_rows == 0:
        # Taken from nowhere: null in every column.
        nowhere = pa.array([None] * part.num_rows, pa.int64())
        return service.schema.empty_table().take(nowhere), unknown
    values = service.values_at(known)
    if unknown == 0:
        return values, 0
    # Position of each known row among the known ones; null, hence null values, elsewhere.
    ranks = pc.subtract(pc.cumulative_sum(pc.cast(is_known, pa.int64())), 1)
    taken = pc.if_else(is_known, ranks, pa.scalar(None, pa.int64()))
    return values.take(taken), unknown
