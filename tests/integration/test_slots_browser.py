"""The browser helper in a real browser: what is drawn, what is asked, what is told.

Debian's Chromium, driven by Playwright, against real HTTP. What was drawn is recorded frame
by frame in the page. An answer is held back until the page has done what is looked at, so
that no figure depends on this machine; where an answer has to come in time, the budget is
long.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.chromium import chromium
from tests.receiver import Receiver, running_receiver

pytestmark = pytest.mark.services

LONG = 20_000
ALL = {"analytics": True, "personalization": True, "marketing": True}
DEFAULT = "<p>Free delivery</p>"
STYLE = ".far { height: 2000px } [data-nearline-slot] { min-height: 100px }"
# A page that allows itself nothing but scripts of files, and no sink for markup.
STRICT = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
    "base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

# Frames: the slot's text as it is drawn in each; "" while it is hidden. Shifts: how much
# moved without the reader's doing.
RECORDER = """() => {
  window.frames_drawn = [];
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      if (!entry.hadRecentInput) shifts.push(entry.value);
  }).observe({ type: "layout-shift", buffered: true });
  const draw = () => {
    const slot = document.querySelector("[data-nearline-slot]");
    if (slot) {
      const isDrawn = getComputedStyle(slot).visibility == "visible";
      const text = isDrawn ? slot.textContent.trim() : "";
      if (frames_drawn.at(-1) !== text) frames_drawn.push(text);
    }
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}"""
TWO_FRAMES = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(done)))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        receiver.slots["banner"] = answer("d_1", content={"text": "Your cart waits"})
        receiver.pages["/style.css"] = STYLE
        yield receiver


@dataclass
class Visitor:
    """A browser of somebody, with what went wrong on its pages."""

    context: BrowserContext
    receiver: Receiver
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.receiver.url + path)
        return page


@pytest.fixture
def visitor(browser: Browser, receiver: Receiver) -> Iterator[Visitor]:
    with visiting(browser, receiver) as visitor:
        yield visitor


@contextmanager
def visiting(browser: Browser, receiver: Receiver) -> Iterator[Visitor]:
    context = browser.new_context(viewport={"width": 800, "height": 600})
    context.add_init_script(f"({RECORDER})()")
    yield Visitor(context, receiver)
    context.close()


def answer(
    decision_id: str | None = "d_1",
    kind: str = "message",
    block: str | None = "cart_waits",
    content: dict[str, Any] | None = None,
    items: list[dict[str, Any]] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """One slot's part of an answer."""
    return {
        "decision_id": decision_id,
        "content": {
            "kind": kind,
            "block": block,
            "content": content or {},
            "items": items or [],
        },
        "reason": "something is in the cart",
        "answer": "personal",
        "fallback": None,
        "arms": {},
        "hold_out": False,
        **fields,
    }


def listed(*item_ids: str) -> list[dict[str, Any]]:
    return [{"item_id": one, "reason": f"like {one}"} for one in item_ids]


def html(
    body: str,
    consent: str = "opt-out",
    after: str = "",
    head: str = "",
    how: str = "",
    **data: Any,
) -> str:
    attributes = {"key": "dev", "budget": LONG, **data}
    written = " ".join(
        f'data-{name.replace("_", "-")}="{value}"' for name, value in attributes.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><title>Shop</title>{head}'
        '<link rel="stylesheet" href="/style.css">'
        f'<script {how} src="/v1/slots.js" {written}></script>'
        f'<script async src="/v1/tracker.js" data-write-key="dev" '
        f'data-consent="{consent}"></script></head><body>{body}{after}</body></html>'
    )


def banner(default: str = DEFAULT, attributes: str = "") -> str:
    return f'<div data-nearline-slot="banner" {attributes}>{default}</div><p>Below</p>'


def wait_for(page: Page, state: str, slot: str = "banner") -> None:
    page.locator(
        f'[data-nearline-slot={slot}][data-nearline-state="{state}"]'
    ).wait_for(state="attached")


def text_of(page: Page, slot: str = "banner") -> str:
    return page.locator(f"[data-nearline-slot={slot}]").inner_text().strip()


