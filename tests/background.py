"""What goes on beside a test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(act: Callable[[], object], pause_seconds: float) -> Iterator[None]:
    """Calls `act` again and again in a thread of its own, until the block ends."""
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.is_set():
            act()
            is_over.wait(pause_seconds)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
