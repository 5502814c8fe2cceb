"""Each kind of trigger, as it is ready-made, from events in a log."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.publication.live_files import facts_file
from tests.releases import Row
from tests.unit.triggers.trigger_site import (
    NOON,
    TriggerSite,
    trigger_site,
    user,
    visitor,
)

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
ANNA = visitor("anna")
BLOCK = "deliver: [{ to: block, slot: home_top, content: hello }]"


@pytest.fixture
def site(tmp_path: Path) -> TriggerSite:
    return trigger_site(tmp_path / "home")


def use(site: TriggerSite, body: str, caps: str = "") -> None:
    site.define(f"triggers:\n  hello: {{ {body}, {BLOCK} }}\n{caps}")


def dues(site: TriggerSite) -> list[float]:
    return [due for *_, due in site.firings()]


def test_three_views_of_one_item_within_a_day(site: TriggerSite) -> None:
    use(site, "like: repeat_views")
    views = [(0, "kettle"), (10, "cup"), (20, "kettle"), (30, "cup"), (40, "kettle")]
    site.arrive(*(site.event("anna", "view_item", s, item_id=i) for s, i in views))
    site.step(HOUR)
    assert site.firings() == [("hello", ANNA, "kettle", 40)]


def test_views_of_two_days_are_no_repetition(site: TriggerSite) -> None:
    use(site, "like: repeat_views")
    for seconds in (0, 10, DAY + 11):
        site.arrive(site.event("anna", "view_item", seconds, item_id="kettle"))
    site.step(DAY + 20)
    assert dues(site) == []


def test_a_category_and_then_a_product(site: TriggerSite) -> None:
    use(site, "like: category_then_product")
    site.arrive(
        site.event("ben", "view_item", 0, item_id="kettle"),
        site.event("ben", "page_view", 10, page_type="category"),
        site.event("anna", "page_view", 10, page_type="category"),
        site.event("anna", "view_item", 20, item_id="kettle"),
        site.event("carl", "page_view", 10, page_type="category"),
        site.event("carl", "view_item", 31 * MINUTE, item_id="kettle"),
    )
    site.step(HOUR)
    assert site.firings() == [("hello", ANNA, "", 20)]


def test_back_after_a_month(site: TriggerSite) -> None:
    use(site, "like: back_after_long")
    site.arrive(
        site.event("anna", "page_view", 0),
        site.event("anna", "page_view", 31 * DAY),
        site.event("anna", "page_view", 31 * DAY + 60),
        site.event("ben", "page_view", 31 * DAY),
    )
    site.step(31 * DAY + HOUR)
    assert site.firings() == [("hello", ANNA, "", 31 * DAY)]


def test_a_first_visit_from_a_campaign(site: TriggerSite) -> None:
    use(site, "like: first_visit_from_campaign")
    site.arrive(
        site.event("anna", "page_view", 0, utm_campaign="spring"),
        site.event("ben", "page_view", 0),
        site.event("ben", "page_view", 2 * HOUR, utm_campaign="spring"),
    )
    site.step(3 * HOUR)
    assert site.firings() == [("hello", ANNA, "", 0)]


def test_who_is_known_to_the_release_is_not_here_for_the_first_time(
    site: TriggerSite,
) -> None:
    use(site, "like: first_visit_from_campaign")
    know_anna(site)
    site.arrive(
        site.event("anna", "page_view", 0, utm_campaign="spring"),
        site.event("ben", "page_view", 0, utm_campaign="spring"),
    )
    site.step(HOUR)
    assert site.firings() == [("hello", visitor("ben"), "", 0)]


def test_back_after_a_month_of_which_only_the_release_knows(site: TriggerSite) -> None:
    use(site, "like: back_after_long")
    know_anna(site)
    site.arrive(site.event("anna", "page_view", 0))
    site.step(HOUR)
    assert dues(site) == [0]


def test_contact_with_reviews_or_faqs(site: TriggerSite) -> None:
    use(site, "like: read_reviews_or_faqs")
    site.arrive(
        site.event("anna", "content_interaction", 0, content_type="review"),
        site.event("ben", "content_interaction", 0, content_type="size_guide"),
    )
    site.step(HOUR)
    assert site.firings() == [("hello", ANNA, "", 0)]


def test_within_the_cooldown_it_does_not_fire_again(site: TriggerSite) -> None:
    use(site, "on: { event: search }, cooldown: 1h")
    site.arrive(*(site.event("anna", "search", at) for at in (0, HOUR - 1, HOUR)))
    site.step(2 * HOUR)
    assert dues(site) == [0, HOUR]


def test_what_rearms_by_a_purchase_waits_for_one(site: TriggerSite) -> None:
    use(site, "on: { event: search }, rearm: [purchase]")
    names = ["search", "search", "purchase", "search", "search"]
    site.arrive(*(site.event("anna", name, at) for at, name in enumerate(names)))
    site.step(HOUR)
    assert dues(site) == [0, 3]


def test_what_never_rearms_fires_once(site: TriggerSite) -> None:
    use(site, "on: { event: search }, rearm: never")
    site.arrive(*(site.event("anna", "search", at) for at in (0, 50 * DAY)))
    site.step(51 * DAY)
    assert dues(site) == [0]


def test_a_cap_holds_within_its_time(site: TriggerSite) -> None:
    use(site, "on: { event: search }, cap: { count: 2, per: 1h }")
    site.arrive(*(site.event("anna", "search", at) for at in (0, 10, 20, HOUR + 5)))
    site.step(2 * HOUR)
    assert dues(site) == [0, 10, HOUR + 5]


def test_a_cap_over_all_triggers_counts_them_together(site: TriggerSite) -> None:
    site.define(
        "caps: [{ count: 1, per: 1h }]\ntriggers:\n"
        f"  a: {{ on: {{ event: search }}, {BLOCK} }}\n"
        f"  b: {{ on: {{ event: page_view }}, {BLOCK} }}\n"
    )
    site.arrive(site.event("anna", "page_view", 0), site.event("anna", "search", 10))
    site.step(HOUR)
    assert site.firings() == [("b", ANNA, "", 0)]


def test_an_occasion_known_after_its_expiry_passes(site: TriggerSite) -> None:
    use(site, "on: { event: search }, expiry: 10m")
    site.arrive(
        site.event("anna", "search", 0, arrived=9 * MINUTE),
        site.event("ben", "search", 0, arrived=11 * MINUTE),
    )
    site.step(HOUR)
    assert site.firings() == [("hello", ANNA, "", 0)]
    assert site.rows("select value from counts where name = 'passed.too_late'") == [
        (1,)
    ]


def test_the_hold_out_gets_no_message_and_is_about_its_share(site: TriggerSite) -> None:
    use(site, "on: { event: search }, hold_out: 0.2")
    people = [f"p{number}" for number in range(400)]
    site.arrive(*(site.event(who, "search", 0) for who in people))
    site.step(HOUR)
    [(fired, held)] = site.rows("select count(*), sum(is_held_out) from firings")
    # Binomial of 400 and 0.2: 80, and beyond 5 standard deviations of 8 never.
    assert fired == 400
    assert 40 < held < 120
    assert len(site.messages()) == 400 - held


def test_a_segment_entered_fires_once_for_the_person(site: TriggerSite) -> None:
    use(site, "like: segment_entered")
    site.release("20260501T000001Z", **segments({"ben": None}))
    site.arrive(
        site.event("anna", "page_view", 0, user_id=user("anna")),
        site.event("anna2", "page_view", 10, user_id=user("anna")),
    )
    assert site.step(20).fired == 0
    site.release("20260501T000002Z", **segments({"anna": None, "ben": None}))
    assert site.step(30).fired == 1
    site.release("20260501T000003Z", **segments({"anna": None, "ben": None}))
    assert site.step(40).fired == 0
    # The device that was seen last.
    assert site.firings() == [("hello", visitor("anna2"), "", 30)]


def test_a_segment_left(site: TriggerSite) -> None:
    use(site, "on: { segment: cart_abandoner, change: left }")
    site.arrive(site.event("anna", "page_view", 0))
    site.release("20260501T000001Z", **segments({"anna": None}))
    site.step(20)
    left = (NOON + timedelta(seconds=5)).replace(tzinfo=None)
    site.release("20260501T000002Z", **segments({"anna": left}))
    site.step(30)
    assert site.firings() == [("hello", ANNA, "", 30)]


def test_without_consent_entering_a_segment_fires_nothing(site: TriggerSite) -> None:
    use(site, "like: segment_entered")
    site.release("20260501T000001Z", **segments({}))
    site.step(20)
    site.release("20260501T000002Z", **segments({"nobody": None}))
    site.step(30)
    assert site.firings() == []


def segments(members: dict[str, datetime | None]) -> dict[str, list[Row]]:
    """Each person has two devices, as `anna` and `anna2`."""
    since = (NOON - timedelta(days=1)).replace(tzinfo=None)
    periods: list[dict[str, Any]] = [
        {
            "person_id": f"p_{who}",
            "segment": "cart_abandoner",
            "segment_kind": "rule",
            "valid_from": since,
            "valid_to": until,
            "is_current": until is None,
            "is_primary": True,
        }
        for who, until in members.items()
    ]
    bridge = [
        {
            "identifier_type": "visitor",
            "identifier": visitor(device),
            "person_id": f"p_{who}",
        }
        for who in members
        for device in (who, f"{who}2")
    ]
    return {"fct_segments": periods, "bridge_identities": bridge}


def know_anna(site: TriggerSite) -> None:
    """The release has an event of hers of forty days before."""
    before = (NOON - timedelta(days=40)).replace(tzinfo=None)
    row = {
        "visitor_id": ANNA,
        "event_id": "old",
        "occurred_at": before,
        "received_at": before,
    }
    pq.write_table(
        pa.Table.from_pylist([row]), facts_file(site.settings.published.resolve())
    )
