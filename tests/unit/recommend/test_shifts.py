"""What broke on the way in shows; what a shop does of itself does not."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from nearline.models import FeatureDrift
from nearline.recommend.catalogue import SCHEMA, catalogue_of
from nearline.recommend.shifts import shifts_of
from tests.unit.recommend.fashion_shop import DAY, START
from tests.unit.recommend.taste_shop import (
    Row,
    taste_behaviour,
    taste_catalogue,
    taste_rows,
)

BEGINS = START + 8 * DAY
ALL = ["categories", "unknown_items", "interactions_per_day"]


def shifts(rows: list[Row], begins: float = BEGINS) -> dict[str, FeatureDrift]:
    named = {str(row["item_id"]) for row in rows} - set(
        taste_catalogue().items.ids.to_pylist()
    )
    more = [{"item_id": item, "category": "group 0"} for item in sorted(named)]
    table = pa.concat_tables(
        [taste_catalogue().as_table(), pa.Table.from_pylist(more, SCHEMA)]
    )
    behaviour = taste_behaviour(rows, catalogue_of(table))
    return {one.feature: one for one in shifts_of(behaviour, begins)}


def since(rows: list[Row], change: Callable[[int, Row], list[Row]]) -> list[Row]:
    """Rows from `BEGINS` on are what `change` makes of them, by their number."""
    found: list[Row] = []
    for number, row in enumerate(rows):
        is_since = float(str(row["seconds"])) >= BEGINS
        found += change(number, row) if is_since else [row]
    return found


def drifted(rows: list[Row]) -> list[str]:
    return [name for name, one in shifts(rows).items() if one.is_drifted]


@pytest.mark.parametrize("people", [30, 300])
def test_a_shop_that_goes_about_its_business_does_not_drift(people: int) -> None:
    for seed in range(10):
        assert drifted(taste_rows(people, seed=seed)) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda n, row: [{**row, "item_id": f"i{n % 10:02}"}], ["categories"]),
        (lambda n, row: [row] if n % 10 == 0 else [], ["interactions_per_day"]),
        (lambda n, row: [row] * 8, ["interactions_per_day"]),
    ],
    ids=["one_category_alone", "nine_in_ten_lost", "each_eight_times"],
)
def test_what_broke_is_named(
    change: Callable[[int, Row], list[Row]], what: list[str]
) -> None:
    assert drifted(since(taste_rows(300), change)) == what


def test_items_whose_ids_are_of_another_form_are_unknown_ones() -> None:
    renamed = since(
        taste_rows(300), lambda n, row: [{**row, "item_id": f"sku-{row['item_id']}"}]
    )
    assert "unknown_items" in drifted(renamed)


def test_a_new_collection_that_is_a_tenth_of_what_is_taken_is_no_drift() -> None:
    launched = since(
        taste_rows(300),
        lambda n, row: [{**row, "item_id": "new"} if n % 10 == 0 else row],
    )
    found = shifts(launched)["unknown_items"]
    assert found.index > 0.2
    assert not found.is_drifted


def test_fewer_unknown_items_than_before_are_no_drift() -> None:
    # In the two days before, half of what was taken was new.
    rows = [
        {**row, "item_id": f"new-{n % 40}"}
        if START + 6 * DAY <= float(str(row["seconds"])) < BEGINS and n % 2
        else row
        for n, row in enumerate(taste_rows(300))
    ]
    assert shifts(rows)["unknown_items"].index == 0


def test_one_person_who_takes_a_hundred_times_as_much_moves_no_category() -> None:
    rows = taste_rows(60)
    fan = [
        {**rows[-1], "person_id": "p_000", "item_id": "i07",
         "seconds": BEGINS + 60.0 * n}
        for n in range(100)
    ]  # fmt: skip
    assert "categories" not in drifted([*rows, *fan])


def test_the_rate_is_that_of_the_days_before_and_its_index_a_logarithm() -> None:
    # By hand: four a day for eight days, then twelve on one.
    rows = [
        {
            "person_id": f"p_{n:03}",
            "session_id": f"s_{n}",
            "item_id": "i01",
            "seconds": START + n * DAY / 4 if n < 32 else BEGINS + (n - 31) * DAY / 12,
            "channel": "direct",
        }
        for n in range(44)
    ]
    found = shifts(rows)["interactions_per_day"]
    assert found.index == pytest.approx(np.log(3))
    # 10.828 is the 99.9 % point of chi-square with one degree of freedom; 28 people were
    # there in the week before, 12 since.
    assert found.by_chance == pytest.approx(
        np.sqrt(10.828 * (1 / 28 + 1 / 12)), rel=1e-4
    )


def test_what_cannot_be_told_is_left_out() -> None:
    rows = taste_rows(60)
    assert shifts(rows, START) == {}
    assert shifts(rows, START + 99 * DAY) == {}
    # Of half a day the hour would tell; of what was new before, there is no before.
    assert set(shifts(rows, START + 9.5 * DAY)) == {"categories", "unknown_items"}
    assert set(shifts(rows, START + 2 * DAY)) == {"categories", "interactions_per_day"}
    assert set(shifts(rows)) == set(ALL)
