"""Triggers in YAML: what each says, and an error that names file, place and fix."""

from pathlib import Path

import pytest

from nearline.errors import InputError
from nearline.settings import Settings
from nearline.triggers.definitions import Match, OnEvents, OnSegment
from nearline.triggers.machine import Fact, matches_any
from nearline.triggers.reading import read_triggers, ready_made

BLOCK = "deliver: [{ to: block, slot: home_top, content: hello }]"


def read(folder: Path, text: str, name: str = "shop.yml"):  # type: ignore[no-untyped-def]
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return read_triggers(folder, Settings().dbt_project)


def one(folder: Path, body: str):  # type: ignore[no-untyped-def]
    [trigger] = read(folder, f"triggers:\n  hello: {{ {body} }}\n").triggers
    return trigger


def test_no_folder_is_no_triggers(tmp_path: Path) -> None:
    assert read_triggers(tmp_path / "missing", Settings().dbt_project).triggers == ()


def test_everything_that_may_be_said_is_taken(tmp_path: Path) -> None:
    [trigger] = read(
        tmp_path,
        """
triggers:
  looked_twice:
    description: Dear things, twice.
    on:
      event: view_item
      where: price_cents >= 5000 and item_category in ('shoes', 'bags')
      count: 2
      within: 1h
      per: item
    when: purchase_count_30d = 0 and cart.is_filled
    after: 5m
    wait_for_late: 30s
    restarted_by: view_item
    cancelled_by: [purchase, { event: search, where: search_term is not null }]
    cooldown: 2d
    rearm: [purchase]
    expiry: 6h
    cap: { count: 2, per: 30d }
    hold_out: { share: 0.05, salt: spring }
    consent: marketing
    deliver:
      - { to: webhook, url: "https://crm.example/hook" }
      - to: email
        subject: Hello
        text: About $item_id
        unsubscribe_url: https://shop.example/u
""",
    ).triggers
    assert isinstance(trigger.on, OnEvents)
    [match] = trigger.on.steps
    assert match.event == "view_item"
    assert match.where is not None
    assert match.where.is_met({"price_cents": 5000, "item_category": "bags"})
    assert not match.where.is_met({"price_cents": 5000, "item_category": "hats"})
    assert not match.where.is_met({"item_category": "bags"})
    assert (trigger.on.count, trigger.on.within_ms, trigger.on.per) == (
        2,
        3_600_000,
        "item",
    )
    assert trigger.when is not None
    assert trigger.when.names == {"purchase_count_30d", "cart.is_filled"}
    assert trigger.needs_cart
    assert (trigger.after_ms, trigger.grace_ms) == (300_000, 30_000)
    assert trigger.restarted_by == (Match("view_item"),)
    assert matches_any(
        trigger.cancelled_by, Fact(0, "e", "search", {"search_term": "x"})
    )
    assert not matches_any(trigger.cancelled_by, Fact(0, "e", "search"))
    assert trigger.rearm == (Match("purchase"),)
    assert (trigger.hold_out_buckets, trigger.salt) == (500, "spring")
    assert [delivery.channel for delivery in trigger.deliver] == ["webhook", "email"]


def test_on_is_a_key_and_no_boolean(tmp_path: Path) -> None:
    trigger = one(tmp_path, f"on: {{ segment: casual }}, {BLOCK}")
    assert trigger.on == OnSegment("casual")


def test_a_delay_waits_for_what_is_on_its_way(tmp_path: Path) -> None:
    trigger = one(tmp_path, f"on: {{ event: search }}, after: 1m, {BLOCK}")
    assert trigger.grace_ms == 10_000
    assert one(tmp_path, f"on: {{ event: search }}, {BLOCK}").grace_ms == 0


def test_the_version_changes_with_what_is_said(tmp_path: Path) -> None:
    versions = {
        one(tmp_path, f"on: {{ event: search }}, cooldown: {days}d, {BLOCK}").version
        for days in (1, 2)
    }
    assert len(versions) == 2


