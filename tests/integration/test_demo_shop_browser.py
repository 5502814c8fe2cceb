"""The demo shop in a real browser: what a visitor agrees to, and only that, is kept.

Debian's Chromium, driven by Playwright, against the command itself. The event log is read
from its file: what the live view shows is compared with it, not taken from it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.chromium import chromium
from tests.pictures.demo_loop import Watched, browse
from tests.pictures.demo_shop import FLAGS, take_picture
from tests.pipeline import Home
from tests.running_shop import RunningShop, running_shop

pytestmark = pytest.mark.services

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
LEAST_CONTRAST = 4.5  # WCAG 2.2, AA
PAGES = ("/", "/c/audio", "/p/sku_0002", "/search?q=lamp", "/cart", "/privacy", "/live")

KEPT = """async () => ({
  cookies: document.cookie,
  local: Object.keys(localStorage),
  session: Object.keys(sessionStorage),
  databases: (await indexedDB.databases()).length,
})"""
NOTHING_KEPT = {"cookies": "", "local": [], "session": [], "databases": 0}
GPC = "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"

# Of each visible text with its nearest background that is a plain colour. What is
# disabled is exempt in WCAG.
CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const holder = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !holder.checkVisibility()) continue;
    if (holder.closest("script, style, .stars, label:has(:disabled)")) continue;
    let ground = holder;
    while (ground && channels(getComputedStyle(ground).backgroundColor)[3] === 0)
      ground = ground.parentElement;
    const back = getComputedStyle(ground ?? document.documentElement).backgroundColor;
    const [one, other] = [getComputedStyle(holder).color, back]
      .map((colour) => luminance(channels(colour).slice(0, 3)))
      .sort((a, b) => b - a);
    found.push([(one + 0.05) / (other + 0.05), texts.currentNode.data.trim()]);
  }
  return found;
}"""
UNNAMED_FIELDS = """() => [...document.querySelectorAll("input, select, textarea")]
  .filter((element) => element.type != "hidden" && !element.labels.length)
  .map((element) => element.outerHTML)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(FLAGS) as browser:
        yield browser


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RunningShop]:
    with running_shop(tmp_path / "home") as shop:
        yield shop


@dataclass
class Visitor:
    """Somebody in the shop, with a browser of their own and what went wrong in it."""

    shop: RunningShop
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def go(self, path: str = "/") -> None:
        self.page.goto(self.shop.url + path)
        self.page.wait_for_function("!window.nearline || nearline.loaded")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def see(self, event_name: str, count: int = 1) -> None:
        """Waits until the live view shows so many events of that name."""
        rows = self.page.locator(f'.arrival[data-name="{event_name}"]')
        rows.nth(count - 1).wait_for(state="attached")

    def sent(self) -> list[str]:
        return [url for _, url in self.requests if "/v1/events" in url]

    def cookie_names(self) -> set[str]:
        return {str(cookie.get("name")) for cookie in self.context.cookies()}

    def check_that_nothing_went_wrong(self) -> None:
        assert self.complaints == []
        outside = [
            url
            for _, url in self.requests
            if not url.startswith((f"{self.shop.url}/", "data:"))
        ]
        assert outside == []


@pytest.fixture
def visitor(browser: Browser, shop: RunningShop) -> Iterator[Visitor]:
    with visiting(browser, shop) as visitor:
        yield visitor


@contextmanager
def visiting(
    browser: Browser,
    shop: RunningShop,
    size: dict[str, int] = DESK,
    script: str | None = None,
) -> Iterator[Visitor]:
    context = browser.new_context(viewport=size)  # type: ignore[arg-type]
    if script:
        context.add_init_script(script)
    page = context.new_page()
    visitor = Visitor(shop, context, page)
    context.on(
        "request",
        lambda request: visitor.requests.append((request.method, request.url)),
    )
    page.on(
        "console",
        lambda message: visitor.complaints.append(f"{message.type}: {message.text}"),
    )
    page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    yield visitor
    context.close()


def buy_two_boots(visitor: Visitor) -> None:
    """From the front of the shop to the thank-you page."""
    visitor.go()
    visitor.press("Accept all")
    visitor.page.get_by_role("link", name="Shoes", exact=True).first.click()
    visitor.page.get_by_role("link", name="Bryndal Solid Boot").click()
    visitor.page.get_by_label("Quantity").select_option("2")
    visitor.press("Add to cart")
    visitor.page.get_by_role("link", name="Go to checkout").click()
    visitor.press("Place the order")
    visitor.page.get_by_role("heading", name="Thank you").wait_for()
    visitor.see("purchase")


def test_nothing_is_stored_or_sent_before_the_visitor_agrees(visitor: Visitor) -> None:
    for path in ("/c/shoes", "/p/sku_0002", "/"):
        visitor.go(path)
        visitor.page.get_by_role("heading", name="May we note").wait_for()
        assert visitor.page.evaluate(KEPT) == NOTHING_KEPT
    assert visitor.context.cookies() == []
    assert visitor.sent() == []
    visitor.press("Accept all")
    visitor.see("consent")
    # What was looked at before is not told afterwards.
    assert {event["page_path"] for event in visitor.shop.events()} == {"/"}
    visitor.check_that_nothing_went_wrong()


def test_a_visit_with_a_purchase_is_seen_live_and_kept_to_the_cent(
    visitor: Visitor,
) -> None:
    buy_two_boots(visitor)
    (order,) = visitor.shop.named("purchase")
    assert order["revenue_cents"] == 2 * 9_100
    assert order["currency"] == "EUR"
    assert order["order_id"] == visitor.page.locator("[data-order]").inner_text()
    assert order["items"] == [
        {
            "item_id": "sku_0002",
            "item_category": "Shoes",
            "item_brand": "Bryndal",
            "price_cents": 9_100,
            "quantity": 2,
        }
    ]
    row = visitor.page.locator('.arrival[data-name="purchase"]')
    assert "€182.00" in row.inner_text()
    assert "Bryndal Solid Boot" in row.inner_text()
    assert order["visitor_id"] in row.inner_text()
    names = [event["event_name"] for event in visitor.shop.events()]
    for name in (
        "consent",
        "view_item_list",
        "select_item",
        "view_item",
        "add_to_cart",
        "view_cart",
        "begin_checkout",
        "purchase",
    ):
        assert names.count(name) == 1, name
    page_types = {event.get("page_type") for event in visitor.shop.named("page_view")}
    assert page_types == {
        "home", "category", "product", "cart", "checkout", "confirmation",
    }  # fmt: skip
    assert visitor.shop.named("add_to_cart")[0]["quantity"] == 2
    assert visitor.shop.dead_letters() == []
    assert all(event.get("bot_reason") is None for event in visitor.shop.events())
    visitor.check_that_nothing_went_wrong()


def test_loading_the_thank_you_page_again_is_no_second_purchase(
    visitor: Visitor,
) -> None:
    buy_two_boots(visitor)
    visitor.page.reload()
    visitor.go("/")
    # Sent after whatever the reloaded page had to say.
    visitor.see("view_item_list", 2)
    assert len(visitor.shop.named("purchase")) == 1


def test_reading_searching_and_removing_are_events_too(visitor: Visitor) -> None:
    visitor.go("/p/sku_0041")
    visitor.press("Accept all")
    for text in ("bought in", "When will it arrive?", "Size guide"):
        visitor.page.locator("summary").filter(has_text=text).first.click()
    visitor.press("Add to cart")
    visitor.page.get_by_role("button", name="Remove Fjordine Classic Parka").click()
    visitor.page.get_by_text("Nothing in it yet.").wait_for()
    visitor.page.get_by_label("Search the shop").fill("lantern")
    visitor.press("Search")
    visitor.see("search")
    content = {
        (event["content_type"], event["content_id"])
        for event in visitor.shop.named("content_interaction")
    }
    assert {kind for kind, _ in content} == {"review", "faq", "size_guide"}
    assert ("faq", "faq_delivery") in content
    (removed,) = visitor.shop.named("remove_from_cart")
    assert (removed["item_id"], removed["quantity"]) == ("sku_0041", 1)
    assert removed["price_cents"] == 25_900
    assert visitor.shop.named("search")[0]["search_term"] == "lantern"
    visitor.check_that_nothing_went_wrong()


def test_withdrawing_stops_the_noting_and_removes_the_number(visitor: Visitor) -> None:
    visitor.go()
    visitor.press("Accept all")
    visitor.see("consent")
    assert "_nl_vid" in visitor.cookie_names()
    visitor.page.get_by_role("link", name="Privacy", exact=True).last.click()
    visitor.see("page_view", 2)
    visitor.press("Withdraw my consent")
    visitor.page.get_by_text("You said no").first.wait_for()
    assert visitor.cookie_names() == {"_nl_consent"}
    for path in ("/c/shoes", "/p/sku_0002", "/"):
        visitor.go(path)
    assert not visitor.page.locator(".banner").is_visible()
    # Agreeing anew: what comes first is the page that is open now.
    visitor.go("/privacy")
    visitor.press("Accept all")
    visitor.see("page_view", 3)
    paths = [event["page_path"] for event in visitor.shop.named("page_view")]
    assert paths == ["/", "/privacy", "/privacy"]
    first, second = {event["visitor_id"] for event in visitor.shop.events()}
    assert first != second
    visitor.check_that_nothing_went_wrong()


def test_refusing_keeps_the_answer_and_nothing_else(visitor: Visitor) -> None:
    visitor.go()
    visitor.press("Necessary only")
    visitor.go("/p/sku_0002")
    visitor.press("Add to cart")
    visitor.page.get_by_role("link", name="Go to checkout").click()
    visitor.press("Place the order")
    visitor.page.get_by_role("heading", name="Thank you").wait_for()
    assert visitor.cookie_names() == {"_nl_consent"}
    assert visitor.sent() == []
    assert visitor.shop.events() == []
    visitor.check_that_nothing_went_wrong()


def test_a_choice_is_kept_with_its_notice(visitor: Visitor) -> None:
    visitor.go()
    visitor.press("Choose")
    assert visitor.page.get_by_label("Personalization").is_disabled()
    visitor.page.get_by_label("Measuring").check()
    visitor.page.get_by_label("Personalization").check()
    visitor.press("Save my choice")
    visitor.see("consent")
    (consent,) = visitor.shop.named("consent")
    assert (
        consent["consent_analytics"],
        consent["consent_personalization"],
        consent["consent_marketing"],
        consent["consent_notice_version"],
    ) == (True, True, False, "2026-11")


def test_the_answers_weigh_the_same(visitor: Visitor) -> None:
    visitor.go()
    looks = {
        visitor.page.get_by_role("button", name=name, exact=True).evaluate(
            """(button) => {
              const style = getComputedStyle(button);
              const { width, height } = button.getBoundingClientRect();
              return JSON.stringify([style.color, style.backgroundColor,
                style.fontSize, style.fontWeight, Math.round(height),
                Math.round(width / 20)]);
            }"""
        )
        for name in ("Accept all", "Necessary only", "Choose")
    }
    assert len(looks) == 1


def test_global_privacy_control_is_honoured_and_said(
    browser: Browser, shop: RunningShop
) -> None:
    with visiting(browser, shop, script=GPC) as visitor:
        visitor.go()
        visitor.page.get_by_text("Global Privacy Control").wait_for()
        visitor.press("Accept all")
        visitor.see("consent")
        assert visitor.page.get_by_text("You allow measuring (").is_visible()
    (consent,) = shop.named("consent")
    assert consent["consent_analytics"] is True
    assert consent["consent_personalization"] is False
    assert consent["consent_marketing"] is False


def test_a_refused_event_is_shown_with_its_field_and_reason(visitor: Visitor) -> None:
    visitor.go()
    visitor.press("Accept all")
    visitor.see("consent")
    visitor.press("Send an event that breaks the contract")
    refused = visitor.page.locator(".arrival.is-refused")
    refused.wait_for()
    (letter,) = visitor.shop.dead_letters()
    assert letter["field"] == "currency"
    assert f"currency: {letter['reason']}" in refused.inner_text()
    assert visitor.page.locator("[data-refused]").inner_text() == "1"
    visitor.go("/live")
    refused.wait_for()
    # In one step: what was sent on leaving the shop may still be arriving.
    accepted, refused_count, row_count = visitor.page.evaluate(
        """() => [
          Number(document.querySelector("[data-accepted]").textContent),
          Number(document.querySelector("[data-refused]").textContent),
          document.querySelectorAll(".arrival").length,
        ]"""
    )
    assert refused_count == 1
    assert accepted + refused_count == row_count
    visitor.check_that_nothing_went_wrong()


def test_what_visitors_type_stays_text_in_the_live_view(visitor: Visitor) -> None:
    hostile = "<img src=x onerror=document.title='taken'>"
    visitor.go()
    visitor.press("Accept all")
    visitor.page.get_by_label("Search the shop").fill(hostile)
    visitor.press("Search")
    visitor.see("search")
    assert hostile in visitor.page.locator('.arrival[data-name="search"]').inner_text()
    assert visitor.page.locator("img").count() == 0
    assert visitor.page.title() == "Search results · Wayside"
    visitor.check_that_nothing_went_wrong()


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_every_page_fits_and_can_be_read(
    browser: Browser, shop: RunningShop, size: dict[str, int]
) -> None:
    with visiting(browser, shop, size) as visitor:
        visitor.go()
        visitor.press("Choose")
        check_page(visitor, size)
        visitor.press("Accept all")
        for path in PAGES:
            visitor.go(path)
            visitor.page.locator("[data-live][data-connected]").wait_for()
            check_page(visitor, size)
        visitor.go("/p/sku_0002")
        visitor.press("Add to cart")
        visitor.page.get_by_role("link", name="Go to checkout").click()
        visitor.page.get_by_role("heading", name="Checkout").wait_for()
        check_page(visitor, size)
        visitor.check_that_nothing_went_wrong()


def check_page(visitor: Visitor, size: dict[str, int]) -> None:
    page = visitor.page
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    faint = [found for found in page.evaluate(CONTRASTS) if found[0] < LEAST_CONTRAST]
    assert faint == [], page.url
    assert page.evaluate(UNNAMED_FIELDS) == []


def test_the_panel_folds_and_stays_folded(browser: Browser, shop: RunningShop) -> None:
    with visiting(browser, shop) as visitor:
        visitor.go()
        body = visitor.page.locator("#panel-body")
        toggle = visitor.page.locator("[data-panel-toggle]")
        assert body.is_visible()
        assert toggle.get_attribute("aria-expanded") == "true"
        toggle.focus()
        visitor.page.keyboard.press("Enter")
        assert not body.is_visible()
        visitor.go("/c/shoes")
        assert not body.is_visible()
        assert toggle.get_attribute("aria-expanded") == "false"
    with visiting(browser, shop, PHONE) as visitor:
        visitor.go()
        assert not visitor.page.locator("#panel-body").is_visible()


def test_the_banner_can_be_answered_by_keyboard_alone(visitor: Visitor) -> None:
    visitor.go()
    focused = "document.activeElement.textContent.trim()"
    for _ in range(10):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate(focused) == "Necessary only":
            break
    visitor.page.keyboard.press("Enter")
    assert not visitor.page.locator(".banner").is_visible()
    assert visitor.page.evaluate("document.activeElement.id") == "content"


def test_ctrl_c_stops_it_though_live_views_are_open(
    browser: Browser, shop: RunningShop
) -> None:
    with visiting(browser, shop) as visitor:
        visitor.go("/live")
        visitor.page.locator("[data-live][data-connected]").wait_for()
        assert shop.stop() == 0
        visitor.page.get_by_text("does not answer").wait_for()
    assert shop.process.communicate()[1] == "stopped\n"


def test_a_second_shop_on_the_same_port_is_refused(shop: RunningShop) -> None:
    port = shop.url.rpartition(":")[2]
    home = Home(shop.home)
    done = home.nearline("demo-shop", "--port", port, exit_code=2)
    assert f"port {port} is in use" in done.stderr


@dataclass(frozen=True)
class Learnt:
    """A home with a visit, a run over it and over a simulated shop, and a recommender."""

    home: Home
    order_id: str


@pytest.fixture(scope="module")
def learnt(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    folder = tmp_path_factory.mktemp("learnt")
    home = Home(folder / "home")
    # Up to yesterday: what is older than 90 days is not online any more.
    start = (datetime.now(UTC) - timedelta(days=6)).date()
    simulated = folder / "shop"
    home.nearline(
        "simulate", "--visitors", "250", "--days", "6", "--start", str(start),
        "--out", simulated,
    )  # fmt: skip
    home.nearline("ingest", simulated / "events", "--format", "nearline")
    with running_shop(home.path) as shop, visiting(browser, shop) as visitor:
        buy_two_boots(visitor)
        # The shop stays open meanwhile.
        home.nearline("run")
        order_id = visitor.page.locator("[data-order]").inner_text()
    home.nearline("recommend", "train")
    return Learnt(home, order_id)


def test_a_run_makes_tables_of_the_visit(learnt: Learnt) -> None:
    orders = learnt.home.published(
        "select order_id, revenue_cents, currency from {fct_orders} "
        "where source = 'demo_shop'"
    )
    assert orders == [(learnt.order_id, 18_200, "EUR")]
    sessions = learnt.home.published(
        "select purchase_count, revenue_cents from {fct_sessions} "
        "where source = 'demo_shop'"
    )
    assert sessions == [(1, 18_200)]


def test_pages_follow_what_is_done_on_them(browser: Browser, learnt: Learnt) -> None:
    with running_shop(learnt.home.path) as shop:
        with visiting(browser, shop) as visitor:
            watched = Watched(visitor.page, shop.url)
            browse(watched)
            assert any("Fjordine Classic Parka" in one for one in watched.reasons())
            # Seen for a second each; the click leaves the page.
            visitor.see("slot_visible", 4)
            visitor.page.get_by_role("link", name="Your cart is waiting.").click()
            visitor.see("response")
            visitor.check_that_nothing_went_wrong()
        decisions = {one["event_id"]: one for one in shop.named("decision")}
        seen = [one["properties"]["decision_id"] for one in shop.named("slot_visible")]
        assert len(seen) == len(set(seen))
        assert set(seen) <= set(decisions)
        (clicked,) = shop.named("response")
        assert clicked["properties"]["content"] == "cart_waits"
        told_of = decisions[clicked["properties"]["decision_id"]]
        assert told_of["properties"]["chosen"] == ["cart_waits"]
        assert told_of["visitor_id"] == clicked["visitor_id"]
        assert shop.stop() == 0


def test_without_tables_the_pages_are_the_same_and_the_panel_says_why(
    visitor: Visitor,
) -> None:
    visitor.go()
    panel = visitor.page.locator("[data-decided]")
    assert "nearline recommend train" in panel.inner_text()
    assert not any("/v1/decide" in url for _, url in visitor.requests)
    visitor.press("Accept all")
    visitor.see("consent")
    visitor.go()
    slot = visitor.page.locator('[data-nearline-slot="home_banner"]')
    slot.and_(visitor.page.locator("[data-nearline-state=filled]")).wait_for()
    assert slot.inner_text() == "Delivered in two days, returned for free."
    visitor.see("slot_visible")
    assert "for everybody" in panel.inner_text()
    visitor.check_that_nothing_went_wrong()


def test_the_picture_for_the_readme_can_be_taken(
    browser: Browser, shop: RunningShop, tmp_path: Path
) -> None:
    picture = tmp_path / "demo-shop.png"
    take_picture(browser, shop.url, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
