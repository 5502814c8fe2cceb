"""One visit of a person who allows analytics: pages, products, cart, purchase.

The purchase comes last, and whatever it draws is drawn after everything else. Thus two
arms (or two effects) share every other event of a visit byte for byte. When visits happen
and who makes them does not belong here.
"""

from collections import deque
from dataclasses import dataclass, field
from random import Random

from nearline.simulate.calendar import MINUTE, SECOND
from nearline.simulate.catalogue import CURRENCY, Catalogue, Category, Item
from nearline.simulate.choosing import choose_category, choose_item
from nearline.simulate.experiment import EXPERIMENT_KEY
from nearline.simulate.people import Consent, Device, Person
from nearline.simulate.recording import Recorder, page_fields, sender_fields
from nearline.simulate.streams import cumulate, draw_between, draw_index, draw_lognormal

MOST_PAGES = 60
_BROWSE_AGAIN_RATE = 0.25
_AWAY_RATE = 0.006
_CONFIRMATION_SECONDS = 20

# Share, referrer and utm fields of an arrival, page that it leads to.
_ARRIVALS: tuple[tuple[float, str, str], ...] = (
    (0.27, "", "home"),
    (0.22, ',"referrer_host":"www.google.com"', "category"),
    (0.04, ',"referrer_host":"duckduckgo.com"', "category"),
    (
        0.15,
        (
            ',"referrer_host":"www.google.com","utm_source":"google","utm_medium":"cpc"'
            ',"utm_campaign":"brand_search","utm_term":"shop"'
        ),
        "product",
    ),
    (
        0.11,
        (
            ',"utm_source":"newsletter","utm_medium":"email"'
            ',"utm_campaign":"weekly_picks","utm_content":"top_banner"'
        ),
        "product",
    ),
    (0.07, ',"referrer_host":"www.instagram.com"', "home"),
    (
        0.07,
        (
            ',"referrer_host":"www.facebook.com","utm_source":"facebook"'
            ',"utm_medium":"paid_social","utm_campaign":"lookalikes"'
        ),
        "product",
    ),
    (0.04, ',"referrer_host":"blog.gear-notes.example"', "product"),
    (
        0.03,
        (
            ',"referrer_host":"deals.example","utm_source":"deals"'
            ',"utm_medium":"affiliate","utm_campaign":"partner_feed"'
        ),
        "product",
    ),
)
_ARRIVAL_SHARES = cumulate([share for share, _, _ in _ARRIVALS])
_APP_ARRIVAL_SHARES = cumulate([0.8, 0, 0, 0, 0.2, 0, 0, 0, 0])


@dataclass(slots=True)
class DeviceMemory:
    """What a device remembers from visit to visit; nothing in it depends on the arm."""

    consent: Consent | None = None
    is_signed_in: bool = False
    seen: deque[tuple[Category, Item]] = field(default_factory=lambda: deque(maxlen=8))


@dataclass(frozen=True, slots=True)
class Checkout:
    """A visit's checkout: what it holds, and its purchase probability in control."""

    at: int
    probability: float
    revenue_cents: int
    lines: str


@dataclass(frozen=True, slots=True)
class VisitOutcome:
    """What the rest of the simulation needs to know of a visit."""

    ended_at: int
    """The same whether or not the visit ended in a purchase."""
    is_exposed: bool
    checkout: Checkout | None


