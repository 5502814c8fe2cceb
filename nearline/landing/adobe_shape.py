"""One hit of an Adobe Analytics data feed as flat fields.

Of a column that the feed has with `post_` before its name, the processed value stands
under the plain name, even where processing left nothing: what Adobe took out, such as a
purchase that came twice, must not come back from the raw column. Beside the columns stand

- `hitid_high:hitid_low` and `visid_high:visid_low`: two numbers of 64 bits, joined by
  `_` as text, since no type of number holds both;
- `events`: what `event_list` says, by Adobe's names (`purchase`, `scAdd`, `event12`), and
  how often or how much; without instances of variables;
- `products`: the lines of `product_list`, of which the price is that of the whole line,
  and `products_total_cents`: the sum of these prices;
- `sender_device_class` and `bot_reason`: what the User-Agent says.

Hits that Adobe's own reports leave out are left out. Source: Adobe's pages "Data column
reference", "Special characters in data feeds" and "Use data feeds to calculate common
metrics"; the numbers of events are those of `event.tsv` in every feed.

Not here: what any of it means.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from nearline.collector.senders import judge_sender
from nearline.landing.escaped_text import split_escaped, unescaped
from nearline.landing.formats import Rejection, type_name
from nearline.landing.own_ids import without_ids
from nearline.landing.product_lines import Line, line_reader
from nearline.landing.treatments import as_text_id

Fields = Mapping[str, Any]

_NOTHING: tuple[Any, ...] = (None, "", {}, [])
_PROCESSED = "post_"
_IN_CAPITALS = frozenset({"VISID_HIGH", "POST_VISID_HIGH"})
# Processing empties these where the raw column still says what there is to know: links
# have no page of their own, and some kinds of hits no processed kind.
_RAW_WHERE_EMPTY = ("page_url", "page_event")
# Kinds of hits, as `post_page_event` and as `page_event` number them.
_RAW_KINDS: Mapping[int, int] = {
    100: 10,
    101: 11,
    102: 12,
    76: 31,
    77: 32,
    78: 33,
    80: 40,
}
_EVENTS: Mapping[int, str] = {
    1: "purchase",
    2: "prodView",
    10: "scOpen",
    11: "scCheckout",
    12: "scAdd",
    13: "scRemove",
    14: "scView",
    20: "campaign",
    **{199 + number: f"event{number}" for number in range(1, 101)},
    **{19_999 + number: f"event{number}" for number in range(101, 1001)},
}
_EVENT = re.compile(r"([0-9]{1,6})(?:=([^:]*))?(?::.*)?", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_FIRST_BEYOND_64_BITS = 2**64
_CARET = "^"
_LARGEST_AMOUNT = 10**12
_read_line = line_reader(least_price=-_LARGEST_AMOUNT, least_quantity=0)

_EXCLUDED: Mapping[int, str] = {
    3: "by user agent",
    4: "by IP address",
    5: "what was seen or done is missing",
    6: "sent by a page that could not be read",
    7: "by a rule of the report suite",
    8: "by a rule of the report suite",
    10: "the currency is none",
    11: "the time is missing",
}
_UPLOADED = frozenset({5, 7, 8, 9})
_TEXTS = ("pagename", "channel", "page_event_var2", "mobileaction", "campaign")
_ADDRESSES = ("page_url", "page_event_var1")


def flat_hit(fields: dict[str, Any]) -> dict[str, Any] | Rejection:
    """One row of `hit_data.tsv`, flat."""
    hit: Fields = fields
    if not _IN_CAPITALS.isdisjoint(fields):
        # As some warehouses write names.
        hit = {name.lower(): value for name, value in fields.items()}
    flat = _processed(hit)
    fault: _FaultError | None = None
    try:
        left_out = _why_left_out(flat)
    except _FaultError as found:
        fault = found
    else:
        if left_out is not None:
            return left_out
    # All are taken, whatever is wrong with one: a dead letter keeps the rest.
    for take in (
        _take_ids,
        _take_kind,
        _take_events,
        _take_products,
        _take_address,
        _take_sender,
    ):
        try:
            take(flat, hit)
        except _FaultError as found:
            flat.pop(found.name, None)
            fault = fault or found
    flat = {name: value for name, value in flat.items() if value not in _NOTHING}
    user_id = as_text_id(flat.get("cust_visid"))
    if user_id is not None:
        flat = without_ids(flat, [user_id], _TEXTS, _ADDRESSES)
    if fault is not None:
        return Rejection(_column(hit, fault.name), fault.reason, flat=flat)
    return flat


class _FaultError(ValueError):
    """What is wrong with a column, told by its plain name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


