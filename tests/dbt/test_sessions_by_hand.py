"""The query that `make bench` measures against makes the same sessions as the models."""

from pathlib import Path

import duckdb

from tests.dbt.warehouse import Warehouse

BY_HAND = Path(__file__).parents[1] / "benchmarks" / "fct_sessions_by_hand.sql"
NOT_BY_HAND = {"source_session_id", "change_seq"}


def test_hand_written_query_equals_fct_sessions_on_shared_columns(
    in_pieces: Warehouse,
) -> None:
    pattern = in_pieces.settings.raw / "format=nearline" / "*" / "events.parquet"
    query = BY_HAND.read_text().replace("{events}", str(pattern))
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"create view by_hand as {query}")
        connection.execute(f"attach '{in_pieces.file}' as warehouse (read_only)")
        names = [row[0] for row in connection.execute("describe by_hand").fetchall()]
        assert {*names} == {*in_pieces.tables()["fct_sessions"]} - NOT_BY_HAND
        # The query weighs no evidence: whose a shared device is, it does not know.
        names.remove("person_id")
        # Nor does it know sources with sessions of their own.
        one, other = (
            f"select {', '.join(names)} from {table} where source = 'shop_web'"
            for table in ("by_hand", "warehouse.fct_sessions")
        )
        [count] = connection.execute(f"select count(*) from ({one})").fetchall()
        assert count[0] > 150
        assert connection.execute(f"{one} except all {other}").fetchall() == []
        assert connection.execute(f"{other} except all {one}").fetchall() == []
