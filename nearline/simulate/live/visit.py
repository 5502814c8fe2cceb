"""One person's visit, page by page: events out, a question, a reaction.

Belongs here: the order of a visit. Some product pages come first, by which the person
becomes known; then the page with the slot, what it shows, and what the person does with
it. Nothing that leads to the slot depends on what is shown there. Not here: HTTP
(`browser`), or whether somebody likes an item (`reactions`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nearline.decisions.client import Consent, Context, Outcome, SlotContent
from nearline.simulate.catalogue import CURRENCY, Item
from nearline.simulate.live.browser import Browsers
from nearline.simulate.live.intentions import Intention, Look
from nearline.simulate.people import CONSENT_NOTICE_VERSION
from nearline.simulate.reactions import Reaction, react

Sleep = Callable[[float], Awaitable[bool]]
"""Lets people's seconds pass; False: the shop closes, be quick."""

_SHOP = "https://shop.example"
_CLICKED_DWELL_SECONDS = 20.0
_DEFAULT = Context()


@dataclass(frozen=True, slots=True)
class Shown:
    """What one person saw in the slot, and what would have been shown either way.

    `personal` and `default` are item ids, as the service answered at the same moment
    without keeping a record.
    """

    slot: SlotContent
    personal: tuple[str, ...]
    default: tuple[str, ...]
    reaction: Reaction


