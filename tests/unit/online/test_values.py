"""What every online store does, each by a real one: the newer value wins, whoever comes
last; what has expired or was deleted is missing for stock Feast, and nothing else is."""

import json
import random
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from nearline.online import expire_values, stored_view
from nearline.settings import Settings
from tests.online_stores import STORES, OnlineStores, with_secrets
from tests.unit.online.stored_values import (
    DAY,
    KEPT_FOR,
    NOON,
    NOON_US,
    SECOND,
    STORED,
    VIEW,
    VISITOR,
    entity_row,
    feature_view,
    held,
    key_of,
    opened,
    read,
    stock_store,
    write_past_the_clock,
)

OTHER_VIEW = feature_view("other_v1", timedelta(days=365))
OTHER = stored_view(OTHER_VIEW, [VISITOR])
ENDLESS_VIEW = feature_view("endless_v1", timedelta(0))
ENDLESS = stored_view(ENDLESS_VIEW, [VISITOR])


@pytest.fixture(params=STORES)
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, online_stores: OnlineStores
) -> Settings:
    return online_stores.settings(request.param, tmp_path / "home")


def test_a_newer_value_replaces_an_older_one(settings: Settings) -> None:
    with opened(settings) as values:
        assert values.write(STORED, [entity_row("a", NOON_US, 1)]) == 1
        assert values.write(STORED, [entity_row("a", NOON_US + SECOND, 2)]) == 1
        assert read(settings, ["a", "nobody"]) == {"a": 2, "nobody": None}


def test_an_older_value_never_replaces_a_newer_one(settings: Settings) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US + SECOND, 2)])
        assert values.write(STORED, [entity_row("a", NOON_US, 1)]) == 0
        assert read(settings, ["a"]) == {"a": 2}


@pytest.mark.parametrize("first", [0, 1])
def test_a_microsecond_decides(settings: Settings, first: int) -> None:
    rows = [entity_row("a", NOON_US + 1, 1), entity_row("a", NOON_US + 2, 2)]
    with opened(settings) as values:
        values.write(STORED, [rows[first]])
        values.write(STORED, [rows[1 - first]])
        assert read(settings, ["a"]) == {"a": 2}


def test_of_views_that_are_written_together_each_is_compared_with_its_own(
    settings: Settings,
) -> None:
    with opened(settings, STORED, OTHER) as values:
        values.write(STORED, [entity_row("a", NOON_US + SECOND, 2)])
        values.write(OTHER, [entity_row("b", NOON_US, 3)])
        written = values.write_together(
            [
                (STORED, [entity_row("a", NOON_US, 4), entity_row("b", NOON_US, 5)]),
                (OTHER, [entity_row("a", NOON_US, 6), entity_row("b", NOON_US + 1, 7)]),
            ]
        )
        assert written == 3
        assert read(settings, ["a", "b"]) == {"a": 2, "b": 5}
        assert read(settings, ["a", "b"], OTHER_VIEW) == {"a": 6, "b": 7}


def test_at_equal_event_time_the_creation_time_decides(settings: Settings) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 2, created_us=2)])
        values.write(STORED, [entity_row("a", NOON_US, 1, created_us=1)])
        assert read(settings, ["a"]) == {"a": 2}


@pytest.mark.parametrize("fingerprint", [2, -(2**63), 2**63 - 1, None])
def test_a_different_value_of_the_same_moment_is_a_correction(
    settings: Settings, fingerprint: int | None
) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1, fingerprint=1)])
        assert values.write(STORED, [entity_row("a", NOON_US, 1, fingerprint=1)]) == 0
        right = entity_row("a", NOON_US, 3, fingerprint=fingerprint)
        assert values.write(STORED, [right]) == 1
        assert read(settings, ["a"]) == {"a": 3}
        assert held(values) == {"a": (NOON_US, 0, fingerprint)}


def test_the_newest_of_several_rows_in_a_batch_is_kept(settings: Settings) -> None:
    rows = [entity_row("a", NOON_US + at * SECOND, at) for at in (1, 3, 2)]
    with opened(settings) as values:
        assert values.write(STORED, rows) == 1
        assert read(settings, ["a"]) == {"a": 3}


def test_thousands_of_entities_are_written_at_once(settings: Settings) -> None:
    rows = [entity_row(f"visitor {n}", NOON_US + n, n) for n in range(2_500)]
    with opened(settings) as values:
        assert values.write(STORED, rows) == 2_500
        assert values.write(STORED, rows) == 0
        assert held(values) == {
            f"visitor {n}": (NOON_US + n, 0, 1) for n in range(2_500)
        }
    asked = [f"visitor {n}" for n in (0, 999, 1_000, 2_499)]
    assert list(read(settings, asked).values()) == [0, 999, 1_000, 2_499]