def consent(page: Page, **choice: bool) -> None:
    page.evaluate("(choice) => nearline('consent', choice)", choice)


# What is drawn


def test_content_is_there_from_the_first_frame_on_and_nothing_moves(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(banner())
    page = visitor.open()
    wait_for(page, "filled")
    page.evaluate(TWO_FRAMES)
    drawn = page.evaluate("frames_drawn")
    assert [text for text in drawn if text] == ["Your cart waits"]
    assert page.evaluate("shifts") == []
    assert page.locator("[aria-busy]").count() == 0
    assert visitor.complaints == []


def test_a_shorter_content_keeps_the_space_of_the_default(
    visitor: Visitor, receiver: Receiver
) -> None:
    tall = "<p>One</p><p>Two</p><p>Three</p>"
    receiver.pages["/"] = html(banner(tall, "class=padded"))
    receiver.pages["/style.css"] = ".padded { padding: 20px; border: 1px solid }"
    receiver.decide_hold = threading.Event()
    page = visitor.open()
    height = page.locator("[data-nearline-slot]").evaluate(
        "(slot) => slot.offsetHeight"
    )
    receiver.decide_hold.set()
    wait_for(page, "filled")
    page.evaluate(TWO_FRAMES)
    slot = page.locator("[data-nearline-slot]")
    assert slot.evaluate("(slot) => slot.offsetHeight") == height
    assert page.evaluate("shifts") == []


def test_a_slow_answer_leaves_the_default_that_was_shown(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(banner(), budget=200)
    receiver.decide_hold = threading.Event()
    page = visitor.open()
    wait_for(page, "default")
    page.evaluate(TWO_FRAMES)
    with page.expect_response("**/v1/decide*"):
        receiver.decide_hold.set()
    page.evaluate(TWO_FRAMES)
    assert [text for text in page.evaluate("frames_drawn") if text] == ["Free delivery"]
    assert page.evaluate("shifts") == []
    assert receiver.named("slot_visible") == []


def test_a_slow_answer_fills_what_the_reader_has_not_reached(
    visitor: Visitor, receiver: Receiver
) -> None:
    page = wait_at_the_top(visitor, receiver)
    receiver.decide_hold.set()
    wait_for(page, "filled")
    assert text_of(page) == "Your cart waits"
    page.locator("[data-nearline-slot]").scroll_into_view_if_needed()
    receiver.wait_for("slot_visible")


def test_what_was_read_is_not_changed_though_it_is_out_of_sight_again(
    visitor: Visitor, receiver: Receiver
) -> None:
    page = wait_at_the_top(visitor, receiver)
    for place in (2_000, 0):
        page.evaluate("(place) => scrollTo(0, place)", place)
        page.evaluate(TWO_FRAMES)
    with page.expect_response("**/v1/decide*"):
        receiver.decide_hold.set()
    page.evaluate(TWO_FRAMES)
    assert text_of(page) == "Free delivery"


def wait_at_the_top(visitor: Visitor, receiver: Receiver) -> Page:
    """A page whose slot is far below and shows its default; the answer is held back."""
    receiver.pages["/"] = html(f'<div class="far">Far</div>{banner()}', budget=100)
    receiver.decide_hold = threading.Event()
    page = visitor.open()
    wait_for(page, "default")
    page.evaluate(TWO_FRAMES)
    return page


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_an_answer_that_is_none_leaves_the_default(
    visitor: Visitor, receiver: Receiver, status: int
) -> None:
    receiver.pages["/"] = html(banner())
    receiver.decide_status = status
    page = visitor.open()
    wait_for(page, "default")
    assert text_of(page) == "Free delivery"
    assert visitor.complaints == []


def test_an_api_that_is_away_leaves_the_default(
    visitor: Visitor, receiver: Receiver
) -> None:
    # Nobody listens on port 1.
    receiver.pages["/"] = html(banner(), api="http://127.0.0.1:1/")
    page = visitor.open()
    wait_for(page, "default")
    assert text_of(page) == "Free delivery"
    assert visitor.complaints == []


def test_a_damaged_answer_leaves_the_default(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(banner())
    receiver.slots["banner"] = {"content": None}
    page = visitor.open()
    wait_for(page, "default")
    assert text_of(page) == "Free delivery"
    assert visitor.complaints == []


def test_a_late_script_with_a_guard_in_the_style_sheet_shows_no_default_first(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(banner(), how="async")
    receiver.pages["/style.css"] = guard("20s")
    page = visitor.open()
    wait_for(page, "filled")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("frames_drawn.filter(Boolean)") == ["Your cart waits"]
    assert page.evaluate("shifts") == []


def test_the_guard_gives_way_where_the_script_never_comes(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = (
        '<!doctype html><link rel="stylesheet" href="/style.css">' + banner()
    )
    receiver.pages["/style.css"] = guard("200ms")
    page = visitor.open()
    page.wait_for_function("frames_drawn.at(-1) == 'Free delivery'")


def guard(after: str) -> str:
    """The rules that docs/decisions-api.md gives."""
    return (
        "[data-nearline-slot]:not([data-nearline-state]) { visibility: hidden; "
        f"animation: nearline-give-way 0s {after} forwards }} "
        "@keyframes nearline-give-way { to { visibility: visible } }"
    )


def test_what_the_reader_is_in_is_left_alone(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(banner('<input aria-label="E-mail">'), "required")
    page = visitor.open()
    wait_for(page, "default")
    page.get_by_label("E-mail").focus()
    consent(page, analytics=True)
    with page.expect_response("**/v1/decide*"):
        page.evaluate("nearlineSlots.refresh()")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("document.activeElement.tagName") == "INPUT"


# What is asked


def test_all_slots_of_a_page_are_asked_for_at_once_with_what_the_tracker_says(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.slots["list"] = answer("d_2", "items", None, items=listed("sku_1"))
    receiver.pages["/p/7"] = html(
        banner() + '<div data-nearline-slot="list"></div>' + banner(),
        page_type="product",
        item="sku_7",
        channel="email",
    )
    page = visitor.open("/p/7")
    wait_for(page, "filled", "list")
    state = page.evaluate("new Promise((done) => nearline('get', done))")
    (question,) = receiver.asked
    assert question == {
        "visitor": state["visitor_id"],
        "slots": ["banner", "list"],
        "context": {
            "page_type": "product",
            "item": "sku_7",
            "channel": "email",
            "page_path": "/p/7",
            "consent": ALL,
        },
    }
    assert page.locator("[data-nearline-state=filled]").count() == 3


def test_nothing_is_asked_before_consent_and_the_default_stands(
    visitor: Visitor, receiver: Receiver
) -> None:
    far = (
        f'{banner()}<div class="far"></div><div data-nearline-slot="list">Popular</div>'
    )
    receiver.pages["/"] = html(far, consent="required")
    receiver.slots["list"] = answer("d_2", "items", None, items=listed("sku_1"))
    page = visitor.open()
    wait_for(page, "default")
    assert text_of(page) == "Free delivery"
    assert receiver.asked == []
    assert page.evaluate("document.cookie") == ""
    # What was read stays, what was not is asked for and filled.
    page.evaluate(TWO_FRAMES)
    consent(page, analytics=True, personalization=True)
    wait_for(page, "filled", "list")
    (question,) = receiver.asked
    assert question["slots"] == ["list"]
    assert question["context"]["consent"] == {
        "analytics": True,
        "personalization": True,
        "marketing": False,
    }
    assert text_of(page) == "Free delivery"


def test_without_consent_a_page_may_ask_for_what_everybody_sees(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(banner(), "required", without_consent="general")
    receiver.slots["banner"] = answer(None, content={"text": "For all"})
    page = visitor.open()
    wait_for(page, "filled")
    (question,) = receiver.asked
    assert question["visitor"] == "-"
    assert not any(question["context"]["consent"].values())
    assert page.evaluate("document.cookie") == ""
    assert text_of(page) == "For all"


def test_a_withdrawal_while_the_answer_is_under_way_is_heeded(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(banner())
    receiver.decide_hold = threading.Event()
    page = visitor.open()
    page.wait_for_function("nearline.loaded")
    with page.expect_request("**/v1/decide*"):
        pass_by(page)
    page.evaluate("nearline('optout')")
    with page.expect_response("**/v1/decide*"):
        receiver.decide_hold.set()
    wait_for(page, "default")
    assert text_of(page) == "Free delivery"


def pass_by(page: Page) -> None:
    """Has one request more on its way, whenever the first one left."""
    page.evaluate("nearlineSlots.refresh()")


def test_a_withdrawal_brings_the_default_back(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(banner('<a href="/delivery">Free delivery</a>'))
    page = visitor.open()
    wait_for(page, "filled")
    consent(page, personalization=False)
    wait_for(page, "default")
    assert page.get_by_role("link", name="Free delivery").is_visible()


# What is written


HOSTILE = "<img src=x onerror='document.title=`taken`'>"


def test_hostile_content_stays_text_and_links_nowhere(
    visitor: Visitor, receiver: Receiver
) -> None:
    content = {"title": HOSTILE, "text": HOSTILE, "link": "javascript:alert(1)"}
    items = [{"item_id": HOSTILE, "reason": HOSTILE}]
    receiver.slots |= {
        "banner": answer("d_1", "banner", content=content),
        "list": answer("d_2", "items", None, items=items),
        "framed": answer("d_3", "banner", content=content),
    }
    template = (
        '<template id="frame"><a data-nearline-href="link">'
        '<b data-nearline-text="title"></b><img alt="" data-nearline-src="link">'
        '<i data-nearline-text="nothing">gone</i></a></template>'
    )
    receiver.pages["/"] = html(
        banner()
        + '<div data-nearline-slot="list"></div>'
        + '<div data-nearline-slot="framed" data-nearline-template="frame"></div>'
        + template
    )
    page = visitor.open()
    for slot in ("banner", "list", "framed"):
        wait_for(page, "filled", slot)
        assert HOSTILE in text_of(page, slot)
    assert page.locator("[data-nearline-slot] img").count() == 0
    assert page.locator("[data-nearline-slot] i").count() == 0
    assert page.locator("[data-nearline-slot] [href]").count() == 0
    assert page.title() == "Shop"
    assert visitor.complaints == []


@pytest.mark.parametrize(
    ("link", "href"),
    [
        ("/cart", "/cart"),
        ("https://shop.example/a", "https://shop.example/a"),
        ("JavaScript:alert(1)", None),
        (" java\nscript:alert(1)", None),
        ("data:text/html,x", None),
        ("https://", None),
        (5, None),
    ],
    ids=["relative", "https", "javascript", "split", "data", "broken", "number"],
)
def test_links_lead_to_pages_alone(
    visitor: Visitor, receiver: Receiver, link: Any, href: str | None
) -> None:
    content = {"text": "Go", "link": link}
    receiver.slots["banner"] = answer("d_1", content=content)
    receiver.pages["/"] = html(banner())
    page = visitor.open()
    wait_for(page, "filled")
    found = page.locator("[data-nearline-slot] a")
    if href is None:
        assert found.count() == 0
    else:
        assert found.evaluate("(a) => a.href").endswith(href)


def test_a_page_with_a_strict_policy_of_content_works(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.page_headers["Content-Security-Policy"] = STRICT
    receiver.pages["/"] = html(banner())
    page = visitor.context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(receiver.url)
    wait_for(page, "filled")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("frames_drawn.filter(Boolean)") == ["Your cart waits"]
    assert said == []


def test_a_template_and_the_pages_own_words_make_a_list(
    visitor: Visitor, receiver: Receiver
) -> None:
    items = listed("sku_1", "sku_gone", "sku_2")
    receiver.slots["list"] = answer("d_2", "items", None, items=items)
    receiver.pages["/"] = html(
        '<ul data-nearline-slot="list" data-nearline-template="cards"></ul>'
        '<template id="cards"><div data-nearline-each="items"><a data-nearline-href="link">'
        '<b data-nearline-text="title"></b> <i data-nearline-text="reason"></i></a></div>'
        "</template>",
        # Later than the answer may be: it is waited for.
        after="""<script defer src="/page.js"></script>""",
    )
    receiver.pages["/page.js"] = """
      nearlineSlots.describe(async (ids) => ({
        sku_1: { title: "Boot", link: "/p/1" }, sku_2: { title: "Sock" },
      }));"""
    page = visitor.open()
    wait_for(page, "filled", "list")
    rows = page.locator("[data-nearline-slot] a")
    assert rows.all_inner_texts() == ["Boot like sku_1", "Sock like sku_2"]
    assert [row.get_attribute("data-nearline-item-id") for row in rows.all()] == [
        "sku_1",
        "sku_2",
    ]


def test_a_page_may_render_itself_and_may_leave_the_default(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.slots["list"] = answer("d_2", content={"text": "two"})
    receiver.slots["broken"] = answer("d_3", content={"text": "three"})
    receiver.pages["/"] = html(
        banner(attributes='data-nearline-renderer="loud"')
        + '<div data-nearline-slot="list" data-nearline-renderer="none">Default</div>'
        + '<div data-nearline-slot="broken" data-nearline-renderer="bad">Default</div>',
        after="""<script>
          nearlineSlots.renderer("loud", ({ text }) => {
            const element = document.createElement("strong");
            element.textContent = text.toUpperCase();
            return element;
          });
          nearlineSlots.renderer("none", () => null);
          nearlineSlots.renderer("bad", () => { throw new Error("of the page"); });
        </script>""",
    )
    page = visitor.open()
    wait_for(page, "filled")
    assert text_of(page) == "YOUR CART WAITS"
    for slot in ("list", "broken"):
        wait_for(page, "default", slot)
        assert text_of(page, slot) == "Default"
    assert visitor.complaints == ["of the page"]


# What is told


def test_a_slot_is_told_as_seen_once_it_was_scrolled_to_and_only_once(
    visitor: Visitor, receiver: Receiver
) -> None:
    far = '<div class="far">Far</div>'
    receiver.pages["/"] = html(f"{far}{banner()}{far}")
    page = visitor.open()
    wait_for(page, "filled")
    # A second and more at the top, and below half of it.
    page.wait_for_timeout(1_300)
    page.evaluate("scrollTo(0, 2000 - innerHeight + 30)")
    page.wait_for_timeout(1_300)
    assert receiver.named("slot_visible") == []
    page.evaluate("scrollTo(0, 2000)")
    (seen,) = receiver.wait_for("slot_visible")
    assert seen["properties"] == {"decision_id": "d_1", "slot": "banner"}
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(TWO_FRAMES)
    page.evaluate("scrollTo(0, 2000)")
    page.wait_for_timeout(1_300)
    page.evaluate("nearline('event', 'last')")
    receiver.wait_for("last")
    assert len(receiver.named("slot_visible")) == 1


def test_a_glance_and_a_hidden_tab_are_not_seen(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(
        banner(),
        after="""<script>
          Object.defineProperty(document, "visibilityState", {
            configurable: true, get: () => window.tab ?? "hidden",
          });
        </script>""",
    )
    page = visitor.open()
    wait_for(page, "filled")
    page.wait_for_timeout(1_300)
    show = """(state) => {
      window.tab = state;
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    # Shown for less than a second: both in one task.
    page.evaluate(f"() => {{ ({show})('visible'); ({show})('hidden'); }}")
    page.wait_for_timeout(1_300)
    page.evaluate("nearline('event', 'last')")
    page.evaluate(show, "visible")
    receiver.wait_for("slot_visible")
    names = [event["event_name"] for event in receiver.events]
    assert names.index("last") < names.index("slot_visible")


def test_in_an_experiment_the_arm_is_told_with_the_decision(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.slots["banner"]["arms"] = {"cart_words": "plain"}
    receiver.pages["/"] = html(banner())
    visitor.open()
    (seen,) = receiver.wait_for("exposure")
    assert (seen["experiment_key"], seen["variant_key"]) == ("cart_words", "plain")
    assert seen["properties"] == {"decision_id": "d_1", "slot": "banner"}
    assert receiver.named("slot_visible") == []


def test_a_place_for_which_nothing_was_decided_is_told_as_seen_too(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.slots["banner"] = answer("d_1", "none", None, hold_out=True)
    receiver.pages["/"] = html(banner())
    page = visitor.open()
    wait_for(page, "default")
    assert text_of(page) == "Free delivery"
    receiver.wait_for("slot_visible")


def test_without_a_record_of_the_decision_nothing_is_told(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.slots["banner"] = answer(None, content={"text": "Hello", "link": "#a"})
    receiver.pages["/"] = html(banner())
    page = visitor.open()
    wait_for(page, "filled")
    page.get_by_role("link").click()
    page.wait_for_timeout(1_300)
    page.evaluate("nearline('event', 'last')")
    receiver.wait_for("last")
    told = {event["event_name"] for event in receiver.events}
    assert not told & {"slot_visible", "exposure", "response"}


def test_a_click_is_told_though_it_leaves_the_page(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.slots["banner"]["content"]["content"]["link"] = "/cart"
    receiver.pages["/"] = html(banner())
    receiver.pages["/cart"] = "<!doctype html><p>Cart"
    page = visitor.open()
    wait_for(page, "filled")
    page.get_by_role("link", name="Your cart waits").click()
    (told,) = receiver.wait_for("response")
    assert told["properties"] == {
        "decision_id": "d_1",
        "kind": "click",
        "slot": "banner",
        "content": "cart_waits",
    }


def test_each_item_is_told_once_and_a_page_may_tell_more(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.slots["list"] = answer("d_2", "items", None, items=listed("a", "b"))
    receiver.pages["/"] = html(
        '<div data-nearline-slot="list"></div>',
        after="""<script>
          nearlineSlots.describe((ids) => Object.fromEntries(
            ids.map((id) => [id, { title: id, link: "#" + id }])));
        </script>""",
    )
    page = visitor.open()
    wait_for(page, "filled", "list")
    for name in ("b like b", "a like a", "b like b"):
        page.get_by_role("link", name=name).click()
    page.evaluate(
        """nearlineSlots.outcome(
          document.querySelector("li"), "dismiss", { reward: 0 })"""
    )
    told = receiver.wait_for("response", 3)
    assert [
        (one["properties"]["kind"], one["properties"]["content"]) for one in told
    ] == [("click", "b"), ("click", "a"), ("dismiss", "a")]
    assert told[2]["properties"]["reward"] == 0


# Pages that change without being loaded


def test_a_page_that_changes_itself_asks_for_what_is_new_and_again_when_told_to(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.slots["list"] = answer("d_2", "items", None, items=listed("a"))
    receiver.pages["/"] = html(banner())
    page = visitor.open()
    wait_for(page, "filled")
    page.evaluate(
        """() => {
          nearlineSlots.context({ item: "sku_9" });
          const slot = document.createElement("div");
          slot.dataset.nearlineSlot = "list";
          document.body.append(slot);
        }"""
    )
    wait_for(page, "filled", "list")
    assert [one["slots"] for one in receiver.asked] == [["banner"], ["list"]]
    assert receiver.asked[1]["context"]["item"] == "sku_9"
    receiver.wait_for("slot_visible", 2)
    receiver.slots["banner"] = answer("d_3", content={"text": "Something else"})
    page.evaluate(
        "nearlineSlots.refresh(document.querySelector('[data-nearline-slot]'))"
    )
    page.get_by_text("Something else").wait_for()
    seen = receiver.wait_for("slot_visible", 3)
    assert seen[2]["properties"]["decision_id"] == "d_3"


def test_what_is_shown_is_said_to_the_page(
    visitor: Visitor, receiver: Receiver
) -> None:
    receiver.pages["/"] = html(
        banner(),
        head="<script>addEventListener('nearline:slot', ({ detail }) => "
        "window.detail = detail);</script>",
    )
    page = visitor.open()
    page.wait_for_function("window.detail")
    detail = page.evaluate("detail")
    assert detail["slot"] == "banner"
    assert detail["answer"]["reason"] == "something is in the cart"
    assert detail["freshness"]["feature_age_seconds"] == 1.5
