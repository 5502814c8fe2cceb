"""An expectation that counts a query's rows and fetches none.

Belongs here: the one custom expectation. The stock one runs each query twice, once to
fetch rows that nobody may see. Not here: the queries.

Importing this module imports Great Expectations, which takes seconds.
"""

from typing import Any, ClassVar

from great_expectations.expectations.core.unexpected_rows_expectation import (
    UnexpectedRowsExpectation,
)


class ExpectNoRows(UnexpectedRowsExpectation):
    """Holds when the query finds nothing; `observed_value` is the number of rows."""

    metric_dependencies: ClassVar[tuple[str, ...]] = (
        "unexpected_rows_query.row_count",
    )

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        count = metrics["unexpected_rows_query.row_count"]
        return {"success": count == 0, "result": {"observed_value": count}}
