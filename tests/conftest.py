"""For all tests in one process: what must be imported before anything else, and the
servers that several files share."""

from collections.abc import Iterator
from contextlib import ExitStack

# Feast switches it to numbers in files, shared by all that is made in a process, if it
# comes first. A collector never imports Feast; a process of all tests does.
import prometheus_client  # noqa: F401
import pytest

from tests.online_stores import OnlineStores


@pytest.fixture(scope="session")
def online_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineStores]:
    """Online stores, whose servers are started at first use."""
    with ExitStack() as stack:
        yield OnlineStores(tmp_path_factory.mktemp("stores"), stack)
