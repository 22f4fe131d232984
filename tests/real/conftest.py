"""A cluster that runs one real system, for a module's tests. Artifacts come from the user's own cache."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The cluster that all tests with real processes start, and the load of the benchmarks.
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load import Writes
from real_cluster import Cluster, last_lines
from real_kafka import TOPIC, under_load
from real_members import Begin

from upcall.cli import keeping
from upcall.cluster.folder import DataFolder

START_S = 900.0
"""Generous: it may have to fetch first, and starts without a class archive then."""


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Clusters of this module, which end with it."""
    begun: list[Cluster] = []

    def up(*install: str, nodes: int, memory_mib_per_node: int) -> Cluster:
        data = tmp_path_factory.mktemp("cluster") / "data"
        found = Cluster(data, nodes=nodes, memory_mib_per_node=memory_mib_per_node)
        begun.append(found)
        try:
            found.up()
            found.upcall("install", *install, timeout_s=START_S)
        except AssertionError:
            print(last_lines(sorted((data / "logs").glob("*.log"))))
            raise
        return found

    yield up
    for cluster in begun:
        if cluster.data.exists() and keeping.running(DataFolder(cluster.data)):
            keeping.end(DataFolder(cluster.data))


@pytest.fixture(scope="module")
def load(kafka: Cluster) -> Iterator[Writes]:
    """Writes to a module's Kafka from its first change to the last: none of them fails, none is lost."""
    with under_load(kafka, TOPIC) as writes:
        yield writes


@pytest.fixture
def phase(load: Writes, request: pytest.FixtureRequest) -> None:
    """What fails is told with the test in which it was due."""
    load.phase(request.node.name)
