"""The experiment: fair arms, an effect on purchases alone, and a truth that is exact."""

import itertools
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from nearline.experiments.definitions import load_definitions
from nearline.settings import Settings
from nearline.simulate import assign_variant
from nearline.simulate.experiment import (
    CONTROL,
    EXPERIMENT_KEY,
    Chances,
    describe_truth,
    open_truth,
)
from tests.unit.simulate.simulated_shop import Shop, open_shop


def apart_from_purchases(shop: Shop) -> list[dict[str, Any]]:
    return [
        line
        for line in shop.lines
        if line["event_name"] != "purchase" and line.get("page_type") != "confirmation"
    ]


def test_arms_are_half_and_half_within_binomial_bounds() -> None:
    count = 20_000
    treated = sum(assign_variant(f"v_{n:016x}") == "treatment" for n in range(count))
    assert abs(treated - count / 2) < 4 * math.sqrt(count / 4)


def test_arms_are_those_of_the_definition_in_the_project() -> None:
    definitions = load_definitions(Settings().experiment_folder)
    [definition] = [one for one in definitions if one.key == EXPERIMENT_KEY]
    assigner = definition.assigner_at(datetime(2026, 9, 1, tzinfo=UTC))
    visitors = [f"v_{number:016x}" for number in range(2_000)]
    assert [assign_variant(one) for one in visitors] == [
        assigner.variant_of(one) for one in visitors
    ]
    assert (definition.control, definition.unit) == (CONTROL, "visitor")


def test_a_visitor_stays_in_one_arm_and_is_exposed_once_a_visit(shop: Shop) -> None:
    exposures = shop.named("exposure")
    variants: dict[str, set[str]] = {}
    for event in exposures:
        assert event["experiment_key"] == "checkout_reassurance"
        variants.setdefault(event["visitor_id"], set()).add(event["variant_key"])
    assert all(len(keys) == 1 for keys in variants.values())
    assert len({event["event_id"][:18] for event in exposures}) == len(exposures)


def test_every_purchase_follows_an_exposure_of_the_same_visitor(shop: Shop) -> None:
    first = {}
    for event in reversed(shop.named("exposure")):
        first[event["visitor_id"]] = event["occurred_at"]
    purchases = shop.named("purchase")
    assert purchases
    for event in purchases:
        assert first[event["visitor_id"]] < event["occurred_at"]


def test_the_arm_changes_nothing_but_purchases(
    shop: Shop, shop_without_effect: Shop
) -> None:
    assert apart_from_purchases(shop) == apart_from_purchases(shop_without_effect)


def test_a_positive_effect_adds_purchases_in_treatment_alone(
    shop: Shop, shop_without_effect: Shop
) -> None:
    with_effect = {e["order_id"]: e["visitor_id"] for e in shop.named("purchase")}
    without = {e["order_id"] for e in shop_without_effect.named("purchase")}
    assert without < with_effect.keys()
    added = with_effect.keys() - without
    assert {assign_variant(with_effect[order]) for order in added} == {"treatment"}


def test_truth_counts_exposed_people_by_arm(shop: Shop) -> None:
    exposed = {
        event["visitor_id"]: event["variant_key"]
        for event in shop.named("exposure")
        if event["visitor_id"] not in shop.bot_ids
    }
    for variant in shop.experiment["variants"]:
        assert variant["unit_count"] == list(exposed.values()).count(
            variant["variant_key"]
        )
    assert shop.summary.exposed_visitor_count == len(exposed)


def test_no_effect_is_a_true_effect_of_exactly_zero(shop_without_effect: Shop) -> None:
    assert shop_without_effect.experiment["true_effect"] == 0
    assert shop_without_effect.experiment["true_effects"]["revenue_per_visitor"] == 0


@pytest.mark.parametrize("effect", [-0.9, -0.3, 0.15, 1.0])
def test_the_true_effect_has_the_sign_of_the_parameter(
    effect: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    small = open_shop(tmp_path_factory.mktemp("shop"), effect=effect, visitors=150)
    control, treatment = (v["true_mean"] for v in small.experiment["variants"])
    true_effect = small.experiment["true_effect"]
    assert true_effect * effect > 0
    assert true_effect == pytest.approx(treatment - control)
    assert abs(true_effect) <= abs(effect) * control + 1e-12


def test_true_effect_of_one_visitor_equals_all_outcomes_counted_out() -> None:
    """Oracle: the eight outcomes of three checkouts, each with its probability."""
    checkouts = [(0.5, 10_000), (0.2, 4_000), (0.35, 2_500)]
    effect = 0.4
    chances = Chances()
    for probability, revenue in checkouts:
        chances.add_checkout(probability, effect, revenue)
    truth = open_truth(effect)
    truth.add("v_0123456789abcdef", chances)

    def expect(lift: float) -> tuple[float, float]:
        converts = revenue = 0.0
        for bought in itertools.product((True, False), repeat=3):
            weight, value = 1.0, 0
            for is_bought, (probability, cents) in zip(bought, checkouts, strict=True):
                p = probability * lift
                weight *= p if is_bought else 1 - p
                value += cents if is_bought else 0
            converts += weight * any(bought)
            revenue += weight * value
        return converts, revenue

    control, treatment = expect(1.0), expect(1.4)
    told = describe_truth(truth)
    assert told["true_effects"]["conversion"] == pytest.approx(
        treatment[0] - control[0]
    )
    assert told["true_effects"]["revenue_per_visitor"] == pytest.approx(
        treatment[1] - control[1]
    )


def test_realized_conversion_scatters_around_the_truth(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Six shops; the sum of their deviations within four standard errors."""
    deviation = variance = 0.0
    for seed in range(6):
        small = open_shop(
            tmp_path_factory.mktemp("shop"), seed=seed, visitors=200, days=14
        )
        bought = {event["visitor_id"] for event in small.named("purchase")}
        for variant in small.experiment["variants"]:
            mean = variant["true_mean_as_assigned"]
            count = variant["unit_count"]
            realized = sum(
                assign_variant(visitor) == variant["variant_key"] for visitor in bought
            )
            deviation += realized - mean * count
            variance += count * mean * (1 - mean)
    assert abs(deviation) < 4 * math.sqrt(variance)
