import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cluster import Cluster, last_lines

from upcall.cli import keeping
from upcall.cluster.folder import DataFolder

# A shell starts what it puts in the background with interrupts ignored, and children inherit that: tests that
# interrupt what they start would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def cluster_env() -> dict[str, str]:
    """Environment of the module's cluster, on top of the tests' own."""
    return {}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, cluster_env: dict[str, str]) -> Iterator[Cluster]:
    """One cluster for a module's tests; what its processes said last is shown when it does not come up."""
    found = Cluster(tmp_path_factory.mktemp("cluster") / "data", env=cluster_env)
    try:
        found.up()
    except AssertionError:
        print(last_lines(sorted((found.data / "logs").glob("*.log"))))
        raise
    yield found
    _end(found.data)


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster for one test, not yet up."""
    found = Cluster(tmp_path / "data")
    yield found
    _end(found.data)


def _end(data: Path) -> None:
    if data.exists() and keeping.running(DataFolder(data)):
        keeping.end(DataFolder(data))
