"""Runs dbt again and again without importing it anew: each run is a fork of this process.

Importing dbt takes two seconds of a processor, a third of a small run. A run is still a
process of its own, with its own environment, folder and end. Started by `dbt_runs`.
"""

import json
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import dbt.adapters.duckdb  # noqa: F401
from dbt.cli.main import cli


def serve() -> None:
    """Reads a run a line, answers each with its exit code; until the input ends."""
    for line in sys.stdin:
        run = json.loads(line)
        child = os.fork()
        if child == 0:
            _run_dbt(run)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run_dbt(run: dict[str, Any]) -> NoReturn:
    """Ends the process. A run that takes too long ends by SIGALRM."""
    code = 1
    try:
        for stream, path in ((1, run["stdout"]), (2, run["stderr"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
        signal.alarm(round(run["timeout"]))
        os.environ.clear()
        os.environ.update(run["environment"])
        os.chdir(run["folder"])
        cli(run["arguments"], prog_name="dbt")
    except SystemExit as ended:
        code = int(ended.code or 0)
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
