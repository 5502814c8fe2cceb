"""The tracker in a real browser, against real HTTP.

Debian's Chromium, driven by Playwright. Where time matters, it is the browser's clock
that is moved (Playwright's fake timers), so that no figure depends on this machine.
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    Playwright,
    sync_playwright,
)

from tests.chromium import CHROMIUM, FLAGS
from tests.receiver import Receiver, running_receiver

pytestmark = pytest.mark.services

VISITOR = r"nl1\.([0-9a-f]{32})\.(\d{10})"
ALL = {"analytics": True, "personalization": True, "marketing": True}
THIRTEEN_MONTHS_SECONDS = 395 * 86_400
FIRST_MOMENT = datetime(2026, 3, 2, 12, tzinfo=UTC)
STOPPED_AT = FIRST_MOMENT + timedelta(minutes=5)

STUB = """<script>
  window.nearline = window.nearline || function () {
    (nearline.q = nearline.q || []).push(arguments);
  };
</script>"""
GPC = "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"
# What a browser does when a tab is switched, or another window is clicked on.
SHOW_AS = """(state) => {
  Object.defineProperty(document, "visibilityState", {
    configurable: true, get: () => state,
  });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
FOCUS_AS = """(hasFocus) => {
  document.hasFocus = () => hasFocus;
  window.dispatchEvent(new Event(hasFocus ? "focus" : "blur"));
}"""
KEPT = """async () => ({
  cookies: document.cookie,
  local: Object.keys(localStorage),
  session: Object.keys(sessionStorage),
  databases: (await indexedDB.databases()).length,
  caches: (await caches.keys()).length,
})"""
NOTHING_KEPT = {"cookies": "", "local": [], "session": [], "databases": 0, "caches": 0}


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(
        executable_path=CHROMIUM, headless=True, args=list(FLAGS)
    )
    yield browser
    browser.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@dataclass
class Visitor:
    """A browser profile, the pages it opens, and what went wrong on them."""

    context: BrowserContext
    receiver: Receiver
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: str = "/", wait: bool = True, **goto: Any) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.receiver.url + path, **goto)
        if wait:
            page.wait_for_function("window.nearline && nearline.loaded")
        return page

    def cookie(self, name: str) -> dict[str, Any] | None:
        found = [kept for kept in self.context.cookies() if kept["name"] == name]
        return dict(found[0]) if found else None

    def consent_to_all(self, page: Page) -> None:
        page.evaluate("(all) => nearline('consent', all)", ALL)
        self.receiver.wait_for("consent")


@pytest.fixture
def visitor(browser: Browser, receiver: Receiver) -> Iterator[Visitor]:
    context = browser.new_context()
    yield Visitor(context, receiver)
    context.close()


def html(body: str = "", title: str = "Shop", before: str = STUB, **data: str) -> str:
    attributes = {"write-key": "dev", "consent": "opt-out", **data}
    written = " ".join(
        f'data-{name.replace("_", "-")}="{value}"' for name, value in attributes.items()
    )
    return (
        f"<!doctype html><html><head><title>{title}</title>{before}"
        f'<script async src="/v1/tracker.js" {written}></script></head>'
        f"<body>{body}</body></html>"
    )


def asking(body: str = "", notice: str = "2026-01", **data: str) -> str:
    """A page that needs consent first."""
    return html(body, consent="required", notice=notice, **data)


def total(events: list[dict[str, Any]], field_name: str) -> float:
    return float(sum(event[field_name] for event in events))


# Page views


def test_a_page_view_says_where_and_nothing_that_was_typed(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/shoes"] = html(
        title="Shoes", page_type="category", url_params="ref"
    )
    visitor.open(
        "/shoes?utm_source=letter&email=ann@example.com&ref=x#access_token=secret",
        referer="https://search.example/?q=my+illness",
    )
    (view,) = receiver.wait_for("page_view")
    assert view["page_url"] == f"{receiver.url}/shoes?utm_source=letter&ref=x"
    assert view["page_title"] == "Shoes"
    assert view["page_type"] == "category"
    assert view["referrer"] == "https://search.example/"
    assert view["schema_version"] == "1.1"
    assert view["device_class"] == "desktop"
    assert re.fullmatch(r"[0-9a-f]{32}", view["event_id"])
    (batch,) = receiver.batches
    assert batch["write_key"] == "dev"
    assert view["occurred_at"] <= batch["sent_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", batch["sent_at"])
    assert visitor.complaints == []


