"""GA4's parameters as fields of the contract: items, money in cents, order ids.

Money is decimal text or a JSON number of currency units; cents are hundredths of the
unit for every currency, also for those without decimals (1000 JPY are 100000) or with
three (1.234 KWD are 123). Half a cent goes up, and nothing passes through a float.
"""

import functools
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

# Events about one item: its facts are the event's own, as features read them.
ONE_ITEM_EVENTS = (
    "view_item",
    "select_item",
    "add_to_cart",
    "remove_from_cart",
    "add_to_wishlist",
)
_ITEM_TEXTS = ("item_category", "item_brand")
_MAX_DIGITS = 20
# Refused by the contract, with what is allowed.
_BEYOND_BOUNDS = 10**18


def to_contract(event: dict[str, Any]) -> None:
    """Turns GA4's parameters of `event` into the contract's fields, in place.

    What cannot be turned stays under the contract's name as it came: the contract
    refuses it and says why.
    """
    if "price" in event:
        price = event.pop("price")
        if price is not None and event.get("price_cents") is None:
            event["price_cents"] = cents(price)
    if "transaction_id" in event:
        order_id = event.pop("transaction_id")
        if order_id is not None and event.get("order_id") is None:
            event["order_id"] = as_id(order_id)
    if "value" in event:
        value = event.pop("value")
        if value is None:
            pass
        elif event.get("event_name") == "purchase":
            if event.get("revenue_cents") is None:
                event["revenue_cents"] = cents(value)
        else:
            # Of a cart or a view it is no revenue.
            properties = event.get("properties")
            if properties is None or isinstance(properties, dict):
                event["properties"] = {"value": value, **(properties or {})}
    if isinstance(event.get("currency"), str):
        event["currency"] = event["currency"].upper()
    for name in ("item_id", "order_id"):
        if name in event:
            event[name] = as_id(event[name])
    items = event.get("items")
    if isinstance(items, list):
        event["items"] = [_line(item) for item in items]
        _lift_only_item(event)


def cents(amount: Any) -> Any:
    """Hundredths of a currency unit, or `amount` itself where it is no amount."""
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        return amount
    if isinstance(amount, str) and len(amount) > 2 * _MAX_DIGITS:
        return amount
    return _cents(amount)


@functools.lru_cache(maxsize=10_000, typed=True)
def _cents(amount: str | float) -> Any:
    try:
        units = Decimal(str(amount))
    except InvalidOperation:
        return amount
    if not units.is_finite():
        return amount
    if units.adjusted() > _MAX_DIGITS:
        return _BEYOND_BOUNDS if units > 0 else -_BEYOND_BOUNDS
    return int((units * 100).to_integral_value(ROUND_HALF_UP))


def as_id(value: Any) -> Any:
    """An id as text: shops whose ids are numbers send numbers."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


def _line(item: Any) -> Any:
    """One line of `items`; whatever else GA4 keeps of an item, its name too, is left."""
    if not isinstance(item, dict):
        return item
    line: dict[str, Any] = {"item_id": as_id(item.get("item_id"))}
    for name in _ITEM_TEXTS:
        if item.get(name) is not None:
            line[name] = item[name]
    if item.get("price_cents") is not None:
        line["price_cents"] = item["price_cents"]
    elif item.get("price") is not None:
        line["price_cents"] = cents(item["price"])
    if item.get("quantity") is not None:
        line["quantity"] = _count(item["quantity"])
    return line


def _count(quantity: Any) -> Any:
    if isinstance(quantity, float) and quantity.is_integer():
        return int(quantity)
    if isinstance(quantity, str) and quantity.isascii() and quantity.isdigit():
        return int(quantity) if len(quantity) <= _MAX_DIGITS else quantity
    return quantity


def _lift_only_item(event: dict[str, Any]) -> None:
    items = event["items"]
    if (
        len(items) != 1
        or event.get("event_name") not in ONE_ITEM_EVENTS
        or event.get("item_id") is not None
        or not isinstance(items[0], dict)
    ):
        return
    del event["items"]
    for name, value in items[0].items():
        if event.get(name) is None:
            event[name] = value