def test_views_of_one_entity_are_apart(settings: Settings) -> None:
    with opened(settings, STORED, OTHER) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        values.write(OTHER, [entity_row("a", NOON_US - DAY, 2)])
        assert read(settings, ["a"]) == {"a": 1}
        assert read(settings, ["a"], OTHER_VIEW) == {"a": 2}
        assert held(values, OTHER) == {"a": (NOON_US - DAY, 0, 1)}


@pytest.mark.parametrize("entity", ["", "ü", "a\x00b", "[*?\\]{x}nearline", "x" * 300])
def test_every_text_is_an_entity(settings: Settings, entity: str) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row(entity, NOON_US, 1)])
        values.write(STORED, [entity_row("another", NOON_US, 2)])
        assert read(settings, [entity, "another"]) == {entity: 1, "another": 2}
        values.delete_entities([key_of(entity)])
        assert read(settings, [entity, "another"]) == {entity: None, "another": 2}


def test_a_value_written_past_the_clock_is_judged_by_its_time(
    settings: Settings,
) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        write_past_the_clock(settings, "a", NOON + timedelta(seconds=5), 5)
        assert held(values) == {"a": None}
        assert values.write(STORED, [entity_row("a", NOON_US + 4 * SECOND, 4)]) == 0
        assert read(settings, ["a"]) == {"a": 5}
        assert values.write(STORED, [entity_row("a", NOON_US + 6 * SECOND, 6)]) == 1
        assert read(settings, ["a"]) == {"a": 6}
        assert held(values) == {"a": (NOON_US + 6 * SECOND, 0, 1)}


def test_values_lost_past_the_clock_are_written_again(settings: Settings) -> None:
    row = entity_row("a", NOON_US, 1)
    with opened(settings, STORED, OTHER) as values:
        values.write(STORED, [row])
        values.write(OTHER, [row])
        store, config = stock_store(settings)
        store.update(config, [VIEW], [OTHER_VIEW], [], [VISITOR], False)
        store.update(config, [], [VIEW, OTHER_VIEW], [], [VISITOR], False)
        assert read(settings, ["a"]) == {"a": None}
        # What is left of it is to go, too, where the entity is not written again.
        assert held(values) == {"a": None}
        assert values.write(STORED, [row]) == 1
        assert read(settings, ["a"]) == {"a": 1}


def test_only_the_named_entities_of_the_view_are_deleted(settings: Settings) -> None:
    with opened(settings, STORED, OTHER) as values:
        for view in (STORED, OTHER):
            values.write(view, [entity_row(key, NOON_US, 1) for key in "abc"])
        values.delete(STORED, [key_of("b"), key_of("nobody")])
        assert read(settings, "abc") == {"a": 1, "b": None, "c": 1}
        assert read(settings, "abc", OTHER_VIEW) == {"a": 1, "b": 1, "c": 1}
        assert sorted(held(values)) == ["a", "c"]
        assert values.write(STORED, [entity_row("b", NOON_US - DAY, 2)]) == 1


def test_everything_of_an_entity_is_deleted_and_nothing_of_another(
    settings: Settings,
) -> None:
    with opened(settings, STORED, OTHER) as values:
        for view in (STORED, OTHER):
            values.write(view, [entity_row(key, NOON_US, 1) for key in "abc"])
        values.delete_entities([key_of("b"), key_of("nobody")])
        assert read(settings, "abc") == {"a": 1, "b": None, "c": 1}
        assert read(settings, "abc", OTHER_VIEW) == {"a": 1, "b": None, "c": 1}


def test_a_value_holds_until_its_view_s_limit_and_not_a_microsecond_longer(
    settings: Settings,
) -> None:
    with opened(settings, STORED, OTHER, ENDLESS) as values:
        rows = [entity_row("older", NOON_US - 1, 1), entity_row("newer", NOON_US, 2)]
        for view in (STORED, OTHER, ENDLESS):
            values.write(view, rows)
        now = NOON + KEPT_FOR
        views = [STORED, OTHER, ENDLESS]
        assert expire_values(values, views, now) == 1
        assert expire_values(values, views, now) == 0
        assert read(settings, ["older", "newer"]) == {"older": None, "newer": 2}
        for view in (OTHER_VIEW, ENDLESS_VIEW):
            assert read(settings, ["older", "newer"], view) == {"older": 1, "newer": 2}
        assert held(values) == {"newer": (NOON_US, 0, 1)}
        assert expire_values(values, views, now + timedelta(days=9_999)) == 3


def test_a_value_that_was_renewed_expires_by_its_new_time(settings: Settings) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        values.write(STORED, [entity_row("a", NOON_US + DAY, 2)])
        assert values.expire(STORED, NOON_US + DAY) == 0
        assert read(settings, ["a"]) == {"a": 2}
        assert values.expire(STORED, NOON_US + DAY + 1) == 1
        assert read(settings, ["a"]) == {"a": None}