class Visit:
    """A visit under way."""

    def __init__(
        self,
        recorder: Recorder,
        rng: Random,
        catalogue: Catalogue,
        person: Person,
        device: Device,
        memory: DeviceMemory,
        consent: Consent,
        variant: str,
        started_at: int,
    ) -> None:
        self.recorder = recorder
        self.rng = rng
        self.catalogue = catalogue
        self.person = person
        self.device = device
        self.memory = memory
        self.consent = consent
        self.variant = variant
        self.now = started_at
        self.page_count = 0
        self.is_exposed = False
        self.cart: dict[Item, int] = {}
        shares = _APP_ARRIVAL_SHARES if device.source == "shop_app" else _ARRIVAL_SHARES
        _, self.arrival, self.landing = _ARRIVALS[draw_index(rng, shares)]

    def run(self) -> VisitOutcome:
        """Lets the visit happen, up to and without its purchase."""
        random = self.rng.random
        habit = self.person.habit
        self._remember_sign_in()
        self._land()
        if random() >= habit.bounce_rate:
            if not self.memory.is_signed_in and random() < 0.12:
                self._sign_in()
            listings = 1 + int(self.rng.expovariate(1 / habit.listings))
            for _ in range(listings):
                if self.page_count > MOST_PAGES:
                    break
                self._browse()
            if random() < 0.06:
                self._read_faq()
        checkout = self._go_to_checkout() if self.cart else None
        ended_at = self.now + (_CONFIRMATION_SECONDS * SECOND if checkout else 0)
        return VisitOutcome(ended_at, self.is_exposed, checkout)

    def buy(self, checkout: Checkout) -> None:
        """The purchase. No dwell follows, so that the effect on dwell is exactly none."""
        self._open_page("confirmation", "/checkout/confirmation", "Thank you")
        self.recorder.record(
            "purchase",
            self.now + 30,
            f',"order_id":"o_{self.recorder.visit_key}"'
            f',"revenue_cents":{checkout.revenue_cents},"currency":"{CURRENCY}"'
            f',"items":[{checkout.lines}]',
        )

    def _remember_sign_in(self) -> None:
        if self.memory.is_signed_in and self.rng.random() < 0.12:
            self.memory.is_signed_in = False
        self._name_sender()

    def _name_sender(self) -> None:
        user_id = self.person.user_id if self.memory.is_signed_in else None
        self.recorder.sender = sender_fields(self.device, self.consent, user_id)

    def _land(self) -> None:
        """The landing page; on a device not asked before, the consent banner first."""
        asked = self.memory.consent is not self.consent
        self.memory.consent = self.consent
        if asked:
            # Whence the visit came is known to its first event, whichever that is.
            self.recorder.record("consent", self.now, self.arrival)
            self.now += draw_between(self.rng.random(), 5, 2 * SECOND)
        if self.landing == "product":
            category = choose_category(self.rng, self.catalogue, self.person)
            self._look_at(category, choose_item(self.rng, self.person, category))
        elif self.landing == "category":
            self._open_category(choose_category(self.rng, self.catalogue, self.person))
            self._leave_page(20)
        else:
            self._open_page("home", "/", "Home")
            if self.rng.random() < 0.2:
                self.recorder.record(
                    "click", self.now + 900, ',"properties":{"target":"menu"}'
                )
            self._leave_page(12)

    def _sign_in(self) -> None:
        if self.person.user_id is None:
            return
        self._open_page("account", "/account/login", "Sign in")
        self.now += 5 * SECOND
        self.memory.is_signed_in = True
        self._name_sender()
        self.recorder.record("identify", self.now)
        self._leave_page(4)

    def _browse(self) -> None:
        """A list (category or search result), then products from it."""
        rng = self.rng
        random = rng.random
        category = choose_category(self.rng, self.catalogue, self.person)
        if random() < 0.22:
            self._search(category)
        else:
            self._open_category(category)
        self._leave_page(20)
        for _ in range(int(rng.expovariate(1 / self.person.habit.products) + 0.5)):
            if self.page_count > MOST_PAGES:
                return
            seen = self.memory.seen
            if seen and random() < _BROWSE_AGAIN_RATE:
                self._look_at(*seen[int(random() * len(seen))])
                continue
            item = choose_item(self.rng, self.person, category)
            self.recorder.record("select_item", self.now, item.event_fields)
            self.now += 150 + int(random() * 400)
            self._look_at(category, item)

    def _open_category(self, category: Category) -> None:
        self._open_page("category", f"/c/{category.slug}", category.name)
        self._show_list(category)

    def _search(self, category: Category) -> None:
        rng = self.rng
        noun = rng.choice(category.nouns).lower()
        term = noun
        if rng.random() < 0.4:
            term = f"{rng.choice(self.person.favourite_brands).lower()} {noun}"
        self._open_page("search", "/search", "Search results")
        self.recorder.record("search", self.now + 5, f',"search_term":"{term}"')
        self._show_list(category)

    def _show_list(self, category: Category) -> None:
        """Four items in a row of the list: the list's page is not known to events."""
        first = int(self.rng.random() * 8) * 4
        lines = ",".join(
            [f"{item.line_start}1}}" for item in category.items[first : first + 4]]
        )
        self.recorder.record("view_item_list", self.now + 40, f',"items":[{lines}]')

    def _look_at(self, category: Category, item: Item) -> None:
        rng = self.rng
        random = rng.random
        recorder = self.recorder
        self._open_page("product", item.path, item.name)
        recorder.record("view_item", self.now, item.event_fields)
        if not self.is_exposed:
            self.is_exposed = True
            recorder.record(
                "exposure",
                self.now + 3,
                f',"experiment_key":"{EXPERIMENT_KEY}","variant_key":"{self.variant}"',
            )
        self.memory.seen.append((category, item))
        cart_rate = self.person.cart_rate
        if item.brand in self.person.favourite_brands:
            cart_rate *= 1.6
        luck = random()
        if luck < 0.16:
            cart_rate *= 1.6
            self._touch_content("review", f"review_{item.item_id}")
        elif luck < 0.22 and item.has_sizes:
            cart_rate *= 1.6
            self._touch_content("size_guide", f"size_guide_{category.slug}")
        if random() < cart_rate:
            self.now += (3 * SECOND) + int(random() * 20 * SECOND)
            quantity = 1 if random() < 0.85 else 2
            self.cart[item] = self.cart.get(item, 0) + quantity
            recorder.record(
                "add_to_cart", self.now, f'{item.event_fields},"quantity":{quantity}'
            )
        self._leave_page(28)

    def _touch_content(self, content_type: str, content_id: str) -> None:
        self.now += (2 * SECOND) + int(self.rng.random() * 6 * SECOND)
        self.recorder.record(
            "content_interaction",
            self.now,
            f',"content_type":"{content_type}","content_id":"{content_id}"',
        )

    def _read_faq(self) -> None:
        self._open_page("help", "/help/faq", "Questions and answers")
        topic = self.rng.choice(("delivery", "returns", "payment"))
        self._touch_content("faq", f"faq_{topic}")
        self._leave_page(25)

    def _go_to_checkout(self) -> Checkout | None:
        random = self.rng.random
        recorder = self.recorder
        if random() < 0.75:
            self._open_page("cart", "/cart", "Cart")
            recorder.record("view_cart", self.now + 20, f',"items":[{self._lines()}]')
            if random() < 0.18:
                item = next(iter(self.cart))
                quantity = self.cart.pop(item)
                self.now += 4 * SECOND
                recorder.record(
                    "remove_from_cart",
                    self.now,
                    f'{item.event_fields},"quantity":{quantity}',
                )
            self._leave_page(15)
        if not self.cart or random() >= self.person.checkout_rate:
            return None
        if not self.memory.is_signed_in and random() < 0.5:
            self._sign_in()
        lines = self._lines()
        self._open_page("checkout", "/checkout", "Checkout")
        recorder.record("begin_checkout", self.now + 20, f',"items":[{lines}]')
        self._leave_page(45, may_go_away=False)
        revenue = sum(item.price_cents * count for item, count in self.cart.items())
        return Checkout(self.now, self.person.purchase_rate, revenue, lines)

    def _lines(self) -> str:
        return ",".join(
            [f"{item.line_start}{count}}}" for item, count in self.cart.items()]
        )

    def _open_page(self, page_type: str, path: str, title: str) -> None:
        recorder = self.recorder
        recorder.page = page_fields(
            f"p_{recorder.visit_key}{self.page_count:02x}",
            page_type,
            path,
            title,
            self.arrival,
        )
        recorder.record("page_view", self.now)
        self.arrival = ""
        self.page_count += 1

    def _leave_page(self, median_seconds: float, *, may_go_away: bool = True) -> None:
        """Scrolls, dwells and goes on; sometimes only after a long time away."""
        rng = self.rng
        random = rng.random
        dwell = min(900.0, draw_lognormal(rng, median_seconds, 0.8)) + 1.0
        luck = random()
        if luck < 0.6:
            depth = 0.1 + 0.9 * (luck / 0.6) ** 0.8
            self.recorder.record(
                "scroll",
                self.now + int(400 * dwell),
                f',"scroll_rate":{depth:.2f}',
            )
        self.now += int(1000 * dwell)
        # The last beacon of a page does not always get through.
        if luck < 0.93:
            engaged = dwell * (0.55 + 0.45 * random())
            self.recorder.record(
                "user_engagement", self.now, f',"engaged_seconds":{engaged:.1f}'
            )
        self.now += 120 + int(random() * 900)
        if may_go_away and random() < _AWAY_RATE:
            self.now += (25 + int(random() * 35)) * MINUTE
