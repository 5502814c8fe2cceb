"""The models by name, and what each can be asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from nearline.errors import InputError

if TYPE_CHECKING:
    from nearline.recommend.models.protocol import Fit

ALL = "all"


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A model's name and its `Fit` functions as module:name, None where it has none.

    `for_users` learns from users' histories and discovers items that they have not seen;
    `for_sessions` learns from sessions and predicts the next item, seen or not.
    """

    name: str
    for_users: str | None
    for_sessions: str | None


MODELS: tuple[ModelKind, ...] = (
    ModelKind("popularity", "popularity:fit_popularity", "popularity:fit_popularity"),
    ModelKind("item-knn", "item_knn:fit_item_knn", "item_knn:fit_covisitation"),
    ModelKind("ease", "ease:fit_ease", "ease:fit_ease"),
    ModelKind("als", "als:fit_als", "als:fit_als"),
    ModelKind("bpr", "bpr:fit_bpr", None),
    ModelKind(
        "session-knn", "session_knn:fit_session_knn", "session_knn:fit_session_knn"
    ),
    ModelKind("trending", "recency:fit_trending", "recency:fit_trending"),
    ModelKind("repeats", None, "recency:fit_repeats"),
    ModelKind(
        "sequential-rules",
        "sequence:fit_sequential_rules",
        "sequence:fit_sequential_rules",
    ),
    ModelKind("content", "content:fit_content", "content:fit_content"),
    ModelKind("nearline", "blend:fit_user_blend", "blend:fit_session_blend"),
)


def models_for_users(names: Sequence[str]) -> "dict[str, Fit]":
    """The named models, or all of them, to learn from users' histories."""
    return _chosen(names, lambda kind: kind.for_users, "users")


def models_for_sessions(names: Sequence[str]) -> "dict[str, Fit]":
    """The named models, or all of them, to learn from sessions."""
    return _chosen(names, lambda kind: kind.for_sessions, "sessions")


def _chosen(
    names: Sequence[str], place: Callable[[ModelKind], str | None], what: str
) -> "dict[str, Fit]":
    able = {kind.name: found for kind in MODELS if (found := place(kind)) is not None}
    known = ", ".join(able)
    wanted = list(able) if ALL in names else list(dict.fromkeys(names))
    if not wanted:
        raise InputError(f"no model is named; known for {what} are {known}")
    for name in wanted:
        if name not in {kind.name for kind in MODELS}:
            raise InputError(
                f"unknown model {name!r}; known for {what} are {known} and {ALL}"
            )
        if name not in able:
            raise InputError(f"model {name} does not work on {what}; {known} do")
    return {name: _load(able[name]) for name in wanted}


def _load(place: str) -> "Fit":
    module, _, attribute = place.partition(":")
    fit: Fit = getattr(import_module(f"{__package__}.{module}"), attribute)
    return fit
