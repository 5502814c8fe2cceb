"""What is known when a decision is made: of the visitor, of the page, of consent.

Belongs here: turning an online store's features into what conditions and lists ask for.
Not here: reading the store (`features`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nearline.decisions.caps import Shown
from nearline.decisions.expressions import NOW, Expression
from nearline.decisions.vocabulary import (
    CONTEXT,
    PERSON,
    PERSON_SERVICE,
    PRIMARY_SEGMENT,
    SEGMENT,
    SERVICE,
    services_of,
)
from nearline.recommend.requests import Touch
from nearline.triggers.moments import milliseconds

if TYPE_CHECKING:
    from nearline.online.reading import EntityFeatures
    from nearline.triggers.outbox import PendingBlock

_MOST_REPEATED_VIEWS = 10


@dataclass(frozen=True, slots=True)
class Consents:
    """What the visitor has said yes to; what is not known is no."""

    analytics: bool = False
    personalization: bool = False
    marketing: bool = False
    notice_version: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What the page says of itself; None where it does not."""

    page_type: str | None = None
    page_path: str | None = None
    item: str | None = None
    channel: str | None = None
    campaign: str | None = None
    device_class: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that a choice may go by.

    `features` are the visitor's own, None where none were read: without consent to
    personalization, where no policy in question asks for any, or since the store did not
    answer, which `features_problem` then names; `read` are the services that were. A
    visitor of whom the store holds nothing has features, all of them None, and is not
    `is_known`. Likewise `shown` (what was shown before) and `pending` (messages of
    triggers), each with its problem. Items that are `unavailable` are in no list.

    `groups` makes it an answer that many share: nobody is meant, `visitor_id` is empty, and
    where policies compare visitors they are told by name in which group these are.
    """

    visitor_id: str
    now: datetime
    consents: Consents = Consents()
    page: Page = Page()
    features: Mapping[str, Any] | None = None
    is_known: bool = False
    feature_age_seconds: float | None = None
    features_problem: str | None = None
    history: Sequence[Touch] = ()
    unavailable: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, str] | None = None
    read: frozenset[str] = frozenset()
    shown: Shown | None = None
    shown_problem: str | None = None
    pending: "Sequence[PendingBlock] | None" = None
    pending_problem: str | None = None
    source: str | None = None
    """The application's source, where there is one."""

    @property
    def now_ms(self) -> int:
        """The moment of deciding, in milliseconds since 1970."""
        return milliseconds(self.now)

    @property
    def segment(self) -> str | None:
        """The first segment of the visitor's person."""
        found: str | None = self.values.get(SEGMENT)
        return found

    def meets(self, condition: Expression | None) -> bool:
        """Whether a condition holds; one on features does not hold where none were read."""
        return condition is None or (
            self.can_tell(condition) and condition.is_met(self.values)
        )

    def can_tell(self, expression: Expression) -> bool:
        return services_of(expression) <= self.read or all(
            name in self.values for name in expression.names
        )


def values_of(
    found: "EntityFeatures | None", of_person: "EntityFeatures | None" = None
) -> dict[str, Any]:
    """What a store serves of a visitor and its person, by the names of conditions."""
    values: dict[str, Any] = {}
    if of_person is not None:
        values |= {f"{PERSON}{name}": one for name, one in of_person.values.items()}
    if found is not None:
        values |= found.values
        values.setdefault(SEGMENT, found.values.get(PRIMARY_SEGMENT))
    return values


def know_group(
    now: datetime, page: Page, segment: str | None, groups: Mapping[str, str]
) -> Known:
    """What is known of everybody who shares an answer: their segment, and the page.

    Who has a segment to tell has said yes to personalization. Nothing they do is on
    record by this answer, so they have said yes to nothing else.
    """
    values = _values_of_page(now, page)
    if segment is not None:
        values |= {PRIMARY_SEGMENT: segment, SEGMENT: segment}
    return Known(
        "",
        now,
        Consents(personalization=segment is not None),
        page,
        values=values,
        groups=groups,
    )


def know(
    visitor_id: str,
    now: datetime,
    consents: Consents,
    page: Page,
    found: "EntityFeatures | None" = None,
    features_problem: str | None = None,
    unavailable: Sequence[str] = (),
    of_person: "EntityFeatures | None" = None,
) -> Known:
    """Puts together what is known.

    Args:
        found, of_person: what the store answered of the visitor and of its person; leave
            it out without consent to personalization.
    """
    values = values_of(found, of_person) | _values_of_page(now, page)
    services = ((SERVICE, found), (PERSON_SERVICE, of_person))
    known = Known(
        visitor_id,
        now,
        consents,
        page,
        features_problem=features_problem,
        unavailable=unavailable,
        values=values,
        read=frozenset(name for name, one in services if one is not None),
    )
    if found is None:
        return known
    ages = [age for age in found.ages.values() if age is not None]
    # The end of a window may be filed ahead of its time.
    past = [age for age in ages if age >= 0]
    return replace(
        known,
        features=found.values,
        is_known=bool(ages),
        feature_age_seconds=min(past) if past else None,
        history=touches(found.values),
    )


def _values_of_page(now: datetime, page: Page) -> dict[str, Any]:
    values: dict[str, Any] = {
        f"{CONTEXT}{name}": getattr(page, name) for name in Page.__slots__
    }
    return {**values, NOW: now}


def touches(features: Mapping[str, Any]) -> list[Touch]:
    """The latest views, carts and purchases that the features name, oldest first.

    The lists of the features have each item once; how often one was come back to of late
    is told by its own feature, and makes the views of it as many here.
    """
    viewed = list(reversed(features.get("last_viewed_items") or ()))
    repeated = features.get("most_viewed_item_id_30m")
    if repeated in viewed:
        count = features.get("most_viewed_item_view_count_30m") or 1
        again = [repeated] * min(count - 1, _MOST_REPEATED_VIEWS)
        at = viewed.index(repeated)
        viewed[at:at] = again
    bought = reversed(features.get("last_bought_items") or ())
    carted = reversed(features.get("last_carted_items") or ())
    return [
        *(Touch(item, "purchase") for item in bought),
        *(Touch(item, "cart") for item in carted),
        *(Touch(item, "view") for item in viewed),
    ]
