"""The tracker as it is served: without comments, gzipped, with an ETag of its content."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files

import rjsmin  # type: ignore[import-untyped]


@cache
def tracker_script() -> bytes:
    """The script of this version, minified once in a process."""
    source = files("nearline.tracker").joinpath("tracker.js")
    return rjsmin.jsmin(source.read_text(encoding="utf-8")).encode()  # type: ignore[no-any-return]


@cache
def gzipped_tracker_script() -> bytes:
    """The same, for who accepts gzip."""
    # Without a time inside, so that every worker serves the same bytes.
    return gzip.compress(tracker_script(), compresslevel=9, mtime=0)


@cache
def tracker_etag() -> str:
    """Hash of the content, in quotes as the header wants it."""
    return f'"{hashlib.sha256(tracker_script()).hexdigest()[:32]}"'