def test_a_single_page_app_has_a_view_for_every_path(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(title="Home")
    page = visitor.open()
    receiver.wait_for("page_view")
    page.evaluate("history.pushState({}, '', '/a'); document.title = 'A'")
    receiver.wait_for("page_view", 2)
    page.evaluate("history.replaceState({}, '', '/b'); document.title = 'B'")
    receiver.wait_for("page_view", 3)
    page.evaluate("history.replaceState({kept: 1}, '', '/b')")  # no new address
    page.evaluate("location.hash = 'part'")
    page.go_back()
    page.go_back()
    page.wait_for_function("location.pathname == '/'")
    views = receiver.wait_for("page_view", 4)
    assert [view["page_url"].removeprefix(receiver.url) for view in views] == [
        "/",
        "/a",
        "/b",
        "/",
    ]
    assert [view["page_title"] for view in views[:3]] == ["Home", "A", "B"]
    assert views[1]["referrer"] == f"{receiver.url}/"
    assert len({view["page_view_id"] for view in views}) == 4


def test_a_call_right_after_the_address_changed_belongs_to_the_new_view(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    receiver.wait_for("page_view")
    page.evaluate(
        "history.pushState({}, '', '/p/1'); nearline('event', 'view_item', {item_id: 1})"
    )
    (item,) = receiver.wait_for("view_item")
    view = receiver.wait_for("page_view", 2)[1]
    assert item["page_view_id"] == view["page_view_id"]
    assert item["page_url"] == view["page_url"] == f"{receiver.url}/p/1"
    names = [event["event_name"] for event in receiver.events]
    assert names.index("view_item") > names.index("page_view", 1)


def test_the_page_may_announce_a_view_that_the_address_does_not_show(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    receiver.wait_for("page_view")
    page.evaluate("nearline('page', {page_type: 'checkout'})")
    views = receiver.wait_for("page_view", 2)
    assert views[1]["page_type"] == "checkout"
    assert views[0]["page_view_id"] != views[1]["page_view_id"]


@pytest.mark.parametrize(
    ("data", "query", "term"),
    [
        ({}, "?q=red+shoes", "red shoes"),
        ({"search_param": "suche"}, "?suche=rot&q=no", "rot"),
        ({}, "?other=red", None),
    ],
)
def test_the_sites_search_is_read_from_the_address(
    visitor: Visitor,
    receiver: Receiver,
    data: dict[str, str],
    query: str,
    term: str | None,
) -> None:
    receiver.pages["/find"] = html(**data)
    page = visitor.open("/find" + query)
    page.evaluate("nearline('event', 'after_all')")
    receiver.wait_for("after_all")
    assert [event["search_term"] for event in receiver.named("search")] == (
        [term] if term else []
    )
    assert all("red" not in event["page_url"] for event in receiver.events)


# Clicks and content


CLICKABLE = """
  <a id="out" href="https://other.example/x?email=ann@example.com#y"><b>out</b></a>
  <a id="in" href="/next?utm_campaign=c&amp;q=1">in</a>
  <a id="here" href="#below">here</a>
  <a id="mail" href="mailto:ann@example.com">mail</a>
  <button id="buy" data-nearline-event="add_to_cart" data-nearline-item-id="sku_1"
    data-nearline-item-brand="Acme" data-nearline-price="19.99"
    data-nearline-quantity="2" data-nearline-currency="EUR" data-nearline-place="hero"
    ><i>buy</i></button>
  <section id="r" data-nearline-content="review" data-nearline-content-id="review_7">
    <p>more</p></section>
  <form><input id="name" data-nearline-ignored="x"><textarea id="wish"></textarea></form>
  <p id="below">below</p>
"""


@pytest.fixture
def clickable(visitor: Visitor, receiver: Receiver) -> Page:
    receiver.pages["/"] = html(CLICKABLE)
    page = visitor.open()
    page.evaluate("addEventListener('click', (event) => event.preventDefault())")
    return page


def test_clicks_on_links_say_where_to(clickable: Page, receiver: Receiver) -> None:
    clickable.click("#out b")
    clickable.click("#here")
    clickable.click("#mail")
    clickable.click("#in")
    out, inside = receiver.wait_for("click", 2)
    assert out["link_url"] == "https://other.example/x"
    assert out["element_id"] == "out"
    assert out["properties"] == {"outbound": True}
    assert inside["link_url"] == f"{receiver.url}/next?utm_campaign=c"
    assert inside["properties"] == {"outbound": False}
    assert len(receiver.named("click")) == 2


def test_a_click_that_leaves_the_page_arrives(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html('<a id="go" href="/next">go</a>')
    receiver.pages["/next"] = "<!doctype html>no tracker here"
    page = visitor.open()
    page.click("#go")
    page.wait_for_url("**/next")
    (click,) = receiver.wait_for("click")
    assert click["link_url"] == f"{receiver.url}/next"


def test_marked_elements_become_events_in_ga4s_item_shape(
    clickable: Page, receiver: Receiver
) -> None:
    clickable.click("#buy i")
    (event,) = receiver.wait_for("add_to_cart")
    assert event["items"] == [
        {"item_id": "sku_1", "item_brand": "Acme", "price": 19.99, "quantity": 2}
    ]
    assert event["currency"] == "EUR"
    assert event["element_id"] == "buy"
    assert event["properties"] == {"place": "hero"}


def test_content_says_that_it_was_touched(clickable: Page, receiver: Receiver) -> None:
    clickable.click("#r p")
    (event,) = receiver.wait_for("content_interaction")
    assert event["content_type"] == "review"
    assert event["content_id"] == "review_7"
    assert event["element_id"] == "r"


def test_what_people_type_is_not_sent(clickable: Page, receiver: Receiver) -> None:
    clickable.fill("#name", "Ann Secret")
    clickable.locator("#wish").press_sequentially("Zanzibar")
    clickable.click("#wish")
    clickable.evaluate("nearline('event', 'after_all')")
    receiver.wait_for("after_all")
    assert not re.search("Secret|Zanzibar", json.dumps(receiver.batches))


# E-commerce and dataLayer


PURCHASE = {
    "transaction_id": 4711,
    "value": "39.98",
    "currency": "EUR",
    "coupon": "SPRING",
    "items": [
        {
            "item_id": "sku_1",
            "item_name": "Shoe",
            "item_category": "shoes",
            "price": 19.99,
            "quantity": 2,
        }
    ],
}
PURCHASED = {
    "transaction_id": "4711",
    "value": 39.98,
    "currency": "EUR",
    "items": [
        {
            "item_id": "sku_1",
            "item_category": "shoes",
            "price": 19.99,
            "quantity": 2,
        }
    ],
}


def test_a_call_in_ga4s_shape_keeps_what_the_contract_knows(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    page.evaluate("(sale) => nearline('event', 'purchase', sale)", PURCHASE)
    (event,) = receiver.wait_for("purchase")
    assert {name: event[name] for name in PURCHASED} == PURCHASED
    assert event["properties"] == {"coupon": "SPRING"}


def test_calls_made_before_the_script_came_are_not_lost(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(
        before=STUB + "<script>nearline('event', 'early', {a: 1})</script>"
    )
    visitor.open()
    (event,) = receiver.wait_for("early")
    assert event["properties"] == {"a": 1}


def test_a_ga4_data_layer_is_read_in_both_forms(
    visitor: Visitor, receiver: Receiver
) -> None:
    ecommerce = json.dumps(PURCHASE)
    receiver.pages["/"] = html(
        before=f"""<script>
          window.dataLayer = window.dataLayer || [];
          function gtag() {{ dataLayer.push(arguments); }}
          gtag("js", new Date());
          gtag("event", "page_view", {{}});
          dataLayer.push({{event: "gtm.js", "gtm.start": 1}});
          dataLayer.push({{event: "purchase", ecommerce: {ecommerce}, secret: "x"}});
        </script>"""
    )
    page = visitor.open()
    given = page.evaluate(
        """(sale) => {
          gtag("event", "add_to_cart", {...sale, email: "ann@example.com"});
          dataLayer.push({event: "search", search_term: "boots", other: "x"});
          dataLayer.push({event: "newsletter", email: "ann@example.com"});
          const changed = {items: [{item_id: "a"}]};
          const length = dataLayer.push({event: "view_item", ecommerce: changed});
          changed.items[0].item_id = "changed later";
          dataLayer.push(null, "x", 7, undefined);
          return [length, dataLayer.length];
        }""",
        PURCHASE,
    )
    assert given == [8, 12]
    (viewed,) = receiver.wait_for("view_item")
    assert viewed["items"] == [{"item_id": "a"}]
    for name in ("purchase", "add_to_cart"):
        (event,) = receiver.named(name)
        assert {field: event[field] for field in PURCHASED} == PURCHASED
        assert "properties" not in event
    assert receiver.named("search")[0]["search_term"] == "boots"
    assert len(receiver.named("page_view")) == 1
    assert {event["event_name"] for event in receiver.events} <= {
        "page_view",
        "purchase",
        "add_to_cart",
        "search",
        "view_item",
    }
    assert visitor.complaints == []


def test_an_account_is_named_from_identify_on_and_is_not_kept(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    page.evaluate("nearline('identify', 4711); nearline('event', 'in')")
    page.evaluate("nearline('identify', null); nearline('event', 'out')")
    receiver.wait_for("out")
    assert receiver.named("identify")[0]["user_id"] == "4711"
    assert receiver.named("in")[0]["user_id"] == "4711"
    assert "user_id" not in receiver.named("out")[0]
    page.wait_for_function("Object.keys(localStorage).length == 0")
    assert "4711" not in json.dumps(visitor.context.cookies())


# Engaged time and scroll


def stopped_clock(visitor: Visitor) -> Page:
    """A page whose clock only moves when the test moves it."""
    visitor.context.clock.install(time=FIRST_MOMENT)
    page = visitor.open()
    page.clock.pause_at(STOPPED_AT)
    return page


def run_until_received(
    page: Page, receiver: Receiver, name: str, count: int = 1
) -> None:
    """Lets the page's timers run while its requests run in real time."""
    for _ in range(60):
        if len(receiver.named(name)) >= count:
            return
        page.clock.run_for(1_000)
        take_real_time(page)
    receiver.wait_for(name, count, seconds=0)


def run_to_seconds_after_a_heartbeat(page: Page, seconds: int) -> None:
    """Heartbeats come every ten seconds since `stopped_clock` stopped the page's."""
    passed = page.evaluate("Date.now()") - round(STOPPED_AT.timestamp() * 1_000)
    page.clock.run_for((seconds * 1_000 - passed) % 10_000)


def take_real_time(page: Page) -> None:
    page.evaluate("fetch('/nothing').then((answer) => answer.text())")


def test_engaged_time_is_that_of_the_scripted_visit(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html("<div style='height: 5000px'></div>")
    page = stopped_clock(visitor)
    page.evaluate(SHOW_AS, "hidden")
    page.evaluate("nearline('event', 'visit_begins')")
    run_until_received(page, receiver, "visit_begins")
    before = len(receiver.named("user_engagement"))
    run_to_seconds_after_a_heartbeat(page, 7)

    page.evaluate(SHOW_AS, "visible")
    page.clock.run_for(12_000)  # reads: 12 s
    page.mouse.move(50, 50)
    page.clock.run_for(60_000)  # goes away from the desk: 15 s, then idle
    page.mouse.move(90, 90)
    page.clock.run_for(4_300)  # 4.3 s
    page.evaluate(SHOW_AS, "hidden")
    page.clock.run_for(600_000)  # another tab: nothing
    page.evaluate(SHOW_AS, "visible")
    page.clock.run_for(6_000)  # 6 s
    page.evaluate(FOCUS_AS, False)
    page.mouse.move(10, 10)
    page.clock.run_for(30_000)  # another window: nothing
    page.evaluate(FOCUS_AS, True)
    page.clock.run_for(5_000)  # 5 s, from 0.7 s before a heartbeat
    page.keyboard.press("ArrowDown")
    page.clock.run_for(7_500)  # 7.5 s
    page.evaluate(SHOW_AS, "hidden")
    page.evaluate("nearline('event', 'visit_ends')")
    run_until_received(page, receiver, "visit_ends")

    engaged = receiver.named("user_engagement")[before:]
    assert total(engaged, "engaged_seconds") == pytest.approx(
        12 + 15 + 4.3 + 6 + 5 + 7.5, abs=0.01
    )
    # Increments of a heartbeat, and of less than a second that waited for the next one.
    assert max(event["engaged_seconds"] for event in engaged) == pytest.approx(
        10.7, abs=0.01
    )
    assert len({event["page_view_id"] for event in engaged}) == 1


def test_each_page_of_an_app_gets_its_own_engaged_time(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(heartbeat="60")
    page = stopped_clock(visitor)
    page.evaluate("history.pushState({}, '', '/a')")
    page.clock.run_for(3_000)
    page.evaluate("history.pushState({}, '', '/b')")
    page.clock.run_for(8_000)
    page.evaluate("history.pushState({}, '', '/c')")
    run_until_received(page, receiver, "page_view", 4)
    seconds = {
        event["page_url"].removeprefix(receiver.url): event["engaged_seconds"]
        for event in receiver.named("user_engagement")
    }
    assert seconds["/a"] == 3
    assert seconds["/b"] == 8


def test_the_remainder_is_sent_when_the_page_is_left(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(heartbeat="600")
    receiver.pages["/next"] = "<!doctype html>no tracker here"
    page = stopped_clock(visitor)
    page.mouse.move(9, 9)
    page.clock.run_for(4_000)
    page.goto(receiver.url + "/next")
    # What preceded the pause counts as well: up to `idle`. The clock may step by a
    # millisecond as it is stopped.
    engaged = total(receiver.wait_for("user_engagement"), "engaged_seconds")
    assert 4 <= engaged <= 15 + 4 + 0.01


def test_the_deepest_scroll_is_told_once_per_step_and_at_the_end(
    visitor: Visitor, receiver: Receiver
) -> None:
    # Ten screens high.
    receiver.pages["/"] = html("<div style='height: 1000vh'></div>")
    page = stopped_clock(visitor)
    page.add_style_tag(content="body { margin: 0 }")
    for screens in (0.1, 2, 2.2, 1, 6):
        page.evaluate(
            """(screens) => new Promise((resolve) => {
              addEventListener("scroll", resolve, {once: true});
              scrollTo(0, screens * innerHeight);
            })""",
            screens,
        )
        page.clock.run_for(500)
    page.evaluate(
        """() => new Promise((resolve) => {
          addEventListener("scroll", resolve, {once: true});
          scrollTo(0, 6.2 * innerHeight);
        })"""
    )
    page.evaluate(SHOW_AS, "hidden")
    run_until_received(page, receiver, "scroll", 3)
    rates = [event["scroll_rate"] for event in receiver.named("scroll")]
    assert rates == pytest.approx([0.3, 0.7, 0.72], abs=0.005)


def test_a_page_that_is_not_scrolled_tells_no_scroll(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    page.evaluate(SHOW_AS, "hidden")
    page.evaluate("nearline('event', 'after_all')")
    receiver.wait_for("after_all")
    assert receiver.named("scroll") == []


# Consent


BUSY = """() => {
  nearline("event", "view_item", {item_id: "a"});
  nearline("identify", "ann");
  nearline("page");
  nearline("get", () => {});
  dataLayer.push({event: "add_to_cart", ecommerce: {items: [{item_id: "a"}]}});
  history.pushState({}, "", "/second?q=boots");
}"""


def be_busy(page: Page) -> None:
    page.evaluate(BUSY)
    page.click("#buy")
    page.mouse.move(60, 60)
    page.mouse.wheel(0, 900)
    page.clock.run_for(60_000)
    page.evaluate(SHOW_AS, "hidden")
    page.clock.run_for(60_000)
    page.evaluate(SHOW_AS, "visible")


@pytest.mark.parametrize("data", [{}, {"consent": "misspelt"}, {"consent": ""}])
def test_nothing_is_stored_or_sent_before_consent(
    visitor: Visitor, receiver: Receiver, data: dict[str, str]
) -> None:
    receiver.pages["/"] = html(CLICKABLE, **{"consent": "required", **data})
    receiver.pages["/next"] = html("", **{"consent": "required", **data})
    page = stopped_clock(visitor)
    be_busy(page)
    assert page.evaluate(KEPT) == NOTHING_KEPT
    page.goto(receiver.url + "/next")
    page.wait_for_function("window.nearline && nearline.loaded")
    page.clock.run_for(60_000)
    assert page.evaluate(KEPT) == NOTHING_KEPT
    assert visitor.context.cookies() == []
    assert {url for url in visitor.requests if "/v1/" in url} == {
        f"{receiver.url}/v1/tracker.js"
    }
    assert receiver.batches == []
    assert visitor.complaints == []


def test_after_consent_only_the_open_page_is_told_from_then_on(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = asking(CLICKABLE)
    page = stopped_clock(visitor)
    be_busy(page)
    opted_in_at = page.evaluate("new Date().toISOString()")
    page.evaluate(
        "nearline('consent', {analytics: true, personalization: true, marketing: false})"
    )
    page.clock.run_for(4_000)
    page.evaluate(SHOW_AS, "hidden")
    run_until_received(page, receiver, "user_engagement")
    assert [event["event_name"] for event in receiver.events] == [
        "page_view",
        "search",
        "consent",
        "user_engagement",
    ]
    view, _, consent, engaged = receiver.events
    assert view["page_url"] == f"{receiver.url}/second"
    assert view["occurred_at"] == opted_in_at
    assert engaged["engaged_seconds"] == 4
    assert consent["consent_analytics"] is True
    assert consent["consent_personalization"] is True
    assert consent["consent_marketing"] is False
    assert consent["consent_notice_version"] == "2026-01"


def test_consent_holds_on_the_next_page_and_repeating_it_is_no_news(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = receiver.pages["/next"] = asking()
    visitor.consent_to_all(visitor.open())
    page = visitor.open("/next")
    page.evaluate("(all) => nearline('consent', all)", ALL)
    page.evaluate("nearline('event', 'after_all')")
    receiver.wait_for("after_all")
    first, second = receiver.named("page_view")
    assert first["visitor_id"] == second["visitor_id"]
    assert len(receiver.named("consent")) == 1


def test_a_changed_notice_asks_anew(visitor: Visitor, receiver: Receiver) -> None:
    receiver.pages["/"] = asking(notice="2026-01")
    receiver.pages["/new"] = asking(notice="2026-02")
    visitor.consent_to_all(visitor.open())
    page = visitor.open("/new")
    page.evaluate("nearline('event', 'unheard')")
    state = page.evaluate("new Promise((tell) => nearline('get', tell))")
    assert state["decided"] is False
    assert state["analytics"] is False
    assert state["visitor_id"] is None
    page.evaluate("(all) => nearline('consent', all)", ALL)
    consent = receiver.wait_for("consent", 2)[1]
    assert consent["consent_notice_version"] == "2026-02"
    assert receiver.named("unheard") == []


def test_withdrawal_is_the_last_that_is_heard(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = asking(CLICKABLE)
    page = visitor.open()
    visitor.consent_to_all(page)
    visitor_id = receiver.named("consent")[0]["visitor_id"]
    page.wait_for_function("Object.keys(localStorage).length == 0")
    page.evaluate("nearline('event', 'still_queued')")
    page.evaluate("nearline('consent', {analytics: false})")
    last = receiver.wait_for("consent", 2)[1]
    page.click("#buy")
    page.evaluate("nearline('event', 'unheard')")
    page.evaluate(SHOW_AS, "hidden")
    assert last["consent_analytics"] is False
    assert last["visitor_id"] == visitor_id
    assert receiver.events[-1] == last
    assert receiver.named("still_queued") == []
    assert visitor.cookie("_nl_vid") is None
    kept = page.evaluate(KEPT)
    assert kept["local"] == []
    assert visitor_id not in kept["cookies"]

    again = visitor.open()
    state = again.evaluate("new Promise((tell) => nearline('get', tell))")
    assert state["decided"] is True
    assert state["analytics"] is False


def test_a_withdrawal_in_one_tab_silences_the_others(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = receiver.pages["/other"] = asking()
    first = visitor.open()
    visitor.consent_to_all(first)
    other = visitor.open("/other")
    receiver.wait_for("page_view", 2)
    receiver.status = 503
    other.evaluate("nearline('event', 'waiting')")
    receiver.wait_for_refusals(1)
    receiver.status = 200
    first.evaluate("nearline('optout')")
    receiver.wait_for("consent", 2)
    other.evaluate("nearline('event', 'unheard')")
    other.evaluate(SHOW_AS, "hidden")
    assert other.evaluate(KEPT)["local"] == []
    assert receiver.named("waiting") == receiver.named("unheard") == []
    assert receiver.named("consent")[1]["consent_marketing"] is False


def test_who_opts_out_stays_out_when_the_notice_changes(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(notice="1")
    receiver.pages["/new"] = html(notice="2")
    page = visitor.open()
    receiver.wait_for("page_view")
    page.evaluate("nearline('optout')")
    (last,) = receiver.wait_for("consent")
    assert last["consent_analytics"] is last["consent_marketing"] is False
    page = visitor.open("/new")
    page.evaluate("nearline('event', 'unheard')")
    page.evaluate(SHOW_AS, "hidden")
    assert visitor.cookie("_nl_vid") is None
    assert receiver.events[-1] == last


@pytest.mark.parametrize(
    ("data", "personalization"), [({}, False), ({"gpc": "sale"}, True)]
)
def test_global_privacy_control_overrules_the_answer(
    visitor: Visitor, receiver: Receiver, data: dict[str, str], personalization: bool
) -> None:
    visitor.context.add_init_script(GPC)
    receiver.pages["/"] = asking(**data)
    page = visitor.open()
    visitor.consent_to_all(page)
    state = page.evaluate("new Promise((tell) => nearline('get', tell))")
    assert state["gpc"] is True
    for event in receiver.events:
        assert event["consent_analytics"] is True
        assert event["consent_personalization"] is personalization
        assert event["consent_marketing"] is False


def test_global_privacy_control_alone_is_no_consent(
    visitor: Visitor, receiver: Receiver
) -> None:
    visitor.context.add_init_script(GPC)
    receiver.pages["/"] = asking(CLICKABLE)
    page = stopped_clock(visitor)
    be_busy(page)
    assert page.evaluate(KEPT) == NOTHING_KEPT
    assert receiver.batches == []


def test_do_not_sell_switches_off_all_but_analytics(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    receiver.wait_for("page_view")
    page.evaluate("nearline('consent', {do_not_sell: true})")
    (consent,) = receiver.wait_for("consent")
    page.evaluate("nearline('event', 'after')")
    (after,) = receiver.wait_for("after")
    for event in (consent, after):
        assert event["consent_analytics"] is True
        assert event["consent_personalization"] is False
        assert event["consent_marketing"] is False


# The visitor's cookie


def test_the_cookie_is_first_party_lax_and_expires_after_thirteen_months(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    visitor.open()
    (view,) = receiver.wait_for("page_view")
    cookie = visitor.cookie("_nl_vid")
    assert cookie is not None
    found = re.fullmatch(VISITOR, cookie["value"])
    assert found is not None
    assert found[1] == view["visitor_id"]
    assert cookie["sameSite"] == "Lax"
    assert cookie["domain"] == "127.0.0.1"
    assert cookie["expires"] - int(found[2]) == pytest.approx(
        THIRTEEN_MONTHS_SECONDS, abs=120
    )


def test_the_cookie_is_secure_on_https(visitor: Visitor, receiver: Receiver) -> None:
    receiver.pages["/"] = html(endpoint=f"{receiver.url}/v1/events")
    # A certificate is not what is tested: the browser believes itself on https, and
    # gets what the receiver serves.
    visitor.context.route(
        "https://shop.example/**",
        lambda route: route.fulfill(
            response=visitor.context.request.get(
                route.request.url.replace("https://shop.example", receiver.url)
            )
        ),
    )
    page = visitor.context.new_page()
    page.goto("https://shop.example/")
    page.wait_for_function("document.cookie.includes('_nl_vid')")
    cookie = visitor.cookie("_nl_vid")
    assert cookie is not None
    assert cookie["secure"] is True
    assert cookie["domain"] == "shop.example"


GOOD_ID = "0123456789abcdef0123456789abcdef"


def _created(days_ago: float) -> int:
    return int(time.time() - days_ago * 86_400)


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        (lambda: f"nl1.{GOOD_ID}.{_created(300)}", True),
        (lambda: f"nl1.{GOOD_ID[:22]}.{_created(1)}", True),
        (lambda: f"nl1.{GOOD_ID}.{_created(396)}", False),
        (lambda: f"nl1.{GOOD_ID}.{_created(-3)}", False),
        (lambda: f"nl2.{GOOD_ID}.{_created(1)}", False),
        (lambda: f"nl1.{GOOD_ID[:21]}.{_created(1)}", False),
        (lambda: f"nl1.{GOOD_ID}x.{_created(1)}", False),
        (lambda: f"nl1.{GOOD_ID}", False),
        (lambda: f"nl1.ann@example.com--------.{_created(1)}", False),
        (lambda: GOOD_ID, False),
        (lambda: "", False),
    ],
)
def test_a_cookie_is_believed_only_if_well_formed_and_not_too_old(
    visitor: Visitor, receiver: Receiver, value: Callable[[], str], is_kept: bool
) -> None:
    given = value()
    visitor.context.add_cookies(
        [{"name": "_nl_vid", "value": given, "url": receiver.url}]
    )
    receiver.pages["/"] = html()
    visitor.open()
    (view,) = receiver.wait_for("page_view")
    cookie = visitor.cookie("_nl_vid")
    assert cookie is not None
    if is_kept:
        assert cookie["value"] == given
        assert view["visitor_id"] == given.split(".")[1]
        # Written anew for the time that is left, not for another thirteen months.
        created = int(given.split(".")[2])
        assert cookie["expires"] == pytest.approx(
            created + THIRTEEN_MONTHS_SECONDS, abs=120
        )
    else:
        found = re.fullmatch(VISITOR, cookie["value"])
        assert found is not None
        assert found[1] == view["visitor_id"] != GOOD_ID


# Delivery


def test_a_refused_batch_is_sent_again_with_the_same_ids(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    receiver.status = 503
    page = visitor.open()
    page.evaluate("nearline('event', 'bought')")
    receiver.wait_for_refusals(2)
    receiver.status = 200
    receiver.wait_for("bought")
    refused = {
        event["event_id"] for batch in receiver.refused for event in batch["events"]
    }
    assert {event["event_id"] for event in receiver.events} == refused
    page.wait_for_function("Object.keys(localStorage).length == 0")
    assert receiver.refused[0]["sent_at"] < receiver.batches[0]["sent_at"]


def test_retries_wait_longer_each_time_and_as_long_as_asked(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    receiver.status = 503
    page = stopped_clock(visitor)
    # What was tried before the clock stood still is not counted.
    page.evaluate("dispatchEvent(new Event('online'))")
    waits = [run_until_refused(page, receiver, step_ms=100) for _ in range(7)][1:]
    # Wait n lies between 2^n / 2 and 2^n seconds, so the next but one is always longer.
    assert all(
        later > earlier for earlier, later in zip(waits, waits[2:], strict=False)
    )
    assert max(waits) <= 65_000

    receiver.retry_after = "900"
    run_until_refused(page, receiver, step_ms=1_000)
    attempts = len(receiver.refused)
    page.evaluate("nearline('event', 'bought')")
    page.evaluate(SHOW_AS, "hidden")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.clock.run_for(880_000)
    page.wait_for_timeout(300)
    assert len(receiver.refused) == attempts
    receiver.status = 200
    page.clock.run_for(400_000)
    receiver.wait_for("bought")


def run_until_refused(page: Page, receiver: Receiver, step_ms: int) -> int:
    """Moves the clock on until a batch has been refused: the milliseconds it took."""
    attempts = len(receiver.refused)
    waited = 0
    while len(receiver.refused) == attempts:
        assert waited < 400_000
        page.clock.run_for(step_ms)
        # A fetch runs in real time.
        take_real_time(page)
        waited += step_ms
    return waited


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_what_the_collector_will_never_take_is_given_up(
    visitor: Visitor, receiver: Receiver, status: int
) -> None:
    receiver.pages["/"] = html()
    receiver.status = status
    page = visitor.open()
    receiver.wait_for_refusals(1)
    page.wait_for_function("Object.keys(localStorage).length == 0")
    receiver.status = 200
    page.evaluate("nearline('event', 'later')")
    receiver.wait_for("later")
    assert receiver.named("page_view") == []


def test_one_batch_is_under_way_at_a_time(visitor: Visitor, receiver: Receiver) -> None:
    receiver.pages["/"] = html()
    receiver.hold = threading.Event()
    page = visitor.open()
    receiver.wait_for_posting()
    page.evaluate("for (let n = 0; n < 170; n++) nearline('event', 'many', {n})")
    page.wait_for_timeout(1_500)
    receiver.hold.set()
    many = receiver.wait_for("many", 170)
    assert receiver.most_posting == 1
    assert [event["properties"]["n"] for event in many] == list(range(170))
    assert max(len(batch["events"]) for batch in receiver.batches) <= 50


def test_batches_stay_small_enough_for_a_page_that_closes(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    receiver.pages["/next"] = "<!doctype html>no tracker here"
    page = visitor.open()
    receiver.wait_for("page_view")
    page.evaluate(
        "for (let n = 0; n < 40; n++) nearline('event', 'big', {t: 'é'.repeat(2000)})"
    )
    page.goto(receiver.url + "/next")
    receiver.wait_for("big")
    size = max(
        len(json.dumps(batch, ensure_ascii=False).encode())
        for batch in receiver.batches
    )
    assert size < 32_000


def test_a_page_closed_in_the_middle_loses_nothing(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = receiver.pages["/next"] = html()
    page = visitor.open()
    receiver.wait_for("page_view")
    receiver.status = 503
    page.evaluate("for (let n = 0; n < 120; n++) nearline('event', 'many', {n})")
    page.close()
    receiver.status = 200
    visitor.open("/next")
    many = receiver.wait_for("many", 120)
    assert sorted(event["properties"]["n"] for event in many) == list(range(120))


def test_a_page_that_crashes_loses_nothing(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = receiver.pages["/next"] = html()
    page = visitor.open()
    receiver.wait_for("page_view")
    receiver.status = 503
    page.evaluate("for (let n = 0; n < 30; n++) nearline('event', 'many', {n})")
    with page.expect_event("crash"), contextlib.suppress(Error):
        page.goto("chrome://crash")
    receiver.status = 200
    visitor.open("/next")
    receiver.wait_for("many", 30)


def test_events_of_an_offline_visit_arrive_when_it_is_over(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    receiver.wait_for("page_view")
    visitor.context.set_offline(True)
    page.evaluate("for (let n = 0; n < 10; n++) nearline('event', 'many', {n})")
    page.wait_for_timeout(1_500)
    assert receiver.named("many") == []
    visitor.context.set_offline(False)
    receiver.wait_for("many", 10)


def test_a_full_queue_drops_the_oldest_and_says_how_many(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    receiver.wait_for("page_view")
    page.wait_for_function("Object.keys(localStorage).length == 0")
    receiver.status = 503
    page.evaluate("for (let n = 0; n < 700; n++) nearline('event', 'many', {n})")
    assert page.evaluate("Object.keys(localStorage).length") == 500
    page.evaluate("nearline('event', 'after_all')")
    receiver.status = 200
    page.evaluate("dispatchEvent(new Event('online'))")
    receiver.wait_for("after_all")
    many = receiver.named("many")
    assert [event["properties"]["n"] for event in many] == list(range(201, 700))
    told = sum(
        event.get("properties", {}).get("dropped_events", 0)
        for event in receiver.events
    )
    # The drop that makes room for the last event is told by the next one.
    assert told == 200


def test_damaged_entries_in_storage_do_no_harm(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    receiver.pages["/plain"] = "<!doctype html>"
    page = visitor.open("/plain", wait=False)
    page.evaluate(
        """() => {
          localStorage["_nl_e.a"] = "{";
          localStorage["_nl_e.b"] = "null";
          localStorage["_nl_e.c"] = '{"event_id": "other"}';
          localStorage["of_the_page"] = "stays";
        }"""
    )
    page = visitor.open()
    receiver.wait_for("page_view")
    page.wait_for_function("Object.keys(localStorage).join() == 'of_the_page'")
    assert len(receiver.events) == 1
    assert visitor.complaints == []


def test_a_collector_elsewhere_is_reached_without_a_preflight(
    visitor: Visitor, receiver: Receiver
) -> None:
    with running_receiver() as elsewhere:
        receiver.pages["/"] = html().replace('src="/v1/', f'src="{elsewhere.url}/v1/')
        visitor.open()
        # The receiver answers no OPTIONS: a preflight would have failed.
        elsewhere.wait_for("page_view")


# A browser that forbids


NO_COOKIES = """
  Object.defineProperty(Document.prototype, "cookie", {get: () => "", set: () => {}});
"""
FULL_STORAGE = """
  Storage.prototype.setItem = () => { throw new DOMException("", "QuotaExceededError"); };
"""


@pytest.mark.parametrize("consent", ["required", "opt-out"])
@pytest.mark.parametrize(
    "blocked", ["sandbox", "cookies", "storage", "cookies+storage"]
)
def test_a_page_that_blocks_storage_works_in_memory(
    visitor: Visitor, receiver: Receiver, consent: str, blocked: str
) -> None:
    if blocked == "sandbox":
        # Without an origin of its own: reading cookie or localStorage throws.
        receiver.page_headers["Content-Security-Policy"] = "sandbox allow-scripts"
    if "cookies" in blocked:
        visitor.context.add_init_script(NO_COOKIES)
    if "storage" in blocked:
        visitor.context.add_init_script(FULL_STORAGE)
    receiver.pages["/"] = html(CLICKABLE, consent=consent)
    page = visitor.open()
    if consent == "required":
        page.evaluate("nearline('event', 'unheard')")
        visitor.consent_to_all(page)
    receiver.status = 503
    page.click("#buy")
    receiver.wait_for_refusals(1)
    receiver.status = 200
    receiver.wait_for("add_to_cart")
    assert len({event["visitor_id"] for event in receiver.events}) == 1
    page.evaluate("nearline('optout')")
    last = receiver.wait_for("consent", 2 if consent == "required" else 1)[-1]
    assert last["consent_analytics"] is False
    page.evaluate("nearline('event', 'unheard')")
    page.evaluate(SHOW_AS, "hidden")
    assert receiver.named("unheard") == []
    assert visitor.complaints == []


def test_wrong_calls_never_throw_into_the_page(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html()
    page = visitor.open()
    page.evaluate(
        """() => {
          const circle = {}; circle.circle = circle;
          nearline(); nearline("nothing"); nearline("event"); nearline("consent");
          nearline("event", "x", circle); nearline("event", "x", {big: 1n});
          nearline("event", "x", {items: 7}); nearline("get"); nearline(null, null);
          nearline("consent", {notice_version: 7, analytics: "yes"});
          nearline("page", "text"); nearline("constructor", 1);
          history.pushState(null, "", null);
          document.dispatchEvent(new MouseEvent("click"));
        }"""
    )
    page.evaluate("nearline('event', 'after_all')")
    receiver.wait_for("after_all")
    # "get" without a function is the page's own mistake, and shown to it.
    assert [text for text in visitor.complaints if "callback" not in text] == []


def test_loading_it_twice_counts_once(visitor: Visitor, receiver: Receiver) -> None:
    tag = '<script src="/v1/tracker.js" data-write-key="dev" data-consent="opt-out">'
    receiver.pages["/"] = html(f"{tag}</script>{tag}</script>")
    page = visitor.open()
    page.evaluate("nearline('event', 'after_all')")
    receiver.wait_for("after_all")
    assert len(receiver.named("page_view")) == 1


# Kind of device


IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
GALAXY_TAB = (
    "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)
IPAD = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Safari/605.1.15"
)
TELEVISION = (
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.5) AppleWebKit/537.36 (KHTML, like Gecko) "
    "85.0.4183.93/6.5 TV Safari/537.36"
)


@pytest.mark.parametrize(
    ("agent", "has_touch", "device"),
    [
        (IPHONE, True, "mobile"),
        (GALAXY_TAB, True, "tablet"),
        (IPAD, True, "tablet"),
        (IPAD, False, "desktop"),
        (TELEVISION, False, "tv"),
    ],
)
def test_the_kind_of_device_is_told(
    browser: Browser, receiver: Receiver, agent: str, has_touch: bool, device: str
) -> None:
    receiver.pages["/"] = html()
    context = browser.new_context(user_agent=agent, has_touch=has_touch)
    Visitor(context, receiver).open()
    assert receiver.wait_for("page_view")[0]["device_class"] == device
    context.close()
