"""A CRM exported day after day beside a shop that is tracked: nothing counts twice."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nearline.landing.landings import land_file
from nearline.privacy.pseudonyms import load_pseudonymizer
from tests.dbt.nasty_visitors import at, event
from tests.dbt.warehouse import PROVENANCE, Warehouse, differences

CONTACTS = "Record ID,Email,Lifecycle Stage,Last Modified Date"
ORDERS = (
    "order_id,contact_record_id,ordered_at,modified_at,status,amount,currency,"
    "item_id,price,quantity"
)
EXPORTS = {
    "contacts_1.csv": [
        CONTACTS,
        "88801001,anna@shop.example,Lead,2026-09-01 08:00",
        "88801002,ben@shop.example,Lead,2026-09-01 08:00",
    ],
    "orders_1.csv": [
        ORDERS,
        # Tracked on the web as well.
        "1001,88801001,2026-09-02,2026-09-02 11:00,paid,19.99,EUR,,,",
        "1002,88801001,2026-09-02,2026-09-02 12:00,paid,25.00,EUR,lamp-1,10,2",
        "1002,88801001,2026-09-02,2026-09-02 12:00,paid,25.00,EUR,shade-1,5,1",
        # Will be cancelled; will cost less; will be sold.
        "1003,88801002,2026-09-02,2026-09-02 12:00,paid,30.00,EUR,,,",
        "1004,88801002,2026-09-02,2026-09-02 12:00,paid,40.00,EUR,,,",
        "1005,88801002,2026-09-02,2026-09-02 12:00,open,50.00,EUR,,,",
        # Twice in the file.
        "1006,,2026-09-02,2026-09-02 12:00,paid,60.00,EUR,,,",
        "1006,,2026-09-02,2026-09-02 12:00,paid,60.00,EUR,,,",
    ],
    "contacts_2.csv": [
        CONTACTS,
        # Touched, and changed.
        "88801001,anna@shop.example,Lead,2026-09-02 08:00",
        "88801002,ben@shop.example,Customer,2026-09-02 09:00",
    ],
    "orders_2.csv": [
        ORDERS,
        "1001,88801001,2026-09-02,2026-09-02 11:00,paid,19.99,EUR,,,",
        # The lines in another order.
        "1002,88801001,2026-09-02,2026-09-02 12:00,paid,25.00,EUR,shade-1,5,1",
        "1002,88801001,2026-09-02,2026-09-02 12:00,paid,25.00,EUR,lamp-1,10,2",
        "1003,88801002,2026-09-02,2026-09-03 12:00,cancelled,30.00,EUR,,,",
        "1004,88801002,2026-09-02,2026-09-03 12:00,paid,35.00,EUR,,,",
        "1005,88801002,2026-09-02,2026-09-03 12:00,paid,50.00,EUR,,,",
        "1006,,2026-09-02,2026-09-02 12:00,paid,60.00,EUR,,,",
    ],
    # Back to what it was.
    "orders_3.csv": [
        ORDERS,
        "1004,88801002,2026-09-02,2026-09-04 12:00,paid,40.00,EUR,,,",
    ],
}
MAPPING = "files: {orders_*.csv: {sold: [paid]}}"
CONSENT = {
    "sources": {
        "crm": {
            "session_rule": "none",
            "assumed_consent": ["analytics", "personalization"],
        }
    }
}


@dataclass(frozen=True)
class Shop:
    warehouse: Warehouse

    def export(self, *names: str) -> None:
        folder = self.warehouse.home / "exports"
        folder.mkdir(exist_ok=True)
        (folder / "crm.yml").write_text(MAPPING)
        for name in names:
            path = folder / name
            path.write_text("".join(f"{line}\n" for line in EXPORTS[name]))
            landing = land_file(self.warehouse.settings, path, "crm")
            assert landing.rejected_count == 0

    def visit(self) -> None:
        """Anna signs in and buys; somebody looks around."""
        contact = load_pseudonymizer(self.warehouse.settings).contact
        anna = {"user_id": "u_anna_web", "contact_id": contact("anna@shop.example")}
        paid = {"order_id": "1001", "revenue_cents": 1999, "currency": "EUR"}
        self.warehouse.land(
            [
                event("web_1", "v_anna_web", at("10:00")),
                event("web_2", "v_anna_web", at("10:01"), "identify", **anna),
                event("web_3", "v_anna_web", at("10:02"), "purchase", **anna, **paid),
                event("web_4", "v_somebody", at("10:00")),
            ],
            "web",
        )

    def run(self) -> None:
        self.warehouse.dbt("run", "--vars", json.dumps(CONSENT))

    def orders(self) -> Sequence[tuple[object, ...]]:
        rows = self.warehouse.rows(
            "select order_id, source, revenue_cents, session_id is null as is_of_snapshots "
            "from fct_orders order by order_id"
        )
        return [tuple(row.values()) for row in rows]


@pytest.fixture(scope="module")
def target_of_crm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("target_crm")


@pytest.fixture(scope="module")
def daily(homes: Path, target_of_crm: Path) -> Shop:
    """Each day's export in a run of its own, the visits before them."""
    shop = Shop(Warehouse(homes / "crm_daily", target_of_crm))
    shop.warehouse.home.mkdir()
    shop.visit()
    for names in (["contacts_1.csv", "orders_1.csv"], ["contacts_2.csv"]):
        shop.export(*names)
        shop.run()
    shop.export("orders_2.csv", "orders_3.csv")
    shop.warehouse.dbt(
        "build", "--exclude-resource-type", "unit_test", "--vars", json.dumps(CONSENT)
    )
    return shop


