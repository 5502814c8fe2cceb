"""Great Expectations' results as Dagster asset checks."""

from collections.abc import Iterable, Sequence

import dagster as dg

from expectations.results import CheckResult

BLOCKS = dg.AssetCheckSeverity.ERROR
WARNS = dg.AssetCheckSeverity.WARN
_SHOWN_MESSAGES = 20


def summarize(
    asset: dg.AssetKey,
    name: str,
    results: Sequence[CheckResult],
    severity: dg.AssetCheckSeverity,
) -> dg.AssetCheckResult:
    """One Dagster check out of many expectations; its words name table and column."""
    broken = [result for result in results if result.status != "passed"]
    kept = len(results) - len(broken)
    words = (
        "; ".join(result.message for result in broken[:_SHOWN_MESSAGES])
        or f"all {len(results)} expectations hold"
    )
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=not broken,
        severity=severity,
        description=words,
        metadata={
            "expectations_kept": kept,
            "expectations_broken": sum(r.status == "failed" for r in broken),
            "expectations_errored": sum(r.status == "errored" for r in broken),
            "rows_checked": max((r.checked_row_count for r in results), default=0),
            "seconds": round(sum(r.seconds for r in results), 2),
        },
    )


def of_severity(results: Iterable[CheckResult], severity: str) -> list[CheckResult]:
    """Those results that block, or those that warn."""
    return [result for result in results if result.severity == severity]
