"""A request's body as JSON: never more of it in memory than allowed, gzip or not."""

import zlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from nearline.collector.problems import Problem

_GZIP = zlib.MAX_WBITS | 16
_MEDIA_TYPES = frozenset(
    {
        "",
        "application/json",
        # Browsers send it where no preflight is wanted.
        "text/plain",
        "application/octet-stream",
        # What curl says of any body that is not told otherwise.
        "application/x-www-form-urlencoded",
    }
)


def check_kind(content_type: str, content_encoding: str) -> None:
    """Whether a body of this kind is read at all.

    Raises:
        Problem: 415.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES and not media_type.endswith("+json"):
        raise Problem(
            415, "the body's type is not known", "Content-Type", "send application/json"
        )
    if content_encoding.strip().lower() not in ("", "identity", "gzip"):
        raise Problem(
            415,
            "the body's encoding is not known",
            "Content-Encoding",
            "send the body as it is, or gzipped",
        )


async def read_json(
    chunks: AsyncIterator[bytes], content_encoding: str, max_bytes: int
) -> tuple[Any, int]:
    """What the body says, and its size in bytes after decompression.

    Raises:
        Problem: 413 too large, 400 not gzip or not JSON.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    is_gzipped = content_encoding.strip().lower() == "gzip"
    content = _unzipped(bytes(body), max_bytes) if is_gzipped else bytes(body)
    try:
        return orjson.loads(content), len(content)
    except orjson.JSONDecodeError:
        # The parser's own message may quote the body.
        raise Problem(
            400, "the body is not JSON in UTF-8", "(body)", "send one JSON document"
        ) from None


def _unzipped(body: bytes, max_bytes: int) -> bytes:
    content = b""
    try:
        while body:
            # A file of gzip may have several parts, one after the other.
            part = zlib.decompressobj(_GZIP)
            content += part.decompress(body, max_bytes + 1 - len(content))
            if len(content) > max_bytes:
                raise _too_large(max_bytes)
            if not part.eof:
                raise _no_gzip()
            body = part.unused_data
    except zlib.error:
        raise _no_gzip() from None
    return content


def _no_gzip() -> Problem:
    return Problem(
        400,
        "the body is not gzip",
        "Content-Encoding",
        "send whole gzip data, or leave the header out",
    )


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        413,
        f"the body has more than {max_bytes} bytes after decompression",
        "(body)",
        "send smaller batches",
    )
