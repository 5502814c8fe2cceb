"""Judging: whether a new version may take the place of the one that serves.

Belongs here: which held-out interactions are fair to both, the champion's answers in the
newcomer's codes, the verdict in figures and words. Not here: the gate's arithmetic
(`models.gate`), what counts as another kind of input (`shifts`).

A champion has learnt what was there when it was trained. Measured on that it would win
against any newcomer; so it is measured on what people took after its data end, and the
newcomer's stand-in has learnt nothing of that either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nearline.estimates import Estimate
from nearline.models import (
    Champion,
    FeatureDrift,
    NoChampion,
    champion_name,
    judge,
)
from nearline.models.gate import drift_in_words
from nearline.recommend.held_out import (
    LIST_LENGTH,
    HeldOut,
    hold_out,
    latest_share_begins,
)
from nearline.recommend.histories import Histories
from nearline.recommend.intervals import mean_estimates
from nearline.recommend.models.popularity import fit_popularity
from nearline.recommend.models.protocol import Fitting
from nearline.recommend.shifts import shifts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.catalogue import Catalogue
    from nearline.recommend.interactions import Codes, Interactions
    from nearline.recommend.learning import Behaviour, Learnt
    from nearline.recommend.models.blend import Blend
    from nearline.recommend.models.protocol import Scores

    Serving: TypeAlias = "Champion[Learnt] | NoChampion"

NDCG = f"ndcg_at_{LIST_LENGTH}"
POPULARITY = "popularity"

LEAST_PEOPLE = 30
"""Of fewer, a bootstrap's interval says little."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What a newcomer is judged on: what was taken from a moment on, and who else is asked.

    `latest` is that part, None where nobody ever took anything. `champion` is what serves
    where it is fair to ask it; where it is not, `without_champion` says why.
    """

    latest: HeldOut | None
    serving: "Serving"
    champion: "Champion[Learnt] | None"
    without_champion: str

    @property
    def held_out(self) -> HeldOut | None:
        """What to measure on, None where that is of too few people."""
        return self.latest if self.people >= LEAST_PEOPLE else None

    @property
    def people(self) -> int:
        return 0 if self.latest is None else len(self.latest)


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """Whether it may serve and why, with what the card says of that.

    `metrics` and `beside` are nDCG on what was held out, `details` the rest as JSON.
    """

    is_passed: bool
    reason: str
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    beside: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def prepare_trial(by_person: "Interactions", serving: "Serving", seed: int) -> Trial:
    """Chooses what is held out: the latest fifth, or less of it where the champion has
    learnt from that.

    Where too few people took anything new since the champion's data end, the latest fifth
    is held out all the same, for popularity's sake, and the champion is not asked.
    """
    distinct = by_person.first_of_each_pair()
    if isinstance(serving, Champion):
        version = serving.card.version
        without = f"champion v{version} could not be asked: nobody took anything"
    else:
        without = serving.reason if serving.problems else "the first one"
    if not len(distinct):
        return Trial(None, serving, None, without)
    begins = latest_share_begins(distinct)
    if isinstance(serving, Champion):
        unseen = hold_out(distinct, max(begins, _after_its_data(serving)), seed)
        if len(unseen) >= LEAST_PEOPLE:
            return Trial(unseen, serving, serving, "")
        without = (
            f"champion v{version} could not be asked: {len(unseen)} people took anything "
            f"new that it had not learnt from, {LEAST_PEOPLE} are needed"
        )
    return Trial(hold_out(distinct, begins, seed), serving, None, without)


def _after_its_data(champion: "Champion[Learnt]") -> float:
    """The first moment of which it can have learnt nothing; cards state whole seconds."""
    stated = champion.card.facts.data_up_to
    if stated is None:
        return -np.inf
    return datetime.fromisoformat(stated).timestamp() + 1


def judge_version(
    trial: Trial, stand_in: "Blend | None", behaviour: "Behaviour", seed: int
) -> Verdict:
    """Refuses what is worse than the champion or than popularity, both beyond noise, and
    what learnt from other inputs than those of now.

    Where nothing serves yet, inputs that drifted are told and refuse nothing: any list is
    better than none. With too few people to measure by nothing speaks against a version,
    and it may serve for its newer data's sake.

    Args:
        stand_in: what is measured in the version's place, as `learn` gives it.
    """
    latest, held_out = trial.latest, trial.held_out
    drifts = () if latest is None else shifts_of(behaviour, latest.begins)
    drifted = [one.feature for one in drifts if one.is_drifted]
    has_to_yield = isinstance(trial.serving, Champion)
    if held_out is None or stand_in is None:
        verdict = _unmeasured(trial, drifted if has_to_yield else ())
    else:
        refusing = drifts if has_to_yield else ()
        found = _Found.of(trial, held_out, stand_in, behaviour.catalogue, seed)
        verdict = _measured(trial, found, refusing, seed)
    words = [verdict.reason, *trial.serving.problems]
    if drifted and not has_to_yield:
        words.append(f"{drift_in_words(drifted)}, but nothing serves yet")
    reason = "; ".join(words)
    return replace(
        verdict,
        reason=reason,
        details={
            "reason": reason,
            "held_out_from": None if latest is None else as_text(latest.begins),
            "held_out_people": trial.people,
            "compared_with": trial.champion.card.version if trial.champion else None,
            "drift": [asdict(one) for one in drifts],
            **verdict.details,
        },
    )


def _unmeasured(trial: Trial, drifted: Sequence[str]) -> Verdict:
    if drifted:
        return Verdict(False, drift_in_words(drifted))
    return Verdict(
        True,
        f"too few people to measure it by: {trial.people} took something and later "
        f"something new, {LEAST_PEOPLE} are needed",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """nDCG of each person: of the newcomer, of what is popular, of the champion.

    `known_share` is the share of what was taken that the champion knows.
    """

    own: "NDArray[np.float64]"
    floor: "NDArray[np.float64]"
    champion: "NDArray[np.float64] | None" = None
    known_share: float | None = None

    @classmethod
    def of(
        cls,
        trial: Trial,
        held_out: HeldOut,
        stand_in: "Blend",
        catalogue: "Catalogue",
        seed: int,
    ) -> "_Found":
        own = held_out.qualities(stand_in)
        floor = held_out.qualities(fit_popularity(held_out.before, Fitting(seed)))
        if trial.champion is None:
            return cls(own, floor)
        champion = _OfOtherCodes.of(trial.champion.model, catalogue)
        known_share = float((champion.codes[held_out.items] >= 0).mean())
        return cls(own, floor, held_out.qualities(champion), known_share)


def _measured(
    trial: Trial, found: _Found, drifts: Sequence[FeatureDrift], seed: int
) -> Verdict:
    judgement = judge(
        -found.own,
        None if found.champion is None else -found.champion,
        -found.floor,
        np.arange(len(found.own)),
        seed,
        drifts,
        gain=f"nDCG@{LIST_LENGTH}",
        without_champion=trial.without_champion,
    )
    beside = {POPULARITY: _ndcg(found.floor, seed)}
    metrics = _ndcg(found.own, seed)
    if trial.champion is None or found.champion is None:
        return Verdict(judgement.is_passed, judgement.reason, metrics, beside)
    version = trial.champion.card.version
    beside[champion_name(version)] = _ndcg(found.champion, seed)
    [difference] = mean_estimates((found.own - found.champion)[:, None], seed)
    return Verdict(
        judgement.is_passed,
        f"{judgement.reason}; {found.own.mean():.3f} beside {found.champion.mean():.3f} "
        f"of v{version}, by what {len(found.own):,} people took after its data end",
        metrics,
        beside,
        {
            "difference_to_champion": asdict(difference),
            "items_known_to_champion_share": found.known_share,
        },
    )


def as_text(seconds: float) -> str:
    """UTC, ISO, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True, eq=False)
