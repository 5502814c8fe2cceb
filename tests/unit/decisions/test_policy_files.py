"""Policy files: what a good one says, and what each mistake is told as."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nearline.decisions.caps import Cap
from nearline.decisions.policy_files import (
    PolicyError,
    files_of,
    load_policies,
    load_triggers,
    policy_paths,
    read_policies,
)
from nearline.errors import InputError
from nearline.settings import Settings
from tests.unit.decisions.small_page import NAMES, NOON, learnt_file, policies_of

GOOD = """
version: 1
slots:
  banner: { kind: block, policies: [cart], default: { block: plain } }
  carousel: { kind: items, count: 3, policies: [own], default: { items: [kettle] } }
blocks:
  plain: { kind: message, content: { text: Hello } }
  cart_waits: { kind: banner, when: cart_item_count > 1, score: cart_value_cents / 100 }
policies:
  cart:
    needs: [marketing]
    when: cart_item_count > 0
    hold_out: 0.1
    blocks: [cart_waits, plain]
    explore: 0.2
    experiment:
      key: words:1
      arms: { plain: { share: 0.5 }, warm: { share: 0.5, blocks: [plain] } }
  own:
    list: { count: 4, most_per_brand: 2, exploration_share: 0 }
    experiment:
      key: mix
      arms: { a: { share: 0.5 }, b: { share: 0.5, list: { relevance_share: 0.5 } } }