def test_orders_are_as_the_crm_stated_them_last_and_tracked_ones_as_tracked(
    daily: Shop,
) -> None:
    assert daily.orders() == [
        ("1001", "shop_web", 1999, False),
        ("1002", "crm", 2500, True),
        ("1004", "crm", 4000, True),
        ("1005", "crm", 5000, True),
        ("1006", "crm", 6000, True),
    ]
    lines = daily.warehouse.rows(
        "select order_id, item_id, quantity, revenue_cents from fct_order_items "
        "order by all"
    )
    assert [tuple(line.values()) for line in lines] == [
        ("1002", "lamp-1", 2, 2000),
        ("1002", "shade-1", 1, 500),
    ]


def test_a_row_exported_again_is_the_same_event(daily: Shop) -> None:
    rows = daily.warehouse.rows(
        "select event_name, order_id, count(*) as n from fct_events "
        "where source = 'crm' group by all order by all"
    )
    counts = {(row["event_name"], row["order_id"]): row["n"] for row in rows}
    assert counts == {
        ("identify", None): 3,
        ("order_status", "1003"): 1,
        ("order_status", "1005"): 1,
        ("purchase", "1001"): 1,
        ("purchase", "1002"): 1,
        ("purchase", "1003"): 1,
        ("purchase", "1004"): 3,
        ("purchase", "1005"): 1,
        ("purchase", "1006"): 1,
    }


def test_a_contact_is_the_person_who_signs_in_with_the_same_address(
    daily: Shop,
) -> None:
    pseudonyms = load_pseudonymizer(daily.warehouse.settings)
    record = pseudonyms.visitor("crm", "contact:88801001")
    found = daily.warehouse.rows(
        "select visitor_count, is_known, session_count, order_count, revenue_cents "
        "from dim_persons inner join bridge_identities using (person_id) "
        f"where identifier in ('v_anna_web', '{record}')"
    )
    assert found == 2 * [
        {
            "visitor_count": 1,
            "is_known": True,
            "session_count": 1,
            "order_count": 2,
            "revenue_cents": 4499,
        }
    ]


def test_sessions_and_what_is_counted_in_them_are_those_of_visits(daily: Shop) -> None:
    [counts] = daily.warehouse.rows(
        "select sum(session_count) as sessions, sum(converted_session_count) as "
        "converted, sum(revenue_cents) as revenue from fct_daily_metrics"
    )
    assert counts == {"sessions": 2, "converted": 1, "revenue": 1999}
    features = daily.warehouse.rows(
        "select distinct visitor_id from ftr_visitor__activity_30d order by 1"
    )
    assert [row["visitor_id"] for row in features] == ["v_anna_web", "v_somebody"]


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(sorted(EXPORTS, reverse=True), id="backwards"),
        pytest.param(
            [
                "orders_3.csv",
                "contacts_2.csv",
                "orders_1.csv",
                "contacts_1.csv",
                "orders_2.csv",
            ],
            id="scattered",
        ),
    ],
)
def test_exports_landed_in_any_order_make_the_same_tables(
    daily: Shop, homes: Path, target_of_crm: Path, order: list[str]
) -> None:
    home = homes / f"crm_{order[-1]}"
    shop = Shop(Warehouse(home, target_of_crm))
    shop.warehouse.home.mkdir()
    # Of the same key, so that pseudonyms are the same.
    keys = daily.warehouse.settings.keys
    shop.warehouse.settings.keys.mkdir()
    for key in keys.iterdir():
        (shop.warehouse.settings.keys / key.name).write_bytes(key.read_bytes())
    shop.export(*order[:3])
    shop.run()
    shop.visit()
    shop.export(*order[3:])
    shop.run()

    assert shop.orders() == daily.orders()
    found = differences(daily.warehouse, shop.warehouse, PROVENANCE)
    assert found == {}
