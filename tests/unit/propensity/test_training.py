"""What becomes of labelled rows: a model, or the reason why there is none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nearline.models import read_state
from nearline.propensity.learning import Learnt, Origin, put_forward
from nearline.propensity.targets import LABEL, TARGETS
from nearline.propensity.training import BASE_RATE, NotTrained, Trained, train
from nearline.settings import Settings
from tests.unit.propensity.labelled_rows import FEATURES, labelled_rows, with_column

SESSION = TARGETS["session"]


def reason(rows: pa.Table, features: tuple[str, ...] = FEATURES) -> str:
    found = train(rows, features, SESSION, seed=7)
    assert isinstance(found, NotTrained)
    return found.reason


def trained(rows: pa.Table, features: tuple[str, ...] = FEATURES) -> Trained:
    found = train(rows, features, SESSION, seed=7)
    assert isinstance(found, Trained)
    return found


@pytest.fixture(scope="module")
def model() -> Trained:
    return trained(labelled_rows())


def test_a_model_tells_buyers_from_others_better_than_the_base_rate(
    model: Trained,
) -> None:
    chosen, base = model.metrics[model.chosen], model.metrics[BASE_RATE]
    assert chosen["auc"].ci_low > 0.65
    assert base["auc"].value == 0.5
    assert chosen["log_loss"].value < base["log_loss"].value
    assert set(model.metrics) == {
        "boosted_trees",
        "neural_net",
        "logistic_regression",
        "base_rate",
    }


def test_scores_are_what_happens_that_often(model: Trained) -> None:
    curve = model.details["calibration_curve"]
    hits = sum(p["ci_low"] <= p["mean_score"] <= p["ci_high"] for p in curve)
    # Of eight 95 % intervals, fewer than six would be no calibration.
    assert hits >= 6


def test_the_feature_that_drives_purchases_is_found_important(model: Trained) -> None:
    first, *others = model.details["importances"]
    assert first["feature"] == "view_count_24h"
    assert first["ci_low"] > 0
    assert all(one["value"] < first["value"] / 3 for one in others)


def test_no_label_that_is_learnt_from_is_open_when_the_held_out_rows_begin() -> None:
    week = replace(SESSION, horizon=timedelta(days=7))
    found = train(labelled_rows(), FEATURES, week, seed=7)
    assert isinstance(found, Trained)
    held_out_from = found.details["held_out_from"]
    learnt_up_to = found.details["learnt_up_to"]
    gap = np.datetime64(held_out_from[:-1]) - np.datetime64(learnt_up_to[:-1])
    assert gap >= np.timedelta64(7, "D")
    assert found.row_counts["label_open"] > 0
    counts = found.row_counts
    assert counts["learn"] + counts["label_open"] + counts["held_out"] == 1_500


def test_the_order_of_rows_has_no_influence(model: Trained) -> None:
    rows = labelled_rows()
    shuffled = rows.take(np.random.default_rng(3).permutation(rows.num_rows))
    again = trained(shuffled)
    assert again.metrics == model.metrics
    assert again.details == model.details


def test_a_planted_future_feature_is_caught() -> None:
    rows = labelled_rows()
    spend = np.where(rows[LABEL].to_numpy(), 4_900, 0)
    told = reason(
        with_column(rows, "spend_7d", spend), features=(*FEATURES, "spend_7d")
    )
    assert told.startswith("spend_7d alone predicts with an AUC of 1.000")


def test_a_moment_after_the_label_is_caught_wherever_it_is() -> None:
    rows = labelled_rows()
    moments = rows["event_timestamp"].to_pylist()
    # Among many honest values, a tenth knows of an hour later.
    known = [
        m + timedelta(hours=1) if n % 10 == 0 else m for n, m in enumerate(moments)
    ]
    told = reason(
        with_column(rows, "last_event_at", pa.array(known, pa.timestamp("us")))
    )
    assert "last_event_at lies after the moment of its label" in told


@pytest.mark.parametrize("bought", [True, False])
def test_labels_of_one_class_give_no_model(bought: bool) -> None:
    rows = labelled_rows()
    told = reason(with_column(rows, LABEL, [bought] * rows.num_rows))
    assert "at least 20 of each are needed" in told


def test_too_few_rows_give_no_model() -> None:
    assert "299 labelled moments are too few" in reason(labelled_rows().slice(0, 299))
    assert "0 labelled moments" in reason(labelled_rows().slice(0, 0))


def test_purchases_of_one_visitor_alone_give_no_model() -> None:
    rows = labelled_rows(visitor_count=20, rows_each=100)
    is_one = pc.equal(rows["visitor_id"], "v_00003").combine_chunks()
    assert "too few visitors" in reason(with_column(rows, LABEL, is_one))


def test_features_that_say_nothing_are_left_out_with_the_reason() -> None:
    rows = labelled_rows()
    count = rows.num_rows
    rows = with_column(rows, "constant", np.ones(count))
    rows = with_column(rows, "unknown", pa.nulls(count, pa.float64()))
    rows = with_column(rows, "last_item_id", [f"i_{n % 3}" for n in range(count)])
    days = pc.divide(pc.cast(rows["event_timestamp"], pa.int64()), 86_400_000_000)
    rows = with_column(rows, "growing", days.combine_chunks())
    names = (*FEATURES, "constant", "unknown", "last_item_id", "growing")
    left_out = trained(rows, names).details["left_out"]
    assert left_out["constant"] == "the same in every row"
    assert left_out["unknown"] == "missing in every row"
    assert left_out["last_item_id"] == "no number, or too many different words"
    assert left_out["growing"].startswith("not steady while it is learnt (PSI ")
    assert set(left_out) == {"constant", "unknown", "last_item_id", "growing"}


def test_without_any_feature_that_varies_there_is_no_model() -> None:
    rows = with_column(labelled_rows(), "constant", np.ones(1_500))
    assert "no feature" in reason(rows, ("constant",))
    assert "no feature" in reason(rows, ())


def test_numbers_that_are_none_are_missing_values() -> None:
    rows = labelled_rows()
    views = rows["view_count_24h"].to_numpy().astype(float)
    views[::7] = np.nan
    views[3] = np.inf
    found = trained(with_column(rows, "view_count_24h", views))
    assert np.isfinite(found.held_out.losses(found.predictor)).all()


def test_what_is_put_forward_has_the_champions_measures_on_its_own_rows_in_its_card(
    model: Trained, tmp_path: Path
) -> None:
    settings, now = Settings(home=tmp_path), datetime(2026, 4, 1, tzinfo=UTC)
    origin = Origin("r1", "test", "")

    def put(trained: Trained) -> Learnt:
        return put_forward(settings, SESSION, trained, origin, seed=7, now=now)

    first = put(model)
    assert first.card is not None
    assert first.is_promoted
    assert "champion_v1" not in first.card.facts.beside
    # Its calibration turned about: it says the opposite of what it learnt.
    turned = replace(model.predictor, slope=-model.predictor.slope)
    second = put(replace(model, predictor=turned))
    assert second.card is not None
    assert not second.is_promoted
    assert "worse than the champion beyond noise" in second.reason
    champions = second.card.facts.champions_metrics()
    for name, expected in model.metrics[model.chosen].items():
        assert champions[name] == expected
    state = read_state(settings.models, SESSION.model)
    assert (state.champion, state.challenger) == (1, 2)
