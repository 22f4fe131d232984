"""A real Kafka of three in pods that really run, and ``kubectl drain`` of each node under load."""

from pathlib import Path

import pytest
from installed import Installed
from kafka_drained import serves_while_each_of_its_nodes_is_drained
from lab import hosts
from lab.control_plane import ControlPlane
from lab.running import RunningNodes
from pods_fixtures import running, upcall

__all__ = ["running", "upcall"]
WHY_NOT = hosts.missing()
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


async def test_kafka_serves_while_each_of_its_nodes_is_drained(
    upcall: Installed, plane: ControlPlane, running: RunningNodes, tmp_path: Path
) -> None:
    await serves_while_each_of_its_nodes_is_drained(upcall, plane, tmp_path)
    assert not running.failures
