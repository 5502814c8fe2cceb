"""Takes the README's pictures of the loop: how the shop's pages change as one browses.

`python -m tests.pictures.demo_loop HOME [FOLDER]`, from the project's root. HOME is a
published home with a recommender (`make demo`, `nearline recommend train`); the visit goes
into its event log, so give a copy. With FOLDER each frame is written there, too.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.chromium import chromium
from tests.pictures.demo_shop import FLAGS, PICTURE
from tests.pictures.webp import Frame, moving_picture
from tests.running_shop import running_shop

SIZE = {"width": 1280, "height": 920}
JACKET = "/p/sku_0041"
# Opening the online store takes seconds, and more on a machine that has other work.
_PATIENCE_SECONDS = 180.0
_WIDTH, _QUALITY = 960, 0.72


@dataclass
class Watched:
    """A visitor whose pages are looked at; `look` is called where there is news."""

    page: Page
    url: str
    look: Callable[[str, float], None] = lambda caption, seconds: None

    def go(self, path: str = "/") -> None:
        self.page.goto(self.url + path)
        self.settled()

    def settled(self) -> None:
        """Waits until each slot is filled, or stays as it is, with its pictures."""
        self.page.wait_for_function(
            """() => [...document.querySelectorAll("[data-nearline-slot]")]
              .every((slot) => slot.dataset.nearlineState)
              && [...document.images].every((image) => image.complete)"""
        )

    def until(self, is_so: Callable[[], bool], path: str = "/") -> None:
        """Comes back to a page until it has changed."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < end, f"{path} does not change: {self.banner()}"
            self.page.wait_for_timeout(1_000)
            self.go(path)

    def banner(self) -> str:
        return self.page.locator("[data-nearline-slot=home_banner]").inner_text()

    def answer(self, slot: str) -> str | None:
        return self.page.locator(f"[data-nearline-slot={slot}]").get_attribute(
            "data-nearline-answer"
        )

    def reasons(self, slot: str = "home_carousel") -> list[str]:
        return self.page.locator(f"[data-nearline-slot={slot}] .why").all_inner_texts()


def browse(watched: Watched) -> None:
    """From the first look to a cart that is left; fails where a page does not follow."""
    page = watched.page
    watched.go()
    watched.look("Before a yes nothing is noted, and everybody sees the same.", 2.6)
    page.get_by_role("button", name="Accept all").click()
    watched.go()
    watched.until(lambda: "New here?" in watched.banner())
    watched.look("A first visit: a welcome, and what is popular.", 2.2)
    for _ in range(3):
        watched.go(JACKET)
        # As long as it takes to be seen.
        page.wait_for_timeout(1_200)
    watched.until(lambda: watched.answer("item_carousel") == "personal", JACKET)
    watched.look(
        "Three looks at one jacket. Beside it: what goes with it, and why.", 2.6
    )
    watched.go()
    watched.until(
        lambda: (
            watched.answer("home_carousel") == "personal"
            and "Cannot decide?" in watched.banner()
        )
    )
    watched.look("Seconds later the front page knows: other words, another list.", 3.2)
    watched.go(JACKET)
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_role("heading", name="Cart").wait_for()
    watched.look("Into the cart, and away.", 1.8)
    watched.go()
    watched.until(lambda: "Your cart is waiting." in watched.banner())
    watched.look("A quarter of a minute later: the cart is waiting.", 3.2)


@dataclass
class Album:
    """Pictures of a visit."""

    page: Page
    frames: list[Frame] = field(default_factory=list)

    def look(self, caption: str, seconds: float) -> None:
        self.page.mouse.move(0, 0)
        self.frames.append(Frame(self.page.screenshot(), caption, seconds))


def take_pictures(browser: Browser, url: str) -> list[Frame]:
    """The visit, frame by frame."""
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    page = context.new_page()
    album = Album(page)
    browse(Watched(page, url, album.look))
    context.close()
    return album.frames


def main() -> None:
    home = Path(sys.argv[1]).absolute()
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else PICTURE.parent
    with running_shop(home) as shop, chromium(FLAGS) as browser:
        frames = take_pictures(browser, shop.url)
        moving = moving_picture(browser, frames, width=_WIDTH, quality=_QUALITY)
    files = {"demo-loop.webp": moving, "demo-slots.png": frames[-1].png}
    if len(sys.argv) > 2:
        files |= {f"frame-{n}.png": frame.png for n, frame in enumerate(frames)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        print(f"{folder / name}  {len(content):,} bytes")


if __name__ == "__main__":
    main()
