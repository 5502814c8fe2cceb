"""What a process holds in memory, as Linux tells it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def resident_mebibytes(process_id: int | str = "self") -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 2**10


@contextmanager
def sampled_memory(process_id: int) -> Iterator[list[float]]:
    """Resident MiB twice a second, in a list that grows until the block ends."""
    found, stop = [resident_mebibytes(process_id)], threading.Event()

    def sample() -> None:
        while not stop.wait(0.5):
            found.append(resident_mebibytes(process_id))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
