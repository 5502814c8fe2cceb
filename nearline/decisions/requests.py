"""What may be asked over HTTP: bodies as they come in, checked at the edge."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from nearline.collector.problems import Problem
from nearline.decisions.knowing import Consents, Page
from nearline.events.contract import Key, Name, PagePath, ShortText

_MOST_UNAVAILABLE = 1_000
SEGMENT_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
_GROUP = r"[a-z][a-z0-9_]{0,63}:[A-Za-z0-9_.-]{1,64}"
GROUPS_PATTERN = rf"^{_GROUP}(~{_GROUP}){{0,19}}$"
_NOTICE = r"^[A-Za-z0-9_.-]{1,32}$"

_Body = TypeVar("_Body", bound="RequestForm")

Target = Literal["session", "7d"]
"""Keys of `nearline.propensity.targets.TARGETS`."""

DeviceClass = Literal["desktop", "mobile", "tablet", "tv", "other"]

Visitor = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512, pattern=r"\S"),
    Field(
        description="Id of the cookie or device, as the collector is sent it; it is kept "
        "as a keyed hash. A server's key may give the pseudonym (v_…) instead."
    ),
]


class RequestForm(BaseModel):
    """A body. What it does not know is refused, so that a wrong name is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConsentForm(RequestForm):
    """What the visitor said yes to; what is left out counts as no."""

    analytics: bool = False
    personalization: bool = False
    marketing: bool = False
    notice_version: Annotated[str, StringConstraints(pattern=_NOTICE)] | None = None

    def as_consents(self) -> Consents:
        return Consents(
            self.analytics, self.personalization, self.marketing, self.notice_version
        )


class ContextForm(RequestForm):
    """What the page says of itself and of the visit."""

    consent: ConsentForm = ConsentForm()
    page_type: Name | None = None
    page_path: PagePath | None = None
    item: Key | None = None
    channel: Annotated[ShortText, Field(description="How the visitor came.")] | None = (
        None
    )
    campaign: ShortText | None = None
    device_class: DeviceClass | None = None
    source_session_id: Key | None = None

    def as_page(self) -> Page:
        return Page(
            page_type=self.page_type,
            page_path=self.page_path,
            item=self.item,
            channel=self.channel,
            campaign=self.campaign,
            device_class=self.device_class,
        )


class DecideForm(RequestForm):
    """What should this visitor see in these slots?"""

    visitor: Visitor
    slots: Annotated[list[Name], Field(min_length=1, max_length=100)]
    context: ContextForm = ContextForm()


class VariantsForm(RequestForm):
    """Which variants of these slots, that many share, does this visitor see?"""

    visitor: Visitor
    slots: Annotated[list[Name], Field(min_length=1, max_length=100)]
    context: ContextForm = ContextForm()


class VariantForm(RequestForm):
    """The key of a variant: parameters of its path. Nothing else is taken, so that
    nothing of a person can be part of what is kept for all."""

    segment: Annotated[str, StringConstraints(pattern=SEGMENT_PATTERN)] | None = None
    groups: (
        Annotated[str, StringConstraints(pattern=GROUPS_PATTERN, max_length=1024)]
        | None
    ) = None
    page_type: Name | None = None
    item: Key | None = None
    channel: Name | None = None
    device_class: DeviceClass | None = None

    def as_page(self) -> Page:
        return Page(
            page_type=self.page_type,
            item=self.item,
            channel=self.channel,
            device_class=self.device_class,
        )


class RecommendForm(RequestForm):
    """A list of items for this visitor, by no policy."""

    visitor: Visitor
    context: ContextForm = ContextForm()
    count: Annotated[int, Field(ge=1, le=50)] = 10
    category: ShortText | None = None
    unavailable: Annotated[list[Key], Field(max_length=_MOST_UNAVAILABLE)] = []


class ScoreForm(RequestForm):
    """How likely is this visitor to buy?"""

    visitor: Visitor
    context: ContextForm = ContextForm()
    targets: Annotated[list[Target], Field(min_length=1, max_length=2)] = [
        "session",
        "7d",
    ]


class OutcomeForm(RequestForm):
    """What came of a decision."""

    decision_id: Key
    kind: Annotated[Name, Field(description="Such as click, dismiss, conversion.")]
    content: Annotated[Key, Field(description="Item or block it was about.")] | None = (
        None
    )
    reward: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)] | None = None
    event_id: (
        Annotated[
            Key, Field(description="Yours, so that sending twice counts as once.")
        ]
        | None
    ) = None


class OutcomesForm(RequestForm):
    """Outcomes of one visitor."""

    visitor: Visitor
    context: ContextForm = ContextForm()
    outcomes: Annotated[list[OutcomeForm], Field(min_length=1, max_length=100)]


def checked(form: type[_Body], content: Any) -> _Body:
    """The body as its form.

    Raises:
        Problem: 400, naming the field at fault and never its value.
    """
    try:
        return form.model_validate(content)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        # A name that the form does not know is the sender's own, and may be anything.
        known = [
            str(part)
            for part in error["loc"]
            if isinstance(part, int) or part in _FIELDS
        ]
        if error["type"] == "extra_forbidden":
            place = ".".join(known) or "(body)"
            message, fix = (
                "there is a field that is not known",
                "leave it out; see /docs",
            )
        elif error["type"] == "missing":
            place, message, fix = ".".join(known), "is missing", "send it; see /docs"
        else:
            place = ".".join(known) or "(body)"
            message, fix = _plain(error["msg"]), "see /docs for its form"
        raise Problem(400, message, place, fix) from None


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


_FORMS = (
    DecideForm,
    VariantsForm,
    VariantForm,
    RecommendForm,
    ScoreForm,
    OutcomesForm,
    OutcomeForm,
    ContextForm,
    ConsentForm,
)
_FIELDS = frozenset(name for form in _FORMS for name in form.model_fields)
