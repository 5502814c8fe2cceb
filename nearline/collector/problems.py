"""Why a whole request is refused: one shape of answer for all of them."""

import math


class Problem(Exception):
    """Answered as `{"error", "field", "fix"}`; never carries a value that was sent."""

    def __init__(
        self,
        status: int,
        error: str,
        field: str | None,
        fix: str,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.field = field
        self.fix = fix
        self.retry_after_seconds = retry_after_seconds

    def body(self) -> dict[str, str | None]:
        return {"error": self.error, "field": self.field, "fix": self.fix}

    def headers(self) -> dict[str, str]:
        if self.retry_after_seconds is None:
            return {}
        # Whole seconds, and never "at once".
        return {"Retry-After": str(max(1, math.ceil(self.retry_after_seconds)))}
