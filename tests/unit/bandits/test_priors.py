"""A finished experiment's results as what a policy starts from."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import integrate, stats

from nearline.bandits.logged import Situations
from nearline.bandits.outcomes import Outcomes, Tally
from nearline.bandits.policies import EpsilonGreedy, Thompson
from nearline.bandits.policy_files import Learnt, read_policy_file, write_learnt
from nearline.bandits.priors import Prior, prior_of_shares
from nearline.decisions.command import policy
from nearline.decisions.learnt import read_learnt
from nearline.errors import InputError
from nearline.settings import Settings
from tests.releases import DAY, NOON, release_tables, write_release
from tests.unit.experiments.written_experiments import MARCH, written
from tests.unit.experiments.written_experiments import NOON as LATER

SHARES = {"plain": (0.02, 900), "banner": (0.08, 12)}
ONE = Situations(
    ("plain", "banner"),
    ("new", "loyal"),
    np.array([0, 1]),
    np.ones((2, 2), dtype=bool),
)


def test_the_posterior_is_that_of_bayes_rule_worked_out_on_a_grid() -> None:
    """Density of the prior times likelihood of each decision, integrated: no Beta algebra
    is believed. The prior's own is binomial, of 20 decisions at 10 % and 10 at 40 %."""
    prior = prior_of_shares(
        "x", "conversion", {"plain": (0.1, 900), "banner": (0.4, 10)}, 20
    )
    known = Outcomes(
        {("new", "plain"): Tally(30, 6.0), ("new", "banner"): Tally(5, 1.0)}
    )
    rate = np.linspace(0, 1, 40_001)

    def posterior(pseudo: tuple[int, int], logged: tuple[int, int]) -> np.ndarray:
        density = stats.binom.pmf(pseudo[0], pseudo[1], rate)
        density = density * stats.binom.pmf(logged[0], logged[1], rate)
        return np.asarray(density / integrate.trapezoid(density, rate))

    def banner_is_best(plain: np.ndarray, banner: np.ndarray) -> float:
        below = integrate.cumulative_trapezoid(plain, rate, initial=0)
        return float(integrate.trapezoid(banner * below, rate))

    found = Thompson(known, prior=prior).odds(ONE)

    # Of loyal visitors nothing is logged: there the prior is all.
    expected = [
        banner_is_best(posterior((2, 20), (6, 30)), posterior((4, 10), (1, 5))),
        banner_is_best(posterior((2, 20), (0, 0)), posterior((4, 10), (0, 0))),
    ]
    assert found.values[:, 1] == pytest.approx(expected, abs=found.error + 1e-4)
    assert found.error < 0.002


def test_the_greedy_one_takes_the_winner_until_decisions_outweigh_it() -> None:
    prior = prior_of_shares("x", "conversion", SHARES, 20)
    against = Outcomes(
        {("new", "plain"): Tally(40, 20.0), ("new", "banner"): Tally(40, 0.0)}
    )

    assert EpsilonGreedy(Outcomes({}), 0.0, prior=prior).odds(ONE).values[0, 1] == 1
    assert EpsilonGreedy(against, 0.0, prior=prior).odds(ONE).values[0, 1] == 0
    assert EpsilonGreedy(against, 0.0, prior=prior).odds(ONE).values[1, 1] == 1


def test_what_decides_draws_by_it_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "home.json"
    prior = prior_of_shares(
        "x", "conversion", {"plain": (0.0, 9), "banner": (1.0, 9)}, 9
    )
    learnt = Learnt("thompson", 0.0, "home", "purchased", None, Outcomes({}), prior)
    write_learnt(learnt, path)

    # Of Beta(1, 10) and Beta(10, 1) the first is the larger once in C(20, 10) times.
    odds = read_learnt(path).odds(["plain", "banner"], None)
    assert odds["plain"] == pytest.approx(1 / 184_756, abs=1e-3)

    content = learnt.as_json()
    content["prior"]["outcomes"][0]["reward"] = 10.0
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="not of the form of a policy"):
        read_policy_file(path)