@dataclass(frozen=True, slots=True)
class Trade:
    """What all visits have in common."""

    browsers: Browsers
    items: Mapping[str, Item]
    slot: str
    care: float
    run_id: str
    sleep: Sleep
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class Visit:
    """One visit under way."""

    def __init__(self, trade: Trade, intention: Intention) -> None:
        self.trade = trade
        self.intention = intention
        self._event_count = 0
        self._page_count = 0
        self._page: dict[str, Any] = {}
        allowed = intention.consent
        self._consent = Consent(
            analytics=allowed.analytics,
            personalization=allowed.personalization,
            marketing=allowed.marketing,
            notice_version=CONSENT_NOTICE_VERSION,
        )

    async def run(self) -> Shown | None:
        """Lets the visit happen; what was shown, or None for who is not in the trial."""
        intention = self.intention
        if not intention.consent.analytics:
            await self._refuse()
            return None
        await self._say_consent()
        for look in intention.looks:
            if not await self._look_at(look):
                return None
        return await self._see_slot()

    async def _refuse(self) -> None:
        """The refusal is all that a page sends; what it shows is the default."""
        self._open("home", "/")
        await self._send([self._event("consent")])
        await self.trade.browsers.decide(
            self.intention.cookie, self.trade.slot, _DEFAULT
        )

    async def _say_consent(self) -> None:
        self._open("home", "/")
        arrival = {}
        if self.intention.comes_from_search:
            arrival["referrer"] = "https://www.google.com/"
        await self._send([self._event("consent", **arrival)])

    async def _look_at(self, look: Look) -> bool:
        """A product page; False: the shop closed meanwhile."""
        self._open_product(look.item)
        await self._send(
            [self._event("page_view"), self._event("view_item", **_facts(look.item))]
        )
        goes_on = await self.trade.sleep(look.dwell_seconds)
        await self._leave(look.dwell_seconds, look.scroll_rate)
        return goes_on

    async def _see_slot(self) -> Shown | None:
        intention, trade = self.intention, self.trade
        self._open("home", "/")
        context = Context(
            consent=self._consent,
            page_type="home",
            page_path="/",
            device_class=intention.device_class,
        )
        if not intention.is_measured:
            _, slot = await asyncio.gather(
                self._send([self._event("page_view")]), self._ask(context)
            )
            await self._see(slot)
            return None
        # Without consent to analytics the service keeps no record, holds nobody out and
        # puts nobody into an arm. So it can be asked what it would have shown, too.
        _, slot, personal, default = await asyncio.gather(
            self._send([self._event("page_view")]),
            self._ask(context),
            self._ask(Context(Consent(personalization=True), "home", "/")),
            self._ask(Context(_DEFAULT.consent, "home", "/")),
        )
        if not await self._see(slot):
            return None
        reaction = react(intention.taste, self._wares(slot), trade.care, intention.luck)
        await self._do(slot, reaction, context)
        return Shown(slot, tuple(personal.item_ids), tuple(default.item_ids), reaction)

    async def _ask(self, context: Context) -> SlotContent:
        return await self.trade.browsers.decide(
            self.intention.cookie, self.trade.slot, context
        )

    async def _see(self, slot: SlotContent) -> bool:
        """Reports the slot as visible; whether that was kept."""
        if slot.decision_id is None:
            return False
        about = {"properties": {"decision_id": slot.decision_id}}
        events = [
            self._event("exposure", experiment_key=key, variant_key=arm, **about)
            for key, arm in slot.arms.items()
        ] or [self._event("slot_visible", **about)]
        is_kept = await self._send(events)
        await self.trade.sleep(self.intention.pause_seconds)
        await self._leave(self.intention.pause_seconds, 1.0)
        return is_kept

    async def _do(
        self, slot: SlotContent, reaction: Reaction, context: Context
    ) -> None:
        """Clicks, puts into the cart and buys, as far as the reaction goes."""
        visible = self._wares(slot)
        if reaction.clicked is not None:
            item = visible[reaction.clicked]
            assert slot.decision_id is not None
            click = Outcome(slot.decision_id, "click", item.item_id, reward=1.0)
            await self.trade.browsers.report(self.intention.cookie, click, context)
            await self._follow(item, reaction, slot.decision_id)
        if reaction.buys_own:
            own = self.intention.looks[0].item
            self._open_product(own)
            await self._send(
                [
                    self._event("page_view"),
                    self._event("add_to_cart", **_facts(own), quantity=1),
                ]
            )
            await self._buy(own, {})

    async def _follow(self, item: Item, reaction: Reaction, decision_id: str) -> None:
        """The page of an item that was clicked."""
        about = {"properties": {"decision_id": decision_id}}
        self._open_product(item)
        events = [self._event("page_view"), self._event("view_item", **_facts(item))]
        if reaction.has_carted:
            events.append(
                self._event("add_to_cart", **_facts(item), quantity=1, **about)
            )
        await self._send(events)
        await self.trade.sleep(_CLICKED_DWELL_SECONDS)
        await self._leave(_CLICKED_DWELL_SECONDS, 0.6)
        if reaction.has_bought:
            await self._buy(item, about)

    async def _buy(self, item: Item, about: Mapping[str, Any]) -> None:
        self._open("confirmation", "/checkout/confirmation")
        line = {
            "item_id": item.item_id,
            "item_category": item.category,
            "item_brand": item.brand,
            "price_cents": item.price_cents,
            "quantity": 1,
        }
        await self._send(
            [
                self._event("page_view"),
                self._event(
                    "purchase",
                    order_id=f"o_{self.trade.run_id}{self.intention.number:06x}",
                    revenue_cents=item.price_cents,
                    currency=CURRENCY,
                    items=[line],
                    **about,
                ),
            ]
        )

    def _wares(self, slot: SlotContent) -> list[Item]:
        """The items shown. One that this shop does not sell is passed over."""
        return known_items(slot.item_ids, self.trade.items)

    async def _send(self, events: Sequence[Mapping[str, Any]]) -> bool:
        return await self.trade.browsers.send(events)

    async def _leave(self, dwell_seconds: float, scroll_rate: float) -> None:
        await self._send(
            [
                self._event("scroll", scroll_rate=scroll_rate),
                self._event("user_engagement", engaged_seconds=round(dwell_seconds, 1)),
            ]
        )

    def _open_product(self, item: Item) -> None:
        self._open("product", item.path)

    def _open(self, page_type: str, path: str) -> None:
        key = f"{self.trade.run_id}{self.intention.number:06x}"
        self._page = {
            "page_view_id": f"p_{key}{self._page_count:02x}",
            "page_type": page_type,
            "page_url": f"{_SHOP}{path}",
        }
        self._page_count += 1

    def _event(self, name: str, **fields: Any) -> dict[str, Any]:
        key = f"{self.trade.run_id}{self.intention.number:06x}"
        self._event_count += 1
        return {
            "event_id": f"e_{key}{self._event_count:03x}",
            "event_name": name,
            "schema_version": "1.2",
            "occurred_at": self.trade.clock().isoformat(timespec="milliseconds"),
            "visitor_id": self.intention.cookie,
            "device_class": self.intention.device_class,
            "consent_analytics": self._consent.analytics,
            "consent_personalization": self._consent.personalization,
            "consent_marketing": self._consent.marketing,
            "consent_notice_version": self._consent.notice_version,
            **self._page,
            **fields,
        }


def known_items(item_ids: Sequence[str], items: Mapping[str, Item]) -> list[Item]:
    """Those of a list that the shop sells, in order."""
    return [items[item_id] for item_id in item_ids if item_id in items]


def _facts(item: Item) -> dict[str, Any]:
    return {
        "item_id": item.item_id,
        "item_category": item.category,
        "item_brand": item.brand,
        "price_cents": item.price_cents,
        "currency": CURRENCY,
    }
