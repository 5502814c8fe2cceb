"""Great Expectations on raw files, before dbt reads them.

Stopping here keeps the warehouse clean: a planted address is refused before any table
holds it. Files that passed before and have not changed since are not read again.
"""

from collections.abc import Iterator

import dagster as dg

from nearline.landing.registry import format_names
from nearline.landing.verification import remember_verified, unverified_files
from nearline.settings import load_settings
from orchestration.lib.checking import BLOCKS, WARNS, of_severity, summarize

_CHECK = "great_expectations"
_DRIFT = "great_expectations_drift"


def _raw_check(format_name: str) -> dg.AssetChecksDefinition:
    asset = dg.AssetKey(["raw", f"{format_name}_events"])

    @dg.multi_asset_check(
        name=f"raw_{format_name}_expectations",
        specs=[
            dg.AssetCheckSpec(
                _CHECK,
                asset=asset,
                blocking=True,
                description="Schema, ranges and privacy of newly landed files.",
            ),
            dg.AssetCheckSpec(
                _DRIFT, asset=asset, description="Shares that are worth a look."
            ),
        ],
    )
    def expectations_hold() -> Iterator[dg.AssetCheckResult]:
        settings = load_settings()
        files = unverified_files(settings, format_name)
        if files:
            from expectations.runner import check_raw

            results = check_raw(files, format_name)
        else:
            results = []
        blocking = of_severity(results, "block")
        if all(result.status == "passed" for result in blocking):
            remember_verified(settings, format_name, files)
        yield summarize(asset, _CHECK, blocking, BLOCKS)
        yield summarize(asset, _DRIFT, of_severity(results, "warn"), WARNS)

    return expectations_hold


raw_expectations = [_raw_check(name) for name in format_names(load_settings())]
