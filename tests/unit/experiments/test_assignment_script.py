"""assignment.js gives the buckets of the published vectors, outside a browser.

The engine is the one that comes with Playwright's wheel; a real browser is in
`tests/integration/test_assignment_browser.py`.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import playwright
import pytest

from nearline.experiments.assignment import (
    Allocation,
    Assigner,
    HoldOut,
    Slot,
)
from nearline.experiments.browser import ASSIGNMENT
from tests.unit.experiments.assigner_document import document_of

NODE = Path(playwright.__file__).parent / "driver" / "node"
ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "tests/contracts/assignment_vectors.json").read_text())[
    "vectors"
]
MOST_BYTES_GZIPPED = 800


def evaluate(expression: str) -> Any:
    """The value of an expression once the script, as it is served, has run."""
    program = f"{ASSIGNMENT.content.decode()};console.log(JSON.stringify({expression}))"
    done = subprocess.run(
        [NODE, "-"], input=program, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_buckets_are_those_of_the_published_vectors() -> None:
    asked = [[one["salt"], one["key"]] for one in VECTORS]
    found = evaluate(f"{json.dumps(asked)}.map((a) => nearlineAssignment.bucket(...a))")
    assert found == [one["bucket"] for one in VECTORS]


@pytest.mark.parametrize(
    ("slot", "hold_outs"),
    [
        (None, ()),
        (Slot("layer.top", 2_000, 5_000), ()),
        (Slot("layer.top", 0, 9_000), (HoldOut("all", 500), HoldOut("own", 1_000))),
    ],
    ids=["plain", "layer", "layer and hold-outs"],
)
def test_variants_are_those_that_the_server_gives(
    slot: Slot | None, hold_outs: tuple[HoldOut, ...]
) -> None:
    allocation = Allocation.from_weights({"a": 1_000, "b": 2_000})
    # Spans that are not in the order of the variants, as a change of weights leaves them.
    assigner = Assigner(
        "of.its-own_2", allocation.reweigh({"a": 4_000, "b": 3_000}), slot, hold_outs
    )
    keys = [f"v_{number}-ö" for number in range(2_000)]
    found = evaluate(
        f"{json.dumps(keys)}.map((key) => nearlineAssignment.variant("
        f"{json.dumps(document_of(assigner))}, key))"
    )
    assert found == [assigner.variant_of(key) for key in keys]


def test_a_salt_with_a_colon_is_refused() -> None:
    refused = "(() => { try { nearlineAssignment.bucket('a:b', 'c') } " + (
        "catch (error) { return error.name } })()"
    )
    assert evaluate(refused) == "TypeError"


def test_it_stays_small() -> None:
    assert len(ASSIGNMENT.gzipped) < MOST_BYTES_GZIPPED