@pytest.mark.parametrize("name", sorted(ready_made()))
def test_a_ready_made_trigger_needs_only_its_deliveries(
    tmp_path: Path, name: str
) -> None:
    trigger = one(tmp_path, f"like: {name}, cooldown: 3d, {BLOCK}")
    assert trigger.description
    assert trigger.cooldown_ms == 3 * 86_400_000


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (f"on: {{ event: search }}, afer: 1m, {BLOCK}", "hello.afer: there is no such"),
        (f"on: {{ event: Search }}, {BLOCK}", "hello.on.event: "),
        (f"on: {{}}, {BLOCK}", "hello.on: must have exactly one of event, sequence"),
        (
            f"on: {{ event: search, segment: x }}, {BLOCK}",
            "hello.on: must have exactly one of",
        ),
        (
            f"on: {{ event: search, where: email = 'x' }}, {BLOCK}",
            "hello.on.where: knows no email; use one of page_path, page_type",
        ),
        (
            f"on: {{ event: search, where: {{ page_type: home }} }}, {BLOCK}",
            "hello.on.where: must be a condition as in SQL",
        ),
        (
            f"on: {{ event: search, where: price_cents > 'x' }}, {BLOCK}",
            "hello.on.where: compares a number with text",
        ),
        (
            f"on: {{ event: search }}, when: purchase_counts_30d = 0, {BLOCK}",
            "hello.when: knows no purchase_counts_30d; did you mean purchase_count_30d?",
        ),
        (
            f"on: {{ event: search }}, when: segment = 'loyal', {BLOCK}",
            "hello.when: knows no segment loyal; there are loyal_customer, ",
        ),
        (
            f"on: {{ event: search }}, when: moody > 3, {BLOCK}",
            "hello.when: knows no moody; docs/features.md says",
        ),
        (
            f"on: {{ event: search }}, when: cart_item_count, {BLOCK}",
            "hello.when: is a number; it has to be true or false",
        ),
        (
            f"on: {{ holds: now() is not null }}, {BLOCK}",
            "hello.on.holds: asks for no feature",
        ),
        (
            f"on: {{ holds: cart.is_filled }}, {BLOCK}",
            "hello.on.holds: knows no cart.is_filled",
        ),
        (f"on: {{ event: search, count: 3 }}, {BLOCK}", "count needs `within`"),
        (f"on: {{ segment: x, within: 1h }}, {BLOCK}", "within does not go with"),
        (f"on: {{ segment: x }}, after: 1h, {BLOCK}", "after goes with events"),
        (f"on: {{ feature: x }}, {BLOCK}", "hello.on.feature: there is no such"),
        (f"on: {{ event: search }}, after: 30, {BLOCK}", "hello.after: must be a dur"),
        (f"on: {{ event: search }}, cooldown: 400d, {BLOCK}", "must be at most 365d"),
        (f"on: {{ event: search }}, hold_out: 2, {BLOCK}", "hello.hold_out"),
        (f"like: cart_lost, {BLOCK}", "hello.like: there is no such ready-made"),
        ("on: { event: search }", "hello.deliver: Field required"),
        (
            "on: { event: search }, deliver: [{ to: block, content: x }]",
            "hello.deliver.0: slot is missing; block needs it",
        ),
        (
            "on: { event: search }, deliver: [{ to: banner, content: x, url: y }]",
            "hello.deliver.0.url: must be an address",
        ),
        (
            "on: { event: search }, deliver: [{ to: webhook, url: 'http://a.example' }]",
            "must be https unless it is of this machine",
        ),
        (
            "on: { event: search }, deliver: [{ to: email, subject: a, text: b }]",
            "hello: an e-mail needs `consent: marketing`",
        ),
        (
            "on: { event: search }, consent: marketing, "
            "deliver: [{ to: email, subject: a, text: b }]",
            "hello: an e-mail needs `unsubscribe_url`",
        ),
        (
            "on: { event: search }, consent: marketing, "
            "deliver: [{ to: email, subject: a, text: 'Dear $name' }]",
            "hello.deliver.0.text: uses a $name that there is not; use $count",
        ),
    ],
    ids=lambda value: value[:40] if value.startswith("hello") else "",
)
def test_a_mistake_is_told_with_file_place_and_fix(
    tmp_path: Path, body: str, says: str
) -> None:
    with pytest.raises(InputError) as problem:
        one(tmp_path, body)
    assert str(problem.value).startswith("shop.yml, hello")
    assert says in str(problem.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("triggers: {a: [}", "shop.yml, line 1: is not YAML; mend it"),
        ("- a", "shop.yml: must be a mapping"),
        ("trigger: {}", "shop.yml: a file has the keys `triggers` and `caps` alone"),
        ("triggers: [a]", "shop.yml: `triggers` must be a mapping by name"),
        ("triggers: {Hello: {}}", "shop.yml: a trigger's name is lower case"),
        ("triggers: {hello: 3}", "shop.yml, hello: must be a mapping"),
        ("caps: [{ count: 0, per: 1d }]", "shop.yml, caps.0.count: "),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as problem:
        read(tmp_path, text)
    assert says in str(problem.value)


def test_a_name_in_two_files_is_told(tmp_path: Path) -> None:
    text = f"triggers:\n  hello: {{ on: {{ event: search }}, {BLOCK} }}\n"
    read(tmp_path, text, "a.yml")
    with pytest.raises(InputError, match=r"b\.yml: hello is in a\.yml, too"):
        read(tmp_path, text, "b.yml")
