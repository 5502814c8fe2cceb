"""What arrives after a training is laid over it, as if it had been learnt."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nearline.recommend.arriving import ArrivedTouch
from nearline.recommend.fresh import (
    BrokenFreshError,
    Fresh,
    read_fresh,
    write_fresh,
)
from nearline.recommend.learning import Learnt, learn
from nearline.recommend.models.als import fit_als
from nearline.recommend.models.protocol import Fitting
from nearline.recommend.recommender import make_recommender
from nearline.recommend.requests import Policy, Request, Touch
from nearline.recommend.running import TAKERS_OF_A_NEW_ITEM, Running
from nearline.recommend.sources import make_shelves, trending_by_now
from nearline.recommend.warehouse import behaviour_of
from nearline.replacement import replace_file
from tests.unit.recommend.fashion_shop import (
    DAY,
    ITEMS,
    START,
    VISITS,
    fashion_behaviour,
    fashion_catalogue,
)
from tests.unit.recommend.interaction_tables import random_interactions

KNOWN = {item: rest for item, *rest in ITEMS}


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    return learn(fashion_behaviour(), seed=0)[0]


def touch(who: str, item: str, seconds: float, **fields: object) -> ArrivedTouch:
    category, brand, price, title = KNOWN.get(item, [None] * 4)
    values: dict[str, object] = {
        "event_id": f"{who}-{item}-{seconds:.0f}",
        "visitor_id": who,
        "item_id": item,
        "at": START + seconds,
        "kind": "view",
        "category": category,
        "brand": brand,
        "price_cents": price,
        "title": title,
    }
    return ArrivedTouch(**(values | fields))  # type: ignore[arg-type]


def visit(who: str, start: float, *items: str) -> list[ArrivedTouch]:
    return [touch(who, item, start + place * 60) for place, item in enumerate(items)]


def rows(visits: "list[list[str]]") -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "person_id": f"p_{number}",
                "session_id": f"s_{number}",
                "item_id": item,
                "seconds": START + number * 3600 + place * 60,
                "channel": "direct",
            }
            for number, items in enumerate(visits)
            for place, item in enumerate(items)
        ]
    )


def test_a_training_and_what_came_since_are_a_training_on_both(learnt: Learnt) -> None:
    later = [["kettle", "mystery", "socks"], ["jacket-red", "kettle"]]
    running = Running(learnt, "1")
    for number, items in enumerate(later, start=len(VISITS)):
        running.add(visit(f"v{number}", number * 3600, *items))
    laid_over = make_shelves(learnt, running.snapshot(), Policy())

    whole, _ = learn(behaviour_of(rows([*VISITS, *later]), fashion_catalogue()), seed=0)
    expected = whole.together.scores(whole.reference)
    # Rows that nothing arrived for have norms and ages of the training.
    for item in {i for items in later for i in items}:
        [code] = learnt.catalogue.items.codes(pa.array([item]))
        np.testing.assert_allclose(
            laid_over.together[[code]].toarray(),
            expected[[code]].toarray(),
            rtol=1e-5,
            err_msg=item,
        )
    assert laid_over.popularity.tolist() == whole.counts.tolist()
    trending = trending_by_now(learnt, running.snapshot())
    np.testing.assert_allclose(trending, whole.trending, rtol=1e-5)


def test_any_batches_give_the_same_and_an_event_counts_once(learnt: Learnt) -> None:
    touches = visit("v1", 50_000, "kettle", "socks", "gloves", "kettle")
    once, twice = Running(learnt, "1"), Running(learnt, "1")
    assert once.add(touches) == 4
    assert [twice.add([one]) for one in [*touches, *touches]] == [1] * 4 + [0] * 4
    first, second = once.snapshot(), twice.snapshot()
    assert first.lists.toarray().tolist() == second.lists.toarray().tolist()
    assert first.counts.tolist() == second.counts.tolist()
    assert first.trending.tolist() == second.trending.tolist()


def test_a_visit_ends_after_half_an_hour_without_a_view(learnt: Learnt) -> None:
    running = Running(learnt, "1")
    running.add([touch("v1", "kettle", 50_000), touch("v1", "socks", 51_801)])
    assert running.snapshot().lists.nnz == _pairs_trained(learnt, "kettle", "socks")
    running.add([touch("v1", "mystery", 51_802)])
    assert running.snapshot().lists.nnz == _pairs_trained(learnt, "kettle", "socks") + 2


def test_visits_that_were_open_at_the_training_go_on(learnt: Learnt) -> None:
    running = Running(learnt, "1")
    running.open_visits([("v1", "kettle", START + 50_000), ("v1", "gone", START)])
    running.add([touch("v1", "mystery", 50_060)])
    fresh = running.snapshot()
    # The kettle itself was counted by the training.
    ids = learnt.catalogue.items.ids.to_pylist()
    assert [ids[code] for code in fresh.items] == ["mystery"]
    assert fresh.counts.sum() == 1
    assert fresh.lists.toarray()[0, ids.index("kettle")] > 0


def test_a_pair_of_now_is_in_the_list_of_whoever_looks_at_one_of_the_two(
    learnt: Learnt,
) -> None:
    running = Running(learnt, "1")
    running.add(visit("v1", 50_000, "kettle", "shoe-walk"))
    policy = Policy(exploration_share=0)
    request = Request([Touch("kettle")], item="kettle", count=1)

    def first(fresh: Fresh | None) -> str:
        found = make_recommender(learnt, fresh, policy).recommend(
            request, np.random.default_rng(0)
        )
        return found.items[0].item_id

    assert first(None) != "shoe-walk"
    assert first(running.snapshot()) == "shoe-walk"


def test_a_new_item_is_recommended_with_its_attributes(learnt: Learnt) -> None:
    running = Running(learnt, "1")
    new = {
        "category": "Jackets",
        "brand": "Bryndal",
        "price_cents": 12_100.0,
        "title": "Wool jacket violet",
    }
    running.add([touch("v1", "jacket-violet", 20 * DAY, **new)])
    found = make_recommender(learnt, running.snapshot(), Policy(exploration_share=0))
    answer = found.recommend(
        Request([Touch("jacket-red")], item="jacket-red"), np.random.default_rng(0)
    )
    [violet] = [item for item in answer.items if item.item_id == "jacket-violet"]
    assert violet.reason == "like Wool jacket red: Jackets, Bryndal, price"
    assert answer.versions["fresh"] is not None
    # Everything else was viewed weeks ago; and whoever viewed it is no stranger.
    stranger = found.recommend(Request(count=12), np.random.default_rng(0))
    assert stranger.items[0].item_id == "jacket-violet"
    known = found.recommend(Request([Touch("jacket-violet")]), np.random.default_rng(0))
    assert (known.outcome, known.unknown_item_count) == ("personal", 0)


def test_a_new_item_has_the_factors_that_its_takers_give_it() -> None:
    # An item's half step with its owners' factors given, by the library's own solver.
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    from nearline.recommend.histories import histories_of, interaction_matrix
    from nearline.recommend.models import als

    train = random_interactions(40, 15, 300, seed=5)
    model = fit_als(train, Fitting(seed=3))
    owners = model.owner_factors(histories_of(train, np.arange(40, dtype=np.int32)))
    taken = interaction_matrix(train).T.tocsr()[[4]]
    with als._one_blas_thread():
        library = AlternatingLeastSquares(
            factors=als.FACTOR_COUNT,
            regularization=als.REGULARIZATION,
            alpha=als.CONFIDENCE,
        )
    library.user_factors = owners.astype(np.float32)
    theirs = library.recalculate_item([0], csr_matrix(taken))
    ours = model.with_items(taken, owners)
    assert len(ours.item_factors) == 16
    # The gram that training kept is of the owners as training left them, nearly these.
    np.testing.assert_allclose(ours.item_factors[15], theirs[0], atol=2e-2)


def test_takers_of_a_new_item_are_bounded_and_their_tastes_used(learnt: Learnt) -> None:
    running = Running(learnt, "1")
    for number in range(TAKERS_OF_A_NEW_ITEM + 5):
        running.add(visit(f"v{number}", 50_000 + number, "jacket-red", "brand-new"))
    factors = running.snapshot().new_item_factors
    assert factors.shape[0] == 1
    assert np.abs(factors).sum() > 0
    assert len(running._takers[len(ITEMS)]) == TAKERS_OF_A_NEW_ITEM


def test_years_after_the_training_numbers_are_still_numbers(learnt: Learnt) -> None:
    running = Running(learnt, "1")
    running.add(visit("v1", 3_650 * DAY, "kettle", "socks"))
    fresh = running.snapshot()
    assert np.isfinite(fresh.trending).all()
    assert np.isfinite(fresh.lists.data).all()


def test_a_file_holds_what_was_put_in_and_a_broken_one_says_so(
    learnt: Learnt, tmp_path: Path
) -> None:
    running = Running(learnt, "7")
    running.add(visit("v1", 50_000, "kettle", "brand-new", "socks"))
    fresh = running.snapshot()
    path = tmp_path / "fresh.npz"
    replace_file(path, lambda file: write_fresh(fresh, file))
    again = read_fresh(path)
    assert (again.model_version, again.as_of) == ("7", fresh.as_of)
    assert again.lists.toarray().tolist() == fresh.lists.toarray().tolist()
    assert again.new_items.equals(fresh.new_items)
    assert again.counts.tolist() == fresh.counts.tolist()
    assert b"v1" not in path.read_bytes()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BrokenFreshError, match=r"fresh\.npz cannot be read"):
        read_fresh(path)


def _pairs_trained(learnt: Learnt, *items: str) -> int:
    codes = learnt.catalogue.items.codes(pa.array(items))
    return int(learnt.together.pairs[codes].nnz)
