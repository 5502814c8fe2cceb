"""Finds direct identifiers (e-mail, phone, IP address) in text, encoded or not.

The door uses it to refuse an event, Great Expectations as the second line. It reports
the *kind* found and never the text. Columns of ids are not judged here: an opaque
number may look like a phone number, so id columns are held to their declared form.

Percent-encoding (up to three times over) and JSON's escapes of characters are undone
first. Not looked for: base64, HTML entities, and phone numbers written as bare digits.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from urllib.parse import unquote_plus


class IdentifierKind(StrEnum):
    EMAIL = "e-mail address"
    PHONE = "phone number"
    IP = "IP address"


# Mail addresses may be written in any script, so all beyond ASCII counts as a letter.
# The characters stand for themselves: RE2 knows no \u, and its \w is ASCII alone.
_LETTER = "A-Za-z\u00a1-\U0010ffff"
# Bounded: a search that tries every start of a long word would take quadratic time.
EMAIL_PATTERN = (
    f"[{_LETTER}0-9._%+-]{{1,64}}@[{_LETTER}0-9-]+"
    rf"(\.[{_LETTER}0-9-]+)*\.[{_LETTER}]{{2,}}"
)
_OCTET = "(25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])"
# A fifth group makes it a version number; a dot that ends a sentence does not.
IPV4_PATTERN = rf"(^|[^0-9.]|[^0-9]\.)({_OCTET}\.){{3}}{_OCTET}($|[^0-9.]|\.($|[^0-9]))"
_GROUP = "[0-9A-Fa-f]{1,4}"
IPV6_PATTERN = (
    rf"(^|[^0-9A-Za-z:]|[G-Zg-z]:)(({_GROUP}:){{7}}{_GROUP}"
    rf"|({_GROUP}:){{1,6}}(:{_GROUP}){{1,6}})($|[^0-9A-Za-z:])"
)
# What people put between the digits of a phone number; the last three are a no-break
# space, a no-break hyphen and a dash. Up to three in a row: "+49 (0) 170".
_BETWEEN = "[ ().\u00a0\u2011\u2013-]"
# A plus sign and 8-15 digits, or three groups as people write them. A bare run of
# digits is not taken for a phone number: prices, ids and times look the same.
PHONE_PATTERN = (
    rf"(^|[^0-9A-Za-z])(\+[0-9]({_BETWEEN}{{0,3}}[0-9]){{7,14}}"
    r"|(\([0-9]{3}\)[ .-]?|[0-9]{3}\)?[ .-])[0-9]{3}[ .-][0-9]{4})($|[^0-9A-Za-z])"
)
"""Patterns without look-around, so that DuckDB's RE2 takes the same text."""

_PATTERNS = (
    (IdentifierKind.EMAIL, re.compile(EMAIL_PATTERN)),
    (IdentifierKind.IP, re.compile(f"{IPV4_PATTERN}|{IPV6_PATTERN}")),
    (IdentifierKind.PHONE, re.compile(PHONE_PATTERN)),
)
# JSON inside JSON doubles the backslash.
_ESCAPE = re.compile(r"\\{1,8}u([0-9A-Fa-f]{4})")
_MAX_DECODINGS = 3


def decoded_forms(text: str) -> Iterator[str]:
    """The text and what it decodes to: percent-encoding (nested) and JSON escapes."""
    yield text
    for _ in range(_MAX_DECODINGS):
        before = text
        if "%" in text or "+" in text:
            text = unquote_plus(text)
            if text != before:
                yield text
        if "\\" in text:
            unescaped = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
            if unescaped != text:
                yield unescaped
            text = unescaped
        if text == before:
            return


def find_identifier(text: str) -> IdentifierKind | None:
    """The kind of the first direct identifier in `text`, or None."""
    for form in decoded_forms(text):
        for kind, pattern in _PATTERNS:
            if pattern.search(form):
                return kind
    return None
