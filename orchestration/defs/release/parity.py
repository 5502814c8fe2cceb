"""What apps were served against the tables about to be published: a difference blocks."""

import dagster as dg

from nearline.served.parity import judge_parity
from nearline.settings import load_settings
from orchestration.lib.checking import BLOCKS


@dg.asset_check(
    asset="candidate_release",
    name="served_values_match",
    blocking=True,
    description="Served features equal the tables' values at the same moments.",
)
def served_values_match() -> dg.AssetCheckResult:
    """Fails with the features of which too large a share was wrong."""
    verdict = judge_parity(load_settings().candidate.resolve())
    return dg.AssetCheckResult(
        passed=verdict.is_kept,
        severity=BLOCKS,
        description=verdict.in_words(),
        metadata={
            "compared_count": verdict.compared_count,
            "wrong_count": verdict.wrong_count,
            "pending_count": verdict.pending_count,
        },
    )
