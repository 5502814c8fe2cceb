"""Likeness of items by what is known of them, with nobody's behaviour."""

from pathlib import Path

import numpy as np
import pytest

from nearline.errors import InputError
from nearline.recommend import evaluate
from nearline.recommend.attributes import ItemAttributes
from nearline.recommend.histories import Histories
from nearline.recommend.interactions import code_values, item_attributes, read_table
from nearline.recommend.models.content import attribute_features, fit_content
from nearline.recommend.models.protocol import Fitting
from tests.unit.recommend.interaction_tables import sequences, write_csv

# A wool jacket, another one as dear, a dear one of cotton, a scarf, and nothing known.
SHOP = ItemAttributes(
    categories=np.array([0, 0, 0, 1, -1], dtype=np.int32),
    brands=np.array([0, 0, 1, 0, -1], dtype=np.int32),
    prices=np.array([100.0, 120.0, 700.0, 20.0, np.nan]),
    titles=["wool jacket", "wool jacket", "cotton jacket", "wool scarf", ""],
)


def history(*items: int) -> Histories:
    return Histories(
        np.array(items, dtype=np.int32), np.array([0]), np.array([len(items)])
    )


def test_a_price_band_ends_at_the_double() -> None:
    # 100 and 120 lie in 64 to 128, 700 in 512 to 1024, 20 in 16 to 32.
    assert SHOP.price_bands.tolist() == [1, 1, 2, 0, -1]


def test_rows_have_length_one_and_what_nobody_knows_is_empty() -> None:
    features = attribute_features(SHOP)
    lengths = np.sqrt((features.toarray() ** 2).sum(axis=1))
    assert lengths == pytest.approx([1, 1, 1, 1, 0])


def test_the_more_attributes_are_shared_the_more_alike() -> None:
    model = fit_content(sequences([0]), Fitting(0, attributes=SHOP))
    same, scores = 1.0, model.score(history(0))[0]
    assert scores[1] == pytest.approx(same)
    assert scores[1] > scores[2] > scores[3] > scores[4] == 0


def test_likeness_is_the_cosine_of_what_is_shared() -> None:
    # Category 1, brand 0.6, price 0.5; no titles: 1² + 0.6² of 1² + 0.6² + 0.5² is shared.
    two = ItemAttributes(
        categories=np.array([0, 0], dtype=np.int32),
        brands=np.array([3, 3], dtype=np.int32),
        prices=np.array([10.0, 100.0]),
        titles=["", ""],
    )
    features = attribute_features(two)
    assert (features @ features.T).toarray()[0, 1] == pytest.approx(1.36 / 1.61)


def test_without_the_category_a_scarf_of_the_brand_matches_the_jacket() -> None:
    features = attribute_features(SHOP, with_category=False)
    alike = (features @ features.T).toarray()[0]
    assert alike[3] > alike[2]


def test_attributes_come_from_the_table_the_latest_of_each_item(tmp_path: Path) -> None:
    rows = [
        ("a", "x", 1, "Coats", "Bryndal", "90", "Old title"),
        ("a", "x", 2, "Jackets", "", "100.5", "New title"),
        ("b", "y", 1, "Jackets", "Calmare", "dear", ""),
    ]
    table = read_table(
        write_csv(
            tmp_path / "t.csv",
            "user_id,item_id,timestamp,category,brand,price,title",
            rows,
        ),
        "user_id",
    )
    found = item_attributes(table, code_values(table.items))
    assert found is not None
    assert found.categories.tolist() == [0, 0]
    assert found.brands.tolist() == [0, 1]
    assert found.prices[0] == 100.5
    assert np.isnan(found.prices[1])
    assert found.titles == ["New title", ""]


def test_it_is_evaluated_like_the_others_and_says_what_it_lacks(tmp_path: Path) -> None:
    rows = [
        (f"u{user}", f"i{item}", item, f"c{user % 2}")
        for user in range(20)
        for item in range(user % 2, 12, 2)
    ]
    header = "user_id,item_id,timestamp"
    with_category = write_csv(tmp_path / "t.csv", header + ",category", rows)
    done = evaluate(with_category, ["popularity", "content"], k=(3,))
    found = {
        name: model.measures[3]["ndcg"].value for name, model in done.models.items()
    }
    assert found["content"] == pytest.approx(1)
    plain = write_csv(tmp_path / "u.csv", header, [row[:3] for row in rows])
    with pytest.raises(
        InputError, match="needs a column category, brand, price or title"
    ):
        evaluate(plain, ["content"])
