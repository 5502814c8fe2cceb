"""The live view's feed, over a real event log in a file."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from nearline.demo_shop.feed import MOST_KEPT, Feed, News, describe
from nearline.log import LogRecord, NewRecord, open_log
from nearline.log.protocol import EventLog
from nearline.settings import Settings

NAMES = {"sku_0002": "Bryndal Solid Boot"}


def record(value: Any) -> LogRecord:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return LogRecord(0, 1, 0, "v_1", body)


def event(name: str = "page_view", **fields: Any) -> dict[str, Any]:
    return {
        "event_name": name,
        "received_at": "2026-11-02T12:00:00.000Z",
        "visitor_id": "v_abcdefgh",
        "page_path": "/c/shoes",
        **fields,
    }


def test_an_event_is_told_by_name_item_amount_and_visitor() -> None:
    arrival = describe(
        record(
            event(
                "purchase",
                revenue_cents=18_200,
                items=[{"item_id": "sku_0002"}, {"item_id": "sku_0009"}],
            )
        ),
        "events",
        NAMES,
    )
    assert arrival.name == "purchase"
    assert arrival.subject == "Bryndal Solid Boot and 1 more"
    assert arrival.amount == "€182.00"
    assert arrival.visitor_id == "v_abcdefgh"
    assert arrival.received_at == "2026-11-02T12:00:00.000Z"
    assert not arrival.is_refused


def test_an_event_without_item_is_told_by_what_it_was_about() -> None:
    def subject(**fields: Any) -> str:
        return describe(record(event(**fields)), "events", NAMES).subject

    assert subject() == "/c/shoes"
    assert subject(item_id="sku_0002") == "Bryndal Solid Boot"
    assert subject(item_id="sku_9999") == "sku_9999"
    assert subject(search_term="boot") == "“boot”"
    assert subject(content_id="faq_care") == "faq_care"
    assert subject(link_path="/cart") == "to /cart"


def test_amounts_are_written_in_their_unit() -> None:
    def amount(**fields: Any) -> str:
        return describe(record(event(**fields)), "events", NAMES).amount

    assert amount() == ""
    assert amount(engaged_seconds=2.54) == "2.5 s"
    assert amount(engaged_seconds=0.02) == "<0.1 s"
    assert amount(scroll_rate=0.75) == "75%"
    assert amount(price_cents=5_595) == "€55.95"


def test_a_dead_letter_is_told_with_field_and_reason() -> None:
    arrival = describe(
        record(
            {
                "deadletter_id": "d1",
                "received_at": "2026-11-02T12:00:00.000Z",
                "event_name": "purchase",
                "field": "currency",
                "reason": "is missing",
                "fields": {"visitor_id": "v_abcdefgh", "page_path": "/cart"},
            }
        ),
        "deadletters",
        NAMES,
    )
    assert arrival.is_refused
    assert (arrival.field, arrival.reason) == ("currency", "is missing")
    assert (arrival.name, arrival.subject) == ("purchase", "/cart")
    assert arrival.visitor_id == "v_abcdefgh"


def test_what_is_no_event_at_all_does_not_stop_the_feed() -> None:
    for value in (b"\xff", b"[]", b"null", {}, event(items="x", item_id=7)):
        describe(record(value), "events", NAMES)
    assert describe(record(b"{"), "events", NAMES).is_refused
    assert describe(record({"fields": "x"}), "deadletters", NAMES).is_refused


def test_followers_see_what_came_and_what_comes(tmp_path: Path) -> None:
    async def check(feed: Feed, events: EventLog, letters: EventLog) -> None:
        events.append([NewRecord("v", json.dumps(event("search")).encode())])
        first = feed.follow()
        news = await next_with(first, lambda news: news.accepted_count == 1)
        assert [arrival.name for arrival in news.arrivals] == ["search"]
        letters.append([NewRecord("d", json.dumps({"field": "price"}).encode())])
        news = await next_with(first, lambda news: news.refused_count == 1)
        assert not news.is_anew
        assert [arrival.field for arrival in news.arrivals] == ["price"]
        # Who comes later sees both.
        news = await next_with(feed.follow(), lambda news: True)
        assert news.is_anew
        assert len(news.arrivals) == 2
        await feed.close()
        assert [left async for left in first] == []

    run_feed(tmp_path, check)


def test_what_was_there_before_is_not_told(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path), "events")
    log.append([NewRecord("v", json.dumps(event("earlier")).encode())])
    log.close()

    async def check(feed: Feed, events: EventLog, letters: EventLog) -> None:
        events.append([NewRecord("v", json.dumps(event("later")).encode())])
        news = await next_with(feed.follow(), lambda news: news.accepted_count > 0)
        assert [arrival.name for arrival in news.arrivals] == ["later"]

    run_feed(tmp_path, check)


def test_counts_go_on_when_only_the_latest_are_kept(tmp_path: Path) -> None:
    async def check(feed: Feed, events: EventLog, letters: EventLog) -> None:
        total = MOST_KEPT + 20
        events.append(
            [
                NewRecord("v", json.dumps(event(search_term=str(number))).encode())
                for number in range(total)
            ]
        )
        news = await next_with(feed.follow(), lambda news: news.accepted_count == total)
        terms = [arrival.subject for arrival in news.arrivals]
        assert terms == [f"“{number}”" for number in range(20, total)]

    run_feed(tmp_path, check)


def test_a_silence_is_told_so_that_closed_pages_are_noticed(tmp_path: Path) -> None:
    async def check(feed: Feed, events: EventLog, letters: EventLog) -> None:
        following = feed.follow(silence=0.01)
        assert await anext(following) is not None
        assert await anext(following) is None

    run_feed(tmp_path, check)


def test_a_log_that_is_away_is_told_and_found_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    (tmp_path / "log").write_text("a file where the folder should be")

    async def check() -> None:
        feed = Feed([open_log(settings, "events")], NAMES)
        async with feed.running():
            following = feed.follow()
            news = await next_with(following, lambda news: True)
            assert "cannot be read" in news.problem
            (tmp_path / "log").unlink()
            news = await next_with(following, lambda news: not news.problem)

    asyncio.run(check())


async def next_with(
    following: AsyncIterator[News | None], holds: Callable[[News], bool]
) -> News:
    async with asyncio.timeout(30):
        async for news in following:
            if news is not None and holds(news):
                return news
    raise AssertionError("the feed ended")


def run_feed(
    home: Path, check: Callable[[Feed, EventLog, EventLog], Awaitable[None]]
) -> None:
    settings = Settings(home=home)
    events, letters = (open_log(settings, topic) for topic in ("events", "deadletters"))

    async def run() -> None:
        reading = [open_log(settings, topic) for topic in ("events", "deadletters")]
        feed = Feed(reading, NAMES)
        async with feed.running():
            await check(feed, events, letters)

    try:
        asyncio.run(run())
    finally:
        events.close()
        letters.close()