def test_an_arm_weighs_no_more_than_its_units() -> None:
    assert prior_of_shares("x", "conversion", SHARES, 20).tallies == {
        "plain": Tally(20, pytest.approx(0.4)),
        "banner": Tally(12, pytest.approx(0.96)),
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A release with results of `banner`, which is over, and decisions of another slot's
    policy of the same choices."""
    settings = Settings(home=tmp_path / "home")
    monkeypatch.setenv("NEARLINE_HOME", str(settings.home))
    monkeypatch.setenv("NEARLINE_EXPERIMENTS", str(tmp_path / "experiments"))
    written(tmp_path / "experiments", stops_at=LATER)
    publish(settings)
    return settings


def publish(settings: Settings, arms: str | None = None, **result: Any) -> None:
    tables = release_tables()
    base = {
        **tables["fct_experiment_results"][0],
        "experiment_key": "banner",
        "variant_key": "banner",
        "control_variant_key": "plain",
        "variant_mean": 0.08,
        "unit_count": 12,
        "control_mean": 0.02,
        "control_unit_count": 900,
    }
    tables["fct_experiment_results"] = [
        {**base, **result},
        {**base, "metric_name": "spent", "metric_kind": "mean", "variant_mean": 90.0},
    ]
    tables["fct_decisions"] = [
        {
            "decision_id": f"d_{number}",
            "visitor_id": f"v_{number}",
            "person_id": f"p_{number}",
            "decided_at": NOON + timedelta(minutes=number),
            "decision_date": DAY,
            "slot": "home",
            "choice": "banner",
            "probability": 0.5,
            "candidates": ["banner", "plain"],
            "arms": arms,
            "purchase_count": number % 2,
            "is_clicked": False,
            "is_bot": False,
            "is_held_out": False,
            "is_outcome_complete": True,
            "has_personalization_consent": True,
        }
        for number in range(4)
    ]
    release = settings.releases / f"r{len(list(settings.releases.glob('*')))}"
    write_release(release, tables)
    settings.published.unlink(missing_ok=True)
    settings.published.symlink_to(release)


def learn(*arguments: str | Path) -> str:
    done = CliRunner().invoke(
        policy,
        ["learn", "--slot", "home", "--policy", "thompson", *map(str, arguments)],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_a_policy_starts_from_what_is_published_and_keeps_it(
    home: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "home.json"
    asked = ("--reward", "purchased", "--out", path)

    said = learn("--prior", "banner", "--prior-decisions", "100", *asked)
    first = read_policy_file(path)
    learn("--start", path, *asked)

    assert "it started from conversion of banner: banner 0.08 (weight 12)" in said
    assert isinstance(first, Learnt)
    assert first.outcomes.tallies == {("", "banner"): Tally(4, 2.0)}
    assert first.prior == Prior(
        "banner",
        "conversion",
        {
            "banner": Tally(12, pytest.approx(0.96)),
            "plain": Tally(100, pytest.approx(2.0)),
        },
    )
    # What came later is added; the experiment is not, once more.
    assert read_policy_file(path) == first


def test_without_it_a_policy_starts_from_nothing_as_files_of_before_do(
    home: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "home.json"
    learn("--reward", "purchased", "--out", path)

    content = json.loads(path.read_text())
    assert content.pop("prior") is None
    path.write_text(json.dumps(content))
    found = read_policy_file(path)
    assert isinstance(found, Learnt)
    assert found.prior is None


def test_an_arm_of_another_name_is_the_choice_that_is_said(
    home: Settings, tmp_path: Path
) -> None:
    publish(home, variant_key="tried", control_variant_key="as_it_was")
    written(
        tmp_path / "experiments", control="as_it_was",
        variants={"as_it_was": 0.5, "tried": 0.5}, stops_at=LATER,
    )  # fmt: skip
    asked = ("--prior", "banner", "--reward", "purchased", "--out", tmp_path / "a.json")

    said = learn(*asked, "--prior-arm", "tried=banner")

    assert "banner 0.08" in said
    assert "as_it_was" not in said
    with pytest.raises(InputError, match=r"none of its arms .* is a choice of home"):
        learn(*asked)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--prior", "nowhere"], "there is no experiment of this key"),
        (["--reward", "clicked"], "no metric of experiments says what the reward click"),
        (["--reward", "revenue"], "--prior is of shares, and --reward revenue is of"),
        (["--prior-metric", "spent"], "spent is a mean; a prior takes a share"),
        (["--prior-metric", "joy"], "no published result of joy; there are conversion"),
        (["--prior-arm", "banner"], "write ARM=CHOICE, each arm once"),
        (["--prior-arm", "banner=plain"], "two arms of banner are the choice plain"),
        (["--prior-arm", "gold=plain"], "gold: banner has no such arm; it has"),
        (["--start", "home.json"], "--prior does not go with --start"),
        (["--data", "rows.csv"], "--prior does not go with --data"),
    ],
)  # fmt: skip
def test_a_mistaken_prior_is_told(
    home: Settings, tmp_path: Path, arguments: list[str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        learn(
            "--prior", "banner", "--reward", "purchased",
            "--out", tmp_path / "home.json", *arguments,
        )  # fmt: skip
    assert not (tmp_path / "home.json").exists()


def _runs_on(home: Settings, folder: Path) -> None:
    written(folder, starts_at=MARCH, stops_at=datetime(2999, 1, 1, tzinfo=UTC))


def _has_an_alarm(home: Settings, folder: Path) -> None:
    publish(home, has_srm_alarm=True)


def _is_of_the_slot(home: Settings, folder: Path) -> None:
    publish(home, arms='{"banner": "plain"}')


def _has_no_number(home: Settings, folder: Path) -> None:
    publish(home, variant_mean=None, control_mean=None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_runs_on, "--prior banner is running: its results may still change"),
        (_has_an_alarm, "sizes are not as planned"),
        (_is_of_the_slot, "4 decisions of home were made in its arms"),
        (_has_no_number, "no arm of it has a share of conversion"),
    ],
)
def test_what_is_no_evidence_of_its_own_is_refused(
    home: Settings, tmp_path: Path, change: Callable[[Settings, Path], None], says: str
) -> None:
    change(home, tmp_path / "experiments")

    with pytest.raises(InputError, match=says):
        learn(
            "--prior", "banner", "--reward", "purchased", "--out", tmp_path / "a.json"
        )
