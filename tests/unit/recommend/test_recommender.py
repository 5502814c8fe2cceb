"""One list for one visitor: literal shop, literal visits, and every odd request."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from nearline.recommend import sources
from nearline.recommend.catalogue import SCHEMA, Catalogue, catalogue_of
from nearline.recommend.interactions import Interactions
from nearline.recommend.learning import Behaviour, Learnt, learn
from nearline.recommend.models.blend import Blend
from nearline.recommend.models.popularity import Popularity
from nearline.recommend.recommender import Recommender, make_recommender
from nearline.recommend.requests import Answer, Policy, Request, Touch
from tests.unit.recommend.fashion_shop import DAY, ITEMS, fashion_behaviour

NO_CHANCE = Policy(exploration_share=0)
CATEGORY = {item[0]: item[1] for item in ITEMS}
BRAND = {item[0]: item[2] for item in ITEMS}


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    return learn(fashion_behaviour(), seed=0)[0]


@pytest.fixture(scope="module")
def recommender(learnt: Learnt) -> Recommender:
    return make_recommender(learnt, policy=NO_CHANCE, model_version="recommender v1")


def ask(
    recommender: Recommender, *views: str, seed: int = 0, **fields: object
) -> Answer:
    request = Request(history=[Touch(item) for item in views], **fields)  # type: ignore[arg-type]
    return recommender.recommend(request, np.random.default_rng(seed))


def listed(answer: Answer) -> list[str]:
    return [item.item_id for item in answer.items]


def test_coming_back_to_a_jacket_brings_matching_accessories_and_like_jackets(
    recommender: Recommender,
) -> None:
    found = ask(recommender, "jacket-red", "jacket-red", "jacket-red", count=5)
    assert found.focus_item_id == "jacket-red"
    # Most often viewed with it, and of its brand and cloth; the nearest jacket.
    assert listed(found)[:2] == ["scarf-red", "jacket-blue"]
    by_source = {item.item_id: item.sources[0] for item in found.items}
    assert {CATEGORY[i] for i, s in by_source.items() if s == "goes-with"} == {
        "Scarves",
        "Gloves",
    }
    assert {CATEGORY[i] for i, s in by_source.items() if s == "similar"} == {"Jackets"}
    assert "jacket-red" not in by_source
    assert [item.reason for item in found.items[:2]] == [
        "goes with Wool jacket red, viewed 3 times",
        "like Wool jacket red, viewed 3 times: Jackets, Bryndal, price",
    ]


def test_two_views_are_no_focus_but_the_page_s_item_is(
    recommender: Recommender,
) -> None:
    twice = ask(recommender, "jacket-red", "jacket-red")
    assert twice.focus_item_id is None
    assert "goes-with" not in {kind for item in twice.items for kind in item.sources}
    page = ask(recommender, item="shoe-run", count=2)
    assert page.focus_item_id == "shoe-run"
    assert {i.item_id: i.sources[0] for i in page.items} == {
        "socks": "goes-with",
        "shoe-walk": "similar",
    }


def test_an_item_that_nobody_viewed_has_companions_by_its_category(
    recommender: Recommender,
) -> None:
    # Nobody viewed the rain shell; jackets meet scarves and gloves.
    found = ask(recommender, item="jacket-rain", count=6)
    goes_with = [i.item_id for i in found.items if i.sources[0] == "goes-with"]
    assert goes_with
    assert {CATEGORY[item] for item in goes_with} <= {"Scarves", "Gloves"}


def test_an_item_that_nobody_viewed_is_shown_beside_items_like_it(
    recommender: Recommender,
) -> None:
    found = ask(recommender, "jacket-green", count=11)
    places = {item: place for place, item in enumerate(listed(found))}
    assert places["jacket-rain"] < places["kettle"]
    [rain] = [item for item in found.items if item.item_id == "jacket-rain"]
    assert rain.reason == "like Wool jacket green: Jackets, Calmare"


def test_strangers_get_what_trends_where_they_came_from(
    recommender: Recommender,
) -> None:
    direct, email = (
        ask(recommender, count=2),
        ask(recommender, count=2, channel="email"),
    )
    assert (direct.outcome, email.outcome) == ("cold_start", "cold_start")
    assert listed(direct)[0] == "jacket-red"
    assert set(listed(email)) == {"shoe-run", "socks"}
    assert email.items[0].reason == "viewed much lately by visitors from email"
    unheard = ask(recommender, count=2, channel="pigeon")
    assert listed(unheard) == listed(direct)


def test_what_came_long_after_the_first_data_is_new() -> None:
    rows = [
        {"item_id": f"i{number}", "first_seen": 0.0 if number < 5 else 30 * DAY}
        for number in range(6)
    ]
    shop = catalogue_of(pa.Table.from_pylist(rows, SCHEMA))
    viewed = Interactions(
        owners=np.arange(5, dtype=np.int32),
        items=np.arange(5, dtype=np.int32),
        times=np.arange(1, 6) * 6 * DAY,
        owner_count=5,
        item_count=6,
    )
    learnt, _ = learn(Behaviour(shop, viewed, viewed, np.full(5, -1), ()), seed=0)
    found = ask(make_recommender(learnt, policy=NO_CHANCE), count=6)
    reasons = {item.item_id: item.reason for item in found.items}
    assert [item for item, why in reasons.items() if why == "new in the shop"] == ["i5"]


def test_a_category_keeps_the_list_to_itself_if_there_is_one(
    recommender: Recommender,
) -> None:
    scarves = ask(recommender, category="Scarves")
    assert set(listed(scarves)) == {"scarf-red", "scarf-plain"}
    unheard = ask(recommender, category="Hats")
    assert unheard.relaxed == ("category",)
    assert len(unheard.items) == 10


def test_seen_bought_and_unavailable_items_are_not_shown(
    recommender: Recommender,
) -> None:
    request = Request(
        history=[Touch("jacket-red"), Touch("scarf-red", "purchase")],
        unavailable=["gloves", "never heard of"],
        count=20,
    )
    found = listed(recommender.recommend(request, np.random.default_rng(0)))
    assert {"jacket-red", "scarf-red", "gloves"}.isdisjoint(found)
    assert len(found) == len(ITEMS) - 3


def test_whoever_saw_everything_sees_it_again_but_not_what_they_bought(
    recommender: Recommender,
) -> None:
    touches = [Touch(item[0]) for item in ITEMS] + [Touch("kettle", "purchase")]
    found = recommender.recommend(Request(touches), np.random.default_rng(0))
    assert (found.outcome, found.relaxed) == ("seen_again", ("seen",))
    assert len(found.items) == 10
    assert "kettle" not in listed(found)


def test_nothing_eligible_is_an_answer(recommender: Recommender) -> None:
    found = ask(recommender, "jacket-red", unavailable=list(CATEGORY))
    assert (found.outcome, found.items) == ("nothing_eligible", ())


@pytest.mark.parametrize("count", [0, -3])
def test_no_places_are_no_items(recommender: Recommender, count: int) -> None:
    assert ask(recommender, "jacket-red", count=count).items == ()


def test_unknown_items_are_counted_and_leave_a_stranger(
    recommender: Recommender,
) -> None:
    found = ask(recommender, "gone", "gone", item="gone too")
    assert (found.outcome, found.unknown_item_count) == ("cold_start", 3)
    assert listed(found) == listed(ask(recommender))


def test_an_item_without_attributes_is_a_history_like_any_other(
    recommender: Recommender,
) -> None:
    once = ask(recommender, "mystery")
    assert once.outcome == "personal"
    assert len(once.items) == 10
    page = ask(recommender, item="mystery")
    assert page.focus_item_id == "mystery"
    assert len(page.items) == 10


def test_an_empty_catalogue_and_no_behaviour_are_answers() -> None:
    nothing = Interactions(
        np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32), np.empty(0), 0, 0
    )
    empty = catalogue_of(SCHEMA.empty_table())
    learnt, none = learn(Behaviour(empty, nothing, nothing, nothing.items, ()), seed=0)
    assert none is None
    assert ask(make_recommender(learnt), "x").outcome == "empty_catalogue"

    shop = _numbered(5)
    nobody = replace(nothing, item_count=5)
    learnt, _ = learn(Behaviour(shop, nobody, nobody, nothing.items, ()), seed=0)
    assert len(ask(make_recommender(learnt, policy=NO_CHANCE)).items) == 5
    assert len(ask(make_recommender(learnt, policy=NO_CHANCE), "i0001").items) == 4


def test_equal_scores_are_ordered_by_the_seed_and_not_by_ids() -> None:
    def first(seed: int) -> list[str]:
        learnt = _of_members(40, Popularity(np.ones(40, dtype=np.float32)))
        return listed(
            ask(make_recommender(learnt, policy=NO_CHANCE, seed=seed), "i0000")
        )

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1) != sorted(first(1))


@pytest.mark.parametrize("hidden_count", [0, 5, 12, 30])
def test_what_trends_is_found_behind_what_may_not_be_shown(
    hidden_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few enough to be in order beforehand, and fewer than that may not be shown.
    monkeypatch.setattr(sources, "FOREMOST_COUNT", 20)
    count = 60
    learnt = _of_members(count, Popularity(np.zeros(count, dtype=np.float32)))
    trends = np.random.default_rng(1).permutation(count).astype(np.float32)
    learnt = replace(learnt, trending=trends)
    ids = np.array([f"i{number:04}" for number in range(count)])
    best_first = ids[np.argsort(-trends)]

    found = ask(
        make_recommender(learnt, policy=replace(NO_CHANCE, relevance_share=1.0)),
        unavailable=best_first[:hidden_count].tolist(),
    )

    assert listed(found) == best_first[hidden_count : hidden_count + 10].tolist()


def test_a_model_that_says_nan_is_passed_over() -> None:
    broken = np.full(12, np.nan, dtype=np.float32)
    broken[3], broken[4] = np.inf, 1.0
    found = ask(
        make_recommender(_of_members(12, Popularity(broken)), policy=NO_CHANCE), "i0000"
    )
    assert listed(found)[0] == "i0004"
    assert len(found.items) == 10
    assert all(np.isfinite(item.score) for item in found.items)


def test_ten_times_more_items_are_no_difference_to_the_list() -> None:
    found = [
        listed(
            ask(
                make_recommender(
                    _of_members(
                        count, Popularity(np.arange(200, 200 - count, -1, np.float32))
                    ),
                    policy=NO_CHANCE,
                ),
                "i0000",
            )
        )
        for count in (20, 200)
    ]
    assert found[0] == found[1]


def test_no_more_of_a_brand_than_the_cap_unless_there_is_nothing_else(
    learnt: Learnt,
) -> None:
    capped = make_recommender(learnt, policy=replace(NO_CHANCE, most_per_brand=1))
    found = ask(capped, "jacket-red", count=6)
    known = [BRAND[item] for item in listed(found) if BRAND[item] is not None]
    assert max(Counter(known).values()) == 1
    assert found.relaxed == ()
    # Five brands and an item of none: a list of eight needs two more.
    longer = ask(capped, "jacket-red", count=8)
    assert len(longer.items) == 8
    assert longer.relaxed == ("brand",)


def test_diversity_moves_like_items_apart(learnt: Learnt) -> None:
    def jackets_first(relevance_share: float) -> int:
        policy = replace(
            NO_CHANCE, relevance_share=relevance_share, most_per_brand=None
        )
        found = listed(ask(make_recommender(learnt, policy=policy), item="jacket-red"))
        return sum(CATEGORY[item] == "Jackets" for item in found[:4])

    assert jackets_first(1.0) > jackets_first(0.3)


def test_stated_odds_are_how_often_an_item_is_shown(learnt: Learnt) -> None:
    policy = replace(NO_CHANCE, exploration_share=0.3)
    recommender = make_recommender(learnt, policy=policy)
    draws = 2_000
    shown: Counter[str] = Counter()
    for seed in range(draws):
        found = ask(recommender, "jacket-red", count=3, seed=seed)
        shown.update(listed(found))
        assert all(i.probability == found.candidates[i.item_id] for i in found.items)
        assert all(("random" in i.sources) == i.is_explored for i in found.items)
    assert sum(found.candidates.values()) == pytest.approx(3)
    for item, odds in found.candidates.items():
        # Four standard errors of a share.
        assert shown[item] / draws == pytest.approx(
            odds, abs=4 * np.sqrt(odds * (1 - odds) / draws) + 1e-9
        )


def test_an_answer_names_the_versions_that_made_it(recommender: Recommender) -> None:
    versions = ask(recommender, "jacket-red").versions
    assert versions == {"recommender": "recommender v1", "fresh": None}


def _numbered(count: int) -> Catalogue:
    rows = [{"item_id": f"i{number:04}"} for number in range(count)]
    return catalogue_of(pa.Table.from_pylist(rows, SCHEMA))


def _of_members(count: int, model: Popularity) -> Learnt:
    """Everything is known and nothing is said of it but by one model."""
    items = np.arange(count, dtype=np.int32)
    viewed = Interactions(items, items, np.zeros(count), count, count)
    shop = Behaviour(_numbered(count), viewed, viewed, np.full(count, -1), ())
    learnt, _ = learn(replace(shop, by_person=viewed.take(items < 0)), seed=0)
    return replace(
        learnt, blend=Blend({"popularity": model}, {"popularity": 1.0}, True)
    )
