"""One run at a time."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nearline.errors import LockedError
from nearline.settings import Settings
from orchestration.lib.locking import hold_run_lock

HOLDER = """
import sys, pathlib
from nearline.settings import Settings
from orchestration.lib.locking import hold_run_lock
with hold_run_lock(Settings(home=pathlib.Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(home: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_second_holder_is_told_who_has_it_and_that_nothing_changed(
    tmp_path: Path,
) -> None:
    holder = hold_elsewhere(tmp_path)
    try:
        with (
            pytest.raises(LockedError, match=rf"process {holder.pid}, since 20"),
            hold_run_lock(Settings(home=tmp_path)),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_killed_holder_leaves_nothing_to_clear_away(tmp_path: Path) -> None:
    holder = hold_elsewhere(tmp_path)
    holder.kill()
    holder.wait()

    with hold_run_lock(Settings(home=tmp_path)):
        assert "process" in (tmp_path / "run.lock").read_text()
    assert (tmp_path / "run.lock").read_text() == ""


def test_lock_is_free_again_after_a_run_that_failed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(RuntimeError), hold_run_lock(settings):
        raise RuntimeError

    with hold_run_lock(settings):
        pass


def test_waiting_run_gets_the_lock_when_the_other_has_ended(tmp_path: Path) -> None:
    holder = hold_elsewhere(tmp_path)
    threading.Timer(0.5, holder.kill).start()

    with hold_run_lock(Settings(home=tmp_path), wait_seconds=60):
        assert f"process {os.getpid()}" in (tmp_path / "run.lock").read_text()
    holder.wait()


def test_waiting_run_gives_up_in_words(tmp_path: Path) -> None:
    holder = hold_elsewhere(tmp_path)
    try:
        with (
            pytest.raises(LockedError, match=rf"process {holder.pid}"),
            hold_run_lock(Settings(home=tmp_path), wait_seconds=1.5),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