def test_a_value_renewed_past_the_clock_expires_by_its_new_time(
    settings: Settings,
) -> None:
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US, 1)])
        values.write(STORED, [entity_row("b", NOON_US, 1)])
        write_past_the_clock(settings, "a", NOON + timedelta(days=2), 2)
        write_past_the_clock(settings, "b", NOON + timedelta(seconds=2), 2)
        assert values.expire(STORED, NOON_US + DAY) == 1
        assert read(settings, ["a", "b"]) == {"a": 2, "b": None}
        assert values.expire(STORED, NOON_US + DAY) == 0
        assert held(values) == {"a": None}


def test_thousands_of_values_expire_at_once(settings: Settings) -> None:
    rows = [entity_row(f"v{n}", NOON_US + n, n) for n in range(2_500)]
    with opened(settings) as values:
        values.write(STORED, rows)
        assert values.expire(STORED, NOON_US + 2_400) == 2_400
        assert len(held(values)) == 100


def test_values_of_no_kept_view_are_removed(settings: Settings) -> None:
    with opened(settings, STORED, OTHER) as values:
        for view in (STORED, OTHER):
            values.write(view, [entity_row("a", NOON_US, 1)])
        values.keep_only([OTHER])
        assert read(settings, ["a"], OTHER_VIEW) == {"a": 1}
        values.prepare(STORED)
        assert read(settings, ["a"]) == {"a": None}
        assert held(values) == {}
        assert values.write(STORED, [entity_row("a", NOON_US - DAY, 3)]) == 1


def test_a_view_that_gains_a_feature_is_deleted_with_it(settings: Settings) -> None:
    """By a writer that does not know the feature yet."""
    row = entity_row("a", NOON_US, 1)
    (count, pages) = row.values
    with opened(settings) as values:
        values.write(STORED, [row])
        narrow = entity_row("a", NOON_US + 1, 2)
        object.__setattr__(narrow, "values", [narrow.values[0]])
        values.write(STORED, [narrow])
        values.delete(stored_view(VIEW, [VISITOR]), [key_of("a")])
        assert read(settings, ["a"]) == {"a": None}
    assert (count[0], pages[0]) == ("count", "pages")


RACER = """
    import json, random, sys, time
    from pathlib import Path
    from nearline.settings import Settings
    from tests.unit.online.stored_values import NOON_US, STORED, entity_row, opened

    settings = Settings.model_validate_json(sys.argv[1])
    seed, rounds, start = int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    numbers = list(range(seed, rounds * 2, 2))
    random.Random(seed).shuffle(numbers)
    with opened(settings) as values:
        Path(f"{start}.{seed}").touch()
        while not start.exists():
            time.sleep(0.001)
        won = sum(
            values.write(STORED, [entity_row("a", NOON_US + n // 4, n, created_us=n % 4)])
            for n in numbers
        )
    print(json.dumps(won))
"""


def test_of_two_processes_at_one_key_the_newer_value_wins_every_time(
    settings: Settings, tmp_path: Path
) -> None:
    """One writes even numbers, one odd ones, each in an order of its own. A reader must
    never see a number fall, and the last one to be seen is the largest."""
    rounds, start = 300, tmp_path / "start"
    with opened(settings) as values:
        values.write(STORED, [entity_row("a", NOON_US - 1, 0)])
    racers = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", textwrap.dedent(RACER), with_secrets(settings)),
                *(str(seed), str(rounds), str(start)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in (0, 1)
    ]
    try:
        while not all(Path(f"{start}.{seed}").exists() for seed in (0, 1)):
            assert all(racer.poll() is None for racer in racers)
        start.touch()
        seen = []
        while any(racer.poll() is None for racer in racers):
            seen.append(read(settings, ["a"])["a"])
    finally:
        for racer in racers:
            racer.kill()
    won = [json.loads(racer.communicate()[0]) for racer in racers]
    assert seen == sorted(seen, key=lambda count: count or 0)
    assert None not in seen
    assert read(settings, ["a"]) == {"a": 2 * rounds - 1}
    assert sum(won) > 0
    assert all(count <= rounds for count in won)


def test_any_order_of_writes_leaves_the_newest(settings: Settings) -> None:
    """The oracle is the largest moment of each entity."""
    drawn = random.Random(11)
    rows = [
        entity_row(
            f"v{drawn.randrange(20)}",
            NOON_US + drawn.randrange(30),
            number,
            created_us=drawn.randrange(3),
            fingerprint=None,
        )
        for number in range(600)
    ]
    expected: dict[bytes, tuple[int, int]] = {}
    with opened(settings) as values:
        remaining = list(rows)
        while remaining:
            size = drawn.randrange(1, 40)
            part, remaining = remaining[:size], remaining[size:]
            values.write(STORED, part)
            for row in part:
                moment = (row.event_us, row.created_us)
                expected[row.key] = max(expected.get(row.key, moment), moment)
        assert {key_of(name): moment[:2] for name, moment in held(values).items()} == (
            expected
        )
