"""Measuring: each model learns, answers and is measured, with its seconds and progress.

Belongs here: what an evaluation does for every model alike. Not here: what models are
asked and how answers are measured (`evaluation`, `session_evaluation`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from nearline.errors import InputError
from nearline.recommend.intervals import Estimate

if TYPE_CHECKING:
    from nearline.recommend.interactions import Interactions
    from nearline.recommend.models.protocol import Fit, Fitting, Model

Advance = Callable[[float], None]
"""Told how much more of the whole is done, 1 in all."""

_Answers = TypeVar("_Answers")


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What a model reached: k -> measure -> estimate; and the seconds that it took."""

    measures: Mapping[int, Mapping[str, Estimate]]
    fit_seconds: float
    score_seconds: float


def measure_each(
    fits: "Mapping[str, Fit]",
    named: Sequence[str],
    train: "Interactions",
    fitting: "Fitting",
    answer: "Callable[[Model, Advance], _Answers]",
    measure: Callable[[_Answers], Mapping[int, Mapping[str, Estimate]]],
    advance: Advance,
) -> tuple[dict[str, ModelResult], dict[str, str]]:
    """Each model's result, and why a model has none.

    Args:
        named: what was asked for; a model of "all" may refuse the data.
        answer: what a model says to all that it is asked; tells its own progress.
        measure: of these answers; its seconds are not the model's.

    Raises:
        InputError: a model that was asked for by its name, not by "all", refuses the
            data.
    """

    def advance_half(share: float) -> None:
        advance(0.5 * share / len(fits))

    def result(fit: "Fit") -> ModelResult:
        began = perf_counter()
        model = fit(train, fitting)
        fitted = perf_counter()
        advance_half(1)
        answers = answer(model, advance_half)
        answered = perf_counter()
        return ModelResult(
            measures=measure(answers),
            fit_seconds=round(fitted - began, 3),
            score_seconds=round(answered - fitted, 3),
        )

    results: dict[str, ModelResult] = {}
    refused: dict[str, str] = {}
    for name, fit in fits.items():
        try:
            results[name] = result(fit)
        except InputError as problem:
            if name in named:
                raise
            refused[name] = str(problem)
            advance_half(2)
    return results, refused


def by_length(
    estimates: Mapping[tuple[int, str], Estimate],
) -> dict[int, dict[str, Estimate]]:
    """k -> measure -> estimate, in the order given."""
    found: dict[int, dict[str, Estimate]] = {}
    for (k, name), estimate in estimates.items():
        found.setdefault(k, {})[name] = estimate
    return found


def checked_lengths(k: Sequence[int]) -> tuple[int, ...]:
    """The list lengths, ascending and each once.

    Raises:
        InputError: there is none, or one under 1.
    """
    if not k or min(k) < 1:
        raise InputError("k: give whole numbers from 1 on, such as 10,20")
    return tuple(sorted(set(k)))
