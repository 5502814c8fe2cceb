"""The ways in which a value of a file is taken into raw Parquet.

`text` (the text, a direct identifier in it masked; option `at_most` characters),
`key` (an id of letters, digits and `_ . : -`; `otherwise: hash` for others), `integer`,
`number`, `boolean`, `cents` (money in hundredths; `at_least`, `at_most`), `currency`
(three letters), `moment` (a time in UTC; `unit: iso|seconds|milliseconds|microseconds`,
`zone`), `visitor`, `user` and
`contact` (a pseudonym by keyed hash; `form: email` refuses a contact that is no mail
address), `path`, `host` and `parameter` (that part of an
address; `parameter: utm_source`), `json` (identifiers masked, addresses cut to host and
path; `only`: keys to keep, or `without`: keys to leave out, of an object or of each
object in a list) and `content_hash` (the id of an event that has none; `of`: the columns
that tell it from others, where a later export fills in the rest).

Every way takes `one_of` (values; others are refused, or dropped with `otherwise: drop`)
and `nulls` (texts that mean "no value", such as `(not set)`).

A value that is none of its kind refuses the row with a reason that names the column in
the file and the type that was found, never the value.
"""

import functools
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from nearline.errors import InputError
from nearline.events.addresses import reduce_address
from nearline.events.contract import (
    FIRST_YEAR,
    LAST_YEAR,
    Currency,
    Key,
)
from nearline.events.identifiers import EMAIL_PATTERN
from nearline.landing.declarations import Column
from nearline.landing.formats import MASK, has_identifier, masked_json, type_name

PSEUDONYMS: Mapping[str, str] = {"visitor": "v", "user": "u", "contact": "c"}
ADDRESS_PARTS = frozenset({"path", "host", "parameter"})

Treat = Callable[[Any], Any]
"""From a value of the file to the raw one; null drops it.

Raises ValueError, whose text is the reason, where it is none of its kind.
"""

_KEY = re.compile(get_args(Key)[1].pattern)
_CURRENCY = re.compile(get_args(Currency)[1].pattern)
_EMAIL = re.compile(EMAIL_PATTERN)
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", re.ASCII)
_ZONE = re.compile(r"\s*(Z|UTC|[+-]\d\d:?(\d\d)?)$", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0+)?", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://")
_UNITS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_EPOCH = datetime(1970, 1, 1)
_LAST_MICROSECOND = 10**18
_MOST = 10**15
_TRUE = frozenset({"true", "t", "1", "yes", "y"})
_FALSE = frozenset({"false", "f", "0", "no", "n"})
_LONGEST_RAW_ID = 512
_SHARED_OPTIONS = frozenset({"one_of", "nulls", "otherwise"})
_OPTIONS: Mapping[str, frozenset[str]] = {
    "text": frozenset({"at_most"}),
    "key": frozenset(),
    "integer": frozenset({"at_least", "at_most"}),
    "number": frozenset({"at_least", "at_most"}),
    "boolean": frozenset(),
    "cents": frozenset({"at_least", "at_most"}),
    "currency": frozenset(),
    "moment": frozenset({"unit", "zone"}),
    "visitor": frozenset(),
    "user": frozenset(),
    "contact": frozenset({"form"}),
    "path": frozenset(),
    "host": frozenset(),
    "parameter": frozenset({"parameter"}),
    "json": frozenset({"only", "without"}),
    "content_hash": frozenset({"of"}),
}


def make_treatment(
    column: Column, hash_key: Callable[[str], str], pseudonym: Callable[[str, str], str]
) -> Treat:
    """The way of one column, its options checked.

    Args:
        hash_key: makes a key of an id of another form (`otherwise: hash`).
        pseudonym: kind (`visitor`, `user`, `contact`) and raw id to a pseudonym.

    Raises:
        InputError: the declaration names a way or an option that there is not.
    """
    way = column.treatment
    if way not in _OPTIONS:
        raise InputError(
            f"column {column.name}: cannot be taken as '{way}'; "
            f"use one of {', '.join(_OPTIONS)}"
        )
    unknown = sorted(set(column.options) - _OPTIONS[way] - _SHARED_OPTIONS)
    if unknown:
        raise InputError(f"column {column.name}: '{way}' has no option '{unknown[0]}'")
    options = column.options
    treat = _plain_treatment(way, options, hash_key, pseudonym)
    nulls = frozenset(options.get("nulls", ()))
    one_of = options.get("one_of")
    is_dropped = options.get("otherwise") == "drop"
    if not (nulls or one_of is not None or is_dropped):
        return treat

    def guarded(value: Any) -> Any:
        if isinstance(value, str) and value in nulls:
            return None
        try:
            kept = treat(value)
            if one_of is not None and kept not in one_of:
                raise ValueError(f"must be one of {', '.join(map(str, one_of))}")
        except ValueError:
            if is_dropped:
                return None
            raise
        return kept

    return guarded