"""


def test_a_file_says_slots_blocks_and_policies(tmp_path: Path) -> None:
    found = policies_of(tmp_path, GOOD)
    assert found.slots["carousel"].default_items == ("kettle",)
    assert found.blocks["plain"].content == {"text": "Hello"}
    cart = found.policies["cart"]
    # A condition on features needs consent to personalization, said or not.
    assert cart.needs == {"marketing", "personalization"}
    assert (cart.hold_out_share, cart.explore_share) == (0.1, 0.2)
    own = found.policies["own"]
    assert own.listing is not None
    assert (own.listing.count, own.listing.rules.most_per_brand) == (4, 2)
    assert own.listing.rules.exploration_share == 0


def test_a_slot_says_for_how_long_its_answers_may_be_kept(tmp_path: Path) -> None:
    said = "shared: { segments: [loyal_customer], edge_seconds: 300 }"
    found = policies_of(tmp_path, GOOD.replace("count: 3,", f"count: 3, {said},"))
    shared = found.slots["carousel"].shared
    assert shared is not None
    assert (shared.segments, shared.edge_seconds) == (("loyal_customer",), 300)
    assert (shared.browser_seconds, shared.stale_seconds) == (30, 86_400)
    assert found.slots["banner"].shared is None


def test_an_arm_changes_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    own = policies_of(tmp_path, GOOD).policies["own"]
    assert own.experiment is not None
    arm = own.experiment.arms["b"].listing
    assert arm is not None
    assert (arm.count, arm.rules.most_per_brand) == (4, 2)
    assert arm.rules.relevance_share == 0.5
    assert own.experiment.arms["a"].listing is None


def test_arms_get_their_shares_of_visitors_and_each_keeps_its_own(
    tmp_path: Path,
) -> None:
    experiment = policies_of(tmp_path, GOOD).policies["own"].experiment
    assert experiment is not None
    arms = [experiment.arm_of(f"v_{number:08}") for number in range(2_000)]
    share = sum(arm is not None and arm.name == "a" for arm in arms) / len(arms)
    assert 0.46 < share < 0.54
    assert arms == [experiment.arm_of(f"v_{number:08}") for number in range(2_000)]


def test_the_version_changes_with_the_file_and_with_nothing_else(
    tmp_path: Path,
) -> None:
    first = policies_of(tmp_path / "a", GOOD).policies["own"].version
    again = policies_of(tmp_path / "b", GOOD).policies["own"].version
    other = policies_of(tmp_path / "c", GOOD + "# a word\n").policies["own"].version
    assert first == again != other
    assert len(first) == 12
    int(first, 16)


def test_names_of_one_file_may_be_used_in_another(tmp_path: Path) -> None:
    blocks = "version: 1\nblocks: { plain: { kind: message } }\n"
    slots = (
        "version: 1\nslots: { banner: { kind: block, default: { block: plain } } }\n"
    )
    found = policies_of(tmp_path, blocks, slots)
    assert found.slots["banner"].default_block == "plain"


def changed(before: str, after: str) -> str:
    assert before in GOOD
    return GOOD.replace(before, after)


MISTAKES = [
    ("[", "", "is not YAML (line"),
    ("version: 1\nversion: 1", "", "version is there twice"),
    ("- 1", "", "valid dictionary"),
    ("slots: {}", "version", "is missing"),
    (changed("version: 1", "version: 2"), "version", "has to be 1"),
    (changed("explore: 0.2", "explor: 0.2"), "policies.cart.explor", "no such field"),
    (changed("hold_out: 0.1", "hold_out: 10"), "policies.cart.hold_out", "less than"),
    (changed("kind: block", "kind: blok"), "slots.banner.kind", "'block' or 'items'"),
    (changed("count: 3", "count: 500"), "slots.carousel.count", "less than or equal"),
    (
        changed("when: cart_item_count > 0", "when: cart_items > 0"),
        "policies.cart.when",
        "knows no cart_items; did you mean cart_item_count?",
    ),
    (
        changed("score: cart_value_cents / 100", "score: cart_item_count > 1"),
        "blocks.cart_waits.score",
        "has to be a number",
    ),
    (
        changed("policies: [cart]", "policies: [carts]"),
        "slots.banner.policies",
        "there is no policy carts; there are cart, own",
    ),
    (
        changed("default: { block: plain }", "default: {}"),
        "slots.banner.default.block",
        "is missing",
    ),
    (
        changed("blocks: [cart_waits, plain]", "blocks: [cart_wait]"),
        "policies.cart.blocks",
        "there is no block cart_wait; there are cart_waits, plain",
    ),
    (
        changed("blocks: [plain] }", "blocks: [warm] }"),
        "policies.cart.experiment.arms.warm.blocks",
        "there is no block warm",
    ),
    (
        changed("arms: { a: { share: 0.5 }", "arms: { a: { share: 0.6 }"),
        "policies.own.experiment.arms",
        "shares add up to 1.1",
    ),
    (
        changed("content: { text: Hello }", "content: { texts: { 1: Hello } }"),
        "blocks.plain.content",
        "cannot be sent as JSON",
    ),
    (
        changed("content: { text: Hello }", "content: { picture: !!binary aGVsbG8= }"),
        "blocks.plain.content",
        "cannot be sent as JSON",
    ),
    (
        changed("arms: { a: {", "arms: { off: {"),
        "policies.own.experiment.arms",
        "write one such as off or yes in quotes",
    ),
    (
        changed("policies: [own]", "policies: [cart]"),
        "slots.carousel.policies",
        "policy cart chooses among blocks",
    ),
    (
        changed("policies: [cart]", "policies: [own]"),
        "slots.banner.policies",
        "policy own has no blocks",
    ),
    (
        changed("kind: message, content", "kind: items, content"),
        "slots.banner.default.block",
        "is a block of items",
    ),
    (
        changed("count: 3,", "count: 3, shared: { segments: [a, everybody] },"),
        "slots.carousel.shared.segments",
        "is who is in none of them",
    ),
    (
        changed("count: 3,", "count: 3, shared: { edge_seconds: 0 },"),
        "slots.carousel.shared.edge_seconds",
        "greater than or equal to 1",
    ),
]


CAPS = [
    ("shows: 0, per: 7 days", "0.shows", "greater than or equal to 1"),
    ("shows: many, per: 7 days", "0.shows", "valid integer"),
    ("shows: 3", "0.per", "is missing"),
    ("shows: 3, per: a while", "0.per", "such as 30 minutes, 12 hours or 7 days"),
    ("shows: 3, per: 400 days", "0.per", "at most 90 days"),
    ("shows: 3, per: 7 days, by: person", "0.by", "no such field"),
]
MISTAKES += [
    (changed(before, f"{before} caps: [{{ {text} }}],"), f"{place}.caps.{field}", says)
    for before, place in (
        ("banner: {", "slots.banner"),
        ("cart_waits: {", "blocks.cart_waits"),
    )
    for text, field, says in CAPS
]
MISTAKES += [
    (changed("explore: 0.2", f"explore: 0.2\n    {text}"), f"policies.cart.{field}", says)
    for text, field, says in (
        ("caps: 3", "caps", "valid list"),
        ("caps: []", "caps", "at least 1 item"),
        ("caps: [{ shows: 3, per: 7 }]", "caps.0.per", "such as 30 minutes"),
        ("trigger: [cart_left]", "trigger", "valid string"),
        ("trigger: Cart left", "trigger", "should match pattern"),
        ("trigger: 3", "trigger", "valid string"),
        ("learnt: 3", "learnt", "valid string"),
        ('learnt: ""', "learnt", "at least 1 character"),
        ("learnt: { file: home.json }", "learnt", "valid string"),
    )
] + [
    (
        changed("own:\n", "own:\n    learnt: home.json\n"),
        "policies.own.learnt",
        "is of blocks",
    ),
    (
        changed("when: cart_item_count > 0", "when: \"'a' in cart_item_count\""),
        "policies.cart.when",
        "has a number where a list of texts belongs",
    ),
    (
        changed("when: cart_item_count > 0", "when: segments = 'a'"),
        "policies.cart.when",
        "compares a list of texts with text",
    ),
    (
        changed("when: cart_item_count > 0", "when: segment > 3"),
        "policies.cart.when",
        "compares text with a number",
    ),
    (
        changed("when: cart_item_count > 0", "when: person.cart_items > 0"),
        "policies.cart.when",
        "did you mean person.cart_item_count?",
    ),
    (
        changed("when: cart_item_count > 0", "when: \"3 in segments\""),
        "policies.cart.when",
        "compares a number with text",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "field", "says"), MISTAKES, ids=[str(n) for n in range(len(MISTAKES))]
)
def test_a_mistake_is_told_with_file_field_and_fix(
    tmp_path: Path, text: str, field: str, says: str
) -> None:
    with pytest.raises(PolicyError) as refused:
        policies_of(tmp_path, text)
    problems = [one for one in refused.value.problems if one.field == field]
    assert problems, refused.value.problems
    assert says in problems[0].message
    assert problems[0].file == "0.yml"


@pytest.mark.parametrize(
    "text",
    [
        "segment = 'loyl'",
        "'loyl' in segments",
        "list_contains(person.segments, 'loyl') or segment = 'loyal'",
        "segment in ('loyal', 'loyl')",
        "not (primary_segment <> 'loyl')",
    ],
)
def test_a_segment_that_there_is_not_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shop.yml"
    names = {**NAMES, "person.segments": "texts"}
    path.write_text(changed("when: cart_item_count > 0", f'when: "{text}"'))
    with pytest.raises(PolicyError) as refused:
        read_policies([path], names, segments=("loyal", "new"))
    (problem,) = refused.value.problems
    assert problem.field == "policies.cart.when"
    assert problem.message == "knows no segment loyl; there are loyal, new"
    path.write_text(path.read_text().replace("loyl", "new"))
    read_policies([path], names, segments=("loyal", "new"))


TRIGGERS = """
triggers:
  cart_left:
    on: { event: add_to_cart }
    deliver: [{ to: block, slot: banner, content: cart_waits }]
