"""A newcomer is held against what serves by what neither has learnt from."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap

from nearline.models import Champion, ModelCard, ModelFacts, NoChampion
from nearline.recommend import held_out
from nearline.recommend.held_out import hold_out, latest_share_begins
from nearline.recommend.histories import Histories
from nearline.recommend.judging import (
    LEAST_PEOPLE,
    NDCG,
    Verdict,
    judge_version,
    prepare_trial,
)
from nearline.recommend.learning import Behaviour, Learnt, learn
from nearline.recommend.models.blend import Blend
from nearline.recommend.models.popularity import Popularity
from tests.unit.recommend.fashion_shop import DAY, START
from tests.unit.recommend.interaction_tables import interactions
from tests.unit.recommend.taste_shop import (
    GROUPS,
    ITEMS_OF_A_GROUP,
    taste_behaviour,
    taste_catalogue,
    taste_rows,
)

ROWS = taste_rows()
ITEMS = GROUPS * ITEMS_OF_A_GROUP
NOTHING = NoChampion("no version of recommender was promoted yet")


def up_to(day: float) -> list[dict[str, object]]:
    return [row for row in ROWS if float(str(row["seconds"])) < START + day * DAY]


def as_champion(
    learnt: Learnt, data_up_to: float | None, problems: tuple[str, ...] = ()
) -> Champion[Learnt]:
    at = data_up_to and datetime.fromtimestamp(data_up_to, UTC).isoformat(
        timespec="seconds"
    )
    facts = ModelFacts("r1", "test", None, at or None, 0, {}, {})
    return Champion(learnt, ModelCard("recommender", 1, "", facts, {}), problems)


@pytest.fixture(scope="module")
def behaviour() -> Behaviour:
    return taste_behaviour(ROWS)


@pytest.fixture(scope="module")
def learnt_up_to_day_7() -> Learnt:
    return learn(taste_behaviour(up_to(7)), seed=0)[0]


@pytest.fixture(scope="module")
def champion(learnt_up_to_day_7: Learnt) -> Champion[Learnt]:
    return as_champion(learnt_up_to_day_7, float(str(up_to(7)[-1]["seconds"])))


def constant(scores: Any) -> Blend:
    """A blend that says the same to everybody."""
    model = Popularity(np.asarray(scores, dtype=np.float32))
    return Blend({"popularity": model}, {"popularity": 1.0}, hides_seen=True)


@dataclass(frozen=True)
class Contrary:
    """Best is what another model says is worst."""

    model: Blend

    def score(self, histories: Histories) -> Any:
        return 1 - self.model.score(histories)


def contrary_to(blend: Blend) -> Blend:
    return Blend({"contrary": Contrary(blend)}, {"contrary": 1.0}, hides_seen=True)


def judged(
    behaviour: Behaviour, serving: Any, stand_in: Blend
) -> tuple[Verdict, int | None]:
    trial = prepare_trial(behaviour.by_person, serving, seed=0)
    verdict = judge_version(trial, stand_in, behaviour, seed=0)
    return verdict, verdict.details["compared_with"]


def test_an_old_champion_leaves_the_latest_fifth_to_be_held_out(
    behaviour: Behaviour, champion: Champion[Learnt]
) -> None:
    trial = prepare_trial(behaviour.by_person, champion, seed=0)
    held = trial.held_out
    assert held is not None
    matrix = held.histories.matrix(ITEMS).toarray()
    assert not matrix[held.rows, held.items].any()
    times = np.sort(behaviour.by_person.first_of_each_pair().times)
    assert held.begins == times[int(np.ceil(0.8 * (len(times) - 1)))]
    assert len(held.before) == (times < held.begins).sum()
    assert trial.champion is champion


def test_what_a_champion_has_learnt_from_is_never_held_out(
    behaviour: Behaviour, learnt_up_to_day_7: Learnt
) -> None:
    # Its data end within the latest fifth, in the middle of a second.
    end = START + 9.0 * DAY + 0.6
    champion = as_champion(learnt_up_to_day_7, end)
    held = prepare_trial(behaviour.by_person, champion, seed=0).held_out
    assert held is not None
    assert held.begins == START + 9 * DAY + 1
    taken = behaviour.by_person.first_of_each_pair()
    later = {
        (owner, item)
        for owner, item, at in zip(taken.owners, taken.items, taken.times, strict=True)
        if at >= held.begins
    }
    assert held.histories.owners is not None
    asked = zip(held.histories.owners[held.rows], held.items, strict=True)
    assert set(asked) <= later
    assert held.before.times.max() < held.begins


def test_a_champion_that_has_seen_everything_is_not_asked_and_it_is_said(
    behaviour: Behaviour, learnt_up_to_day_7: Learnt
) -> None:
    champion = as_champion(learnt_up_to_day_7, START + 10 * DAY)
    good = learnt_up_to_day_7.blend
    verdict, compared_with = judged(behaviour, champion, good)
    assert (verdict.is_passed, compared_with) == (True, None)
    assert verdict.reason == (
        "champion v1 could not be asked: 0 people took anything new that it had not "
        "learnt from, 30 are needed, and not worse than no model"
    )
    assert set(verdict.beside) == {"popularity"}
    # Popularity still has its say.
    verdict, _ = judged(behaviour, champion, contrary_to(good))
    assert not verdict.is_passed
    assert "worse than no model beyond noise (difference in nDCG@20 -" in verdict.reason


def test_worse_than_the_champion_beyond_noise_is_refused_in_figures(
    behaviour: Behaviour, champion: Champion[Learnt]
) -> None:
    popular = constant(behaviour.by_person.item_counts())
    verdict, compared_with = judged(behaviour, champion, popular)
    assert (verdict.is_passed, compared_with) == (False, 1)
    assert "worse than the champion beyond noise" in verdict.reason
    own, champions = verdict.metrics[NDCG], verdict.beside["champion_v1"][NDCG]
    assert own.value is not None
    assert champions.value is not None
    assert f"{own.value:.3f} beside {champions.value:.3f} of v1" in verdict.reason
    assert verdict.details["difference_to_champion"]["ci_high"] < 0
    assert verdict.details["items_known_to_champion_share"] == 1.0


def test_what_says_the_same_as_the_champion_differs_by_nothing_and_passes(
    behaviour: Behaviour, champion: Champion[Learnt]
) -> None:
    verdict, _ = judged(behaviour, champion, champion.model.blend)
    assert verdict.is_passed
    found = verdict.details["difference_to_champion"]
    assert (found["value"], found["ci_low"], found["ci_high"]) == (0, 0, 0)


def test_better_than_the_champion_passes(
    behaviour: Behaviour, champion: Champion[Learnt]
) -> None:
    worse = replace(champion.model, blend=constant(np.arange(ITEMS)))
    verdict, _ = judged(behaviour, replace(champion, model=worse), champion.model.blend)
    assert verdict.is_passed
    assert "not worse than the champion (difference in nDCG@20 +" in verdict.reason


def test_the_interval_is_that_of_an_independent_paired_bootstrap(
    behaviour: Behaviour, champion: Champion[Learnt]
) -> None:
    trial = prepare_trial(behaviour.by_person, champion, seed=0)
    assert trial.held_out is not None
    popular = constant(behaviour.by_person.item_counts())
    verdict = judge_version(trial, popular, behaviour, seed=0)
    # The same items and codes, so the champion may be asked as it is.
    own = trial.held_out.qualities(popular)
    other = trial.held_out.qualities(champion.model.blend)
    expected = bootstrap(
        (own, other),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=4_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = verdict.details["difference_to_champion"]
    assert found["value"] == pytest.approx((own - other).mean())
    # Of 1,000 resamples the ends are known to about a tenth of the interval's half.
    tolerance = (expected.high - expected.low) / 20
    assert found["ci_low"] == pytest.approx(expected.low, abs=tolerance)
    assert found["ci_high"] == pytest.approx(expected.high, abs=tolerance)


def test_quality_is_ndcg_of_items_that_were_there_and_not_had() -> None:
    whole = interactions(
        [
            (0, 0, 0.0), (0, 1, 1.0), (0, 3, 10.0),
            (1, 3, 2.0), (1, 0, 11.0), (1, 2, 12.0),
            (2, 1, 13.0),
        ]
    )  # fmt: skip
    held = hold_out(whole, begins=10.0, seed=0)
    # Of the third owner nothing is known before.
    assert held.histories.owners is not None
    assert held.histories.owners.tolist() == [0, 1]
    found = held.qualities(Popularity(np.array([2, 3, 5, 4], dtype=np.float32)))
    # The first has 0 and 1, and nobody had 2: 3 stands first, which is right. The second
    # is listed 1, 0 and took 0 and 2: a hit in the second of two places that count.
    second = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    assert found.tolist() == pytest.approx([1.0, second])


def test_more_people_than_are_asked_are_drawn_from(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "MOST_PEOPLE", 7)
    held = prepare_trial(behaviour.by_person, NOTHING, seed=0).latest
    assert held is not None
    assert len(held) == 7
    assert len(held.qualities(constant(np.arange(ITEMS)))) == 7


def test_a_champion_is_asked_by_ids_whatever_its_codes_are(
    behaviour: Behaviour, champion: Champion[Learnt]
) -> None:
    # An item more, first in the order of ids: every code is another.
    more = taste_catalogue("i{:02}".format, first="a")
    recoded = taste_behaviour(ROWS, more)
    assert recoded.by_person.items.tolist() == (behaviour.by_person.items + 1).tolist()
    good, _ = judged(behaviour, champion, constant(np.arange(ITEMS)))
    same, _ = judged(recoded, champion, constant(np.arange(ITEMS + 1)))
    assert same.beside["champion_v1"] == good.beside["champion_v1"]
    # And the other way about: it knows one that there is no more.
    scores = np.arange(ITEMS + 1)
    found = [
        judged(
            behaviour,
            replace(champion, model=replace(champion.model, **its)),
            champion.model.blend,
        )[0].beside["champion_v1"]
        for its in (
            {"catalogue": more, "blend": constant(scores)},
            {"blend": constant(scores[1:])},
        )
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(("known", "share"), [(15, 0.5), (0, 0.0)])
def test_what_a_champion_does_not_know_it_cannot_list(
    behaviour: Behaviour, champion: Champion[Learnt], known: int, share: float
) -> None:
    catalogue = taste_catalogue(lambda n: f"i{n:02}" if n < known else f"x{n:02}")
    other = replace(champion.model, catalogue=catalogue)
    verdict, compared_with = judged(
        behaviour, replace(champion, model=other), champion.model.blend
    )
    assert (verdict.is_passed, compared_with) == (True, 1)
    found = verdict.details["items_known_to_champion_share"]
    assert found == pytest.approx(share, abs=0.1)
    champions, own = verdict.beside["champion_v1"][NDCG], verdict.metrics[NDCG]
    assert champions.value is not None
    assert own.value is not None
    assert (champions.value > 0) is (known > 0)
    assert champions.value < 0.8 * own.value


def test_a_champion_that_learnt_from_nothing_is_asked_and_says_nothing(
    behaviour: Behaviour, learnt_up_to_day_7: Learnt
) -> None:
    empty = replace(learnt_up_to_day_7, blend=Blend({}, {}, hides_seen=True))
    verdict, compared_with = judged(
        behaviour, as_champion(empty, None), learnt_up_to_day_7.blend
    )
    assert (verdict.is_passed, compared_with) == (True, 1)
    assert verdict.beside["champion_v1"][NDCG].value == 0


def test_too_few_people_cannot_refuse_and_the_count_is_told() -> None:
    few = taste_behaviour(taste_rows(people=LEAST_PEOPLE - 5))
    trial = prepare_trial(few.by_person, NOTHING, seed=0)
    assert trial.held_out is None
    verdict = judge_version(trial, None, few, seed=0)
    assert verdict.is_passed
    assert f"{trial.people} took something and later something new, 30 are needed" in (
        verdict.reason
    )
    assert verdict.metrics == {}


def test_without_any_behaviour_there_is_nothing_to_hold_out(
    champion: Champion[Learnt],
) -> None:
    nobody = taste_behaviour([ROWS[0]])
    nobody = replace(nobody, by_person=nobody.by_person.take(np.array([], dtype=int)))
    for serving in (NOTHING, champion):
        trial = prepare_trial(nobody.by_person, serving, seed=0)
        verdict = judge_version(trial, None, nobody, seed=0)
        assert verdict.is_passed
        assert verdict.details["held_out_from"] is None


def test_a_champion_that_cannot_be_read_is_told_with_what_serves_instead(
    behaviour: Behaviour, champion: Champion[Learnt]
) -> None:
    broken = "recommender v2: arrays.npz is not what was written"
    good = champion.model.blend
    verdict, compared_with = judged(
        behaviour, replace(champion, problems=(broken,)), good
    )
    assert (verdict.is_passed, compared_with) == (True, 1)
    assert verdict.reason.endswith(broken)
    none_left = NoChampion("no version that was promoted can be read", (broken,))
    verdict, compared_with = judged(behaviour, none_left, good)
    assert (verdict.is_passed, compared_with) == (True, None)
    assert verdict.reason == (
        f"no version that was promoted can be read, and not worse than no model; {broken}"
    )


def test_inputs_that_drifted_refuse_where_something_serves_and_are_told_where_not(
    champion: Champion[Learnt],
) -> None:
    begins = latest_share_begins(taste_behaviour(ROWS).by_person.first_of_each_pair())
    moved = [
        row
        if float(str(row["seconds"])) < begins
        else {**row, "item_id": f"i{int(str(row['item_id'])[1:]) % 10:02}"}
        for row in ROWS
    ]
    behaviour = taste_behaviour(moved)
    good = champion.model.blend
    verdict, _ = judged(behaviour, champion, good)
    assert not verdict.is_passed
    assert verdict.reason.startswith("inputs drifted: categories; ")
    verdict, _ = judged(behaviour, NOTHING, good)
    assert verdict.is_passed
    assert verdict.reason.endswith("inputs drifted: categories, but nothing serves yet")
    assert verdict.details["drift"][0]["feature"] == "categories"


def test_drift_refuses_also_where_too_few_can_be_asked(
    champion: Champion[Learnt],
) -> None:
    rows = [
        {
            "person_id": f"p_{n:03}",
            "session_id": f"s_{n:03}",
            "item_id": f"i{n % 10 + (20 if n >= 80 else 0):02}",
            "seconds": START + n * 3_600.0,
            "channel": "direct",
        }
        for n in range(100)
    ]
    behaviour = taste_behaviour(rows)
    trial = prepare_trial(behaviour.by_person, champion, seed=0)
    verdict = judge_version(trial, None, behaviour, seed=0)
    assert (trial.people, verdict.is_passed) == (0, False)
    assert "categories" in verdict.reason
