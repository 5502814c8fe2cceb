"""Full addresses of pages and links reduced to what may be kept: host, path, a few params.

A query may hold anything (mail addresses in newsletter links, tokens, account numbers),
so only listed parameters survive; of a path, the segments that name somebody do not.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from nearline.events.identifiers import find_identifier

REDACTED = "redacted"
UTM_FIELDS = frozenset(
    {"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"}
)

_MAX_ADDRESS_LENGTH = 4_096
_MAX_PATH_LENGTH = 1_024
_HOST = re.compile(r"[a-z0-9.-]{1,253}")
_PERSONAL_SCHEMES = frozenset({"file", "data", "blob", "filesystem", "javascript"})
_UNREADABLE = "data:"
_LONGEST_CACHED = 1_024
_SPACE = re.compile(r"\s")
_CACHE_SIZE = 5_000


@dataclass(frozen=True, slots=True)
class Address:
    """What is left of an address. `host` is null where it is an IP address."""

    host: str | None
    path: str
    params: Mapping[str, str] = field(default_factory=dict)


def reduce_address(url: str, kept_params: frozenset[str]) -> Address | None:
    """The parts of `url` that may be kept, or None where it is no web address.

    Args:
        kept_params: names of query parameters beside the five `utm_*`.
    """
    try:
        parts = urlsplit(url[:_MAX_ADDRESS_LENGTH].strip())
        host = parts.hostname
    except ValueError:
        return None
    # `mailto:` and `tel:` name people, and so does the path of a file. Apps have schemes
    # of their own.
    if parts.scheme in _PERSONAL_SCHEMES:
        return None
    if not host and not (parts.scheme == "" and parts.path.startswith("/")):
        return None
    params: dict[str, str] = {}
    for name, value in parse_qsl(parts.query):
        if (name in UTM_FIELDS or name in kept_params) and name not in params:
            params[name] = value
    return Address(_named_host(host), reduce_path(parts.path), params)


def reduce_path(path: str) -> str:
    """A path without query, fragment, path parameters and identifying segments."""
    if len(path) > _MAX_PATH_LENGTH:
        # At a segment's end, so that no half of an identifier is left.
        path = path[:_MAX_PATH_LENGTH].rpartition("/")[0]
    return _reduce_path(path)


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _reduce_path(path: str) -> str:
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    segments = [segment.partition(";")[0] for segment in path.split("/")]
    path = "/".join(
        REDACTED if find_identifier(segment) else segment for segment in segments
    )
    if find_identifier(path):
        # Spread over segments: /tel/+49/170/1234567.
        path = f"/{REDACTED}"
    path = _SPACE.sub("%20", path if path.startswith("/") else f"/{path}")
    return path[:_MAX_PATH_LENGTH]


def _named_host(host: str | None) -> str | None:
    if not host:
        return None
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            return None
    host = host.lower().rstrip(".")
    return host if _HOST.fullmatch(host) and not find_identifier(host) else None


@dataclass(frozen=True, slots=True)
class Reduced:
    """What is left of an event's addresses: fields of the contract, all allowed
    parameters of the page's query, and the addresses that could not be read."""

    fields: Mapping[str, str]
    params: Mapping[str, str]
    dropped: tuple[str, ...]


def reduce_addresses(
    page_url: Any, referrer: Any, link_url: Any, kept_params: frozenset[str]
) -> Reduced:
    """The fields that follow from an event's full addresses, whatever they hold."""
    if _is_short(page_url) and _is_short(referrer) and _is_short(link_url):
        return _reduce_all(page_url, referrer, link_url, kept_params)
    # An address that is no text is one that cannot be read.
    urls = (
        url if url is None or isinstance(url, str) else _UNREADABLE
        for url in (page_url, referrer, link_url)
    )
    return _reduce_all.__wrapped__(*urls, kept_params)


def _is_short(url: object) -> bool:
    return url is None or (isinstance(url, str) and len(url) <= _LONGEST_CACHED)


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _reduce_all(
    page_url: str | None,
    referrer: str | None,
    link_url: str | None,
    kept_params: frozenset[str],
) -> Reduced:
    fields: dict[str, str] = {}
    params: Mapping[str, str] = {}
    dropped = []
    page = link = origin = None
    if page_url is not None:
        page = reduce_address(page_url, kept_params)
        if page is None:
            dropped.append("page_url")
        else:
            fields["page_path"] = page.path
            params = page.params
            fields |= {name: params[name] for name in params if name in UTM_FIELDS}
    if referrer:
        origin = reduce_address(referrer, frozenset())
        if origin is None or origin.host is None:
            dropped.append("referrer")
        elif page is None or not _is_same_site(page.host, origin.host):
            # From page to page of one site nobody was referred.
            fields["referrer_host"] = origin.host
    if link_url is not None:
        link = reduce_address(link_url, frozenset())
        if link is None:
            dropped.append("link_url")
        else:
            fields["link_path"] = link.path
            if link.host is not None:
                fields["link_host"] = link.host
    return Reduced(fields, params, tuple(dropped))


def _is_same_site(host: str | None, other: str | None) -> bool:
    # With or without its `www.`.
    return host is not None and host.removeprefix("www.") == (other or "").removeprefix(
        "www."
    )
