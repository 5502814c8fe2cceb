"""Parts of the whole as processes of their own: `nearline` commands, ended together."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NEARLINE = str(Path(sys.executable).with_name("nearline"))

_SECONDS_TO_FINISH = 20


@contextlib.contextmanager
def part(*arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    """`nearline` with these arguments, until the block ends."""
    process = subprocess.Popen([NEARLINE, *arguments])
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_SECONDS_TO_FINISH)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
