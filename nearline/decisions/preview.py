"""What a visitor would be shown now, found without a trace: nothing is recorded."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from nearline.decisions.decision_events import Sender
from nearline.decisions.features import FeatureSource
from nearline.decisions.knowing import Consents, Page
from nearline.decisions.service import Asker, Decided, Decider
from nearline.errors import InputError
from nearline.privacy.pseudonyms import Pseudonymizer
from nearline.served.log import ServedLog, segments_folder
from nearline.settings import Settings
from nearline.training.command import hush_libraries

# A person at a terminal waits; what is late would only be told as a fallback.
_PATIENCE_SECONDS = 30.0


def preview(
    settings: Settings,
    visitor_id: str,
    slots: Sequence[str],
    consents: Consents,
    page: Page,
    seed: int,
) -> Decided:
    """What each slot would show; all slots where none is named.

    Raises:
        InputError: the policies cannot be used, or have no such slot.
    """
    patient = settings.model_copy(
        update={
            "decision_features_seconds": _PATIENCE_SECONDS,
            "decision_ranking_seconds": _PATIENCE_SECONDS,
            "decision_state_seconds": _PATIENCE_SECONDS,
        }
    )
    features = FeatureSource(settings, log=ServedLog(segments_folder(settings), 0))
    decider = Decider(
        patient,
        Pseudonymizer(b""),  # the visitor is a pseudonym already
        log=None,
        features=features,
        make_rng=lambda: np.random.default_rng(seed),
    )
    unknown = [name for name in slots if name not in decider.policies.slots]
    if unknown:
        known = ", ".join(sorted(decider.policies.slots)) or "none"
        raise InputError(f"--slot names no slot of the policies; there are {known}")
    with ExitStack() as stack:
        hush_libraries(stack)
        stack.callback(decider.close)
        decider.refresh()
        if consents.personalization:
            features.open(decider.policies.services())
        asker = Asker(visitor_id, Sender("preview"), consents, page)
        return asyncio.run(
            decider.decide(asker, slots or sorted(decider.policies.slots))
        )
