from collections.abc import Iterator

import pytest
import sklearn.ensemble  # noqa: F401
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take minutes on a machine that is busy."""
    with threadpool_limits(limits=1):
        yield