"""
BY_TRIGGER = changed("explore: 0.2", "trigger: cart_left")


def problems_of(folder: Path, policies: str, triggers: str) -> list[str]:
    (folder / "triggers").mkdir()
    (folder / "triggers" / "shop.yml").write_text(triggers)
    (folder / "shop.yml").write_text(policies)
    try:
        settings = Settings(home=folder)
        read_policies([folder / "shop.yml"], NAMES, lambda: load_triggers(settings))
    except PolicyError as refused:
        return [str(one) for one in refused.problems]
    return []


@pytest.mark.parametrize(
    ("policies", "triggers", "says"),
    [
        (BY_TRIGGER, TRIGGERS, None),
        (
            BY_TRIGGER.replace("trigger: cart_left", "trigger: cart_lost"),
            TRIGGERS,
            "policies.cart.trigger: there is no trigger cart_lost; there are cart_left",
        ),
        (BY_TRIGGER, "triggers: {}", "there is no trigger cart_left; there are none"),
        (
            BY_TRIGGER,
            TRIGGERS.replace("slot: banner", "slot: top"),
            "slots.banner.policies: the trigger of policy cart delivers nothing to this",
        ),
        (
            BY_TRIGGER,
            TRIGGERS.replace("content: cart_waits", "content: cart_goes"),
            "has the content cart_goes here, which is no block of policy cart",
        ),
        (
            BY_TRIGGER,
            TRIGGERS.replace("on:", "off:"),
            "triggers: cannot be read, and policies name some: shop.yml",
        ),
        # Where no policy names one, triggers are none of its business.
        (GOOD, "triggers: 3", None),
    ],
    ids=["good", "unknown", "none", "slot", "content", "unreadable", "unused"],
)
def test_a_trigger_is_checked_with_the_triggers(
    tmp_path: Path, policies: str, triggers: str, says: str | None
) -> None:
    found = problems_of(tmp_path, policies, triggers)
    assert len(found) == (says is not None), found
    assert (says or "") in "".join(found)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (learnt_file(), None),
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ({"kind": "magic"}, "has no kind of policy"),
        (learnt_file(outcomes=3), "not of the form"),
        (learnt_file(context="weather"), "not known when it is decided"),
        (learnt_file(slot="top"), "was learnt for slot top; learn one for banner"),
    ],
    ids=["good", "missing", "no_json", "kind", "form", "context", "slot"],
)
def test_a_learnt_file_is_checked_and_served_without(
    tmp_path: Path, content: Any, says: str | None
) -> None:
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "home.json").write_text(text)
    (tmp_path / "shop.yml").write_text(changed("explore: 0.2", "learnt: home.json"))
    paths = [tmp_path / "shop.yml"]
    served = read_policies(paths, NAMES).policies["cart"]
    assert served.learnt == tmp_path / "home.json"
    if says is None:
        read_policies(paths, NAMES, with_learnt=True)
        return
    with pytest.raises(PolicyError) as refused:
        read_policies(paths, NAMES, with_learnt=True)
    (problem,) = refused.value.problems
    assert problem.field == "policies.cart.learnt"
    assert says in problem.message


def test_caps_and_triggers_need_consent_to_personalization(tmp_path: Path) -> None:
    text = changed("    list: {", "    caps: [{ shows: 3, per: 1 day }]\n    list: {")
    own = policies_of(tmp_path, text).policies["own"]
    assert own.caps == (Cap(3, timedelta(days=1)),)
    assert own.needs == {"personalization"}


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = changed("hold_out: 0.1", "hold_out: 10").replace("kind: block", "kind: no")
    with pytest.raises(PolicyError) as refused:
        policies_of(tmp_path, text, "version: 1\nnothing: 1\n")
    found = {(one.file, one.field) for one in refused.value.problems}
    assert {("0.yml", "slots.banner.kind"), ("1.yml", "nothing")} <= found


def test_a_name_in_two_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"is also in 0\.yml"):
        policies_of(tmp_path, GOOD, GOOD)


def test_a_home_without_policies_follows_the_shipped_ones(tmp_path: Path) -> None:
    found = load_policies(Settings(home=tmp_path), NOON)
    assert {"home_banner", "home_carousel", "item_carousel"} == set(found.slots)


def test_a_folder_of_policies_takes_the_shipped_ones_place(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "own.yml").write_text("version: 1\nslots: { mine: { kind: items } }\n")
    assert list(load_policies(Settings(home=tmp_path), NOON).slots) == ["mine"]
    elsewhere = Settings(home=tmp_path / "other", policies=folder)
    assert policy_paths(elsewhere) == [folder / "own.yml"]


def test_a_folder_without_a_policy_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no policy file"):
        files_of(tmp_path)
