"""The one experiment: who is in which arm, and what is exactly true of its effect.

The treatment multiplies the purchase probability of every checkout by `1 + effect` and
changes nothing else; visits, exposures, carts and checkouts are drawn without looking at
the arm. Given those, the chance that a visitor converts is known in closed form, and the
mean difference over the exposed visitors is the sample average treatment effect. It is
worked out from the probabilities used, never from who happened to buy. Estimating the
effect from events does not belong here.
"""

from dataclasses import dataclass
from typing import Any

from nearline.experiments.assignment import Allocation, Assigner

EXPERIMENT_KEY = "checkout_reassurance"
CONTROL = "control"
TREATMENT = "treatment"

# As `dbt_project/experiments/checkout_reassurance.yml` defines it, and as a page with
# assignment.js has it: by its own id of the visitor, which no server has made a
# pseudonym of yet. A simulation does not read the project, so it is said here again.
_ASSIGNER = Assigner(
    f"{EXPERIMENT_KEY}.2026-09",
    Allocation.from_weights({CONTROL: 5_000, TREATMENT: 5_000}),
)


def assign_variant(visitor_id: str) -> str:
    """The visitor's arm, half and half, by a hash that no other experiment shares."""
    variant = _ASSIGNER.variant_of(visitor_id)
    assert variant is not None
    return variant


@dataclass(slots=True)
class Chances:
    """One exposed visitor's chances if in control, built up checkout by checkout.

    `none_*` is the probability that no checkout so far ended in a purchase.
    """

    none_control: float = 1.0
    none_treatment: float = 1.0
    revenue_cents: float = 0.0

    def add_checkout(self, probability: float, effect: float, revenue: int) -> None:
        """A checkout that ends in a purchase with `probability` in control."""
        self.none_control *= 1.0 - probability
        self.none_treatment *= 1.0 - probability * (1.0 + effect)
        self.revenue_cents += probability * revenue


@dataclass(slots=True)
class Truth:
    """Sums over the exposed people (no bots, analytics consent given)."""

    effect: float
    units: dict[str, int]
    converts: dict[str, float]
    converts_as_assigned: dict[str, float]
    revenue_cents: float = 0.0

    def add(self, visitor_id: str, chances: Chances) -> None:
        """Counts one exposed visitor."""
        arm = assign_variant(visitor_id)
        converts = {
            CONTROL: 1.0 - chances.none_control,
            TREATMENT: 1.0 - chances.none_treatment,
        }
        self.units[arm] += 1
        for variant, probability in converts.items():
            self.converts[variant] += probability
        self.converts_as_assigned[arm] += converts[arm]
        self.revenue_cents += chances.revenue_cents

    @property
    def unit_count(self) -> int:
        return sum(self.units.values())

    def mean(self, variant: str) -> float | None:
        """Mean chance to convert if all exposed visitors were in `variant`."""
        return self.converts[variant] / self.unit_count if self.unit_count else None

    @property
    def true_effect(self) -> float | None:
        """Mean of P(converts | treatment) - P(converts | control); None if no unit."""
        if not self.unit_count:
            return None
        return (self.converts[TREATMENT] - self.converts[CONTROL]) / self.unit_count


def open_truth(effect: float) -> Truth:
    """A truth without units."""
    zero = {CONTROL: 0.0, TREATMENT: 0.0}
    return Truth(effect, {CONTROL: 0, TREATMENT: 0}, dict(zero), dict(zero))


def describe_truth(truth: Truth) -> dict[str, Any]:
    """What `truth/experiment.json` holds.

    `true_mean` of a variant is over all exposed visitors, as if all were in it;
    `true_mean_as_assigned` over those who are. Rates are 0 to 1, revenue in cents.
    """
    count = truth.unit_count
    revenue = truth.revenue_cents / count if count else None
    return {
        "experiment_key": EXPERIMENT_KEY,
        "unit": "visitor_id",
        "metric_name": "conversion",
        "effect_parameter": truth.effect,
        "effect_parameter_meaning": (
            "the treatment multiplies the purchase probability of a checkout by 1 + this"
        ),
        "unit_count": count,
        "true_effect": truth.true_effect,
        "true_effects": {
            "conversion": truth.true_effect,
            "add_to_cart": 0.0,
            "revenue_per_visitor": None if revenue is None else revenue * truth.effect,
            "engaged_seconds_per_visitor": 0.0,
        },
        "variants": [
            {
                "variant_key": variant,
                "share": 0.5,
                "unit_count": truth.units[variant],
                "true_mean": truth.mean(variant),
                "true_mean_as_assigned": (
                    truth.converts_as_assigned[variant] / truth.units[variant]
                    if truth.units[variant]
                    else None
                ),
            }
            for variant in (CONTROL, TREATMENT)
        ],
    }
