"""Product pictures: the drawing of what an item is, in the colours of its number."""

import re
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from nearline.simulate.catalogue import ITEMS_PER_CATEGORY, Item

TONE_COUNT = 8

_SYMBOL = re.compile(r'<symbol id="(\w+)">(.*?)</symbol>', re.DOTALL)
_RULE = re.compile(r"^\.(?:picture|tone-\d)[^{\n]*\{[^}\n]*\}$", re.MULTILINE)
_SPACE_BETWEEN = re.compile(r">\s+<")


def draw(item: Item) -> Markup:
    """The picture of `item` as SVG; its name stands beside it, so it has none itself."""
    return Markup(
        f'<svg class="picture tone-{_tone(item)}" viewBox="0 0 120 120" '
        f'aria-hidden="true">{_shapes(item)}</svg>'
    )


def draw_alone(item: Item) -> str:
    """The picture of `item` as a file of its own, with its colours in it."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" '
        f'class="picture tone-{_tone(item)}" viewBox="0 0 120 120">'
        f"<style>{_colours()}</style>{_shapes(item)}</svg>"
    )


def _tone(item: Item) -> int:
    # Neighbours get different tones, in a category (steps of three) and across them.
    number = int(item.item_id.rpartition("_")[2])
    return (3 * number + number // ITEMS_PER_CATEGORY) % TONE_COUNT


def _shapes(item: Item) -> str:
    noun = item.name.rpartition(" ")[2]
    ground = '<ellipse class="ground" cx="60" cy="102" rx="42" ry="4"/>'
    return f"{ground}{drawings()[noun]}"


@cache
def _colours() -> str:
    """The rules of shop.css that are about pictures."""
    sheet = files("nearline.demo_shop").joinpath("assets", "shop.css")
    return "".join(_RULE.findall(sheet.read_text(encoding="utf-8")))


@cache
def drawings() -> dict[str, str]:
    """The drawings by noun, as they lie in `drawings.svg`."""
    svg = files("nearline.demo_shop").joinpath("pages", "drawings.svg")
    found = _SYMBOL.findall(svg.read_text(encoding="utf-8"))
    return {noun: _SPACE_BETWEEN.sub("><", shapes.strip()) for noun, shapes in found}
