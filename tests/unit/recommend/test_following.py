"""The follower of the log: where it begins, what it takes up, and what it leaves behind."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.models import rollback
from nearline.privacy.suppression import suppress
from nearline.recommend.command import recommend
from nearline.recommend.following import Follower
from nearline.recommend.fresh import Fresh, read_fresh
from nearline.recommend.serving import ServingRecommender, fresh_path
from nearline.recommend.training import train
from tests.unit.recommend.small_shop import SmallShop, small_shop, visitor

NOW = datetime(2026, 9, 22, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    return small_shop(tmp_path / "home")


def learn(shop: SmallShop) -> int:
    return train(shop.settings, seed=0, now=NOW, code_version="test").version


def follow(shop: SmallShop) -> Fresh:
    """A follower's life from its start until nothing is left."""
    with closing(Follower(shop.settings, write_every=0)) as follower:
        while follower.step().records:
            pass
        follower.write()
    return read_fresh(fresh_path(shop.settings))


def pair(shop: SmallShop, who: str, seconds: float, **fields: object) -> None:
    """A visit to the kettle and the socks, which nobody viewed together before."""
    shop.arrive(
        shop.view(who, "kettle", seconds, **fields),
        shop.view(who, "socks", seconds + 60, **fields),
    )


def test_it_begins_where_the_data_of_the_serving_version_end(shop: SmallShop) -> None:
    pair(shop, "before", 40_000)
    shop.release("20260923T000000Z", position=3)
    learn(shop)
    pair(shop, "after", 50_000)
    assert follow(shop).counts.sum() == 2


def test_it_goes_over_to_a_new_version_and_back(shop: SmallShop) -> None:
    learn(shop)
    pair(shop, "first", 40_000)
    assert (follow(shop).model_version, follow(shop).counts.sum()) == ("1", 2)
    shop.release("20260923T000000Z", position=3)
    with closing(Follower(shop.settings, write_every=0)) as follower:
        follower.step()
        learn(shop)
        follower.step()
        follower.write()
        now = read_fresh(fresh_path(shop.settings))
        assert (now.model_version, now.counts.sum()) == ("2", 0)
        rollback(shop.settings.models, "recommender", "a test", NOW)
        follower.step()
        follower.write()
    then = read_fresh(fresh_path(shop.settings))
    assert (then.model_version, then.counts.sum()) == ("1", 2)


def test_what_came_since_another_version_is_not_laid_over(shop: SmallShop) -> None:
    learn(shop)
    pair(shop, "first", 40_000)
    follow(shop)
    serving = ServingRecommender(shop.settings)
    before = serving.current()
    assert before is not None
    assert before.versions["fresh"] is not None
    learn(shop)
    serving.refresh()
    after = serving.current()
    assert after is not None
    assert after.versions == {"recommender": "recommender v2", "fresh": None}


def test_only_what_may_be_used_is_counted(shop: SmallShop) -> None:
    learn(shop)
    suppress(shop.settings, "visitor", visitor("erased"), "erased", NOW)
    pair(shop, "shy", 40_000, consent_personalization=False)
    pair(shop, "erased", 41_000)
    pair(shop, "fine", 42_000)
    pair(shop, "fine", 42_000)
    shop.arrive({"not": "an event"})
    assert follow(shop).counts.sum() == 2


def test_whoever_is_suppressed_later_is_not_counted_from_then_on(
    shop: SmallShop,
) -> None:
    learn(shop)
    with closing(Follower(shop.settings, write_every=0)) as follower:
        pair(shop, "leaver", 40_000)
        assert follower.step().touches == 2
        suppress(shop.settings, "visitor", visitor("leaver"), "opted_out", NOW)
        pair(shop, "leaver", 50_000)
        assert follower.step().touches == 0


def test_a_broken_file_is_served_without_and_replaced(shop: SmallShop) -> None:
    learn(shop)
    path = fresh_path(shop.settings)
    path.parent.mkdir()
    path.write_bytes(b"PK broken")
    serving = ServingRecommender(shop.settings).current()
    assert serving is not None
    assert serving.versions["fresh"] is None
    pair(shop, "first", 40_000)
    assert follow(shop).counts.sum() == 2


def test_without_a_model_it_waits_and_says_what_is_missing(shop: SmallShop) -> None:
    pair(shop, "first", 40_000)
    done = CliRunner().invoke(
        recommend,
        ["live", "--until-idle"],
        env={"NEARLINE_HOME": str(shop.settings.home)},
    )
    assert "nothing to follow yet; run `nearline recommend train`" in done.output
    assert not fresh_path(shop.settings).exists()


def test_the_command_says_how_much_it_read(shop: SmallShop) -> None:
    learn(shop)
    pair(shop, "first", 40_000)
    done = CliRunner().invoke(
        recommend,
        ["live", "--until-idle", "--json"],
        env={"NEARLINE_HOME": str(shop.settings.home)},
    )
    found = json.loads(done.stdout)
    assert (found["records"], found["touches"], found["model_version"]) == (2, 2, 1)
    assert fresh_path(shop.settings).exists()