def _processed(hit: Fields) -> dict[str, Any]:
    """Values by plain names. Of a thousand columns most are empty, and skipped."""
    flat: dict[str, Any] = {}
    for name, value in hit.items():
        if value is None or value == "":
            continue
        if name.startswith(_PROCESSED):
            flat[name.removeprefix(_PROCESSED)] = value
        elif f"{_PROCESSED}{name}" not in hit:
            flat[name] = value
    for name in _RAW_WHERE_EMPTY:
        if name not in flat:
            flat[name] = hit.get(name)
    return flat


def _column(hit: Fields, name: str) -> str:
    """What the feed calls the column from which a value came."""
    processed = f"{_PROCESSED}{name}"
    return processed if hit.get(processed) not in _NOTHING else name


def _why_left_out(flat: Fields) -> Rejection | None:
    exclusion = _whole(flat, "exclude_hit")
    if exclusion:
        why = _EXCLUDED.get(exclusion, "by Adobe")
        return Rejection("exclude_hit", f"is {exclusion}: {why}", is_fault=False)
    source = _whole(flat, "hit_source")
    if source in _UPLOADED:
        why = "uploaded afterwards, and nobody's visit"
        return Rejection("hit_source", f"is {source}: {why}", is_fault=False)
    if _whole(flat, "customer_perspective"):
        why = "sent by an app in the background"
        return Rejection("customer_perspective", f"is not 0: {why}", is_fault=False)
    return None


def _take_ids(flat: dict[str, Any], hit: Fields) -> None:
    for high, low in (("visid_high", "visid_low"), ("hitid_high", "hitid_low")):
        flat[f"{high}:{low}"] = _joined(flat, high, low)
    # Of those that send no time, a zero is left.
    if flat.get("cust_hit_time_gmt") in ("0", 0):
        del flat["cust_hit_time_gmt"]


def _take_kind(flat: dict[str, Any], hit: Fields) -> None:
    kind = _whole(flat, "page_event")
    if kind is not None:
        flat["page_event"] = _RAW_KINDS.get(kind, kind)


def _take_events(flat: dict[str, Any], hit: Fields) -> None:
    # Its processed value stays with a visitor for weeks. Event 20 says that it was set
    # here; without it only the raw one tells.
    campaign = flat.pop("campaign", None)
    flat["campaign"] = hit.get("campaign")
    events = _read_events(flat.get("event_list"))
    if "campaign" in events:
        flat["campaign"] = campaign
    flat["events"] = {
        name: int(value) if value.is_integer() else value
        for name, value in events.items()
    }


def _take_products(flat: dict[str, Any], hit: Fields) -> None:
    column, flat["currency"] = _amounts(hit)
    flat["products"], flat["products_total_cents"] = _read_products(hit.get(column))


def _take_sender(flat: dict[str, Any], hit: Fields) -> None:
    user_agent = flat.pop("user_agent", None)
    if isinstance(user_agent, str):
        sender = judge_sender(user_agent)
        flat["sender_device_class"] = sender.device_class
        flat["bot_reason"] = sender.bot_reason


def _whole(flat: Fields, name: str) -> int | None:
    """A small number; null where there is none."""
    value = flat.get(name)
    if value in _NOTHING:
        return None
    text = as_text_id(value)
    if text is None or not _NUMBER.fullmatch(text) or int(text) > 999:
        raise _FaultError(
            name, f"must be a whole number from 0 to 999; got {type_name(value)}"
        )
    return int(text)


def _joined(flat: Fields, high: str, low: str) -> str | None:
    """Two halves of a number of 128 bits; null where it is missing or zero."""
    halves = [_half(flat, name) for name in (high, low)]
    if None in halves or halves == ["0", "0"]:
        return None
    return "_".join(half for half in halves if half is not None)


