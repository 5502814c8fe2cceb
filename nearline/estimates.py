"""A measure with its interval, as results and model cards carry it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure with the ends of its interval; None where it is not defined."""

    value: float | None
    ci_low: float | None
    ci_high: float | None

    def in_words(self) -> str:
        """With its interval; a measure that has none is not shown bare."""
        if self.value is None or self.ci_low is None or self.ci_high is None:
            return "not defined"
        return f"{self.value:.3f} ({self.ci_low:.3f} to {self.ci_high:.3f})"
