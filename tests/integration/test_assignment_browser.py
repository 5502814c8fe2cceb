"""assignment.js in a real browser gives the published vectors, as the server does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from nearline.experiments.assignment import Allocation, Assigner, HoldOut, Slot
from nearline.experiments.browser import ASSIGNMENT
from tests.chromium import chromium
from tests.unit.experiments.assigner_document import document_of

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests/contracts/assignment_vectors.json").read_text())[
    "vectors"
]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page that has loaded the script as it is served."""
    with chromium() as browser:
        page = browser.new_page()
        page.set_content("<p>a page</p>")
        page.add_script_tag(content=ASSIGNMENT.content.decode())
        yield page


def test_buckets_are_those_of_the_published_vectors(page: Page) -> None:
    asked = [[one["salt"], one["key"]] for one in VECTORS]
    found = page.evaluate(
        "(asked) => asked.map((one) => nearlineAssignment.bucket(...one))", asked
    )
    assert found == [one["bucket"] for one in VECTORS]


def test_variants_are_those_that_the_server_gives(page: Page) -> None:
    assigner = Assigner(
        "of.its-own_2",
        Allocation.from_weights({"a": 1_000, "b": 5_000}),
        Slot("layer.top", 1_000, 8_000),
        (HoldOut("all", 500),),
    )
    keys = [f"v_{number}-ö" for number in range(5_000)]
    found = page.evaluate(
        "([assigner, keys]) => keys.map("
        "(key) => nearlineAssignment.variant(assigner, key))",
        [document_of(assigner), keys],
    )
    assert found == [assigner.variant_of(key) for key in keys]
    assert set(found) == {"a", "b", None}
