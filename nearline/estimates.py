"""A measure with its interval, as results and model cards carry it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure with the ends of its interval; None where it is not defined."""

    value: float | None
    ci_low: float | None
    ci_high: float | None
