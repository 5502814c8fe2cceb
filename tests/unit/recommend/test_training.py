"""From the published tables to a version that serves."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from nearline.errors import NearlineError
from nearline.models import read_state
from nearline.models.cards import read_card
from nearline.models.command import models
from nearline.models.page import build_models_page
from nearline.privacy.suppression import suppress
from nearline.recommend import training
from nearline.recommend.artifacts import read_learnt, write_learnt
from nearline.recommend.command import recommend
from nearline.recommend.histories import Histories
from nearline.recommend.learning import Learnt, learn
from nearline.recommend.models.blend import Blend
from nearline.recommend.recommender import make_recommender
from nearline.recommend.requests import Request, Touch
from nearline.recommend.serving import ServingRecommender
from nearline.recommend.warehouse import read_behaviour, read_history
from nearline.settings import Settings
from tests.unit.recommend.fashion_shop import (
    DAY,
    ITEMS,
    START,
    VISITS,
    fashion_behaviour,
)
from tests.unit.recommend.small_shop import (
    SmallShop,
    event_row,
    small_shop,
    visitor,
)

NOW = datetime(2026, 9, 22, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    return small_shop(tmp_path / "home")


def call(settings: Settings, *arguments: str) -> Result:
    environment = {"NEARLINE_HOME": str(settings.home)}
    return CliRunner().invoke(recommend, list(arguments), env=environment)


def train(settings: Settings) -> training.Training:
    return training.train(settings, seed=0, now=NOW, code_version="test")


def lively_days(shop: SmallShop, name: str, days: int) -> None:
    """Publishes the first days of a shop in which everybody goes by a taste."""
    rng = np.random.default_rng(3)
    liked = [[item for item, *_ in part] for part in (ITEMS[:5], ITEMS[5:10])]
    events = [
        event_row(f"p{person}", str(item), day * DAY + person * 60)
        for person in range(60)
        for day, item in enumerate(np.repeat(rng.permutation(liked[person % 2]), 2))
        if day < days
    ]
    shop.release(name, visits=[], fct_events=events)


class Contrary:
    """Best is what another model says is worst."""

    def __init__(self, model: Blend) -> None:
        self._model = model

    def score(self, histories: Histories) -> Any:
        return 1 - self._model.score(histories)


def learn_the_contrary(*asked: Any) -> tuple[Learnt, Blend]:
    learnt, stand_in = learn(*asked)
    assert stand_in is not None
    return learnt, Blend({"contrary": Contrary(stand_in)}, {"contrary": 1.0}, True)


def test_behaviour_is_what_was_published_by_person_and_by_session(
    shop: SmallShop,
) -> None:
    found = read_behaviour(shop.settings, shop.settings.published.resolve())
    ids = found.catalogue.items.ids.to_pylist()
    taken = [ids[code] for code in found.by_session.items]
    assert taken == [item for visit in VISITS for item in visit]
    assert found.by_person.items.tolist() == found.by_session.items.tolist()
    assert found.by_session.times[0] == START
    red = ids.index("jacket-red")
    assert found.catalogue.name_of(red) == "Wool jacket red"
    assert found.catalogue.category_of(red) == "Jackets"
    assert found.catalogue.attributes.prices[red] == 12_000


def test_without_consent_as_a_bot_or_suppressed_nobody_is_learnt_from(
    shop: SmallShop,
) -> None:
    suppress(shop.settings, "visitor", visitor("gone"), "erased", NOW)
    suppress(shop.settings, "user", "u_left0000001", "opted_out", NOW)
    extra = [
        event_row("shy", "kettle", 99_000, has_personalization_consent=False),
        event_row("robot", "kettle", 99_001, is_bot=True),
        event_row("gone", "kettle", 99_002),
        event_row("other", "kettle", 99_003, user_id="u_left0000001"),
        event_row("page", "kettle", 99_004, event_name="page_view"),
        event_row("fine", "kettle", 99_005),
    ]
    shop.release("20260923T000000Z", visits=[], fct_events=extra)
    found = read_behaviour(shop.settings, shop.settings.published.resolve())
    assert (found.by_person.times - START).tolist() == [99_005]
    for name, count in (("fine", 1), ("gone", 0), ("shy", 0)):
        history = read_history(
            shop.settings, shop.settings.published.resolve(), visitor(name), 10
        )
        assert len(history) == count


def test_purchases_are_lines_of_orders_under_the_consent_of_their_event(
    shop: SmallShop,
) -> None:
    extra = [
        event_row("buyer", None, 99_000, event_name="purchase", order_id="o1"),
        event_row(
            "quiet",
            None,
            99_001,
            event_name="purchase",
            order_id="o2",
            has_personalization_consent=False,
        ),
    ]
    shop.release(
        "20260923T000000Z",
        fct_events=extra,
        fct_orders=[{"order_id": o, "source": "web"} for o in ("o1", "o2")],
        fct_order_items=[
            {"order_id": "o1", "source": "web", "item_id": "gloves"},
            {"order_id": "o2", "source": "web", "item_id": "gloves"},
            {"order_id": "o1", "source": "app", "item_id": "kettle"},
        ],
    )
    release = shop.settings.published.resolve()
    history = read_history(shop.settings, release, visitor("buyer"), 10)
    assert history == [Touch("gloves", "purchase", START + 99_000)]
    assert read_history(shop.settings, release, visitor("quiet"), 10) == []


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    learnt, _ = learn(fashion_behaviour(), seed=0)
    write_learnt(learnt, tmp_path)
    again = read_learnt(tmp_path)

    def answer(what: object) -> object:
        request = Request([Touch("jacket-red")] * 3, channel="email")
        return make_recommender(what).recommend(request, np.random.default_rng(1))  # type: ignore[arg-type]

    assert answer(again) == answer(learnt)
    assert list(again.blend.members) == list(learnt.blend.members)
    assert again.trending_half_life == learnt.trending_half_life


def test_a_version_keeps_no_row_of_a_person(tmp_path: Path) -> None:
    behaviour = fashion_behaviour()
    learnt, _ = learn(behaviour, seed=0)
    write_learnt(learnt, tmp_path)
    people, items = behaviour.by_person.owner_count, len(behaviour.catalogue)
    assert people != items
    with np.load(tmp_path / "arrays.npz") as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files}
    assert all(people not in shape for shape in shapes.values()), shapes
    assert not any(b"p_" in path.read_bytes() for path in tmp_path.glob("*.json"))


def test_a_training_serves_and_the_card_says_on_what(shop: SmallShop) -> None:
    done = train(shop.settings)
    assert (done.version, done.is_serving) == (1, True)
    assert done.interaction_count == sum(map(len, VISITS))
    assert done.person_count == len(VISITS)
    serving = ServingRecommender(shop.settings).current()
    assert serving is not None
    found = serving.recommend(
        Request([Touch("jacket-red")] * 3, count=2), np.random.default_rng(0)
    )
    assert found.versions["recommender"] == "recommender v1"
    card = json.loads((shop.settings.models / "recommender/v1/card.json").read_text())
    assert card["release_id"] == "20260922T000000Z"
    assert card["row_counts"]["items"] == 12


def test_a_loser_is_kept_as_challenger_and_what_served_goes_on(
    shop: SmallShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lively_days(shop, "20260923T000000Z", 6)
    assert train(shop.settings).reason == "the first one, and not worse than no model"
    lively_days(shop, "20260924T000000Z", 9)
    with monkeypatch.context() as patched:
        patched.setattr(training, "learn", learn_the_contrary)
        done = train(shop.settings)
    assert (done.version, done.is_serving, done.champion) == (2, False, 1)
    assert "worse than the champion beyond noise" in done.reason
    state = read_state(shop.settings.models, "recommender")
    assert (state.champion, state.challenger) == (1, 2)
    serving = ServingRecommender(shop.settings).current()
    assert serving is not None
    assert serving.versions["recommender"] == "recommender v1"

    card = read_card(shop.settings.models / "recommender/v2")
    assert card.facts.details["judgement"]["reason"] == done.reason
    begins = datetime.fromisoformat(card.facts.details["judgement"]["held_out_from"])
    first = read_card(shop.settings.models / "recommender/v1").facts.data_up_to
    assert first is not None
    assert begins > datetime.fromisoformat(first)
    figure = done.champion_ndcg
    assert figure is not None
    assert card.facts.beside["champion_v1"]["ndcg_at_20"] == figure
    environment = {"NEARLINE_HOME": str(shop.settings.home)}
    listed = CliRunner().invoke(models, ["list"], env=environment).stdout
    assert f"  v2 refused 2026-09-22: {done.reason}\n" in listed
    assert f"the champion's {figure.value:.4g} (" in listed
    page = build_models_page(shop.settings.models, shop.settings.site).read_text()
    assert "The challenger v2, which does not serve" in page
    assert f'<td class="words">champion v1</td><td>{figure.in_words()}</td>' in page
    assert "v2 refused: worse than the champion beyond noise" in page

    # Nothing is wrong with what is learnt as it should be: it takes the place.
    done = train(shop.settings)
    assert (done.version, done.is_serving, done.champion) == (3, True, 1)
    assert "not worse than the champion" in done.reason


def test_a_broken_version_gives_way_to_the_last_good_one_which_is_then_the_one_to_beat(
    shop: SmallShop,
) -> None:
    train(shop.settings)
    train(shop.settings)
    path = shop.settings.models / "recommender/v2/arrays.npz"
    path.write_bytes(path.read_bytes()[:-9])
    serving = ServingRecommender(shop.settings).current()
    assert serving is not None
    assert serving.versions["recommender"] == "recommender v1"
    lively_days(shop, "20260924T000000Z", 9)
    done = train(shop.settings)
    assert (done.version, done.is_serving, done.champion) == (3, True, 1)
    assert done.reason.endswith("; recommender v2: arrays.npz is not what was written")


def test_a_training_that_fails_leaves_nothing(
    shop: SmallShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(learnt: object, folder: Path) -> None:
        (folder / "half.npz").write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(training, "write_learnt", fail)
    with pytest.raises(OSError, match="disk full"):
        train(shop.settings)
    assert list((shop.settings.models / "recommender").glob("v*")) == []
    assert ServingRecommender(shop.settings).current() is None


def test_before_the_first_run_the_way_is_told(tmp_path: Path) -> None:
    empty = Settings(home=tmp_path / "empty")
    with pytest.raises(NearlineError, match="run `nearline run` once"):
        train(empty)
    shop = small_shop(tmp_path / "home")
    done = call(shop.settings, "for", visitor("0"))
    assert isinstance(done.exception, NearlineError)
    assert "run `nearline recommend train`" in str(done.exception)


def test_commands_train_and_show_a_list_with_reasons(shop: SmallShop) -> None:
    trained = json.loads(call(shop.settings, "train", "--json").stdout)
    assert trained["is_serving"]
    extra = [event_row("ada", "jacket-red", 99_000 + n) for n in range(3)]
    shop.release("20260923T000000Z", fct_events=extra)
    done = call(shop.settings, "for", visitor("ada"), "--count", "4", "--explain")
    assert done.exit_code == 0
    assert "goes with Wool jacket red, viewed 3 times" in done.stdout
    assert "about      jacket-red" in done.stdout
    found = json.loads(
        call(shop.settings, "for", visitor("nobody"), "--count", "2", "--json").stdout
    )
    assert (found["outcome"], len(found["items"])) == ("cold_start", 2)
    assert set(found["items"][0]) == {
        "item_id", "score", "sources", "reason", "probability", "place_probability",
        "is_explored",
    }  # fmt: skip


def test_what_was_viewed_since_the_run_is_read_from_the_log(shop: SmallShop) -> None:
    call(shop.settings, "train")
    shop.arrive(
        *[shop.view("eve", "shoe-run", 99_000 + n) for n in range(3)],
        shop.view("eve", "kettle", 99_010, consent_personalization=False),
    )
    done = json.loads(call(shop.settings, "for", visitor("eve"), "--json").stdout)
    assert done["focus_item_id"] == "shoe-run"
    assert "kettle" in {item["item_id"] for item in done["items"]} | set(
        done["candidates"]
    )


def test_a_recommender_is_frozen(shop: SmallShop) -> None:
    train(shop.settings)
    serving = ServingRecommender(shop.settings).current()
    with pytest.raises(dataclasses.FrozenInstanceError):
        serving.policy = None  # type: ignore[misc, union-attr]
