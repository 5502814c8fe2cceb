"""REES46 rows become raw rows: prices in cents, the shop's visitor number nowhere."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.landing.formats import Rejection
from nearline.landing.landings import land_file
from nearline.landing.nearline_format import content_hash
from nearline.landing.rees46_format import Rees46Format
from nearline.privacy.pseudonyms import Pseudonymizer, load_pseudonymizer
from nearline.settings import Settings
from tests.unit.landing.event_files import all_bytes, landed_rows

HEADER = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,"
    "user_id,user_session\n"
)
ROWS = (
    "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,"
    "541312140,72d76fde-8bb3-4e00-8c23-a032dfed738c\n"
    "2019-10-01 00:00:01 UTC,cart,3900821,2053013552326770905,"
    "appliances.environment.water_heater,,33.20,554748717,\n"
    "2019-10-01 00:00:02 UTC,remove_from_cart,3900821,,,,,541312140,s2\n"
    "2019-10-01 00:00:03 UTC,purchase,3900821,,,,0.015,541312140,s2\n"
)
FIELDS = {
    "event_time": "2019-10-01 00:00:00 UTC",
    "event_type": "view",
    "product_id": "44600062",
    "price": "35.79",
    "user_id": "541312140",
    "user_session": "s1",
}
PSEUDONYMIZER = Pseudonymizer(b"0123456789abcdef")


def _row(**fields: Any) -> dict[str, Any]:
    result = Rees46Format().to_row({**FIELDS, **fields}, PSEUDONYMIZER)
    assert isinstance(result, dict)
    return result


def _refusal(**fields: Any) -> Rejection:
    result = Rees46Format().to_row({**FIELDS, **fields}, PSEUDONYMIZER)
    assert isinstance(result, Rejection)
    return result


def test_rows_keep_the_sources_columns(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(HEADER + ROWS)
    land_file(settings, path, "rees46")
    anna = load_pseudonymizer(settings).visitor("rees46", "541312140")
    ben = load_pseudonymizer(settings).visitor("rees46", "554748717")
    rows = landed_rows(settings)
    assert [
        {name: value for name, value in row.items() if name != "event_id"}
        for row in rows
    ] == [
        {
            "event_time": datetime(2019, 10, 1, 0, 0, second),
            "event_type": event_type,
            "product_id": product_id,
            "category_id": category_id,
            "category_code": category_code,
            "brand": brand,
            "price_cents": price_cents,
            "visitor_id": visitor_id,
            "user_session": user_session,
            "source_file": "shop.csv",
            "source_row": second + 1,
        }
        for (
            second,
            event_type,
            product_id,
            category_id,
            category_code,
            brand,
            price_cents,
            visitor_id,
            user_session,
        ) in [
            (
                0,
                "view",
                "44600062",
                "2103807459595387724",
                None,
                "shiseido",
                3579,
                anna,
                "72d76fde-8bb3-4e00-8c23-a032dfed738c",
            ),
            (
                1,
                "cart",
                "3900821",
                "2053013552326770905",
                "appliances.environment.water_heater",
                None,
                3320,
                ben,
                None,
            ),
            (2, "remove_from_cart", "3900821", None, None, None, None, anna, "s2"),
            (3, "purchase", "3900821", None, None, None, 2, anna, "s2"),
        ]
    ]
    assert len({row["event_id"] for row in rows}) == 4


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_visitor_number_is_nowhere_in_what_was_landed(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    refused = (
        "2019-10-01 00:00:00 UTC,wish,1,,,,1,541312140,s\n"
        "yesterday,view,1,,,,1,541312140,s\n"
        "2019-10-01 00:00:00 UTC,view,1,,,,-1,541312140,s\n"
        "2019-10-01 00:00:00 UTC,view,1,,,,1,541312140 x,s\n"
    )
    path = tmp_path / f"shop.{kind}"
    path.write_text(HEADER + ROWS + refused)
    if kind == "jsonl":
        rows = list(csv.DictReader(path.read_text().splitlines()))
        lines = [
            {name: text for name, text in row.items() if text} | {"extra": 541312140}
            for row in rows
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    landing = land_file(settings, path, "rees46")
    assert (landing.accepted_count, landing.rejected_count) == (4, 4)
    kept = all_bytes(settings.raw)
    assert b"541312140" not in kept
    assert b"554748717" not in kept


def test_the_event_id_cannot_be_worked_out_from_the_row_in_the_file() -> None:
    # What somebody with the file and without the key could try.
    row = _row()
    guess = {**row, "visitor_id": "541312140"}
    del guess["event_id"]
    assert content_hash(guess) != row["event_id"]
    with_other_key = Rees46Format().to_row(FIELDS, Pseudonymizer(b"another key 0001"))
    assert isinstance(with_other_key, dict)
    assert with_other_key["event_id"] != row["event_id"]


@pytest.mark.parametrize(
    ("price", "cents"),
    [
        ("0", 0),
        ("0.29", 29),
        ("33.20", 3320),
        ("1.005", 101),
        ("1.004", 100),
        ("2.675", 268),
        (0.29, 29),
        (1134.57, 113457),
        (12, 1200),
        ("1000000000", 10**11),
        (None, None),
    ],
)
def test_prices_become_cents_half_a_cent_up(price: Any, cents: int | None) -> None:
    assert _row(price=price)["price_cents"] == cents


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_type": "wish"}, "event_type"),
        ({"event_type": None}, "event_type"),
        ({"event_type": ["view"]}, "event_type"),
        ({"event_time": "2019-10-01"}, "event_time"),
        ({"event_time": "2019-10-01 00:00:00"}, "event_time"),
        ({"event_time": "2019-02-30 00:00:00 UTC"}, "event_time"),
        ({"event_time": "1019-10-01 00:00:00 UTC"}, "event_time"),
        ({"event_time": 1569888000}, "event_time"),
        ({"event_time": None}, "event_time"),
        ({"product_id": None}, "product_id"),
        ({"product_id": "446 00062"}, "product_id"),
        ({"product_id": "44600062\n"}, "product_id"),
        ({"product_id": True}, "product_id"),
        ({"category_id": "x" * 65}, "category_id"),
        ({"user_session": "anna@example.com"}, "user_session"),
        ({"user_id": None}, "user_id"),
        ({"user_id": {"id": 541312140}}, "user_id"),
        ({"user_id": 0.5}, "user_id"),
        ({"brand": "anna@example.com"}, "brand"),
        ({"brand": ["anna"]}, "brand"),
        ({"brand": "x" * 257}, "brand"),
        ({"category_code": "tel.+49 170 1234567"}, "category_code"),
        ({"price": "-0.01"}, "price"),
        ({"price": "1000000000.01"}, "price"),
        ({"price": "12 EUR"}, "price"),
        ({"price": "nan"}, "price"),
        ({"price": float("nan")}, "price"),
        ({"price": "inf"}, "price"),
        ({"price": True}, "price"),
        ({"price": [1]}, "price"),
    ],
)
def test_a_broken_row_is_told_by_field_and_never_by_value(
    fields: dict[str, Any], field: str
) -> None:
    refusal = _refusal(**fields)
    assert refusal.field == field
    for secret in ("anna", "541312140", "1234567", "446", "EUR", "wish"):
        assert secret not in refusal.reason


def test_parquet_gives_the_same_rows_as_csv(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text(HEADER + ROWS)
    rows = [line.split(",") for line in ROWS.splitlines()]
    texts = {
        name: [row[i] or None for row in rows]
        for i, name in enumerate(HEADER.strip().split(","))
    }
    moments = [
        datetime.strptime(text or "", "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        for text in texts["event_time"]
    ]
    numbers = {
        "product_id": pa.array(texts["product_id"]).cast(pa.int64()),
        "price": pa.array(texts["price"]).cast(pa.float64()),
        # A reader that met a gap makes numbers with a fraction of integers.
        "user_id": pa.array(texts["user_id"]).cast(pa.float64()),
    }
    for unit, zone in (("us", "UTC"), ("ns", None), ("ms", "Asia/Tokyo")):
        times = pa.array(moments, pa.timestamp("us", "UTC")).cast(
            pa.timestamp(unit, zone)
        )
        table = pa.table({**texts, **numbers, "event_time": times})
        pq.write_table(table, tmp_path / f"shop_{unit}.parquet")
    landed = []
    for name in ("shop.csv", "shop_us.parquet", "shop_ns.parquet", "shop_ms.parquet"):
        landing = land_file(settings, tmp_path / name, "rees46")
        landed.append(
            [
                {k: v for k, v in row.items() if k != "source_file"}
                for row in landed_rows(settings)[4 * (landing.landing_id - 1) :]
            ]
        )
    assert landed[0] == landed[1] == landed[2] == landed[3]
