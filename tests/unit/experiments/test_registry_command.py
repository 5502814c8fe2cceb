"""`nearline experiment check`, `list`, `decide` and `plan KEY`, as they are typed."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from nearline.errors import InputError
from nearline.experiments.command import experiment
from nearline.experiments.decision_record import load_decisions
from nearline.experiments.power import plan_sample_size
from nearline.settings import Settings
from tests.unit.experiments.written_experiments import (
    APRIL,
    MARCH,
    NOON,
    phase,
    written,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installation's experiments."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEARLINE_EXPERIMENTS", str(folder))
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(experiment, arguments)


def run_json(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.exception is None, done.output
    return json.loads(done.stdout)


def test_the_experiments_of_the_project_are_without_mistakes(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEARLINE_EXPERIMENTS")
    done = run("check")
    assert (done.exit_code, done.stdout) == (0, "1 experiment, without mistakes\n")


def test_names_that_there_are_not_are_told_of(files: Path) -> None:
    written(
        files,
        metrics={"primary": "convertion", "guardrails": {"bounce": 0.1}},
        eligibility={"segments": ["rich"]},
        phases=[phase(NOON, metrics={"primary": "conversion", "secondary": ["x"]})],
    )
    done = run("check")
    assert done.exit_code == 2
    starts = [
        "error: banner.yml: metrics.primary: there is no metric convertion; there are ",
        "error: banner.yml: metrics.guardrails: there is no metric bounce; there are ",
        "error: banner.yml: phases.0.metrics.secondary: there is no metric x; there are ",
        "error: banner.yml: eligibility.segments: there is no segment rich; there are ",
    ]
    for line, start in zip(done.stderr.splitlines(), starts, strict=True):
        assert line.startswith(start)


def test_the_time_of_decisions_may_be_a_guardrail_and_nothing_else(files: Path) -> None:
    limit = {"decision_latency_ms": 50}
    written(files, metrics={"primary": "conversion", "guardrails": limit})
    assert run("check").exit_code == 0
    written(files, metrics={"primary": "decision_latency_ms"})
    assert "there is no metric decision_latency_ms" in run("check").stderr


def test_a_change_of_what_runs_is_refused_by_the_next_check(files: Path) -> None:
    written(files)
    assert run("check").exit_code == 0
    written(files, salt="other")
    done = run("check", "--json")
    assert done.exit_code == 2
    [problem] = json.loads(done.stdout)["problems"]
    assert (problem["file"], problem["field"]) == ("banner.yml", "salt")
    written(files)
    assert run("check").exit_code == 0


def test_an_experiment_that_ran_cannot_go_without_a_word(files: Path) -> None:
    path = written(files)
    later = written(files, "later", starts_at=datetime(2099, 1, 1))
    run("check")
    path.unlink()
    later.unlink()
    done = run("check")
    assert (done.exit_code, done.stderr) == (
        2,
        "error: banner.yml: is gone, and the experiment ran; put it back, and stop or "
        "decide it\n",
    )


def test_of_another_folder_nothing_is_noted(files: Path, tmp_path: Path) -> None:
    written(files)
    run("check")
    others = tmp_path / "others"
    written(others, "new")
    assert run("check", str(others)).exit_code == 0
    written(others, "new", salt="else")
    assert run("check", str(others)).exit_code == 0
    written(others, salt="else")
    assert run("check", str(others)).exit_code == 2


def test_a_folder_that_is_given_is_checked_in_place_of_the_own(
    files: Path, tmp_path: Path
) -> None:
    written(tmp_path / "others", variants={"plain": 1.0})
    assert run("check").exit_code == 0
    assert run("check", str(tmp_path / "others")).exit_code == 2
    refused = run("check", str(tmp_path / "nowhere"))
    assert isinstance(refused.exception, InputError)


def test_experiments_are_listed_with_where_they_stand(files: Path) -> None:
    written(files)
    written(files, "later", starts_at=datetime(2099, 1, 1))
    listed = run_json("list")["experiments"]
    assert [(one["key"], one["state"]) for one in listed] == [
        ("banner", "running"),
        ("later", "waiting"),
    ]
    assert listed[0]["variants"] == {"plain": 5_000, "banner": 5_000}
    assert run("list", "--past").stdout == "no experiment was decided yet\n"


def test_buckets_are_printed_for_whoever_assigns_elsewhere(files: Path) -> None:
    written(files, coverage=0.2)
    printed = run_json("buckets", "banner")
    assert (printed["salt"], printed["unit"], printed["is_counted"]) == (
        "banner",
        "visitor",
        True,
    )
    assert printed["spans"] == [
        {"variant": "plain", "first": 0, "count": 1_000},
        {"variant": "banner", "first": 1_000, "count": 1_000},
    ]
    assert (printed["slot"], printed["hold_outs"], printed["changes_at"]) == (
        None,
        [],
        None,
    )


def test_a_decision_is_kept_beside_the_definitions_with_what_was_learnt(
    files: Path,
) -> None:
    written(files)
    why = "More buy on phones."
    done = run("decide", "banner", "--ship", "banner", "--why", why, "--by", "shop")
    assert done.exit_code == 0, done.output
    found = load_decisions(files)["banner"]
    assert (found.variant, found.why, found.by) == ("banner", why, "shop")
    assert found.findings == ()
    [past] = run_json("list", "--past")["experiments"]
    assert (past["state"], past["decision"]["why"]) == ("shipped", why)
    assert f"by shop: {why}" in run("list", "--past").stdout


def test_a_decision_holds_the_results_it_was_made_by(
    files: Path, tmp_path: Path
) -> None:
    written(files, metrics={"primary": "conversion", "secondary": ["add_to_cart"]})
    release = tmp_path / "home" / "releases" / "r1"
    release.mkdir(parents=True)
    (tmp_path / "home" / "published").symlink_to(release)
    duckdb.sql(
        "select 'banner' as experiment_key, metric_name, 'banner' as variant_key, "
        "1e-1 as relative_lift, 2e-2 as relative_ci_low, 18e-2 as relative_ci_high, "
        "'ship banner' as verdict "
        "from (values ('add_to_cart'), ('conversion'), ('other')) as m (metric_name)"
    ).write_parquet(str(release / "fct_experiment_results.parquet"))
    decided = run_json("decide", "banner", "--stop", "--why", "no", "--by", "shop")
    assert decided["release_id"] == "r1"
    assert [one["metric"] for one in decided["findings"]] == [
        "conversion",
        "add_to_cart",
    ]
    assert decided["findings"][0]["relative_ci_high"] == 0.18
    assert load_decisions(files)["banner"].findings[0].verdict == "ship banner"


def test_deciding_again_replaces_what_was_decided_and_keeps_both(files: Path) -> None:
    written(files)
    said = ("--why", "as hoped", "--by", "shop")
    run("decide", "banner", "--ship", "banner", *said)
    run("decide", "banner", "--stop", *said)
    assert load_decisions(files)["banner"].variant is None
    assert len((files / "_decisions.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "--stop"), "there is no experiment of this key"),
        (("banner",), "give either --ship VARIANT or --stop"),
        (("banner", "--stop", "--ship", "banner"), "give either --ship"),
        (("banner", "--ship", "red"), "has no such variant; it has plain, banner"),
        (("later", "--stop"), "later has not begun"),
        (("banner", "--stop", "--by", " "), "--by is empty"),
    ],
    ids=["no key", "neither", "both", "no variant", "not begun", "nobody"],
)
def test_what_cannot_be_decided_is_refused_and_nothing_is_written(
    files: Path, arguments: tuple[str, ...], message: str
) -> None:
    written(files)
    written(files, "later", starts_at=datetime(2099, 1, 1))
    done = run("decide", "--why", "so", "--by", "shop", *arguments)
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)
    assert not (files / "_decisions.jsonl").exists()


def test_a_line_of_decisions_that_cannot_be_read_is_told_of(files: Path) -> None:
    (files / "_decisions.jsonl").write_text('{"key": "banner"}\n')
    with pytest.raises(InputError, match=r"_decisions\.jsonl: line 1: decided_at"):
        load_decisions(files)


class TestPlan:
    """100 visitors in each of two weeks, and who of them bought; hand-made."""

    @pytest.fixture(autouse=True)
    def published(self, files: Path, tmp_path: Path) -> None:
        release = tmp_path / "home" / "releases" / "r1"
        release.mkdir(parents=True)
        (tmp_path / "home" / "published").symlink_to(release)
        # Visitors 0 to 99 come in both weeks, all on the same day of it. 0 to 19 buy in
        # the second week, 0 to 9 of them in the first, too; 15 in the second is a bot.
        duckdb.sql(
            """
            with

            visits as (
                select
                    v as visitor,
                    cast(w as integer) as week,
                    date '2026-03-02' + cast(7 * w + v % 7 as integer) as event_date,
                from range(100) as visitors (v), range(2) as weeks (w)
                union all
                select 0, 2, date '2026-03-16'
            ),

            events as (
                select
                    visitor,
                    event_date,
                    unnest(
                        case
                            when week = 1 and visitor < 20 then ['page_view', 'purchase']
                            when week = 0 and visitor < 10 then ['page_view', 'purchase']
                            else ['page_view']
                        end
                    ) as event_name,
                    week = 1 and visitor = 15 as is_bot,
                from visits
            )

            select
                'v_' || visitor as visitor_id,
                'p_' || visitor as person_id,
                's' || visitor as session_id,
                event_name,
                event_date,
                cast(event_date as timestamp) as occurred_at,
                is_bot,
                event_name = 'page_view' as is_page_view,
                case when event_name = 'purchase' then 1000 end as revenue_cents,
                cast(null as bigint) as engaged_milliseconds,
                true as has_personalization_consent,
            from events
            """
        ).write_parquet(str(release / "fct_events.parquet"))

    def test_a_defined_experiment_is_planned_by_what_was_published(
        self, files: Path
    ) -> None:
        written(files, coverage=0.5, expected_effect=0.2, stops_at=APRIL)
        made = run_json("plan", "banner", "--days", "7")
        traffic = made["traffic"]
        # The day of the latest event has not ended: its week is the second.
        assert (traffic["first_day"], traffic["last_day"]) == (
            "2026-03-09",
            "2026-03-15",
        )
        assert traffic["units_per_day"] == pytest.approx(99 / 7)
        assert traffic["eligible_units_per_day"] == pytest.approx(99 / 14)
        [primary] = made["metrics"]
        plan = primary["for_effect"]
        rate = 19 / 99
        assert plan["baseline"] == pytest.approx(rate)
        assert plan["relative_effect"] == 0.2
        deviations = [(p * (1 - p)) ** 0.5 for p in (rate, 1.2 * rate)]
        # The sample's own variance has one degree of freedom less.
        deviations[0] *= (99 / 98) ** 0.5
        size = plan_sample_size(0.2 * rate, *deviations)
        assert plan["control_unit_count"] == size.control_unit_count
        assert plan["days"] == size.days(99 / 14)
        # phi of bought before and bought: 10 of 99 did both, 9 bought only now.
        removed = (10 * 80) ** 2 / (19 * 80 * 10 * 89)
        assert primary["variance_removed"] == pytest.approx(removed)
        assert primary["in_time"]["relative_effect"] > 0.2
        assert made["planned_days"] == (APRIL - MARCH).days

    def test_what_cannot_be_planned_is_refused(self, files: Path) -> None:
        written(files, metrics={"primary": "engaged_seconds_p90"}, expected_effect=0.1)
        for arguments, message in (
            (("plan", "nothing"), "there is no experiment of this key"),
            (("plan", "banner"), "a quantile has no plan by formula"),
            (("plan", "banner", "--rate", "0.1"), "--rate does not go with KEY"),
            (("plan", "--rate", "0.1", "--days", "3"), "--days goes with the KEY"),
        ):
            done = run(*arguments)
            assert isinstance(done.exception, InputError)
            assert message in str(done.exception)
        written(files)
        done = run("plan", "banner")
        assert "expected_effect: is not set" in str(done.exception)

    def test_a_guardrail_without_a_plan_does_not_hide_the_others(
        self, files: Path
    ) -> None:
        written(
            files,
            metrics={
                "primary": "conversion",
                "guardrails": {"came_back": 0.05, "decision_latency_ms": 50},
            },
            expected_effect=0.2,
        )
        primary, back, latency = run_json("plan", "banner", "--days", "7")["metrics"]
        assert primary["problem"] is None
        assert "a retention has no plan by formula" in back["problem"]
        assert "no history before the arms' own decisions" in latency["problem"]


def test_without_a_release_a_plan_says_what_to_run(files: Path, tmp_path: Path) -> None:
    written(files, expected_effect=0.1)
    assert "run `nearline run` first" in str(run("plan", "banner").exception)
    assert Settings(home=tmp_path / "home").experiment_state.name == "experiments"
