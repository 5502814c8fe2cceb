"""What is true of the people in the trial: their chances with and without personal answers.

Belongs here: sums of chances and the form of the files. They are worked out from the
probabilities that people act by, of both lists that the service had for each of them, and
never from who clicked or bought. Estimating anything from events does not belong here.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nearline.experiments.results import CONTROL_VARIANT_KEY
from nearline.simulate.catalogue import Item
from nearline.simulate.live.intentions import Intention
from nearline.simulate.live.visit import Shown, known_items
from nearline.simulate.reactions import Chances, chances

# Metrics of `fct_experiment_results`; `click` is of `fct_decisions` alone.
METRIC_OF_CHANCE: Mapping[str, str] = {
    "click": "click",
    "add_to_cart": "add_to_cart",
    "conversion": "conversion",
    "revenue_cents": "revenue_per_visitor",
}


@dataclass(slots=True)
class Trial:
    """Sums over those who saw the slot and allowed both analytics and personalization."""

    care: float
    items: Mapping[str, Item]
    unit_count: int = 0
    personal: dict[str, float] = field(default_factory=dict)
    default: dict[str, float] = field(default_factory=dict)
    arms: Counter[tuple[str, str]] = field(default_factory=Counter)
    held_out_count: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    same_count: int = 0
    click_count: int = 0
    cart_count: int = 0
    purchase_count: int = 0

    def add(self, intention: Intention, shown: Shown) -> dict[str, Any]:
        """Counts one person; returns their record."""
        slot, reaction = shown.slot, shown.reaction
        # Of one of the two it is known what was really shown: a service that was late
        # once may have been in time for the other question.
        seen = tuple(slot.item_ids)
        saw_default = slot.hold_out or CONTROL_VARIANT_KEY in slot.arms.values()
        personal = self._chances(intention, shown.personal if saw_default else seen)
        default = self._chances(intention, seen if saw_default else shown.default)
        self.unit_count += 1
        _add(self.personal, personal)
        _add(self.default, default)
        self.arms.update(slot.arms.items())
        self.held_out_count += slot.hold_out
        self.answers[slot.answer] += 1
        self.same_count += seen == (shown.default if saw_default else shown.personal)
        self.click_count += reaction.clicked is not None
        self.cart_count += reaction.has_carted or reaction.buys_own
        self.purchase_count += reaction.has_bought or reaction.buys_own
        return {
            "number": intention.number,
            "categories": intention.taste.categories,
            "brands": intention.taste.brands,
            "own_item": intention.looks[0].item.item_id,
            "decision_id": slot.decision_id,
            "arms": dict(slot.arms),
            "hold_out": slot.hold_out,
            "answer": slot.answer,
            "shown": slot.item_ids,
            "personal": shown.personal,
            "default": shown.default,
            "chances_personal": asdict(personal),
            "chances_default": asdict(default),
            "luck": asdict(intention.luck),
            "reaction": asdict(reaction),
        }

    def _chances(self, intention: Intention, item_ids: tuple[str, ...]) -> Chances:
        wares = known_items(item_ids, self.items)
        own = intention.looks[0].item.price_cents
        return chances(intention.taste, wares, self.care, own)

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Mean by metric, if all had seen the lists of `sums`; empty without anybody."""
        return {
            METRIC_OF_CHANCE[name]: value / self.unit_count
            for name, value in sums.items()
        }

    def effects(self) -> dict[str, float]:
        """True difference by metric, personal minus default; empty without anybody."""
        default = self.means(self.default)
        personal = self.means(self.personal)
        return {name: mean - default[name] for name, mean in personal.items()}


def _add(sums: dict[str, float], one: Chances) -> None:
    for name, value in asdict(one).items():
        sums[name] = sums.get(name, 0.0) + value
