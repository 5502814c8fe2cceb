"""Tells when the mend of Great Expectations on DuckDB can go, and that it works."""

import subprocess
import sys
from pathlib import Path

_ASK = """
import logging
import sys
import duckdb
import great_expectations as gx
from great_expectations.expectations import ExpectColumnValuesToNotBeNull
from expectations.great_expectations_on_duckdb import keep_duckdb_connection_open

logging.disable()
database, mend = sys.argv[1:]
with duckdb.connect(database) as connection:
    connection.execute("create table numbers as select 1 as number")
if mend == "mended":
    keep_duckdb_connection_open()
    keep_duckdb_connection_open()
context = gx.get_context(mode="ephemeral")
source = context.data_sources.add_sql("s", connection_string=f"duckdb:///{database}")
batch = (
    source.add_table_asset("numbers", table_name="numbers")
    .add_batch_definition_whole_table("whole")
    .get_batch()
)
result = batch.validate(ExpectColumnValuesToNotBeNull(column="number"))
print("success" if result.success else str(result.exception_info))
"""


def _ask(database: Path, mend: str) -> str:
    # In a process of its own: the mend changes the library for the whole process.
    answer = subprocess.run(
        [sys.executable, "-c", _ASK, str(database), mend],
        cwd=Path(__file__).parents[3],
        env={"GX_ANALYTICS_ENABLED": "false", "PATH": "", "HOME": str(database.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip().splitlines()[-1]


def test_mend_is_still_needed(tmp_path):
    """When this fails, remove `expectations/great_expectations_on_duckdb.py`."""
    assert "list index out of range" in _ask(tmp_path / "plain.duckdb", "plain")


def test_mended_library_answers_on_duckdb(tmp_path):
    assert _ask(tmp_path / "mended.duckdb", "mended") == "success"
