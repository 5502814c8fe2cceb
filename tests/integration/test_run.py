"""`nearline run` from end to end, on a small shop and on a home of its own."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.decisions.client import Consent, Context, DecisionsClient
from nearline.landing.registry import format_names
from nearline.landing.verification import remember_verified, unverified_files
from nearline.log import EVENTS
from tests.pipeline import NEARLINE, ROOT, SHARED_DATA, Home, simulate
from tests.running_collector import running_decisions
from tests.unit.landing.event_files import all_bytes

ADDRESS = "jane.roe@example.org"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shop")
    # Recent, so that what windows hold has not run out by now.
    start = date.today() - timedelta(days=10)
    simulate(out / "shop", visitors=250, days=8, seed=3, effect=0.0, start=start)
    return out / "shop"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shop: Path) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    home.nearline("ingest", shop / "events")
    home.nearline("run")
    return home


def plant(home: Home, **columns: str) -> Path:
    """Adds a landing whose first event has these texts, past the door."""
    landings = sorted(home.settings.raw.glob("format=nearline/landing_id=*"))
    planted = landings[-1].with_name(f"landing_id={90_000_001:08d}")
    shutil.copytree(landings[-1], planted)
    table = pq.read_table(planted / "events.parquet", partitioning=None)
    for name, text in columns.items():
        values = table[name].to_pylist()
        values[0] = text
        field = table.schema.field(name)
        column = table.schema.get_field_index(name)
        table = table.set_column(column, field, pa.array(values, field.type))
    pq.write_table(table, planted / "events.parquet")
    return planted


def materialized_assets(home: Home) -> set[str]:
    """Assets that the latest run of the home materialized."""
    code = (
        "import dagster as dg, json\n"
        "instance = dg.DagsterInstance.get()\n"
        "run = instance.get_runs(limit=1)[0]\n"
        "records = instance.get_records_for_run(run.run_id).records\n"
        "keys = {r.event_log_entry.dagster_event.asset_key.to_user_string()"
        " for r in records if r.event_log_entry.dagster_event"
        " and r.event_log_entry.dagster_event.is_step_materialization}\n"
        "print(json.dumps(sorted(keys)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DAGSTER_HOME": str(home.settings.dagster)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_run_finds_every_session_that_the_simulator_made(
    home: Home, shop: Path
) -> None:
    compared = json.loads(home.nearline("truth", shop, "--json").stdout)

    assert compared["matching_session_count"] == compared["true_session_count"] > 100
    assert compared["found_session_count"] == compared["true_session_count"]


def test_persons_are_the_simulators_as_far_as_events_can_prove(
    home: Home, shop: Path
) -> None:
    persons = json.loads(home.nearline("truth", shop, "--json").stdout)["persons"]

    assert persons["precision"] == 1
    assert (
        0
        < persons["matching_pair_count"]
        == persons["provable_pair_count"]
        < persons["true_pair_count"]
    )
    assert persons["recall"] == (
        persons["matching_pair_count"] / persons["true_pair_count"]
    )


def test_readers_find_every_event_once(home: Home, shop: Path) -> None:
    events = home.published(
        "select count(*), count(distinct event_id) from {fct_events}"
    )
    sessions = home.published("select sum(event_count) from {fct_sessions}")

    assert events[0][0] == events[0][1] == sessions[0][0] > 0


def test_python_snippet_of_the_readme_works_as_pasted(
    home: Home, tmp_path: Path
) -> None:
    (tmp_path / ".nearline").symlink_to(home.path)
    text = (ROOT / "README.md").read_text()
    snippet = next(
        block
        for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
        if "get_online_features" in block
    )
    visitor = home.published(
        "select visitor_id from {ftr_visitor__activity_30d} order by 1 limit 1"
    )[0][0]
    snippet, replaced = re.subn(r"v_[0-9a-f]{16}", visitor, snippet)
    assert replaced

    assert visitor in _told_by(snippet, tmp_path)


def test_results_are_labels_that_add_up_to_the_experiments_sums(
    home: Home, tmp_path: Path
) -> None:
    """The guide's own commands, from the warehouse to expected uplift."""
    section = (ROOT / "docs" / "experiments.md").read_text()
    section = section.partition("### Results as labels")[2].partition("\n## ")[0]
    command, program = re.findall(r"```(?:sh|python)\n(.*?)```", section, re.DOTALL)
    # Everybody, so that they can be added up.
    command, replaced = re.subn(r" and exposed_at < current_date - 7", "", command)
    assert replaced

    subprocess.run(
        ["bash", "-ec", command],
        cwd=tmp_path,
        env=home.environment() | {"PATH": f"{NEARLINE.parent}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )

    assert "uplift" in _told_by(program, tmp_path)
    rows = pq.read_table(tmp_path / "checkout.parquet").to_pylist()
    sums: dict[str, list[float]] = {}
    for row in rows:
        counted = sums.setdefault(row["variant_key"], [0, 0.0])
        counted[0] += 1
        counted[1] += row["unit_value"]
    expected = home.published(
        "select variant_key, sum(unit_count), sum(value_sum) "
        "from {fct_experiment_metrics} where experiment_key = 'checkout_reassurance' "
        "and metric_name = 'conversion' group by variant_key"
    )
    assert sums == {variant: [count, total] for variant, count, total in expected}
    assert len(sums) == 2
    assert min(total for _, total in sums.values()) > 0


def _told_by(program: str, folder: Path) -> str:
    """What a program of the documentation prints, run in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def served(home: Home, visitors: Sequence[str]) -> dict[str, list[Any]]:
    """What a stock Feast client reads of these visitors, by feature."""
    code = (
        "import json, sys\n"
        "from feast import FeatureStore\n"
        "store = FeatureStore(repo_path=sys.argv[1])\n"
        "rows = [{'visitor_id': v} for v in json.loads(sys.argv[2])]\n"
        "service = store.get_feature_service('visitor_features_v1')\n"
        "found = store.get_online_features(service, rows).to_dict()\n"
        "print(json.dumps(found, default=str))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.settings.online), json.dumps(visitors)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_online_values_are_the_latest_published_rows(home: Home) -> None:
    latest = home.published(
        "select visitor_id, page_view_count_30d, engaged_seconds_30d "
        "from {ftr_visitor__activity_30d} "
        "qualify row_number() over (partition by visitor_id order by event_timestamp desc)"
        " = 1 order by 1"
    )

    found = served(home, [row[0] for row in latest])

    assert found["page_view_count_30d"] == [row[1] for row in latest]
    assert found["engaged_seconds_30d"] == [row[2] for row in latest]


def test_decisions_are_served_from_what_the_run_published(home: Home) -> None:
    home.nearline("recommend", "train")
    visitor, item = home.published(
        "select visitor_id, last_viewed_items[1] from {ftr_visitor__recent} "
        "where len(last_viewed_items) > 2 order by event_timestamp desc limit 1"
    )[0]
    said_yes = Context(consent=Consent(analytics=True, personalization=True))
    try:
        with running_decisions(home.path) as service:
            client = DecisionsClient(service.url, "dev", timeout_seconds=30)
            until = time.monotonic() + 60
            # Answers are whole once store and model are open.
            while True:
                listed = client.recommend(visitor, 5, said_yes)
                if listed.answer == "personal":
                    break
                assert time.monotonic() < until, listed
                time.sleep(0.1)
            segments = client.segments(visitor)
            assert service.stop() == 0
            decisions = [json.loads(one.value) for one in service.records(EVENTS)]
    finally:
        # Other tests' runs are of the files alone.
        shutil.rmtree(home.settings.log, ignore_errors=True)

    assert listed.fallback is None
    assert item not in listed.item_ids
    of_list = [one for one in decisions if one["event_id"] == listed.decision_id]
    assert of_list[0]["properties"]["chosen"] == listed.item_ids
    assert of_list[0]["properties"]["feature_age_seconds"] > 0
    assert set(segments) <= {
        name
        for (name,) in home.published("select distinct segment from {fct_segments}")
    }


def test_segments_are_served_of_whoever_allows_it_and_no_score_without_a_model(
    home: Home,
) -> None:
    expected = home.published(
        """
        with persons as (
            select
                person_id,
                bool_and(has_personalization_consent) as is_allowed,
                bool_or(is_stated and not has_personalization_consent) as is_refused,
            from {dim_consents}
            group by person_id
        )
        select
            identifier,
            max(segment) filter (is_allowed and is_primary),
            -- Nobody says anything of who is in nothing.
            case
                when is_allowed and count(segment) > 0
                    then count(*) filter (segment_kind = 'rule')
            end,
            max(segment) filter (is_allowed and segment_kind = 'cluster'),
            is_allowed,
        from {bridge_identities}
        inner join persons using (person_id)
        left join (from {fct_segments} where is_current) as segments using (person_id)
        where
            identifier_type = 'visitor'
            and (is_allowed or is_refused)
            and identifier in (select visitor_id from {ftr_visitor__latest})
        group by identifier, is_allowed
        order by identifier
        """
    )

    found = served(home, [row[0] for row in expected])

    assert {row[4] for row in expected} == {True, False}
    assert found["primary_segment"] == [row[1] for row in expected]
    counts = [None if one is None else len(one) for one in found["segments"]]
    assert counts == [row[2] for row in expected]
    assert found["behaviour_cluster"] == [row[3] for row in expected]
    assert set(found["purchase_propensity_7d"]) == {None}


def test_planted_address_stops_the_run_before_any_table_holds_it(home: Home) -> None:
    before = home.fingerprint()
    planted = plant(
        home,
        page_title=f"Order of {ADDRESS}",
        page_path="/account/jane.roe%2540example.org",
        properties='{"note": "jane.roe\\u0040example.org"}',
    )
    try:
        done = home.nearline("run", exit_code=4)
    finally:
        shutil.rmtree(planted)

    for column in ("page_title", "page_path", "properties"):
        assert f"raw_nearline_events.{column}" in done.stderr
    assert "e-mail address" in done.stderr
    assert not re.search(r"jane|roe|example", done.stdout + done.stderr)
    assert home.fingerprint() == before
    assert materialized_assets(home) == {
        "deadletters/replays",
        "identity/unlinks",
        "privacy/suppressed_keys",
        "raw/log_landings",
        "raw/rejects",
        "served/feature_values",
        *(f"raw/{name}_events" for name in format_names(home.settings)),
    }


def test_address_that_got_into_the_warehouse_is_not_published(home: Home) -> None:
    before = home.fingerprint()
    planted = plant(
        home, page_title=f"Order of {ADDRESS}", event_id="e_planted_behind_the_door"
    )
    files = unverified_files(home.settings, "nearline")
    remember_verified(home.settings, "nearline", files)

    done = home.nearline("run", exit_code=4)

    assert "fct_events.page_title" in done.stderr
    assert not re.search(r"jane|roe|example", done.stdout + done.stderr)
    assert home.fingerprint() == before
    assert not {"published_release", "online_store", "dashboard"} & materialized_assets(
        home
    )
    docs = (home.settings.site / "data_docs").rglob("*.html")
    assert not [page for page in docs if ADDRESS in page.read_text()]

    shutil.rmtree(planted)
    home.nearline("run", "--full-refresh")
    assert home.published(
        "select count(*) from {fct_events} where event_id = 'e_planted_behind_the_door'"
    ) == [(0,)]


def test_second_run_at_the_same_time_says_who_holds_the_warehouse(home: Home) -> None:
    with home.settings.run_lock.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write("process 4711, since 2026-01-01 00:00:00 UTC")
        lock.flush()

        done = home.nearline("run", exit_code=3)

    assert "process 4711, since 2026-01-01" in done.stderr
    assert "Nothing was changed" in done.stderr


def test_killed_run_leaves_what_is_published_and_the_next_one_works(
    home: Home, shop: Path
) -> None:
    before = home.fingerprint()
    run = subprocess.Popen(
        [str(NEARLINE), "run", "--full-refresh"],
        env=home.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = home.settings.dagster / "history"
    started = {path.name for path in log.rglob("*.db")}
    while run.poll() is None:
        # As soon as the run has an event log of its own, it is at work.
        if {path.name for path in log.rglob("*.db")} - started:
            time.sleep(3)
            break
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()

    assert home.fingerprint() == before

    home.nearline("run")
    compared = json.loads(home.nearline("truth", shop, "--json").stdout)
    assert compared["matching_session_count"] == compared["true_session_count"]


def test_suppressed_visitor_is_gone_from_tables_and_store_after_the_next_run(
    home: Home,
) -> None:
    visitor = home.published(
        "select visitor_id from {ftr_visitor__latest} order by event_timestamp desc limit 1"
    )[0][0]
    home.nearline("privacy", "suppress", "--visitor", visitor, "--reason", "erased")

    home.nearline("run")

    for file in home.settings.releases.rglob("*.parquet"):
        if file.is_dir():
            continue
        assert visitor.encode() not in file.read_bytes(), file.name
        columns = pq.read_table(file, partitioning=None)
        for name in columns.column_names:
            if pa.types.is_string(columns.schema.field(name).type):
                assert visitor not in columns[name].to_pylist()
    assert (
        visitor.encode() not in (home.settings.online / "online_store.db").read_bytes()
    )


def test_shop_log_without_consent_dwell_or_experiment_runs_through(
    tmp_path: Path,
) -> None:
    log = SHARED_DATA / "rees46" / "2019-Oct.head.csv.gz"
    if not log.exists():
        pytest.skip("the REES46 sample is not beside the project")
    home = Home(tmp_path / "home")
    home.nearline("ingest", log, "--format", "rees46")

    done = home.nearline("run")

    assert "taken under the consent assumed for this source" in done.stdout
    assert home.published(
        "select count(*), count(distinct session_id) from {fct_events}"
    ) == [(17_429, 5_066)]
    for table in ("fct_page_views", "fct_exposures", "fct_experiment_results"):
        assert home.published(f"select count(*) from {{{table}}}") == [(0,)]


def test_data_feed_without_consent_is_counted_and_used_for_nothing(
    tmp_path: Path,
) -> None:
    sample = ROOT / "tests" / "fixtures" / "sources" / "adobe"
    home = Home(tmp_path / "home")
    landed = home.nearline("ingest", sample / "input", "--format", "adobe").stdout
    assert landed.startswith(
        "2 of 2 files landed: 29 rows accepted, 0 rejected, 4 left out\n"
    )

    done = home.nearline("run")

    assert "adobe: 39 events, no consent data" in done.stdout
    assert home.published(
        "select sum(event_count) from {ops_collection_audit} where source = 'adobe'"
    ) == [(39,)]
    assert home.published("select count(*) from {fct_events}") == [(0,)]
    kept = all_bytes(home.path).lower()
    for identifier in (sample / "planted.txt").read_text().splitlines():
        assert identifier.lower().encode() not in kept
