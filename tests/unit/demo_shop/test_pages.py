"""The shop's pages over HTTP, as a browser without scripts would get them."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from nearline.demo_shop.app import create_shop
from nearline.demo_shop.deciding import asked_at
from nearline.settings import Settings

PAGES = ("/", "/c/shoes", "/p/sku_0002", "/search?q=boot", "/cart", "/privacy", "/live")
# Fields that would ask who somebody is, by what browsers fill in for them.
PERSONAL = re.compile(r"name|mail|phone|tel|address|street|city|zip|birth|card", re.I)


class Markup(HTMLParser):
    """Elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def open_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One shop for all tests: it remembers orders alone, under ids of their own."""
    home = tmp_path_factory.mktemp("shop")
    shop = create_shop(Settings(home=home), "127.0.0.1")
    with TestClient(shop.app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def client(open_shop: TestClient) -> TestClient:
    """A browser that was never here."""
    open_shop.cookies.clear()
    return open_shop


def add(client: TestClient, item_id: str, quantity: str = "1") -> int:
    form = {"item_id": item_id, "quantity": quantity}
    return int(client.post("/cart", data=form).status_code)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    markup = Markup(answer.text)
    loaded = [
        attributes.get("src") or attributes.get("href") or ""
        for attributes in markup.named("script", "link", "img", "iframe", "use")
    ]
    assert [url for url in loaded if url and not url.startswith("/")] == []
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", [*PAGES, "/checkout"])
def test_no_form_asks_who_somebody_is(client: TestClient, path: str) -> None:
    add(client, "sku_0002")
    fields = Markup(client.get(path).text).named("input", "select", "textarea")
    asked = [field["name"] for field in fields if PERSONAL.search(field["name"] or "")]
    assert asked == []
    assert {field.get("type") for field in fields} <= {
        None, "hidden", "search", "checkbox", "radio",
    }  # fmt: skip


@pytest.mark.parametrize("path", [*PAGES[:-1], "/nowhere"])
def test_every_shop_page_has_the_tracker_with_consent_first(
    client: TestClient, path: str
) -> None:
    scripts = Markup(client.get(path).text).named("script")
    (tracker,) = [s for s in scripts if s.get("src") == "/v1/tracker.js"]
    assert tracker["data-write-key"] == "demo"
    assert tracker["data-consent"] == "required"
    assert tracker["data-notice"] == "2026-11"


def test_the_live_view_itself_is_not_measured(client: TestClient) -> None:
    assert "tracker.js" not in client.get("/live").text


@pytest.mark.parametrize(
    "path", ["/nowhere", "/p/sku_9999", "/c/cars", "/checkout/confirmation?order=o_1"]
)
def test_what_is_not_there_is_told_as_a_page(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "This is not here" in answer.text


def test_what_is_searched_for_is_shown_as_text(client: TestClient) -> None:
    answer = client.get("/search", params={"q": "<script>alert(1)</script>"})
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


def test_a_cart_is_filled_emptied_and_bought(client: TestClient) -> None:
    add(client, "sku_0002", "2")
    add(client, "sku_0001")
    assert "€237.95" in client.get("/cart").text  # 2 x 91.00 + 55.95
    client.post("/cart/remove", data={"item_id": "sku_0001"})
    bought = client.post("/checkout")
    assert bought.url.path == "/checkout/confirmation"
    assert "€182.00" in bought.text
    assert '"value": 182.0' in bought.text
    assert "Nothing in it yet." in client.get("/cart").text


def test_a_purchase_is_told_once(client: TestClient) -> None:
    add(client, "sku_0002")
    bought = client.post("/checkout")
    assert '"event", "purchase"' in bought.text
    again = client.get(str(bought.url))
    assert again.status_code == 200
    assert '"event", "purchase"' not in again.text


def test_an_empty_cart_cannot_be_bought(client: TestClient) -> None:
    assert client.get("/checkout").url.path == "/cart"
    assert client.post("/checkout").url.path == "/cart"


@pytest.mark.parametrize("quantity", ["0", "10", "-1", "1.5", "two"])
def test_an_impossible_quantity_is_refused(client: TestClient, quantity: str) -> None:
    assert add(client, "sku_0002", quantity) == 400


@pytest.mark.parametrize(
    ("body", "status"), [(b"x=" + b"y" * 5_000, 413), (b"\xff\xfe", 400)]
)
def test_a_body_that_is_no_such_form_is_refused(
    client: TestClient, body: bytes, status: int
) -> None:
    assert client.post("/cart", content=body).status_code == status


def test_the_cart_is_the_only_cookie_and_closed_to_scripts(client: TestClient) -> None:
    for path in PAGES:
        assert "set-cookie" not in client.get(path).headers
    answer = client.post(
        "/cart", data={"item_id": "sku_0002", "quantity": "1"}, follow_redirects=False
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("cart=sku_0002.1;")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "max-age" not in cookie.lower()


def test_the_collector_answers_at_the_same_origin(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    script = client.get("/v1/tracker.js")
    assert script.headers["content-type"].startswith("text/javascript")
    event = {
        "event_id": "e1",
        "event_name": "page_view",
        "schema_version": "1.1",
        "visitor_id": "a-visitor-of-the-shop",
        "consent_analytics": True,
    }
    answer = client.post(
        "/v1/events",
        json={"write_key": "demo", "events": [event]},
        headers={"Origin": "http://127.0.0.1:8000", "User-Agent": "Mozilla/5.0"},
    )
    assert answer.status_code == 200
    assert (
        client.post("/v1/events", json={"write_key": "other", "events": []}).status_code
        == 401
    )


def test_pages_of_elsewhere_may_not_send(client: TestClient) -> None:
    answer = client.post(
        "/v1/events",
        json={"write_key": "demo", "events": [{}]},
        headers={"Origin": "https://elsewhere.example"},
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("path", [*PAGES[:-1], "/nowhere"])
def test_every_shop_page_asks_for_its_slots_with_the_page_it_is(
    client: TestClient, path: str
) -> None:
    scripts = Markup(client.get(path).text).named("script")
    (slots,) = [one for one in scripts if one.get("src") == "/v1/slots.js"]
    assert slots["data-key"] == "demo"
    assert "data-api" not in slots
    assert slots.get("data-item") == ("sku_0002" if path == "/p/sku_0002" else None)
    # Before anything is drawn, and before what it fills.
    assert not {"async", "defer"} & set(slots)


def test_slots_hold_what_everybody_sees(client: TestClient) -> None:
    home = client.get("/").text
    slots = [
        attributes["data-nearline-slot"]
        for attributes in Markup(home).named("div", "section")
        if "data-nearline-slot" in attributes
    ]
    assert slots == ["home_banner", "home_carousel"]
    assert "Delivered in two days" in home
    assert "popular in the shop" in home


def test_items_are_described_and_those_that_are_not_sold_left_out(
    client: TestClient,
) -> None:
    answer = client.get("/items.json", params={"ids": "sku_0002,sku_9999,<b>"})
    assert answer.json() == {
        "sku_0002": {
            "title": "Bryndal Solid Boot",
            "link": "/p/sku_0002",
            "image": "/pictures/sku_0002.svg",
            "price": "€91.00",
        }
    }
    assert client.get("/items.json").json() == {}


def test_a_picture_has_its_colours_in_it(client: TestClient) -> None:
    answer = client.get("/pictures/sku_0002.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    for rule in (".picture .main { fill", ".tone-0 { --bg", ".tone-7 { --bg"):
        assert rule in answer.text
    assert client.get("/pictures/sku_9999.svg").status_code == 404


def test_the_shop_decides_for_its_own_pages_alone(client: TestClient) -> None:
    def ask(origin: str) -> Any:
        return client.post(
            "/v1/decide?key=demo",
            json={"visitor": "a-visitor", "slots": ["home_banner"]},
            headers={"Origin": origin, "User-Agent": "Mozilla/5.0"},
        )

    answer = ask("http://127.0.0.1:8000").json()["slots"]["home_banner"]
    assert answer["content"]["content"]["text"].startswith("Delivered in two days")
    assert ask("https://elsewhere.example").status_code == 403
    # Scores and segments are not the pages' business.
    assert client.get("/v1/segments/a-visitor?key=demo").status_code == 404


def test_decisions_of_another_process_are_asked_and_allowed_to_be(
    tmp_path: Path,
) -> None:
    asked = asked_at("http://decide.example:8090/api/", "a_key_of_it")
    shop = create_shop(Settings(home=tmp_path), "127.0.0.1", asked)
    with TestClient(shop.app, base_url="http://127.0.0.1") as client:
        answer = client.get("/")
        (slots,) = [
            script
            for script in Markup(answer.text).named("script")
            if script.get("src") == "/v1/slots.js"
        ]
        assert slots["data-api"] == "http://decide.example:8090/api"
        assert slots["data-key"] == "a_key_of_it"
        policy = answer.headers["content-security-policy"]
        assert "connect-src 'self' http://decide.example:8090;" in policy
        assert client.post("/v1/decide").status_code == 404
