"""Rows a second through the door, source by source, beside DuckDB's bare read."""

import shutil
import time
from pathlib import Path

import duckdb

from nearline.landing.landings import land_file
from nearline.landing.registry import find_format
from nearline.settings import Settings
from tests.dbt.test_sources import SAMPLES

_ROWS = 50_000
_WITH_HEADER = (".csv",)


def measure_sources(folder: Path, rows: int = _ROWS) -> str:
    """A section of the report: each source's sample, repeated until it has `rows`."""
    folder.mkdir(parents=True)
    lines = []
    for sample in SAMPLES:
        path = _repeated(sample, folder, rows)
        settings = Settings(home=folder / sample.name)
        started = time.perf_counter()
        landing = land_file(settings, path, sample.name)
        landed = time.perf_counter() - started
        read = _bare_read(path)
        count = landing.accepted_count + landing.rejected_count + landing.left_out_count
        lines.append(
            f"| `{sample.name}` | {path.suffix} | {count:,} | {count / landed:,.0f} | "
            f"{count / read:,.0f} | {landed / read:.0f} |"
        )
    return "\n".join(
        [
            "## Sources",
            "",
            "One process, one core: read, checked, identifiers hashed, written as raw "
            "Parquet. The baseline is DuckDB's bare read of the same file into a table, "
            "all columns as text.",
            "",
            "| source | file | rows | ingest, rows/s | bare read, rows/s | times |",
            "|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


def _repeated(sample: Path, folder: Path, rows: int) -> Path:
    """The sample's largest file of text, its rows again and again."""
    files = [
        file
        for file in (sample / "input").iterdir()
        if file.suffix in (".jsonl", ".json", ".tsv", ".csv")
    ]
    largest = max(files, key=lambda file: file.stat().st_size)
    text = largest.read_text().splitlines(keepends=True)
    header = text[:1] if largest.suffix in _WITH_HEADER else []
    body = text[len(header) :]
    path = folder / f"{sample.name}{largest.suffix}"
    path.write_text("".join(header) + "".join(body) * (1 + rows // len(body)))
    layout = find_format(Settings(), sample.name).text
    if layout is not None and layout.header_file is not None:
        shutil.copy(largest.with_name(layout.header_file), folder)
    return path


def _bare_read(path: Path) -> float:
    if path.suffix in (".jsonl", ".json"):
        source = f"read_json('{path}', format = 'newline_delimited')"
    else:
        options = "all_varchar = true, strict_mode = false, ignore_errors = true"
        if path.suffix == ".tsv":
            options += ", delim = '\t', header = false, quote = ''"
        source = f"read_csv('{path}', {options})"
    with duckdb.connect(config={"threads": 1}) as connection:
        started = time.perf_counter()
        connection.execute(f"create table read as select * from {source}")
        return time.perf_counter() - started
