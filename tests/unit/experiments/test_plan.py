"""`nearline experiment plan`: from numbers or history to units, days and effects."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from statsmodels.stats.power import NormalIndPower

from nearline.errors import InputError
from nearline.experiments.command import experiment


def run(*arguments: object) -> Result:
    return CliRunner().invoke(experiment, ["plan", *map(str, arguments)])


def run_json(*arguments: object) -> dict[str, float]:
    done = run(*arguments, "--json")
    assert done.exception is None, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_rate_needs_the_units_of_the_textbook() -> None:
    plan = run_json("--rate", 0.04, "--effect", 0.05, "--per-day", 3000)
    # By hand: 7.848880 * (0.04 * 0.96 + 0.042 * 0.958) / 0.002^2.
    exact = 7.848880 * (0.04 * 0.96 + 0.042 * 0.958) / 0.002**2
    assert plan["control_unit_count"] == pytest.approx(exact, abs=1.5)
    assert plan["days"] == math.ceil(2 * plan["control_unit_count"] / 3000)


def test_a_mean_agrees_with_statsmodels_and_back() -> None:
    plan = run_json("--mean", 10, "--sd", 25, "--effect", -0.1, "--variant-share", 0.2)
    oracle = NormalIndPower().solve_power(1 / 25, alpha=0.05, power=0.8, ratio=0.25)
    assert plan["control_unit_count"] == math.ceil(oracle - 1e-6)
    units = plan["control_unit_count"] + plan["variant_unit_count"]
    back = run_json("--mean", 10, "--sd", 25, "--units", units, "--variant-share", 0.2)
    assert back["relative_effect"] == pytest.approx(0.1, rel=1e-3)
    assert back["control_unit_count"] + back["variant_unit_count"] == units


@pytest.mark.parametrize(
    "metric",
    ["m=mean(orders)", "r=ratio(orders,sessions)", "w=winsorized(orders,0.9)",
     "p=proportion(bought)"],
)  # fmt: skip
def test_history_gives_level_and_deviation(tmp_path: Path, metric: str) -> None:
    rng = np.random.default_rng(1)
    sessions = 1.0 + rng.poisson(3, 2000)
    orders = rng.poisson(0.4 * sessions).astype(float)
    bought = (orders > 0).astype(float)
    path = tmp_path / "history.csv"
    rows = zip(orders, sessions, bought, strict=True)
    path.write_text(
        "orders,sessions,bought\n" + "\n".join(f"{o},{s},{b}" for o, s, b in rows)
    )
    plan = run_json("--data", path, "--metric", metric, "--effect", 0.05)
    ratio = orders.mean() / sessions.mean()
    capped = np.minimum(orders, np.quantile(orders, 0.9))
    expected = {
        "m": (orders.mean(), orders.std(ddof=1)),
        "r": (ratio, ((orders - ratio * sessions) / sessions.mean()).std(ddof=1)),
        "w": (capped.mean(), capped.std(ddof=1)),
        "p": (bought.mean(), bought.std(ddof=1)),
    }[metric[0]]
    assert (plan["baseline"], plan["standard_deviation"]) == pytest.approx(expected)


def test_the_sentence_says_units_days_and_effect() -> None:
    done = run("--mean", 10, "--sd", 25, "--effect", 0.1, "--per-day", 1000)
    assert done.stdout == (
        "9,812 units of control and 9,812 of the variant (20 days) see a change of "
        "+10 % (+1 on 10) in 80 of 100 experiments, at 95 % confidence and one look at "
        "the end.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "one baseline"),
        (("--rate", 0.1, "--mean", 1, "--sd", 1, "--effect", 0.1), "one baseline"),
        (("--mean", 1, "--effect", 0.1), "one baseline"),
        (("--rate", 0.1), "one aim"),
        (("--rate", 0.1, "--effect", 0.1, "--units", 99), "one aim"),
        (("--rate", 0.1, "--effect", 0), "other than 0"),
        (("--rate", 0.5, "--effect", 1.5), "a rate must lie"),
        (("--mean", 0, "--sd", 1, "--effect", 0.1), "baseline must be above 0"),
        (("--mean", "nan", "--sd", 1, "--effect", 0.1), "baseline must be above 0"),
        (("--data", "x.csv", "--metric", "m=mean(x)", "--effect", 0.1), "is no file"),
        (("--data", "x.csv", "--metric", "m", "--effect", 0.1), "write NAME="),
        (("--data", "{}", "--metric", "q=quantile(x,0.5)", "--effect", 1), "quantile"),
        (("--data", "{}", "--metric", "q=mean(y)", "--effect", 1), "there are x"),
        (("--data", "{}", "--metric", "q=mean(x)", "--effect", 1), "does not vary"),
        (("--data", "{}", "--metric", "q=proportion(x)", "--effect", 1), "mean(...)"),
    ],
)
def test_a_plan_that_cannot_be_made_says_why(
    tmp_path: Path, arguments: tuple[object, ...], says: str
) -> None:
    path = tmp_path / "flat.csv"
    path.write_text("x\n3\n3\n3\n")
    done = run(*(str(argument).format(path) for argument in arguments))
    assert isinstance(done.exception, InputError)
    assert says in str(done.exception)
