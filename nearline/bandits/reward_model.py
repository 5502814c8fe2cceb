"""What an action would give in a context, as a model says: what "doubly robust" starts from.

Belongs here: fitting it on tallies. Not here: on which rows (`evaluation` sees to it that
no row is judged by a model that has seen it).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nearline.bandits.logged import LoggedDecisions, Numbers


def expected_rewards(decisions: "LoggedDecisions") -> "Numbers":
    """Mean reward of each action in each context (contexts x actions).

    A ridge regression on action, context and both together: means of cells, the more
    drawn to those of the action, the context and all, the fewer decisions they rest on.
    Rejected: a logistic one, which differs little where every cell has a term of its own,
    and took most of an evaluation's time. Tallies are all that it needs.
    """
    situations = decisions.situations
    shape = (len(situations.contexts), len(situations.actions))
    if not len(decisions):
        return np.zeros(shape)
    cell = decisions.context * shape[1] + decisions.action
    size = shape[0] * shape[1]
    counts = np.bincount(cell, minlength=size).astype(np.float64)
    sums = np.bincount(cell, weights=decisions.reward, minlength=size)
    from sklearn.linear_model import Ridge

    seen = np.flatnonzero(counts)
    design = _design(*shape)
    model = Ridge()
    model.fit(design[seen], sums[seen] / counts[seen], sample_weight=counts[seen])
    fitted = model.predict(design)
    return np.asarray(fitted, dtype=np.float64).reshape(shape)


def _design(context_count: int, action_count: int) -> Any:
    """Indicators of action, context and cell, a row for each cell."""
    from scipy.sparse import eye, hstack, kron

    contexts = kron(eye(context_count), np.ones((action_count, 1)))
    actions = kron(np.ones((context_count, 1)), eye(action_count))
    parts: list[Any] = [actions]
    if context_count > 1:
        parts += [contexts, eye(context_count * action_count)]
    return hstack(parts).tocsr()
