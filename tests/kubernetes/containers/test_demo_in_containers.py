"""The demo, in its smallest size, in containers of the image of its packages: from the aircraft to a fault found."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
from evicting import LIMIT_S
from installed import Installed
from realnodes.cluster import RealNodes
from realnodes.packaged import packaged

SEEN = Path(__file__).parents[1] / "flight_seen.py"
PACKAGES = ("kafka", "cassandra", "spark", "ingest", "windows", "aircraft")
PLATFORM = """\
name: fast-data
services:
  - package: kafka
    options: {brokers: 1, cpus: 0.1, memory_mib: 384, disk_mib: 2048}
    topics:
      runs: {partitions: 1, config: {cleanup.policy: compact}}
      frames-dead: {partitions: 1}
      frames: {partitions: 4, config: {retention.ms: "600000"}}
  - package: cassandra
    options: {nodes: 1, cpus: 0.1, memory_mib: 576, disk_mib: 2048}
  - package: spark
    options: {workers: 1, cpus: 0.2, cores: 1, memory_mib: 1016, master_memory_mib: 224}
  - package: ingest
    options: {cpus: 0.1, memory_mib: 160}
  - package: windows
    options: {cpus: 0.2, cores: 1, memory_mib: 800, keep_s: 1800}
  - package: aircraft
    options: {flight: AIB232E, seed: 1, rate_hz: 128, blocks: 1}
"""
pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def image(real: RealNodes) -> str:
    return packaged(real, *PACKAGES)


async def test_what_is_wrong_with_an_aircraft_is_found_in_containers(upcall: Installed, tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S):
        while "windows" not in await upcall.upcall("catalog", "list"):  # noqa: ASYNC110 - its host registers it
            await asyncio.sleep(1)
    platform = tmp_path / "demo.yaml"
    platform.write_text(PLATFORM)
    began_s = time.monotonic()
    said = await upcall.upcall("apply", "-f", str(platform))
    print(f"\ndeployed after {time.monotonic() - began_s:.1f} s")
    for package in PACKAGES:
        assert f"{package}: installed" in said

    words = (*upcall.before, sys.executable, str(SEEN), str(upcall.folder.root))
    pipe = asyncio.subprocess.PIPE
    looking = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    async with asyncio.timeout(LIMIT_S):
        seen, _ = await looking.communicate()
    assert looking.returncode == 0, seen.decode() + upcall.logs()
    print(seen.decode())
    assert "matched: " in seen.decode()
