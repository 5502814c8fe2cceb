"""The code location that `dagster dev` and `nearline run` load."""

from pathlib import Path

import dagster as dg

from orchestration.lib.locking import RunLock
from orchestration.lib.progress import progress_logger
from orchestration.lib.warehouse import dbt_resource


@dg.definitions
def defs() -> dg.Definitions:
    """All topics under `defs/`, run step by step in one process.

    One process, since every step would otherwise pay seconds of imports, and since one
    run holds the warehouse anyway.
    """
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent.parent),
        dg.Definitions(
            executor=dg.in_process_executor,
            loggers={
                "console": dg.colored_console_logger,
                "progress": progress_logger,
            },
            resources={"dbt": dbt_resource(), "run_lock": RunLock()},
        ),
    )