def _plain_treatment(
    way: str,
    options: Mapping[str, Any],
    hash_key: Callable[[str], str],
    pseudonym: Callable[[str, str], str],
) -> Treat:
    if way in PSEUDONYMS:
        cached = functools.lru_cache(50_000)(functools.partial(pseudonym, way))
        return functools.partial(_pseudonym, cached, _id_form(options))
    if way == "text":
        return functools.partial(_text, options.get("at_most", 256))
    if way == "key":
        return functools.partial(
            _key, hash_key if options.get("otherwise") == "hash" else None
        )
    if way in ("integer", "number"):
        low, high = options.get("at_least", -_MOST), options.get("at_most", _MOST)
        return functools.partial(_integer if way == "integer" else _number, low, high)
    if way == "cents":
        return functools.partial(
            _cents, options.get("at_least", 0), options.get("at_most", 10**12)
        )
    if way == "currency":
        return _currency
    if way == "moment":
        return _moment_treatment(options)
    if way in ADDRESS_PARTS:
        return functools.partial(_address_part, way, options.get("parameter", ""))
    if way == "json":
        only = frozenset(options["only"]) if "only" in options else None
        return functools.partial(_json, only, frozenset(options.get("without", ())))
    return _boolean


def as_text_id(value: Any) -> str | None:
    """An id as text; None where it is none. 7.0 is 7: a Parquet column of integers with
    gaps may have become one of numbers."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    return text if text and len(text) <= _LONGEST_RAW_ID else None


def _found(value: Any) -> str:
    return f"got {type_name(value)}"


def _id_form(options: Mapping[str, Any]) -> re.Pattern[str] | None:
    form = options.get("form")
    if form not in (None, "email"):
        raise InputError(f"a contact's form is email; not '{form}'")
    return _EMAIL if form else None


def _pseudonym(
    pseudonym: Callable[[str], str], form: re.Pattern[str] | None, value: Any
) -> str:
    text = as_text_id(value)
    if text is None:
        raise ValueError(f"must be an id of at most {_LONGEST_RAW_ID} characters")
    if form is not None and not form.fullmatch(text):
        raise ValueError(f"must be an e-mail address; {_found(value)}")
    return pseudonym(text)


def _text(at_most: int, value: Any) -> str | None:
    if isinstance(value, dict | list):
        raise ValueError(f"must be text; {_found(value)}")
    text = value if isinstance(value, str) else str(value)
    # Looked at whole: a cut may leave half of an identifier that nobody recognizes.
    if has_identifier(text):
        return MASK
    return text[:at_most]


def _key(hash_key: Callable[[str], str] | None, value: Any) -> str:
    text = as_text_id(value)
    if text is not None and _KEY.fullmatch(text):
        return text
    if hash_key is not None and text is not None:
        return hash_key(text)
    raise ValueError(f"must be 1 to 64 letters, digits or _ . : -; {_found(value)}")


def _integer(low: int, high: int, value: Any) -> int:
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and _WHOLE.fullmatch(value):
        number = int(value.partition(".")[0])
    if number is None or not low <= number <= high:
        raise ValueError(
            f"must be a whole number from {low:,} to {high:,}; {_found(value)}"
        )
    return number


def _number(low: float, high: float, value: Any) -> float:
    number = _decimal(value)
    if number is None or not low <= number <= high:
        raise ValueError(f"must be a number from {low:,} to {high:,}; {_found(value)}")
    return float(number)


def _cents(low: int, high: int, value: Any) -> int:
    amount = _decimal(value)
    if amount is None or not low <= amount * 100 <= high:
        raise ValueError(f"must be an amount from {low / 100:,} on; {_found(value)}")
    return int((amount * 100).to_integral_value(ROUND_HALF_UP))


def _currency(value: Any) -> str:
    code = value.strip().upper() if isinstance(value, str) else ""
    if not _CURRENCY.fullmatch(code):
        raise ValueError(f"must be three letters such as EUR; {_found(value)}")
    return code


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"must be true or false; {_found(value)}")


def _moment_treatment(options: Mapping[str, Any]) -> Treat:
    unit = options.get("unit", "iso")
    if unit in _UNITS:
        return functools.partial(_counted_moment, unit, _UNITS[unit])
    if unit != "iso":
        raise InputError(f"a moment's unit is iso, {', '.join(_UNITS)}; not '{unit}'")
    zone = options.get("zone", "UTC")
    try:
        return functools.partial(
            _written_moment, UTC if zone == "UTC" else ZoneInfo(zone)
        )
    except (ZoneInfoNotFoundError, ValueError) as problem:
        raise InputError(f"there is no time zone '{zone}'") from problem


def _counted_moment(unit: str, microseconds: int, value: Any) -> datetime:
    if isinstance(value, datetime):
        return _in_years(_naive_utc(value, UTC))
    number = _decimal(value)
    if number is None or abs(number * microseconds) > _LAST_MICROSECOND:
        raise ValueError(f"must be {unit} since 1970; {_found(value)}")
    return _in_years(_EPOCH + timedelta(microseconds=int(number * microseconds)))


def _written_moment(zone: Any, value: Any) -> datetime:
    if isinstance(value, datetime):
        return _in_years(_naive_utc(value, zone))
    if isinstance(value, str):
        text = value.strip()
        offset = _ZONE.search(text) if len(text) > len("2026-01-01") else None
        if offset is not None:
            zone = _offset(offset[1])
            text = text[: offset.start()]
        if _ISO.fullmatch(text):
            try:
                return _in_years(_naive_utc(datetime.fromisoformat(text), zone))
            except ValueError as problem:
                if problem.args and "years" in str(problem):
                    raise
    raise ValueError(f"must be a time like 2026-03-02 12:00:00; {_found(value)}")


def _offset(text: str) -> timezone:
    if text in ("Z", "UTC"):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _naive_utc(moment: datetime, zone: Any) -> datetime:
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return zoned.astimezone(UTC).replace(tzinfo=None)


def _in_years(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    # The contract counts milliseconds.
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _address_part(part: str, parameter: str, value: Any) -> str | None:
    if not isinstance(value, str):
        raise ValueError(f"must be an address; {_found(value)}")
    path, host, params = _reduced(value)
    if part == "path":
        return path
    if part == "host":
        return host
    text = params.get(parameter)
    return None if text is None else _text(256, text)


@functools.lru_cache(maxsize=20_000)
def _reduced(url: str) -> tuple[str | None, str | None, Mapping[str, str]]:
    address = reduce_address(url, frozenset())
    if address is None:
        return None, None, {}
    return address.path, address.host, address.params


def reduced_address(url: Any) -> str | None:
    """What of an address may be kept as one text: scheme-less host, path and utm."""
    if not isinstance(url, str):
        return None
    path, host, params = _reduced(url)
    if path is None:
        return None
    query = "&".join(
        f"{name}={value}" for name, value in params.items() if not has_identifier(value)
    )
    return f"{f'https://{host}' if host else ''}{path}{f'?{query}' if query else ''}"


def _json(
    only: frozenset[str] | None, without: frozenset[str], value: Any
) -> str | None:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError("must be JSON; got text that is none") from None
    if isinstance(value, list):
        value = [_keys_kept(only, without, inner) for inner in value]
    else:
        value = _keys_kept(only, without, value)
    if value in ({}, [], None):
        return None
    return orjson.dumps(
        cleaned(value), default=str, option=orjson.OPT_SORT_KEYS
    ).decode()


def _keys_kept(only: frozenset[str] | None, without: frozenset[str], value: Any) -> Any:
    if not isinstance(value, dict):
        return value if only is None else None
    return {
        key: inner
        for key, inner in value.items()
        if key not in without and (only is None or key in only)
    }


def cleaned(value: Any) -> Any:
    """JSON in which texts with identifiers are masked and addresses cut."""
    return masked_json(value, _cleaned_text, _cleaned_list)


def _cleaned_list(parts: list[Any]) -> Any:
    # A number typed with blanks may have been cut into words.
    is_words = len(parts) > 1 and all(isinstance(part, str) for part in parts)
    return MASK if is_words and has_identifier(" ".join(parts)) else parts


def _cleaned_text(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    if _ADDRESS.match(text):
        text = reduced_address(text) or MASK
    return MASK if has_identifier(text) else text
