"""The page in a real browser: it draws, fits a phone, and speaks to nobody.

Debian's Chromium, driven by Playwright; without it these tests fail, since a page that
nobody has looked at is not known to work.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from nearline.dashboards import SiteSummary, build_site
from tests.chromium import chromium
from tests.shop_release import ShopRelease, session, shop_release, with_sessions

pytestmark = pytest.mark.services

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
LEAST_FONT_PIXELS = 14

LAST_DAY = date(2026, 11, 16)

SMALLEST_FONT = """
() => {
  const sizes = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const holder = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() && !holder.closest("script, style, noscript")) {
      sizes.push(parseFloat(getComputedStyle(holder).fontSize));
    }
  }
  return Math.min(...sizes);
}
"""


@dataclass
class Visit:
    """An opened page and what it did that a reader does not see."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def texts(self, chart: str) -> list[str]:
        return self.page.locator(f'[data-chart="{chart}"] svg text').all_text_contents()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> SiteSummary:
    release = shop_release(seed=7, person_count=800, day_count=28, last_day=LAST_DAY)
    return build(release, tmp_path_factory.mktemp("shop"))


def build(release: ShopRelease, home: Path) -> SiteSummary:
    return build_site(release.publish(home), home / "quality", home / "site")


def open_page(
    browser: Browser, summary: SiteSummary, size: dict[str, int], scheme: str = "light"
) -> Visit:
    context = browser.new_context(
        viewport=size,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
        # West of Greenwich: a day drawn in local time would be the day before.
        timezone_id="America/Los_Angeles",
    )
    page = context.new_page()
    visit = Visit(page)
    context.on("request", lambda request: visit.requests.append(request.url))
    page.on(
        "console",
        lambda message: visit.complaints.append(f"{message.type}: {message.text}"),
    )
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.goto(summary.page.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached", timeout=30_000)
    return visit


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn_and_nothing_leaves_the_machine(
    browser: Browser, shop: SiteSummary, size: dict[str, int], scheme: str
) -> None:
    visit = open_page(browser, shop, size, scheme)
    assert visit.page.locator("[data-chart] svg").count() == shop.chart_count == 12
    assert visit.complaints == []
    outside = [
        url
        for url in visit.requests
        if not url.startswith((shop.page.as_uri(), "data:", "blob:"))
    ]
    assert outside == []


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_it_fits_the_screen_and_can_be_read(
    browser: Browser, shop: SiteSummary, size: dict[str, int]
) -> None:
    page = open_page(browser, shop, size).page
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    for chart in page.locator("[data-chart]").all():
        drawn, held = chart.locator("svg").bounding_box(), chart.bounding_box()
        assert drawn is not None
        assert held is not None
        assert 0.9 * held["width"] <= drawn["width"] <= held["width"] + 1
    assert page.evaluate(SMALLEST_FONT) >= LEAST_FONT_PIXELS


def test_charts_follow_the_screens_colour_scheme(
    browser: Browser, shop: SiteSummary
) -> None:
    page = open_page(browser, shop, DESK, "light").page
    lines = page.locator('[data-chart="conversion"] path[stroke="#0072b2"]')
    assert lines.count() > 0
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector('html[data-drawn="dark"]', state="attached")
    assert lines.count() == 0
    assert page.locator('[data-chart="conversion"] path[stroke="#56b4e9"]').count() > 0


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_pointing_tells_day_value_interval_and_the_period_before(
    browser: Browser, shop: SiteSummary, size: dict[str, int]
) -> None:
    page = open_page(browser, shop, size).page
    strips = page.locator('[data-chart="conversion"] .mark-rule.role-mark line')
    assert strips.count() == 14
    strips.nth(4).hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert re.fullmatch(
        r"Sat 7 Nov\s+This period\s+\S+\s%\s+"
        r"95 % interval\s+\S+\s% to \S+\s%\s+"
        r"Previous period\s+\S+\s% \(Sat 24 Oct\)\s*",
        tooltip.inner_text(),
    )
    box = tooltip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size["width"]


def test_a_single_day_is_drawn_under_its_own_date(
    browser: Browser, tmp_path: Path
) -> None:
    tables = with_sessions(
        [
            session(f"person-{number}", LAST_DAY, purchase_count=int(number == 0))
            for number in range(8)
        ]
    )
    visit = open_page(browser, build(ShopRelease(tables), tmp_path), PHONE)
    assert visit.complaints == []
    assert "16 Nov" in visit.texts("conversion")
    assert visit.page.get_by_text("No experiment ran in this data.").is_visible()


def test_hostile_names_stay_text_in_charts_and_tooltips(
    browser: Browser, tmp_path: Path
) -> None:
    hostile = "</script><img src=x onerror=document.title='taken'>"
    tables = with_sessions(
        [session("ann", LAST_DAY)],
        fct_segments=[
            {
                "person_id": "ann",
                "segment": hostile,
                "segment_kind": "rule",
                "is_current": True,
                "is_primary": True,
            }
        ],
        fct_exposures=[
            {
                "experiment_key": hostile,
                "variant_key": hostile,
                "unit_id": "v1",
                "exposed_at": datetime(2026, 11, 16),
                "variant_count": 1,
            }
        ],
    )
    visit = open_page(browser, build(ShopRelease(tables), tmp_path), DESK)
    visit.page.locator('[data-chart="rule-segments"] .mark-rect path').last.hover()
    visit.page.locator("#vg-tooltip-element.visible").wait_for()
    assert visit.page.locator("img").count() == 0
    assert visit.page.title() == "How the shop is doing"
    assert visit.complaints == []
