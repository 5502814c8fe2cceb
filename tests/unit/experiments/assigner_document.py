"""An assigner as the JSON that a page is given of it."""

from dataclasses import asdict
from typing import Any

from nearline.experiments.assignment import Assigner


def document_of(assigner: Assigner) -> dict[str, Any]:
    """As `nearline experiment buckets KEY --json` prints it."""
    document = asdict(assigner)
    return {**document, "spans": document.pop("allocation")["spans"]}
