"""Product pictures: the drawing of what an item is, in the colours of its number."""

import re
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from nearline.simulate.catalogue import ITEMS_PER_CATEGORY, Item

TONE_COUNT = 8

_SYMBOL = re.compile(r'<symbol id="(\w+)">(.*?)</symbol>', re.DOTALL)
_SPACE_BETWEEN = re.compile(r">\s+<")


def draw(item: Item) -> Markup:
    """The picture of `item` as SVG; its name stands beside it, so it has none itself."""
    noun = item.name.rpartition(" ")[2]
    # Neighbours get different tones, in a category (steps of three) and across them.
    number = int(item.item_id.rpartition("_")[2])
    tone = (3 * number + number // ITEMS_PER_CATEGORY) % TONE_COUNT
    return Markup(
        f'<svg class="picture tone-{tone}" viewBox="0 0 120 120" aria-hidden="true">'
        '<ellipse class="ground" cx="60" cy="102" rx="42" ry="4"/>'
        f"{drawings()[noun]}</svg>"
    )


@cache
def drawings() -> dict[str, str]:
    """The drawings by noun, as they lie in `drawings.svg`."""
    svg = files("nearline.demo_shop").joinpath("pages", "drawings.svg")
    found = _SYMBOL.findall(svg.read_text(encoding="utf-8"))
    return {noun: _SPACE_BETWEEN.sub("><", shapes.strip()) for noun, shapes in found}