class _OfOtherCodes:
    """A blend asked in the codes of another catalogue than its own.

    `codes` is its own code of each item, -1 where it knows none: such an item says
    nothing of a history and is in no list.
    """

    blend: "Blend"
    codes: "Codes"

    @classmethod
    def of(cls, learnt: "Learnt", catalogue: "Catalogue") -> "_OfOtherCodes":
        return cls(learnt.blend, learnt.catalogue.items.codes(catalogue.items.ids))

    def score(self, histories: Histories) -> "Scores":
        is_known = self.codes >= 0
        shape = (len(histories), len(self.codes))
        scores = np.full(shape, -np.inf, dtype=np.float32)
        # One that learnt from nothing has no member that could be asked.
        if self.blend.members and is_known.any():
            own = self.blend.score(self._recoded(histories))
            scores[:, is_known] = own[:, self.codes[is_known]]
        return scores

    def _recoded(self, histories: Histories) -> Histories:
        items = self.codes[histories.items]
        is_known = items >= 0
        places = np.concatenate([[0], np.cumsum(is_known)])
        return Histories(
            items=items[is_known],
            starts=places[histories.starts],
            ends=places[histories.ends],
        )


def _ndcg(qualities: "NDArray[np.float64]", seed: int) -> dict[str, Estimate]:
    [estimate] = mean_estimates(qualities[:, None], seed)
    return {NDCG: estimate}
