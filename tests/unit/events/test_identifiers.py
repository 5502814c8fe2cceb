"""What is taken for a direct identifier, and what only looks like one."""

import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.events.identifiers import (
    EMAIL_PATTERN,
    IPV4_PATTERN,
    IPV6_PATTERN,
    PHONE_PATTERN,
    IdentifierKind,
    find_identifier,
)

EMAIL, PHONE, IP = IdentifierKind.EMAIL, IdentifierKind.PHONE, IdentifierKind.IP

IDENTIFIERS = [
    ("anna@example.com", EMAIL),
    ("write to anna.b+shop@mail.example.co.uk today", EMAIL),
    ("ANNA@EXAMPLE.COM", EMAIL),
    ("mailto:anna@example.com?subject=x", EMAIL),
    ("<anna@example.com>,", EMAIL),
    ("anna@exämple.de", EMAIL),
    ("анна@пример.рф", EMAIL),
    ("anna@xn--exmple-cua.de", EMAIL),
    ("anna%40example.com", EMAIL),
    ("anna%2540example.com", EMAIL),
    ("anna%252540example.com", EMAIL),
    ("email=anna%2Bshop%40example.com&x=1", EMAIL),
    ("hello+anna%40example.com", EMAIL),
    ("a%6Ena%40ex%61mple%2Ecom", EMAIL),
    ("anna\\u0040example.com", EMAIL),
    ("anna\\\\u0040example.com", EMAIL),
    ('{"to": "\\u0061nna@example\\u002ecom"}', EMAIL),
    ("anna%5Cu0040example.com", EMAIL),
    (quote("\\u00ab@example.com"), EMAIL),
    ("203.0.113.7", IP),
    ("from 203.0.113.7.", IP),
    ("203.0.113.7:8080", IP),
    ("...203.0.113.7", IP),
    ("192.168.001.010", IP),
    ("203%2E0%2E113%2E7", IP),
    ("x%20203.0.113.7", IP),
    ("ip=203.0.113.7&x", IP),
    ("::ffff:203.0.113.7", IP),
    ("2001:db8:85a3:0:0:8a2e:370:7334", IP),
    ("2001:DB8::8a2e:370:7334", IP),
    ("[2001:db8::1]:8080", IP),
    ("ip:2001:db8::1", IP),
    ("fe80::1%25eth0", IP),
    ("2001%3Adb8%3A%3A1", IP),
    ("+491701234567", PHONE),
    ("+49 170 1234567", PHONE),
    ("+49 (0) 170 1234567", PHONE),
    ("+49 (0)170-123.4567", PHONE),
    ("+49\u00a0170\u00a01234567", PHONE),
    ("call +1-555-123-4567 now", PHONE),
    ("+1 (555) 123-4567", PHONE),
    ("(555) 123-4567", PHONE),
    ("(555)123-4567", PHONE),
    ("555.123.4567", PHONE),
    ("%2B491701234567", PHONE),
    ("%2B49+170+1234567", PHONE),
    ("%252B49%2520170%25201234567", PHONE),
    ("tel=%2B49-170-1234567", PHONE),
]

HARMLESS = [
    "",
    "/p/sku_0154",
    "/shop/100-200/sku-4711-0815",
    "/p/1234567890",
    "/category/tv.audio/4k",
    "2026-03-02",
    "2026-03-02T12:00:00Z",
    "2026-03-02T12:00:00.123456+01:00",
    "2026-03-02 12:00:00+0100",
    "2026-03-02T12%3A00%3A00%2B01%3A00",
    "12:30:45",
    "Mon Mar 02 2026 12:00:00 GMT+0100 (CET)",
    "123e4567-e89b-12d3-a456-426614174000",
    "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256:e3b0c44298fc1c14",
    "v_3064b39ebcecf449",
    "1.2.3",
    "v10.20.30",
    "Chrome/126.0",
    "lodash@4.17.21",
    "1.2.3.4.5",
    "256.1.1.1",
    "1,299.00",
    "19.99 EUR",
    "+20% off",
    "+1 free",
    "2053013552326770905",
    "491701234567",
    "3 for 2, 100% cotton",
    "@example.com",
    "me @ home",
    "follow @shop",
    "50%+30%",
    "C++ std::vector",
    "std::chrono::seconds",
    "a:b:c:d",
    "aspect 16:9",
    "%",
    "%zz%4",
    "100%25",
    "\\u",
    "\\ud83d",
    "\U0001f600 great",
    "size 38-40-42",
]


@pytest.mark.parametrize(("text", "kind"), IDENTIFIERS)
def test_an_identifier_is_found(text: str, kind: IdentifierKind) -> None:
    assert find_identifier(text) is kind


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_an_identifier_is_left_alone(text: str) -> None:
    assert find_identifier(text) is None


_NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,12}\Z")
_EMAILS = st.builds(
    "{}@{}.{}".format,
    _NAMES,
    st.from_regex(r"\A[a-z0-9-]{1,9}\Z"),
    st.sampled_from(["com", "de", "co.uk", "рф"]),
)
_ENCODINGS = st.sampled_from(
    [
        lambda text: text,
        lambda text: quote(text, safe=""),
        lambda text: quote_plus(text),
        lambda text: quote(quote(text, safe=""), safe=""),
        lambda text: quote_plus(quote_plus(text)),
        lambda text: json.dumps(text),
        lambda text: json.dumps(text).replace("@", "\\u0040"),
        lambda text: json.dumps(json.dumps(text).replace("@", "\\u0040")),
        lambda text: quote(json.dumps(text).replace("@", "\\u0040"), safe=""),
    ]
)


# Surrogates are no characters: no file in UTF-8 holds one.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(before=_TEXTS, email=_EMAILS, after=_TEXTS, encode=_ENCODINGS)
def test_an_address_is_found_in_any_text_encoded_up_to_twice(
    before: str, email: str, after: str, encode: Callable[[str], str]
) -> None:
    assert find_identifier(encode(f"{before} {email} {after}")) is not None


@given(st.text())
def test_any_text_is_judged_without_an_error(text: str) -> None:
    find_identifier(text)


@pytest.mark.parametrize(
    "pattern", [EMAIL_PATTERN, IPV4_PATTERN, IPV6_PATTERN, PHONE_PATTERN]
)
def test_the_patterns_mean_the_same_in_duckdb(pattern: str) -> None:
    texts = [text for text, _ in IDENTIFIERS] + HARMLESS
    found = duckdb.execute(
        "select regexp_matches(text, $pattern) from (select unnest($texts) as text)",
        {"pattern": pattern, "texts": texts},
    ).fetchall()
    expected = [re.search(pattern, text) is not None for text in texts]
    assert [row[0] for row in found] == expected
