"""Which version of the code made a release."""

import subprocess
from importlib.metadata import version

from orchestration.lib.warehouse import ROOT


def code_version() -> str:
    """The package's version and, in a checkout, the commit; `+` marks local changes."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    commit = described.stdout.strip() if described.returncode == 0 else "no checkout"
    return f"{version('nearline')} ({commit})"
