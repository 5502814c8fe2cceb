"""A slot whose truth is known: what it logs, and what a policy is really worth there.

Belongs here: drawing decisions. Visitors are new or loyal, which turns round what they
like, and differ in how much they click at all: decisions of one are not independent.
"""

import numpy as np

from nearline.bandits.logged import LoggedDecisions, Situations, logged_decisions
from nearline.bandits.policies import Policy

ACTIONS = ("a", "b", "c", "d")
CONTEXTS = ("loyal", "new")
CLICK_RATES = np.array([[0.30, 0.10, 0.05, 0.12], [0.05, 0.10, 0.20, 0.08]])
LOGGED_ODDS = np.array([[0.10, 0.20, 0.30, 0.40], [0.55, 0.25, 0.10, 0.10]])
# A visitor's taste multiplies all rates: 0.5, 1 or 1.5, so that none exceeds 1.
TASTES = np.array([0.5, 1.0, 1.5])

SITUATIONS = Situations(ACTIONS, CONTEXTS, np.arange(2), np.ones((2, 4), dtype=bool))


def log_decisions(
    rng: np.random.Generator,
    visitor_count: int,
    odds: "np.ndarray" = LOGGED_ODDS,
    told_odds: "np.ndarray | None" = None,
) -> LoggedDecisions:
    """Of each visitor one to five, drawn with `odds` (contexts x actions).

    `told_odds` are those logged, where they are not the true ones.
    """
    unit = np.repeat(np.arange(visitor_count), rng.integers(1, 6, visitor_count))
    context = rng.integers(0, 2, visitor_count)[unit]
    taste = rng.choice(TASTES, visitor_count)[unit]
    draws = rng.random(len(unit))[:, None]
    action = (draws > odds[context].cumsum(axis=1)[:, :-1]).sum(axis=1)
    is_clicked = rng.random(len(unit)) < CLICK_RATES[context, action] * taste
    logged = odds if told_odds is None else told_odds
    return logged_decisions(
        [ACTIONS[code] for code in action],
        logged[context, action],
        is_clicked.astype(float),
        contexts=[CONTEXTS[code] for code in context],
        units=unit.tolist(),
    )


def true_value(policy: Policy) -> float:
    """Clicks a decision under a policy: half loyal, half new, tastes of mean 1."""
    return float((policy.odds(SITUATIONS).values * CLICK_RATES).sum(axis=1).mean())
