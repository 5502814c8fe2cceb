"""Raw ids of a record within its own texts, which would undo their hashes."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from nearline.collector.screening import (
    SHORTEST_ACCOUNT_ID,
    mask_account_ids,
    redact_account_ids,
)


def without_ids(
    flat: dict[str, Any],
    ids: Iterable[str],
    texts: Sequence[str],
    addresses: Sequence[str],
) -> dict[str, Any]:
    """`flat` without `ids` in it: what was hashed could be read beside its hash.

    Args:
        texts: fields that are masked where an id stands in them as a word.
        addresses: fields of which only the part that is an id is redacted.
    """
    ids = [one for one in ids if len(one) >= SHORTEST_ACCOUNT_ID]
    if not ids:
        return flat
    found = {name: flat[name] for name in (*texts, *addresses) if name in flat}
    written = orjson.dumps(found, default=str).decode()
    if not any(orjson.dumps(one).decode()[1:-1] in written for one in ids):
        return flat
    redacted = {
        name: redact_account_ids(found.pop(name), ids)
        for name in addresses
        if isinstance(found.get(name), str)
    }
    return {**flat, **mask_account_ids(found, ids), **redacted}
