"""What the tests of decisions share: literal features, policies as text, the fashion shop."""

import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nearline.decisions.deciding import Lists
from nearline.decisions.knowing import Consents, Known, Page, know
from nearline.decisions.lists import HeldLists
from nearline.decisions.policies import PolicySet
from nearline.decisions.policy_files import read_policies
from nearline.decisions.vocabulary import SERVICE
from nearline.online.reading import EntityFeatures
from nearline.recommend.learning import learn
from nearline.recommend.recommender import make_recommender
from tests.unit.recommend.fashion_shop import fashion_behaviour

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALL = Consents(analytics=True, personalization=True, marketing=True)
ANNA = "v_anna00001"

NAMES: Mapping[str, Any] = {
    "cart_item_count": "number",
    "cart_value_cents": "number",
    "cart_changed_at": "moment",
    "first_seen_at": "moment",
    "last_page_type": "text",
    "primary_segment": "text",
    "last_viewed_items": "texts",
    "is_session_active": "flag",
    "segments": "texts",
    "segment": "text",
    "person.cart_item_count": "number",
    "context.page_type": "text",
    "context.item": "text",
}
"""Names that conditions of these tests may use."""

NO_PAGE = Page()

POPULAR = ("kettle", "socks", "gloves", "scarf-red", "shoe-run", "shoe-walk")


def policies_of(folder: Path, *texts: str) -> PolicySet:
    """Each text as a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.yml"
        path.write_text(text)
        paths.append(path)
    return read_policies(paths, NAMES)


def features(
    visitor: str = ANNA, age: float | None = 2.5, **values: Any
) -> EntityFeatures:
    """What the store serves of a visitor; nothing is known where `age` is None."""
    return EntityFeatures(
        visitor,
        dict.fromkeys(name for name in NAMES if "." not in name and name != "segment")
        | values,
        {"activity": None if age is None else NOON.replace(tzinfo=None)},
        {"activity": age, "later": -60.0 if age is not None else None},
    )


def known_of(
    visitor: str = ANNA, consents: Consents = ALL, page: Page = NO_PAGE, **values: Any
) -> Known:
    """A visitor of whom these features were read."""
    return know(visitor, NOON, consents, page, features(visitor, **values))


def fashion_lists() -> HeldLists:
    """The fashion shop's recommender, as version 3, and what it sells most."""
    learnt, *_ = learn(fashion_behaviour(), seed=0)
    return HeldLists(make_recommender(learnt, model_version="recommender v3"), POPULAR)


NO_LISTS: Lists = HeldLists(None, POPULAR)


def learnt_file(kind: str = "epsilon-greedy", **changes: Any) -> dict[str, Any]:
    """As `nearline policy learn` writes it: b is best, but a for those who are engaged."""
    rows = [
        ("", "a", 50, 5.0),
        ("", "b", 60, 20.0),
        ("", "c", 40, 8.0),
        ("engaged_user", "a", 50, 25.0),
        ("engaged_user", "b", 60, 20.0),
    ]
    return {
        "kind": kind,
        "epsilon": 0.12,
        "slot": "banner",
        "reward": "clicked",
        "context": "segment",
        "learnt_until": "2026-03-01T00:00:00+00:00",
        "outcomes": [
            {"context": context, "action": action, "decisions": count, "reward": total}
            for context, action, count, total in rows
        ],
    } | changes


class LiteralFeatures:
    """A store in memory. `is_hanging`: no read returns until `free` is called."""

    def __init__(self, *served: EntityFeatures, opens: bool = True) -> None:
        self.served = {one.entity_id: one for one in served}
        self.reads: list[str] = []
        self.is_broken = False
        self._opens = opens
        self._may_answer = threading.Event()
        self._may_answer.set()

    @property
    def is_open(self) -> bool:
        return self._opens

    def open(self, services: Collection[str] = (SERVICE,)) -> bool:
        return self._opens

    def hang(self) -> None:
        self._may_answer.clear()

    def free(self) -> None:
        self._may_answer.set()

    def read(self, visitor_id: str, service: str = SERVICE) -> EntityFeatures | None:
        self.reads.append(visitor_id)
        self._may_answer.wait()
        if self.is_broken:
            raise OSError("the store's file is gone")
        if not self._opens:
            return None
        return self.served.get(visitor_id) or features(visitor_id, age=None)

    def close(self) -> None:
        self.free()