def _half(flat: Fields, name: str) -> str | None:
    value = flat.get(name)
    if value in _NOTHING:
        return None
    if isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)
    # A number with a fraction, or one in a float, was rounded: it is others' as well.
    text = None if isinstance(value, float) else as_text_id(value)
    if (
        text is None
        or not _NUMBER.fullmatch(text)
        or int(text) >= _FIRST_BEYOND_64_BITS
    ):
        raise _FaultError(
            name,
            "must be a whole number of 64 bits, not rounded by a spreadsheet; "
            f"got {type_name(value)}",
        )
    return str(int(text))


def _read_events(listed: Any) -> dict[str, float]:
    """Adobe's names of the events in a list such as `2,101,200=1.5,201:serial`."""
    events: dict[str, float] = {}
    if listed in _NOTHING:
        return events
    for entry in split_escaped(str(listed), ",", _CARET):
        if not entry.strip():
            continue
        parts = _EVENT.fullmatch(unescaped(entry.strip(), _CARET))
        value = None if parts is None else _decimal(parts[2] or "1")
        if parts is None or value is None:
            raise _FaultError(
                "event_list", "must be numbers of events such as 1,200=1.5"
            )
        name = _EVENTS.get(int(parts[1]))
        if name is not None:
            events[name] = events.get(name, 0.0) + float(value)
    return events


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if abs(number) <= _LARGEST_AMOUNT else None


def _amounts(hit: Fields) -> tuple[str, Any]:
    """The column of products, and the currency of their prices.

    Adobe converts prices into the report suite's currency, and says so in the processed
    currency alone. Without that column, amounts are as sent or of no known currency.
    """
    if f"{_PROCESSED}product_list" not in hit:
        return "product_list", hit.get("currency")
    if f"{_PROCESSED}currency" in hit:
        return f"{_PROCESSED}product_list", hit[f"{_PROCESSED}currency"]
    if _decimal(str(hit.get("curr_rate") or "1")) == 1:
        return f"{_PROCESSED}product_list", hit.get("currency")
    if "product_list" in hit:
        return "product_list", hit.get("currency")
    return f"{_PROCESSED}product_list", None


def _read_products(listed: Any) -> tuple[list[Line], int | None]:
    """Lines of `category;product;quantity;price of the line;events;eVars,…`, and the
    sum of their prices; null where none has one."""
    lines: list[Line] = []
    prices: list[int] = []
    if listed in _NOTHING:
        return lines, None
    for number, product in enumerate(split_escaped(str(listed), ",", _CARET), start=1):
        category, name, quantity, price, *_ = [
            unescaped(part, _CARET).strip()
            for part in [*split_escaped(product, ";", _CARET), "", "", ""]
        ]
        try:
            line = _read_line(
                {
                    "product_id": name or "without a name",
                    "category": category,
                    "quantity": quantity,
                    "price": price,
                }
            )
        except ValueError as problem:
            raise _FaultError("product_list", f"line {number}{problem}") from None
        if "price_cents" in line:
            line["total_cents"] = line.pop("price_cents")
            prices.append(line["total_cents"])
        if name:
            lines.append(line)
    return lines, sum(prices) if prices else None


def _take_address(flat: dict[str, Any], hit: Fields) -> None:
    """The page's whole address, and no address in the place of a name."""
    url, raw = flat.get("page_url"), hit.get("page_url")
    # The processed one is cut at 255 characters.
    if isinstance(url, str) and isinstance(raw, str) and raw.startswith(url):
        flat["page_url"] = url = raw
    host = ""
    if isinstance(url, str):
        host = url.partition("://")[2].partition("/")[0].lower()
    for name in ("pagename", "page_event_var2"):
        # Pages and links without a name are called by their address.
        if _is_address(flat.get(name), host):
            del flat[name]


def _is_address(text: Any, host: str) -> bool:
    if not isinstance(text, str):
        return False
    return "://" in text or (host != "" and f"{text.lower()}/".startswith(f"{host}/"))
