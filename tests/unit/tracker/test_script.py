"""The script as it is served: small, without comments, and typed as it behaves."""

import gzip
import re
from importlib.resources import files

from nearline.events.contract import Event
from nearline.tracker import TRACKER

MOST_BYTES_GZIPPED = 5 * 1024
# What the page sends beside the contract's fields; the door turns them into those.
DOORS_FIELDS = {"page_url", "referrer", "link_url", "value", "transaction_id"}

SOURCE = (files("nearline.tracker") / "tracker.js").read_text(encoding="utf-8")
TYPES = (files("nearline.tracker") / "tracker.d.ts").read_text(encoding="utf-8")

PARAMS = "export interface NearlineEventParams extends Partial<NearlineItem> {"


def _block(text: str, opening: str) -> str:
    (block,) = re.findall(rf"{re.escape(opening)}\n(.*?)\n\s*}};?\n", text, re.DOTALL)
    return str(block)


def _kebab(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"-{letter[0].lower()}", name)


def test_it_stays_small() -> None:
    assert len(TRACKER.gzipped) < MOST_BYTES_GZIPPED


def test_it_is_served_without_comments_and_gzips_to_itself() -> None:
    script = TRACKER.content.decode()
    assert not re.search(r"(^|\s)//|/\*", script)
    assert gzip.decompress(TRACKER.gzipped).decode() == script


def test_the_etag_is_a_quoted_text_that_a_header_can_carry() -> None:
    assert re.fullmatch(r'"[0-9a-f]{32}"', TRACKER.etag)


def test_minifying_leaves_literals_as_they_are() -> None:
    """A minifier without a parser could take a pattern or a template for code."""
    code = re.sub(r"(?m)^\s*//.*$", "", SOURCE)
    for literal in re.findall(r'"[^"\n]*"', code.split('"use strict"')[1]):
        assert literal in TRACKER.content.decode()
    for pattern in re.findall(r"[:(=]\s*(/\^?\S.*?/[gi]*)[,.;]", code):
        assert pattern in TRACKER.content.decode()


def test_types_and_script_know_the_same_commands() -> None:
    typed = set(re.findall(r'\(command: "(\w+)"', TYPES))
    written = set(
        re.findall(r"(?m)^    (\w+): ", _block(SOURCE, "  const commands = {"))
    )
    assert typed == written


def test_every_attribute_of_the_tag_is_described_and_read() -> None:
    settings = _block(SOURCE.replace("} = script.dataset;", "};"), "  const {")
    read = {_kebab(name) for name in re.findall(r"(?m)^    (\w+)", settings)}
    described = set(re.findall(r"(?m)^ \*   data-([a-z-]+)  ", TYPES))
    assert read == described


def test_every_event_field_is_one_that_the_door_knows() -> None:
    composed = re.findall(r"(?m)^      (\w+): ", _block(SOURCE, "    const event = {"))
    (listed,) = re.findall(r"const FIELDS =\s*/\^\(([\w|]+)\)\$/", SOURCE)
    sent = {*composed, *listed.split("|")}
    assert sent - DOORS_FIELDS <= set(Event.model_fields)


def test_parameters_that_become_fields_are_typed() -> None:
    (listed,) = re.findall(r"const FIELDS =\s*/\^\(([\w|]+)\)\$/", SOURCE)
    typed = set(
        re.findall(
            r"(?m)^  (\w+)\?:",
            _block(
                TYPES,
                "export interface NearlineEventParams extends Partial<NearlineItem> {",
            ),
        )
    )
    assert set(listed.split("|")) | {"items"} == typed
