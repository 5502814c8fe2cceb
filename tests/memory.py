"""What a process holds in memory, as Linux tells it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.background import repeated


def resident_mebibytes(process_id: int | str = "self") -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 2**10


@contextmanager
def sampled_memory(process_id: int) -> Iterator[list[float]]:
    """Resident MiB twice a second, in a list that grows until the block ends."""
    found = [resident_mebibytes(process_id)]
    with repeated(lambda: found.append(resident_mebibytes(process_id)), 0.5):
        yield found
