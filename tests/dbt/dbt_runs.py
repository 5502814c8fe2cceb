"""Runs of the real dbt, each in a process of its own, forked from one that imported it."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_SERVER = Path(__file__).with_name("dbt_server.py")


def run_dbt(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
) -> "subprocess.CompletedProcess[str]":
    """Runs `dbt` with these arguments in `folder` to its end.

    Raises:
        TimeoutError: it took more than `timeout` seconds, and was killed.
    """
    with tempfile.TemporaryDirectory() as printed:
        stdout, stderr = Path(printed, "stdout"), Path(printed, "stderr")
        run = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "timeout": timeout,
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(run) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        if code == -signal.SIGALRM:
            raise TimeoutError(f"dbt {' '.join(arguments)} took over {timeout:.0f} s")
        return subprocess.CompletedProcess(
            ["dbt", *arguments], code, stdout.read_text(), stderr.read_text()
        )


@cache
def _server() -> "subprocess.Popen[str]":
    """One for each process of tests; it ends with it, since its input does."""
    return subprocess.Popen(
        [sys.executable, str(_SERVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
