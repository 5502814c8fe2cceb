"""Takes the README's picture of the demo shop: a product, and what was received.

`python -m tests.pictures.demo_shop [FILE]`, from the project's root.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests import chromium
from tests.running_shop import running_shop

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "demo-shop.png"
FLAGS = (
    *chromium.FLAGS,
    # The real one says that it is headless, and the collector would mark a bot. Given to
    # the browser and not to a page: requests that outlive their page have it, too.
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
)
SIZE = {"width": 1280, "height": 900}
ITEM = "sku_0002"


def take_picture(browser: Browser, url: str, file: Path) -> None:
    """A short visit to the shop at `url`, and the product page at its end as PNG."""
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Accept all").click()
    _see(page, "consent")
    page.get_by_role("navigation", name="Categories").get_by_text("Kitchen").click()
    page.locator(".card a").nth(2).click()
    page.get_by_role("button", name="Add to cart").click()
    _see(page, "view_cart")
    page.get_by_label("Search the shop").fill("boot")
    page.get_by_label("Search the shop").press("Enter")
    _see(page, "search")
    page.get_by_role("button", name="Send an event that breaks the contract").click()
    page.locator(".arrival.is-refused").wait_for()
    page.locator(f"a[data-nearline-item-id={ITEM}]").click()
    page.get_by_label("Quantity").wait_for()
    _see(page, "view_item", 2)
    page.mouse.move(0, 0)
    page.screenshot(path=file)
    context.close()


def _see(page: Page, event_name: str, count: int = 1) -> None:
    page.locator(f'.arrival[data-name="{event_name}"]').nth(count - 1).wait_for()


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    with (
        tempfile.TemporaryDirectory() as home,
        running_shop(Path(home)) as shop,
        chromium.chromium(FLAGS) as browser,
    ):
        take_picture(browser, shop.url, file)
    print(file)


if __name__ == "__main__":
    main()
