"""The shop's pages: requests in, HTML out. Taking events is the collector's business."""

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from nearline.demo_shop import cart as carts
from nearline.demo_shop.cart import Cart
from nearline.demo_shop.deciding import KEY, Asked
from nearline.demo_shop.goods import (
    ANSWERS,
    Goods,
    euros,
    line,
    lines,
    promise,
    reviews,
)
from nearline.demo_shop.pictures import draw, draw_alone
from nearline.simulate.catalogue import CURRENCY, Category, Item

WRITE_KEY = KEY
NOTICE_VERSION = "2026-11"
SHOP_NAME = "Wayside"

_POPULAR_COUNT = 8
_BESIDE_COUNT = 4
_LIST_COUNT = 20
_MOST_DESCRIBED = 50
# Nothing of it changes while the shop is open.
_FOR_AN_HOUR = {"Cache-Control": "public, max-age=3600"}
_LONGEST_TERM = 80
_LARGEST_FORM_BYTES = 4_096
_MOST_ORDERS = 1_000
_SEE_OTHER = 303

Page = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Order:
    """An order that was placed; `is_told`: its purchase event is on a page already."""

    order_id: str
    cart: Cart
    is_told: bool = False


class Storefront:
    """The shop's pages. It keeps nothing but the latest orders, in memory."""

    def __init__(self, goods: Goods, home: str, asked: Asked) -> None:
        self._goods = goods
        self._home = home
        self._asked = asked
        self._orders: OrderedDict[str, Order] = OrderedDict()
        self._pages = Environment(
            loader=PackageLoader("nearline.demo_shop", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages.filters |= {"euros": euros, "draw": draw}
        self._pages.globals |= {
            "shop_name": SHOP_NAME,
            "write_key": WRITE_KEY,
            "notice_version": NOTICE_VERSION,
            "currency": CURRENCY,
            "categories": goods.categories,
            "line": line,
            "asked": asked,
        }

    def routes(self) -> list[Route]:
        """Every page of the shop, and the live view's own."""
        return [
            Route("/", self.home),
            Route("/c/{slug}", self.category),
            Route("/p/{item_id}", self.product),
            Route("/search", self.search),
            Route("/cart", self.cart),
            Route("/cart", self.add_to_cart, methods=["POST"]),
            Route("/cart/remove", self.remove_from_cart, methods=["POST"]),
            Route("/checkout", self.checkout),
            Route("/checkout", self.place_order, methods=["POST"]),
            Route("/checkout/confirmation", self.confirmation),
            Route("/privacy", self.privacy),
            Route("/live", self.live),
            Route("/items.json", self.describe),
            Route("/pictures/{item_id}.svg", self.picture),
        ]

    async def home(self, request: Request) -> Response:
        items = self._goods.popular(_POPULAR_COUNT)
        return self._page(
            request, "home.html", "home", "Home", items=items,
            list_event=_list_event("popular", items),
        )  # fmt: skip

    async def category(self, request: Request) -> Response:
        category = self._found_category(request.path_params["slug"])
        items = list(category.items[:_LIST_COUNT])
        return self._page(
            request, "category.html", "category", category.name,
            category=category, items=items,
            list_event=_list_event(category.slug, items),
        )  # fmt: skip

    async def product(self, request: Request) -> Response:
        item = self._found_item(request.path_params["item_id"])
        told = reviews(item)
        return self._page(
            request, "product.html", "product", item.name,
            item=item,
            category=self._goods.category_of(item),
            promise=promise(item),
            reviews=told,
            stars=sum(review.stars for review in told) / len(told),
            answers=ANSWERS,
            quantities=range(1, carts.MOST_OF_ONE + 1),
            beside=self._goods.beside(item, _BESIDE_COUNT),
            view_event={
                "currency": CURRENCY,
                "value": item.price_cents / 100,
                "items": [line(item)],
            },
        )  # fmt: skip

    async def search(self, request: Request) -> Response:
        term = request.query_params.get("q", "").strip()[:_LONGEST_TERM]
        items = self._goods.search(term)
        return self._page(
            request, "search.html", "search", "Search results",
            term=term, items=items, list_event=_list_event("search", items),
        )  # fmt: skip

    async def cart(self, request: Request) -> Response:
        cart = self._cart(request)
        return self._page(
            request, "cart.html", "cart", "Cart", cart_event=_cart_event(cart)
        )

    async def add_to_cart(self, request: Request) -> Response:
        form = await _read_form(request)
        item = self._found_item(form.get("item_id", ""))
        quantity = form.get("quantity", "1")
        if not carts.is_quantity(quantity):
            raise HTTPException(400)
        return _to_cart(self._cart(request).with_added(item, int(quantity)))

    async def remove_from_cart(self, request: Request) -> Response:
        form = await _read_form(request)
        item = self._found_item(form.get("item_id", ""))
        return _to_cart(self._cart(request).without(item))

    async def checkout(self, request: Request) -> Response:
        cart = self._cart(request)
        if not cart.quantities:
            return RedirectResponse("/cart", _SEE_OTHER)
        return self._page(
            request, "checkout.html", "checkout", "Checkout",
            cart_event=_cart_event(cart),
        )  # fmt: skip

    async def place_order(self, request: Request) -> Response:
        cart = self._cart(request)
        if not cart.quantities:
            return RedirectResponse("/cart", _SEE_OTHER)
        order = Order(f"o_{secrets.token_hex(8)}", cart)
        self._orders[order.order_id] = order
        if len(self._orders) > _MOST_ORDERS:
            self._orders.popitem(last=False)
        response = RedirectResponse(
            f"/checkout/confirmation?order={quote(order.order_id)}", _SEE_OTHER
        )
        response.delete_cookie(carts.COOKIE)
        return response

    async def confirmation(self, request: Request) -> Response:
        order = self._orders.get(request.query_params.get("order", ""))
        if order is None:
            raise HTTPException(404)
        # Loading the page again is no second purchase.
        purchase = None if order.is_told else _purchase_event(order)
        order.is_told = True
        return self._page(
            request, "confirmation.html", "confirmation", "Thank you",
            order=order, purchase=purchase,
        )  # fmt: skip

    async def privacy(self, request: Request) -> Response:
        return self._page(request, "privacy.html", "privacy", "Privacy")

    async def live(self, request: Request) -> Response:
        return self._page(request, "live.html", None, "Live view")

    async def describe(self, request: Request) -> Response:
        """Names, links and pictures of items, for lists that were decided on."""
        ids = request.query_params.get("ids", "").split(",")[:_MOST_DESCRIBED]
        found = (self._goods.items.get(item_id) for item_id in ids)
        return JSONResponse(
            {
                item.item_id: {
                    "title": item.name,
                    "link": item.path,
                    "image": f"/pictures/{item.item_id}.svg",
                    "price": euros(item.price_cents),
                }
                for item in found
                if item is not None
            },
            headers=_FOR_AN_HOUR,
        )

    async def picture(self, request: Request) -> Response:
        item = self._found_item(request.path_params["item_id"])
        return Response(
            draw_alone(item), media_type="image/svg+xml", headers=_FOR_AN_HOUR
        )

    async def missing(self, request: Request, problem: Exception) -> Response:
        """The answer to whatever the shop does not have."""
        status = problem.status_code if isinstance(problem, HTTPException) else 500
        return self._page(
            request, "missing.html", "missing", "Not here", status_code=status
        )

    def _page(
        self,
        request: Request,
        template: str,
        page_type: str | None,
        title: str,
        status_code: int = 200,
        **values: Any,
    ) -> Response:
        nonce = secrets.token_urlsafe(12)
        html = self._pages.get_template(template).render(
            title=title,
            page_type=page_type,
            nonce=nonce,
            cart=self._cart(request),
            home=self._home,
            search_term=values.get("term", ""),
            **values,
        )
        # The browser itself holds the shop to speaking with nobody else.
        policy = (
            f"default-src 'self'; script-src 'self' 'nonce-{nonce}'; "
            f"connect-src 'self' {self._asked.origin or ''}; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        return HTMLResponse(
            html,
            status_code,
            {
                "Content-Security-Policy": policy,
                "Cache-Control": "no-store",
                "Referrer-Policy": "strict-origin-when-cross-origin",
                "X-Content-Type-Options": "nosniff",
            },
        )

    def _cart(self, request: Request) -> Cart:
        return carts.read_cart(request.cookies.get(carts.COOKIE), self._goods.items)

    def _found_category(self, slug: str) -> Category:
        category = self._goods.category(slug)
        if category is None:
            raise HTTPException(404)
        return category

    def _found_item(self, item_id: str) -> Item:
        item = self._goods.items.get(item_id)
        if item is None:
            raise HTTPException(404)
        return item


def _list_event(list_id: str, items: list[Item]) -> dict[str, Any]:
    return {"item_list_id": list_id, "items": lines(items)}


def _cart_event(cart: Cart) -> dict[str, Any]:
    return {
        "currency": CURRENCY,
        "value": cart.total_cents / 100,
        "items": [line(item, count) for item, count in cart.quantities.items()],
    }


def _purchase_event(order: Order) -> dict[str, Any]:
    return {"transaction_id": order.order_id, **_cart_event(order.cart)}


def _to_cart(cart: Cart) -> Response:
    response = RedirectResponse("/cart", _SEE_OTHER)
    response.set_cookie(carts.COOKIE, cart.as_cookie(), httponly=True, samesite="lax")
    return response


async def _read_form(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM_BYTES:
            raise HTTPException(413)
    try:
        fields = parse_qs(body.decode(), max_num_fields=10)
    except ValueError:
        raise HTTPException(400) from None
    return {name: values[0] for name, values in fields.items()}
