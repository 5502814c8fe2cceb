"""What is asked of a recommender, and what it answers: plain values, nothing computed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["view", "cart", "purchase"]

Outcome = Literal[
    "personal", "cold_start", "seen_again", "nothing_eligible", "empty_catalogue"
]
"""What became of a request.

    personal          ranked by what the visitor did
    cold_start        nothing known of the visitor's is in the catalogue: what trends
    seen_again        everything was seen, so the rule on seen items was not applied
    nothing_eligible  rules leave no item
    empty_catalogue   there is no item at all
"""


@dataclass(frozen=True, slots=True)
class Touch:
    """One thing that the visitor did with an item; `at` is seconds since 1970, if known."""

    item_id: str
    kind: Kind = "view"
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One list for one visitor.

    `history` is oldest first, repetitions included; `item` is the item of the page that
    the list stands on. `channel` is how the visitor came, for those of whom nothing is
    known; `category` keeps the list to one category; `unavailable` items are never shown.
    """

    history: Sequence[Touch] = ()
    item: str | None = None
    count: int = 10
    channel: str | None = None
    category: str | None = None
    unavailable: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What a shop decides, whatever the models think.

    `exploration_share` of the places is given away at random. `relevance_share` is 1 for
    the order of the scores and 0 for diversity alone. `most_per_brand` (None: no cap)
    holds as far as there are other items to fill the list with. `focus_views` is how many
    views of one item, of the last `focus_touches`, are an interest in that very item.
    """

    exploration_share: float = 0.05
    relevance_share: float = 0.8
    most_per_brand: int | None = 4
    hide_seen: bool = True
    hide_bought: bool = True
    focus_views: int = 3
    focus_touches: int = 20
    new_days: float = 14.0


@dataclass(frozen=True, slots=True)
class Recommended:
    """One item of a list.

    `sources` are the kinds of candidates that it came from, the one that says most first;
    `reason` is a sentence about the first. `probability` is that of being anywhere in the
    list, `place_probability` that of being at this very place.
    """

    item_id: str
    score: float
    sources: tuple[str, ...]
    reason: str
    probability: float
    place_probability: float
    is_explored: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A list with all that is needed to judge it later.

    `candidates` are all items that could have been shown, with the probability of each;
    they add up to the list's length; `scores` has the score of each. `unknown_item_count`
    is how many items of the request the catalogue does not hold. `relaxed` names rules
    that could not be held to.
    """

    items: tuple[Recommended, ...]
    outcome: Outcome
    focus_item_id: str | None = None
    unknown_item_count: int = 0
    relaxed: tuple[str, ...] = ()
    candidates: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str | None] = field(default_factory=dict)
