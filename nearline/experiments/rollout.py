"""Where an experiment stands at a moment, and who sees what then: before, during, after.

Belongs here: start and stop, phases, and what a decision rolls out, as a pure function of
a definition, a decision and the time. Not here: the hash (`assignment`), or who is asked
(`nearline.decisions`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nearline.experiments.assignment import BUCKET_COUNT, Allocation, Assigner
from nearline.experiments.decision_record import ExperimentDecision
from nearline.experiments.definitions import ExperimentDefinition

State = Literal["draft", "waiting", "running", "over", "shipped", "stopped"]
"""
draft    has no start yet
waiting  starts later
running
over     its end has passed, and nothing is decided
shipped  a variant was decided on, and everybody sees it
stopped  it was decided that nobody sees any of it
"""

_NOBODY = Assigner("nobody", Allocation(()))


@dataclass(frozen=True, slots=True)
class Standing:
    """Who sees what until `changes_at` (None: until somebody changes a file).

    Whom the assigner gives no variant sees what is there without the experiment. Only
    while it `is_counted` are those with a variant its units, to be exposed and analysed.
    """

    state: State
    assigner: Assigner = _NOBODY
    is_counted: bool = False
    changes_at: datetime | None = None


def stand(
    definition: ExperimentDefinition,
    decision: ExperimentDecision | None,
    now: datetime,
) -> Standing:
    """Where `definition` stands at `now`. Hold-outs stay held out from what is shipped."""
    if decision is not None and decision.decided_at <= now:
        if decision.variant is None:
            return Standing("stopped")
        everybody = Allocation.from_weights({decision.variant: BUCKET_COUNT})
        # The layer's share was of an experiment; the winner is for all of the layer.
        assigner = Assigner(definition.salt, everybody, None, definition.hold_outs)
        return Standing("shipped", assigner)
    moments = [phase.starts_at for phase in definition.phases]
    moments += [definition.stops_at, decision.decided_at if decision else None]
    changes_at = min((one for one in moments if one and one > now), default=None)
    if definition.starts_at is None:
        return Standing("draft", changes_at=changes_at)
    if now < definition.starts_at:
        return Standing("waiting", changes_at=changes_at)
    if not definition.is_running(now):
        return Standing("over", changes_at=changes_at)
    return Standing("running", definition.assigner_at(now), True, changes_at)
