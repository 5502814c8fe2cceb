"""Python code run in several processes at once, on one home."""

import os
import subprocess
import sys
from collections.abc import Sequence

from nearline.settings import Settings

_PROGRAM = """
import sys
{imports}
from nearline.settings import load_settings
settings = load_settings()
print("ready", flush=True)
sys.stdin.readline()
{program}
"""


def run_at_once(settings: Settings, imports: str, programs: Sequence[str]) -> list[str]:
    """Starts all programs, lets go of them together, returns what each printed."""
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                _PROGRAM.format(imports=imports, program=program),
            ],
            env={**os.environ, "NEARLINE_HOME": str(settings.home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for program in programs
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started)
    return outputs
