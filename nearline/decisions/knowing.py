"""What is known when a decision is made: of the visitor, of the page, of consent.

Belongs here: turning an online store's features into what conditions and lists ask for.
Not here: reading the store (`features`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nearline.decisions.expressions import NOW, Expression
from nearline.decisions.vocabulary import CONTEXT
from nearline.recommend.requests import Touch

if TYPE_CHECKING:
    from nearline.online.reading import EntityFeatures

_MOST_REPEATED_VIEWS = 10

SEGMENT_FEATURE = "primary_segment"
"""The feature that many visitors have alike: what a shared answer may go by."""


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

    `features` is None where none were read: without consent to personalization, or since
    the store did not answer, which `features_problem` then names. A visitor of whom the
    store holds nothing has features, all of them None, and is not `is_known`.
    Items that are `unavailable` are in no list.

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

    def meets(self, condition: Expression | None) -> bool:
        """Whether a condition holds; one on features does not hold where none were read."""
        return condition is None or (
            self.can_tell(condition) and condition.is_met(self.values)
        )

    def can_tell(self, expression: Expression) -> bool:
        return self.features is not None or all(
            name in self.values for name in expression.names
        )


def know_group(
    now: datetime, page: Page, segment: str | None, groups: Mapping[str, str]
) -> Known:
    """What is known of everybody who shares an answer: their segment, and the page.

    Who has a segment to tell has said yes to personalization. Nothing they do is on
    record by this answer, so they have said yes to nothing else.
    """
    values = _values_of_page(now, page)
    if segment is not None:
        values[SEGMENT_FEATURE] = segment
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
) -> Known:
    """Puts together what is known.

    Args:
        found: what the store answered; leave it out without consent to personalization.
    """
    values = _values_of_page(now, page)
    if found is None:
        return Known(
            visitor_id,
            now,
            consents,
            page,
            features_problem=features_problem,
            unavailable=unavailable,
            values=values,
        )
    ages = [age for age in found.ages.values() if age is not None]
    # The end of a window may be filed ahead of its time.
    past = [age for age in ages if age >= 0]
    return Known(
        visitor_id,
        now,
        consents,
        page,
        features=found.values,
        is_known=bool(ages),
        feature_age_seconds=min(past) if past else None,
        history=touches(found.values),
        unavailable=unavailable,
        values={**found.values, **values},
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
