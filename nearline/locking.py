"""A lock that processes of one machine hold by a file, for as long as they live.

The kernel frees it with its holder's death, so a killed process leaves nothing to clear.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Waits until nobody else holds the lock `path`. Its folder is made where missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
