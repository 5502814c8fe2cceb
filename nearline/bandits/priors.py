"""What a finished experiment says of choices before any decision: a Beta prior.

Belongs here: which results may be one, how much they weigh, and their form in a policy's
file. Not here: what is counted of decisions (`outcomes`), or odds (`policies`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from nearline.bandits.outcomes import Tally
from nearline.errors import InputError

if TYPE_CHECKING:
    from nearline.bandits.logged import Numbers
    from nearline.settings import Settings

METRICS = {"purchased": "conversion", "added": "add_to_cart"}
"""By reward, the metric of experiments that says the same of a unit."""

_FINISHED = frozenset({"over", "shipped", "stopped"})
_SHARES = frozenset({"proportion", "retention"})
_RESULTS = "fct_experiment_results"


@dataclass(frozen=True, slots=True)
class Prior:
    """An experiment's results as decisions that nobody made, alike in every context.

    `tallies` by action: decisions, and the sum of their rewards, each from 0 to 1.
    """

    experiment: str
    metric: str
    tallies: Mapping[str, Tally]

    def cells(self, actions: Sequence[str]) -> "tuple[Numbers, Numbers]":
        """Counts and sums of rewards by action; 0 where it says nothing."""
        found = [self.tallies.get(action, Tally()) for action in actions]
        return (
            np.array([one.decision_count for one in found], dtype=np.float64),
            np.array([one.reward_sum for one in found], dtype=np.float64),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment,
            "metric": self.metric,
            "outcomes": [
                {
                    "action": action,
                    "decisions": tally.decision_count,
                    "reward": tally.reward_sum,
                }
                for action, tally in sorted(self.tallies.items())
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Prior":
        """From what `as_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is not of that form.
        """
        tallies = {
            str(row["action"]): Tally(int(row["decisions"]), float(row["reward"]))
            for row in content["outcomes"]
        }
        for tally in tallies.values():
            # Otherwise a Beta distribution has no parameters.
            if not 0 <= tally.reward_sum <= tally.decision_count:
                raise ValueError("no shares")
        return cls(str(content["experiment"]), str(content["metric"]), tallies)


def prior_of_shares(
    experiment: str,
    metric: str,
    arms: Mapping[str, tuple[float, int]],
    decisions: int,
) -> Prior:
    """Each arm's share as that of `decisions`, or of its units where they are fewer.

    Args:
        arms: action -> share, and the units that it is of.
    """
    tallies = {}
    for action, (share, unit_count) in arms.items():
        weight = min(decisions, unit_count)
        tallies[action] = Tally(weight, weight * share)
    return Prior(experiment, metric, tallies)


def read_prior(
    settings: "Settings",
    experiment: str,
    slot: str,
    reward: str,
    decisions: int,
    now: datetime,
    *,
    metric: str | None = None,
    renamed: Mapping[str, str] | None = None,
    choices: Collection[str] = (),
) -> Prior:
    """The prior of a finished experiment, from the results that are published.

    Args:
        decisions: how many each arm weighs as much as, at most.
        metric: by default that of the reward in `METRICS`.
        renamed: arm -> choice, of arms that are not named as the choice is.
        choices: what the slot could choose so far; arms that are none of them are left
            out. Where it is empty all are taken.

    Raises:
        InputError: the experiment is not defined, not finished, split otherwise than
            planned, or its decisions are in the log of the slot; or it has no such metric,
            or no arm that is a choice.
    """
    from nearline.experiments.registry import find_registered, load_registry

    registered = find_registered(load_registry(settings, now), experiment, settings)
    state = registered.standing.state
    if state not in _FINISHED:
        raise InputError(
            f"--prior {experiment} is {state}: its results may still change; decide it, or "
            "wait for its end"
        )
    arms_there = registered.definition.all_variants
    for arm in renamed or ():
        if arm not in arms_there:
            raise InputError(
                f"--prior-arm {arm}: {experiment} has no such arm; it has "
                + ", ".join(arms_there)
            )
    if reward == "revenue":
        raise InputError(
            "--prior is of shares, and --reward revenue is of money; take purchased"
        )
    name = metric or METRICS.get(reward)
    if name is None:
        raise InputError(
            f"--prior: no metric of experiments says what the reward {reward} does; name "
            "one with --prior-metric"
        )
    _require_own_evidence(settings, experiment, slot)
    shares: dict[str, tuple[float, int]] = {}
    for arm, found in _published_shares(settings, experiment, name).items():
        choice = (renamed or {}).get(arm, arm)
        if choice in shares:
            raise InputError(
                f"--prior-arm: two arms of {experiment} are the choice {choice}; name "
                "another for one of them"
            )
        shares[choice] = found
    kept = {
        choice: found
        for choice, found in shares.items()
        if not choices or choice in choices
    }
    if not kept:
        raise InputError(
            f"--prior {experiment}: none of its arms ({', '.join(sorted(shares))}) is a "
            f"choice of {slot} (there {', '.join(sorted(choices)[:20])}); say which is "
            "which with --prior-arm ARM=CHOICE"
        )
    return prior_of_shares(experiment, name, kept, decisions)


def _require_own_evidence(settings: "Settings", experiment: str, slot: str) -> None:
    """No outcome may count twice: as a decision, and in the experiment's results."""
    from nearline.publication.tables import open_release, scan

    connection, release = open_release(settings.published)
    with connection:
        counted = connection.execute(
            f"""
            select count(*)
            from {scan(release, "fct_decisions")}
            where
                slot = $1
                and try_cast(try_cast(arms as json) as map(varchar, varchar))[$2]
                is not null
            """,
            [slot, experiment],
        ).fetchall()[0][0]
    if counted:
        raise InputError(
            f"--prior {experiment}: {counted:,} decisions of {slot} were made in its arms, "
            "and are learnt from already; leave --prior out"
        )


def _published_shares(
    settings: "Settings", experiment: str, metric: str
) -> dict[str, tuple[float, int]]:
    """Arm -> share of its units, and their number."""
    from nearline.publication.tables import open_release, scan, table_path

    connection, release = open_release(settings.published)
    with connection:
        if not table_path(release, _RESULTS).exists():
            raise InputError(
                f"release {release.name} has no table {_RESULTS}; run `nearline run`"
            )
        rows = connection.execute(
            "select metric_name, metric_kind, variant_key, variant_mean, unit_count, "
            "control_variant_key, control_mean, control_unit_count, has_srm_alarm "
            f"from {scan(release, _RESULTS)} where experiment_key = $1 order by all",
            [experiment],
        ).fetchall()
    of_metric = [row[1:] for row in rows if row[0] == metric]
    if not of_metric:
        there = sorted({name for name, kind, *_ in rows if kind in _SHARES})
        raise InputError(
            f"--prior {experiment} has no published result of {metric}; there "
            + (f"are {', '.join(there)}" if there else "is none that is a share")
        )
    shares: dict[str, tuple[float, int]] = {}
    for (
        kind,
        arm,
        mean,
        count,
        control,
        control_mean,
        control_count,
        alarm,
    ) in of_metric:
        if kind not in _SHARES:
            raise InputError(
                f"--prior-metric {metric} is a {kind}; a prior takes a share of units, such "
                "as conversion"
            )
        if alarm:
            raise InputError(
                f"--prior {experiment}: its arms' sizes are not as planned, so no result of "
                "it can be trusted; find the cause, or leave --prior out"
            )
        for one, share, units in (
            (arm, mean, count),
            (control, control_mean, control_count),
        ):
            if share is not None and 0 <= share <= 1 and units > 0:
                shares[one] = (share, units)
    if not shares:
        raise InputError(
            f"--prior {experiment}: no arm of it has a share of {metric}; leave --prior out"
        )
    return shares
