import pytest
from played_substrate import Cluster


@pytest.fixture
def cluster() -> Cluster:
    """Two nodes, up; the wanted set is known and empty."""
    cluster = Cluster()
    cluster.take(cluster.substrate.wanted((), cluster.now_s))
    cluster.register("node-1")
    cluster.register("node-2", zone="b")
    cluster.said()
    cluster.told()
    return cluster
