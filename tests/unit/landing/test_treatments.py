"""Each way of taking a value in: what is kept, what is refused, and that nothing leaks."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.errors import InputError
from nearline.events.identifiers import find_identifier
from nearline.landing.declarations import Column
from nearline.landing.treatments import Treat, make_treatment
from nearline.privacy.pseudonyms import Pseudonymizer

PSEUDONYMIZER = Pseudonymizer(b"0123456789abcdef")


def treat(way: str, **options: Any) -> Treat:
    column = Column("c", pa.string(), ("c",), way, options=options)
    return make_treatment(
        column,
        hash_key=lambda text: PSEUDONYMIZER.key_of("till", text),
        pseudonym=lambda kind, text: f"{kind}:{text}",
    )


MOMENT = datetime(2026, 3, 2, 12, 0, 0, 250_000)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, "2026-03-02 12:00:00.25"),
        ({}, "2026-03-02T12:00:00.250Z"),
        ({}, "2026-03-02 12:00:00.250 UTC"),
        ({}, "2026-03-02T13:00:00.250+01:00"),
        ({}, "2026-03-02T06:30:00.250-0530"),
        ({"zone": "Europe/Berlin"}, "2026-03-02 13:00:00.250"),
        ({"zone": "Europe/Berlin"}, "2026-03-02 12:00:00.250Z"),
        ({}, MOMENT),
        ({}, MOMENT.replace(tzinfo=UTC)),
        ({}, MOMENT.replace(hour=14, tzinfo=timezone(timedelta(hours=2)))),
        ({"unit": "microseconds"}, "1772452800250999"),
        ({"unit": "microseconds"}, 1772452800250000),
        ({"unit": "milliseconds"}, 1772452800250),
        ({"unit": "seconds"}, "1772452800.25"),
    ],
)
def test_a_moment_is_utc_to_the_millisecond(
    options: dict[str, Any], value: object
) -> None:
    assert treat("moment", **options)(value) == MOMENT


@pytest.mark.parametrize(
    ("options", "value", "reason"),
    [
        ({}, "1772452800", "must be a time like"),
        ({}, "2026-13-02 12:00:00", "must be a time like"),
        ({}, "soon", "got text"),
        ({}, 5, "got an integer"),
        ({}, "1970-01-01 00:00:00", "years 2000 to 2099"),
        ({"unit": "milliseconds"}, 1772452800250000, "must be milliseconds since"),
        ({"unit": "seconds"}, 10**400, "must be seconds since 1970"),
        ({"unit": "seconds"}, "NaN", "must be seconds since 1970"),
        ({"unit": "seconds"}, True, "got a boolean"),
    ],
)
def test_what_is_no_moment_is_refused(
    options: dict[str, Any], value: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        treat("moment", **options)(value)


@pytest.mark.parametrize(
    ("way", "options", "value", "kept"),
    [
        ("key", {}, 7.0, "7"),
        ("key", {}, " sku_1 ", "sku_1"),
        ("integer", {}, "12.00", 12),
        ("integer", {}, -3, -3),
        ("number", {}, "0.5", 0.5),
        ("cents", {}, "19.99", 1999),
        ("cents", {}, 0.015, 2),
        ("cents", {"at_least": -1000}, "-9.99", -999),
        ("boolean", {}, "Yes", True),
        ("boolean", {}, 0, False),
        ("text", {"at_most": 3}, "abcdef", "abc"),
        ("text", {}, "write to anna@shop.example", "***"),
        ("text", {"nulls": ["(not set)"]}, "(not set)", None),
        ("text", {"one_of": ["a"], "otherwise": "drop"}, "b", None),
        ("path", {}, "https://shop.example/p/1?mail=a@b.example#x", "/p/1"),
        ("path", {}, "https://shop.example/u/a@b.example", "/u/redacted"),
        ("path", {}, "mailto:a@b.example", None),
        ("host", {}, "https://WWW.Shop.example/p", "www.shop.example"),
        ("host", {}, "https://10.1.2.3/p", None),
        ("parameter", {"parameter": "utm_source"}, "https://s.example/?utm_source=n", "n"),
        ("parameter", {"parameter": "utm_source"}, "https://s.example/", None),
        ("json", {}, '{"b": 1, "a": "x@y.example"}', '{"a":"***","b":1}'),
        ("json", {}, {"u": "https://s.example/p?token=1"}, '{"u":"https://s.example/p"}'),
        ("json", {"without": ["ip"]}, {"ip": "10.0.0.1", "n": 1}, '{"n":1}'),
        ("json", {}, {}, None),
    ],
)  # fmt: skip
def test_a_value_is_kept_in_its_plain_form(
    way: str, options: dict[str, Any], value: object, kept: object
) -> None:
    assert treat(way, **options)(value) == kept


@pytest.mark.parametrize(
    ("way", "options", "value", "reason"),
    [
        ("key", {}, "two words", "must be 1 to 64 letters"),
        ("key", {}, True, "got a boolean"),
        ("integer", {}, "1.5", "must be a whole number"),
        ("integer", {"at_least": 0}, -1, "from 0 to"),
        ("integer", {}, "9" * 30, "must be a whole number"),
        ("number", {}, float("inf"), "must be a number"),
        ("cents", {}, "-1", "must be an amount from 0"),
        ("cents", {}, "12,50", "got text"),
        ("boolean", {}, "maybe", "must be true or false"),
        ("text", {}, ["a"], "must be text; got a list"),
        ("text", {"one_of": ["a", "b"]}, "c", "must be one of a, b"),
        ("json", {}, "{", "must be JSON"),
        ("path", {}, 5, "must be an address; got an integer"),
        ("visitor", {}, " ", "must be an id"),
        ("user", {}, "x" * 600, "must be an id"),
    ],
)
def test_a_value_of_another_kind_is_refused_without_being_shown(
    way: str, options: dict[str, Any], value: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        treat(way, **options)(value)
    if isinstance(value, str) and len(value.strip()) > 2:
        assert value not in str(refusal.value)


def test_an_id_of_another_form_can_become_a_keyed_hash() -> None:
    kept = treat("key", otherwise="hash")("two words")
    assert kept == PSEUDONYMIZER.key_of("till", "two words")


def test_an_id_is_the_same_person_as_text_and_as_number() -> None:
    assert treat("visitor")("42") == treat("visitor")(42) == treat("visitor")(42.0)


@pytest.mark.parametrize(
    ("way", "options", "says"),
    [
        ("magic", {}, "cannot be taken as 'magic'"),
        ("text", {"unit": "seconds"}, "'text' has no option 'unit'"),
        ("moment", {"unit": "days"}, "a moment's unit is iso, seconds"),
        ("moment", {"zone": "Europe/Nowhere"}, "there is no time zone"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(
    way: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        treat(way, **options)


IDENTIFIERS = st.sampled_from(
    ["anna@shop.example", "+49 170 1234567", "10.20.30.40", "anna%40shop.example"]
)
PADDING = st.text("abc /?&=#", max_size=300)


@given(PADDING, IDENTIFIERS, PADDING, st.sampled_from(["text", "path", "json"]))
def test_no_identifier_passes_wherever_it_stands(
    before: str, identifier: str, after: str, way: str
) -> None:
    text = f"{before} {identifier} {after}"
    kept = treat(way)({"k": text} if way == "json" else text)
    assert kept is None or find_identifier(str(kept)) is None
