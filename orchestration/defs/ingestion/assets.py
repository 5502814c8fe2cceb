"""What has been landed, as the first assets of the graph."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from nearline.landing.declarations import find_declarations
from nearline.landing.from_log import land_log
from nearline.landing.landings import list_landings
from nearline.settings import load_settings
from orchestration.lib.plots import bar_plot

_OWNERS = ["team:behaviour"]


@dg.asset(
    key=["raw", "log_landings"],
    group_name="ingestion",
    owners=_OWNERS,
    kinds={"parquet"},
    description="What the event log held beyond the last landing, as raw Parquet.",
)
def log_landings(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Lands the event log; the assets below count what lies in the raw folder then."""
    landings = land_log(
        load_settings(), lambda landed: context.log.info(f"{landed} records landed")
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(landing.accepted_count for landing in landings),
            "rejected_row_count": sum(landing.rejected_count for landing in landings),
            "landing_count": len(landings),
        }
    )


def _landed_asset(
    format_name: str, description: str, deps: Sequence[dg.AssetsDefinition] = ()
) -> dg.AssetsDefinition:
    @dg.asset(
        key=["raw", f"{format_name}_events"],
        deps=deps,
        group_name="ingestion",
        description=description,
        owners=_OWNERS,
        kinds={"parquet"},
    )
    def landed() -> dg.MaterializeResult[None]:
        landings = [
            landing
            for landing in list_landings(load_settings())
            if landing.format == format_name
        ]
        rows = [
            {"landing": landing.landing_id, "rows": landing.accepted_count}
            for landing in landings[-30:]
        ]
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(
                    landing.accepted_count for landing in landings
                ),
                "rejected_row_count": sum(
                    landing.rejected_count for landing in landings
                ),
                "left_out_row_count": sum(
                    landing.left_out_count for landing in landings
                ),
                "landing_count": len(landings),
                **(
                    {"latest_landings": bar_plot(rows, "landing", "rows", "Rows")}
                    if rows
                    else {}
                ),
            }
        )

    return landed


nearline_events = _landed_asset(
    "nearline",
    "One row per accepted record in the contract's own form.",
    deps=[log_landings],
)
rees46_events = _landed_asset(
    "rees46", "One row per accepted row of a REES46 shop log."
)
declared_events = [
    _landed_asset(declaration.format, declaration.description)
    for declaration in find_declarations(load_settings().dbt_project).values()
]


@dg.asset(
    key=["raw", "rejects"],
    deps=[log_landings],
    group_name="ingestion",
    owners=_OWNERS,
    kinds={"parquet"},
    description="One row per record that the door refused, with field and reason.",
)
def rejects() -> dg.MaterializeResult[None]:
    """Counts what the door refused."""
    landings = list_landings(load_settings())
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(landing.rejected_count for landing in landings)
        }
    )


@dg.asset(
    key=["privacy", "suppressed_keys"],
    group_name="ingestion",
    owners=["team:privacy"],
    kinds={"parquet"},
    description="One row per visitor or user id that was erased or opted out.",
)
def suppressed_keys() -> dg.MaterializeResult[None]:
    """Counts the keys that staging leaves out."""
    from nearline.privacy.suppression import count_suppressed

    return dg.MaterializeResult(
        metadata={"dagster/row_count": count_suppressed(load_settings())}
    )


@dg.asset(
    key=["identity", "unlinks"],
    group_name="ingestion",
    owners=["team:behaviour"],
    kinds={"parquet"},
    description="One row per pair of identifiers that somebody took apart.",
)
def identity_unlinks() -> dg.MaterializeResult[None]:
    """Counts the links that an operator undid."""
    from nearline.identity.unlinks import read_unlinks

    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(read_unlinks(load_settings()))}
    )


@dg.asset(
    key=["deadletters", "replays"],
    group_name="ingestion",
    owners=["team:operations"],
    kinds={"parquet"},
    description="One row per dead letter that was mended and sent again.",
)
def deadletter_replays() -> dg.MaterializeResult[None]:
    """Counts what was refused and came in after all."""
    from nearline.deadletters.replays import replays_table

    return dg.MaterializeResult(
        metadata={"dagster/row_count": replays_table(load_settings()).num_rows}
    )


@dg.asset(
    key=["served", "feature_values"],
    group_name="ingestion",
    owners=["team:features"],
    kinds={"parquet"},
    description="One row per feature value that a sampled entity was served.",
)
def served_feature_values() -> dg.MaterializeResult[None]:
    """Lands what readers have logged of the values that they served."""
    from nearline.served.landing import count_served, land_served

    settings = load_settings()
    landing = land_served(settings, datetime.now(UTC))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": count_served(settings),
            "landed_row_count": landing.row_count,
            "open_segment_count": landing.open_segment_count,
            "unread_line_count": landing.unread_line_count,
        }
    )
