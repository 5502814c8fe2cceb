"""The browser helper as it is served: small, without comments, typed and described."""

import gzip
import re
from importlib.resources import files
from pathlib import Path

from nearline.decisions.browser import SLOTS

MOST_BYTES_GZIPPED = 4_500

_FOLDER = files("nearline.decisions.browser")
SOURCE = (_FOLDER / "slots.js").read_text(encoding="utf-8")
TYPES = (_FOLDER / "slots.d.ts").read_text(encoding="utf-8")
DOCS = Path(__file__).resolve().parents[3] / "docs" / "decisions-api.md"


def _block(text: str, opening: str, closing: str) -> str:
    (block,) = re.findall(
        rf"{re.escape(opening)}\n(.*?)\n{re.escape(closing)}", text, re.DOTALL
    )
    return str(block)


def _kebab(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"-{letter[0].lower()}", name)


def test_it_stays_small_and_the_docs_say_how_small() -> None:
    size = len(SLOTS.gzipped)
    assert size < MOST_BYTES_GZIPPED
    assert f"{size / 1_000:.1f} KB gzipped" in DOCS.read_text(encoding="utf-8")


def test_it_is_served_without_comments_and_gzips_to_itself() -> None:
    script = SLOTS.content.decode()
    assert not re.search(r"(^|\s)//|/\*", script)
    assert gzip.decompress(SLOTS.gzipped).decode() == script


def test_minifying_leaves_literals_as_they_are() -> None:
    """A minifier without a parser could take a pattern or a template for code."""
    code = re.sub(r"(?m)^\s*//.*$", "", SOURCE)
    served = SLOTS.content.decode()
    for literal in re.findall(r'"[^"\n]*"|`[^`\n]*`', code.split('"use strict"')[1]):
        assert literal in served
    for pattern in (r"/\/+$/", r"/^https?:$/"):
        assert pattern in code
        assert pattern in served


def test_it_writes_no_markup_and_runs_no_text() -> None:
    sinks = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\("
    )
    assert not re.search(sinks, SOURCE)


def test_every_attribute_of_the_tag_is_described_and_read() -> None:
    settings = _block(SOURCE, "  const {", "  } = script.dataset;")
    read = {_kebab(name) for name in re.findall(r"(?m)^    (\w+)", settings)}
    described = set(re.findall(r"(?m)^ \*   data-([a-z-]+)  ", TYPES)) - {
        "nearline-click"
    }
    assert read == described


def test_types_and_script_know_the_same_calls() -> None:
    written = _block(SOURCE, "  window.nearlineSlots = {", "  };")
    typed = _block(TYPES, "export interface NearlineSlots {", "}")
    assert set(re.findall(r"(?m)^    (\w+)[:,]", written)) == set(
        re.findall(r"(?m)^  (\w+)\(", typed)
    )
