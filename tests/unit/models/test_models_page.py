"""The page of model cards: what serves, in words and pictures, and no script."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nearline.models import Estimate, ModelFacts, champion_name, promote, register
from nearline.models.page import build_models_page

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
FACTS = ModelFacts(
    release_id="r1",
    code_version="0.1.0",
    data_from="2026-02-01",
    data_up_to="2026-03-01",
    seed=7,
    row_counts={"learn": 8_000},
    metrics={"auc": Estimate(0.8123, 0.7, 0.9)},
    beside={"base_rate": {"auc": Estimate(None, None, None)}},
    details={
        "calibration_curve": [
            {"mean_score": 0.1, "bought_rate": 0.2, "ci_low": 0.1, "ci_high": 0.4,
             "row_count": 1_000},
        ],
        "importances": [
            {"feature": "<b>views</b>", "value": 0.02, "ci_low": 0.01, "ci_high": 0.03},
            {"feature": "nothing", "value": -0.1, "ci_low": -0.2, "ci_high": 0.0},
        ],
    },
)  # fmt: skip


def page(tmp_path: Path) -> str:
    return build_models_page(tmp_path / "models", tmp_path / "site").read_text()


def test_without_models_the_page_says_how_to_get_one(tmp_path: Path) -> None:
    assert "nearline propensity train" in page(tmp_path)


def test_a_damaged_champion_is_named_and_the_one_that_serves_is_shown(
    tmp_path: Path,
) -> None:
    models = tmp_path / "models"
    for version in (1, 2):
        register(models, "clicks", FACTS, lambda f: (f / "a").write_text("1"), NOW)
        promote(models, "clicks", version, "not worse", NOW)
    (models / "clicks" / "v2" / "a").write_text("2")
    assert "v1 serves, since the champion v2 cannot be read" in page(tmp_path)


def test_a_model_is_shown_with_its_measures_its_curve_and_what_it_goes_by(
    tmp_path: Path,
) -> None:
    models = tmp_path / "models"
    register(models, "clicks", FACTS, lambda f: (f / "a").write_text("1"), NOW)
    assert "v1 challenger; nothing serves yet" in page(tmp_path)
    promote(models, "clicks", 1, "not worse", NOW)
    html = page(tmp_path)
    assert "v1 serves" in html
    assert "0.812 (0.700 to 0.900)" in html
    # The axis ends at the interval's end, 40 %: a tenth is a quarter of 260 pixels.
    assert '<circle cx="65.0" cy="130.0"' in html
    assert "said 10.0%, seen 20.0% (10.0% to 40.0%) of 1,000 rows" in html
    assert "&lt;b&gt;views&lt;/b&gt;" in html
    assert "nothing</p>" not in html
    assert "<script" not in html


def test_a_challenger_is_shown_beside_the_champion_of_then_and_a_damaged_one_is_not(
    tmp_path: Path,
) -> None:
    models = tmp_path / "models"

    def add(facts: ModelFacts) -> None:
        register(models, "clicks", facts, lambda f: (f / "a").write_text("1"), NOW)

    add(FACTS)
    promote(models, "clicks", 1, "first", NOW)
    assert "which does not serve" not in page(tmp_path)
    beside = {champion_name(1): {"other": Estimate(0.9, 0.8, 1.0)}}
    add(replace(FACTS, metrics={"auc": Estimate(0.7, 0.6, 0.8)}, beside=beside))
    html = page(tmp_path)
    assert "The challenger v2, which does not serve" in html
    assert '<td class="words">v2</td><td>0.700 (0.600 to 0.800)</td>' in html
    # Of a measure that the champion's card does not have there is no figure to invent.
    assert '<td class="words">champion v1</td><td>not measured</td>' in html
    (models / "clicks" / "v2" / "a").write_text("2")
    assert "which does not serve" not in page(tmp_path)
