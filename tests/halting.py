"""Servers of tests that may be killed, or halted as a machine that hangs."""

import signal
import subprocess


class Halting:
    """A server's process; whoever starts it sets `_running`."""

    _running: subprocess.Popen[bytes] | None

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        if self._running is not None:
            self._running.send_signal(signal.SIGKILL)
            self._running.send_signal(signal.SIGCONT)
            self._running.wait()
            self._running = None

    def halt(self) -> None:
        """It takes connections and answers nothing, until `go_on`."""
        assert self._running is not None
        self._running.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._running is not None
        self._running.send_signal(signal.SIGCONT)
