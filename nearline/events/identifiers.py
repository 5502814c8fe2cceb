"""Finds direct identifiers (e-mail, phone, IP address) in text, however it is encoded.

The door uses it to refuse an event, Great Expectations as the second line. It reports
the *kind* found and never the text. Columns of ids are not judged here: an opaque
number may look like a phone number, so id columns are held to their declared form.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from urllib.parse import unquote_plus


class IdentifierKind(StrEnum):
    EMAIL = "e-mail address"
    PHONE = "phone number"
    IP = "IP address"


EMAIL_PATTERN = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
IPV4_PATTERN = (
    r"(^|[^0-9.])((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}"
    r"(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])($|[^0-9.])"
)
IPV6_PATTERN = (
    r"(^|[^0-9A-Za-z:])(([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}"
    r"|([0-9A-Fa-f]{1,4}:){1,6}(:[0-9A-Fa-f]{1,4}){1,6})($|[^0-9A-Za-z:])"
)
# A plus sign and 8-15 digits, or three groups as people write them. A bare run of
# digits is not taken for a phone number: prices, ids and times look the same.
PHONE_PATTERN = (
    r"(^|[^0-9A-Za-z])(\+[0-9]([ ().-]?[0-9]){7,14}"
    r"|\(?[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4})($|[^0-9A-Za-z])"
)
"""Patterns without look-around, so that DuckDB's RE2 takes the same text."""

_PATTERNS = (
    (IdentifierKind.EMAIL, re.compile(EMAIL_PATTERN)),
    (IdentifierKind.IP, re.compile(f"{IPV4_PATTERN}|{IPV6_PATTERN}")),
    (IdentifierKind.PHONE, re.compile(PHONE_PATTERN)),
)
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")
_MAX_DECODINGS = 3


def decoded_forms(text: str) -> Iterator[str]:
    """The text and what it decodes to: percent-encoding (nested) and JSON escapes."""
    yield text
    for _ in range(_MAX_DECODINGS):
        plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), unquote_plus(text))
        if plain == text:
            return
        yield plain
        text = plain


def find_identifier(text: str) -> IdentifierKind | None:
    """The kind of the first direct identifier in `text`, or None."""
    for form in decoded_forms(text):
        for kind, pattern in _PATTERNS:
            if pattern.search(form):
                return kind
    return None
