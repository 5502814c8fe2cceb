"""Files of events in every form that `ingest` reads, and what was landed of them."""

import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.settings import Settings

Record = dict[str, Any]

VIEW: Record = {
    "event_id": "e_1",
    "event_name": "view_item",
    "schema_version": "1.0",
    "occurred_at": "2026-03-02T12:00:00.250+00:00",
    "received_at": "2026-03-02T12:00:01+00:00",
    "source": "shop_web",
    "visitor_id": "v_anna00001",
    "page_title": 'The "long, long" title\nin two lines',
    "item_id": "sku_1",
    "price_cents": 1999,
    "currency": "EUR",
    "engaged_seconds": 12.5,
    "consent_analytics": True,
    "items": [{"item_id": "sku_1", "quantity": 2}, {"item_id": "sku_2"}],
    "properties": {"colour": "red", "sizes": [38, 40]},
}
PAGE: Record = {
    "event_id": "e_2",
    "event_name": "page_view",
    "schema_version": "1.0",
    "occurred_at": "2026-03-02T12:05:00+00:00",
    "source": "shop_web",
    "visitor_id": "v_ben000001",
    "consent_analytics": False,
}

_TIMES = ("occurred_at", "sent_at", "received_at")
_TIME = pa.timestamp("us", "UTC")
_TYPES: Mapping[str, pa.DataType] = {
    "price_cents": pa.int64(),
    "quantity": pa.int64(),
    "engaged_seconds": pa.float64(),
    "consent_analytics": pa.bool_(),
    "items": pa.list_(pa.struct([("item_id", pa.string()), ("quantity", pa.int64())])),
    "properties": pa.struct([("colour", pa.string()), ("sizes", pa.list_(pa.int64()))]),
}


def columns_of(records: Sequence[Record]) -> list[str]:
    return list({name: None for record in records for name in record})


def write_events(path: Path, records: Sequence[Record]) -> Path:
    """Writes records in the form that the file's name asks for."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    write = {
        ".jsonl": _write_jsonl,
        ".csv": _write_csv,
        ".parquet": _write_parquet,
    }[plain.suffix]
    write(plain, records)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()
    return path


def _write_jsonl(path: Path, records: Sequence[Record]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def _write_csv(path: Path, records: Sequence[Record]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns_of(records))
        writer.writeheader()
        for record in records:
            writer.writerow({name: _as_text(value) for name, value in record.items()})


def _as_text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _write_parquet(path: Path, records: Sequence[Record]) -> None:
    columns = {}
    for name in columns_of(records):
        values = [record.get(name) for record in records]
        if name in _TIMES:
            columns[name] = pa.array(values, pa.string()).cast(_TIME)
        else:
            columns[name] = pa.array(values, _TYPES.get(name, pa.string()))
    pq.write_table(pa.table(columns), path)


def landed_rows(settings: Settings, kind: str = "events") -> list[Record]:
    """All landed rows (or rejects), in the order of landing."""
    files = sorted(settings.raw.glob(f"format=*/landing_id=*/{kind}.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def landing_ids(settings: Settings) -> list[int]:
    folders = settings.raw.glob("format=*/landing_id=*")
    return sorted(int(folder.name.removeprefix("landing_id=")) for folder in folders)


def all_bytes(folder: Path) -> bytes:
    """Everything below a folder: names, and contents as stored and as read."""
    found = []
    for path in sorted(folder.rglob("*")):
        found.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            found.append(path.read_bytes())
        if path.is_file() and path.suffix == ".parquet":
            rows = pq.ParquetFile(path).read().to_pylist()
            found.append(json.dumps(rows, default=str).encode())
    return b"\n".join(found)


def start_command(
    settings: Settings, *arguments: str | Path
) -> "subprocess.Popen[str]":
    """Starts `nearline` in a process of its own."""
    code = "from nearline.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "NEARLINE_HOME": str(settings.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_command(
    settings: Settings, *arguments: str | Path
) -> "subprocess.CompletedProcess[str]":
    """Runs `nearline` in a process of its own, to its end."""
    process = start_command(settings, *arguments)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
