"""`nearline up` as a user starts it: the parts that answer, and their end."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.pipeline import NEARLINE
from tests.ports import free_ports
from tests.unit.live.small_site import small_site

_SECONDS = 120.0


def test_events_are_taken_and_decisions_answered_until_it_is_stopped(
    tmp_path: Path,
) -> None:
    site = small_site(tmp_path / "home")
    ports = free_ports(2)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    said = tmp_path / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [NEARLINE, "up", f"--port={ports[0]}", f"--decisions-port={ports[1]}"],
            env={**os.environ, "NEARLINE_HOME": str(site.settings.home)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + _SECONDS
        waiting = {f"{url}/healthz" for url in urls}
        while waiting:
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < end, said.read_text()
            for url in tuple(waiting):
                with suppress(httpx.TransportError):
                    if httpx.get(url, timeout=10).status_code == 200:
                        waiting.remove(url)
            time.sleep(0.1)
        shown = httpx.get(f"{urls[1]}/v1/variants/home_banner", timeout=30)
        assert shown.json()["content"]["block"] == "plain"
        assert f"collector  {urls[0]}" in said.read_text()
        assert f"decisions  {urls[1]}" in said.read_text()
        process.terminate()
        process.wait(_SECONDS)
        for url in urls:
            with pytest.raises(httpx.TransportError):
                httpx.get(url, timeout=10)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
