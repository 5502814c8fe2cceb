"""Looks for inputs that know the outcome, before a model learns from them.

Belongs here: two checks that do not trust how the features were made. A feature that alone
all but tells the label was made with it; a moment in a feature that lies after the label's
own was not known then.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nearline.propensity.inputs import Input
from nearline.propensity.measures import auc_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]
    Labels: TypeAlias = NDArray[np.bool_]

MOST_AUC_ALONE = 0.97
"""No honest feature of ours came near: see docs/propensity.md."""


def find_leaks(
    inputs: Sequence[Input], rows: "Matrix", labels: "Labels"
) -> tuple[str, ...]:
    """What is wrong, a sentence per input; empty where nothing is."""
    found = []
    for number, one in enumerate(inputs):
        column = rows[:, number]
        if one.kind == "age" and np.nanmin(column, initial=0) < 0:
            later = int((column < 0).sum())
            found.append(
                f"{one.feature} lies after the moment of its label in {later:,} rows"
            )
            continue
        alone = auc_alone(column, labels)
        if alone > MOST_AUC_ALONE:
            found.append(
                f"{one.name} alone predicts with an AUC of {alone:.3f}, above "
                f"{MOST_AUC_ALONE}: it may know the outcome"
            )
    return tuple(found)


def auc_alone(column: "Matrix", labels: "Labels") -> float:
    """AUC of one input in the better direction, missing at the better end."""
    filled = [np.where(np.isnan(column), end, column) for end in (-np.inf, np.inf)]
    aucs = [auc_of(values, labels) for values in filled]
    return max(max(auc, 1 - auc) for auc in aucs)
