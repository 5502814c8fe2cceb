"""Raw rows into Parquet files, and what is kept of a row that was refused."""

from collections.abc import Mapping
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.landing.formats import Format, Rejection
from nearline.privacy.pseudonyms import Pseudonymizer


class RowFile:
    """A Parquet file that takes rows one by one, each with every column of the schema.

    Rows become Arrow soon, while the processor's cache still holds them, and go to disk
    in row groups large enough for readers.
    """

    _BATCH_ROWS = 1_000
    _ROW_GROUP_ROWS = 100_000

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.row_count = 0
        self._writer = pq.ParquetWriter(path, schema)
        self._schema = schema
        self._columns_of = itemgetter(*schema.names)
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._writer:
            if kind is None:
                self._close_batch()
                self._close_row_group()

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self.row_count += 1
        if len(self._rows) == self._BATCH_ROWS:
            self._close_batch()
            if len(self._batches) == self._ROW_GROUP_ROWS // self._BATCH_ROWS:
                self._close_row_group()

    def _close_batch(self) -> None:
        if not self._rows:
            return
        # One getter for all columns: `from_pylist`, which looks up field by field,
        # takes a third of an ingest's time.
        columns = zip(*map(self._columns_of, self._rows), strict=True)
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def _close_row_group(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._batches, self._schema))
        self._batches.clear()


def reject_row(
    format_: Format,
    fields: Mapping[str, Any],
    rejection: Rejection,
    pseudonymizer: Pseudonymizer,
    refused_at: datetime,
) -> dict[str, Any]:
    """The row of a refused record, without provenance: a dead letter.

    `deadletter_id` stays empty: the number of the landing, which is part of it, is
    handed out when the file is written already. Readers put both together.
    """
    kept = format_.kept_of(fields, rejection, pseudonymizer)
    return {
        "deadletter_id": None,
        "received_at": refused_at.astimezone(UTC).replace(tzinfo=None),
        "source_format": format_.name,
        "source": format_.source_of(fields),
        "schema_version": format_.version_of(fields),
        "event_name": rejection.event_name,
        "field": rejection.field,
        "reason": rejection.reason,
        "row_masked": orjson.dumps(kept).decode(),
    }
