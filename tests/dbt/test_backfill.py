"""A mended mapping, taken up for some days of one source, ends in a rebuild's tables.

The oracle is a full rebuild with a mapping that is mended for these days alone.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dbt.conftest import LateHistory, Row, echoes
from tests.dbt.warehouse import BUILD, DBT_PROJECT, Warehouse, differences

FIRST_DAY, LAST_DAY = "2026-09-02", "2026-09-03"
DAYS = {"backfill_from": FIRST_DAY, "backfill_to": LAST_DAY}
IS_IN_RANGE = "cast({} as date) between '2026-09-02' and '2026-09-03'"

# An event in eight is earlier than was thought and of no account, one is of another
# name, and one is none.
MENDED = """
    select
        * replace (
            {moved} as occurred_at,
            case when md5(event_id) not between '2' and '4' then user_id end as user_id,
            case
                when md5(event_id) between '4' and '6' then 'content_interaction'
                else event_name
            end as event_name,
            'mended' as page_path
        ),
    from landed
    where md5(event_id) >= '2'
"""
MOVED = (
    "case when md5(event_id) between '2' and '4' "
    "then occurred_at - interval '4 hours' "
    "else occurred_at end"
)
IS_MENDED_SOURCE = "source = 'shop_web'"


def mapping(which: str) -> str:
    """Staging with `landed` mended where `which` holds, and as it was elsewhere."""
    return f"""
judged as (

    select
        *,
        coalesce(bool_or({which}) over (partition by event_id), false) as is_mended,
    from landed_before

),

landed as (

    select * exclude (is_mended)
    from judged
    where is_mended

),

mended as (
{MENDED.format(moved=MOVED)}
),

final as (

    select *, 'nearline' as source_format from mended as landed
    where {{{{ is_not_suppressed('landed') }}}}
    union all by name
    select * exclude (is_mended), 'nearline' as source_format from judged as landed
    where not is_mended and {{{{ is_not_suppressed('landed') }}}}

)

select * from final
"""


def project(folder: Path, which: str) -> Path:
    """A copy of the project whose mapping of the contract's own files is mended."""
    copy = folder / "dbt_project"
    shutil.copytree(DBT_PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    model = copy / "models" / "staging" / "nearline" / "stg_nearline__events.sql"
    text = model.read_text()
    head, found, _ = text.partition("final as (")
    assert found
    head = head.replace("landed as (", "landed_before as (")
    model.write_text(head + mapping(which))
    return copy


def with_project(warehouse: Warehouse, home: Path, project: Path) -> Warehouse:
    copied = warehouse.copy_to(home)
    target = project.with_name("target")
    target.mkdir(exist_ok=True)
    return replace(copied, target=target, project=project)


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the mapping of one source mended for all times."""
    return project(tmp_path_factory.mktemp("mended"), IS_MENDED_SOURCE)


@pytest.fixture(scope="module")
def mended_in_range(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The oracle: mended for what occurred in the range, before or after mending."""
    before, after = IS_IN_RANGE.format("occurred_at"), IS_IN_RANGE.format(MOVED)
    return project(
        tmp_path_factory.mktemp("mended_in_range"),
        f"{IS_MENDED_SOURCE} and ({before} or {after})",
    )


def backfill(source: str | None = None) -> tuple[str, ...]:
    names = DAYS if source is None else DAYS | {"backfill_source": source}
    return ("run", "--vars", json.dumps(names))


@pytest.fixture(scope="module")
def backfilled(homes: Path, late_history: LateHistory, mended: Path) -> Warehouse:
    warehouse = with_project(late_history.after, homes / "backfilled", mended)
    warehouse.dbt(*backfill("shop_web"))
    return warehouse


def test_backfill_equals_a_rebuild_that_is_mended_for_these_days_alone(
    homes: Path,
    late_history: LateHistory,
    backfilled: Warehouse,
    mended_in_range: Path,
) -> None:
    rebuilt = with_project(late_history.after, homes / "oracle", mended_in_range)
    rebuilt.dbt("run", "--full-refresh")

    assert differences(backfilled, rebuilt) == {}


def test_backfill_changed_what_it_is_meant_to_test(
    late_history: LateHistory, backfilled: Warehouse
) -> None:
    def events(warehouse: Warehouse) -> dict[str, Row]:
        rows = warehouse.rows("select * from fct_events")
        return {str(row["event_id"]): row for row in rows}

    before, after = events(late_history.after), events(backfilled)
    moved = [
        event_id
        for event_id in before.keys() & after.keys()
        if before[event_id]["occurred_at"] != after[event_id]["occurred_at"]
    ]

    assert len(before.keys() - after.keys()) > 10
    assert len(moved) > 10
    assert any(
        before[event_id]["event_date"] != after[event_id]["event_date"]
        for event_id in moved
    )


def test_backfill_leaves_other_days_and_sources_unread(
    late_history: LateHistory, backfilled: Warehouse
) -> None:
    query = (
        "select event_id, change_seq from int_events__deduplicated "
        "where (source != 'shop_web' or cast(occurred_at as date) "
        "not between '2026-09-01' and '2026-09-04') "
        # Of which one version is of that source, and is read again.
        "and event_id != 'moved_1'"
    )
    before = {tuple(row.values()) for row in late_history.after.rows(query)}
    after = {tuple(row.values()) for row in backfilled.rows(query)}

    # One event carries the number of the change, so that it is seen downstream.
    changed = before - after
    assert len(changed) <= 1, changed


@pytest.fixture(scope="module")
def survivor(
    homes: Path, late_history: LateHistory, mended: Path, lines: list[Row]
) -> Warehouse:
    """The backfill died at the first tables; a plain run took up more and died too."""
    warehouse = with_project(late_history.after, homes / "backfill_killed", mended)
    marker = "OK created sql incremental model main.int_events__deduplicated"
    warehouse.kill_dbt_at(marker, *backfill("shop_web"))
    others = [line for line in lines if line["source"] != "shop_web"]
    warehouse.land(echoes(others, seed=11, count=50), "others")
    warehouse.kill_dbt_at("START sql incremental model main.fct_events", "run")
    warehouse.dbt(*BUILD)
    return warehouse


def test_backfill_that_died_is_finished_by_a_plain_run(
    homes: Path, survivor: Warehouse, mended_in_range: Path
) -> None:
    rebuilt = with_project(survivor, homes / "oracle_of_survivor", mended_in_range)
    rebuilt.dbt("run", "--full-refresh")

    assert differences(survivor, rebuilt) == {}


def test_days_of_which_staging_gives_nothing_vanish_from_every_table(
    homes: Path, late_history: LateHistory, tmp_path: Path
) -> None:
    copy = project(tmp_path, "false")
    model = copy / "models" / "staging" / "nearline" / "stg_nearline__events.sql"
    gone = f"\nwhere not ({IS_IN_RANGE.format('occurred_at')})\n"
    model.write_text(model.read_text() + gone)
    emptied = with_project(late_history.after, homes / "emptied", copy)
    emptied.dbt(*backfill())
    rebuilt = emptied.copy_to(homes / "emptied_rebuilt")
    rebuilt.dbt("run", "--full-refresh")

    assert differences(emptied, rebuilt) == {}
    [counted] = emptied.rows(
        f"select count(*) as n from fct_events where {IS_IN_RANGE.format('event_date')}"
    )
    assert counted["n"] == 0
