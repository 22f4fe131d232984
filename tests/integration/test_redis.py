"""The example with replicas, on real Redis servers: changed, scaled, upgraded and drained while it is written to.

The tests of this module follow each other on one cluster and under one load: what was acknowledged is there at last.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cluster import Cluster, pids_of
from redis_load import Connection, Where, Writes

from debian import NotThere, libraries, unpacked

REDIS = Path(__file__).parents[2] / "examples" / "redis.py"
SERVERS = ("redis.server-0", "redis.server-1", "redis.server-2")

pytestmark = [pytest.mark.real, pytest.mark.in_order, pytest.mark.root]


@pytest.fixture(scope="module")
def program() -> Iterator[str]:
    """The machine's own server, else Debian's, beside the interpreter: what is at home or temporary no task sees."""
    if found := shutil.which("redis-server"):
        yield found
        return
    try:
        root = unpacked("redis", "redis-server")
    except NotThere as reason:
        pytest.skip(f"no redis-server: {reason}")
    place = Path(tempfile.mkdtemp(prefix="redis-", dir=sys.prefix))
    place.chmod(0o755)
    shutil.copytree(root, place / "root", symlinks=True)
    for name in ("redis-server", "redis-cli"):
        given = f"LD_LIBRARY_PATH={':'.join(libraries(place / 'root'))} exec {place / 'root' / 'usr' / 'bin' / name}"
        (place / name).write_text(f'#!/bin/sh\n{given} "$@"\n')
        (place / name).chmod(0o755)
    yield str(place / "redis-server")
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def redis(cluster: Cluster, program: str) -> Cluster:
    cluster.upcall("install", str(REDIS), "--set", f"program={program}")
    cluster.until_ready(*SERVERS)
    return cluster


@pytest.fixture(scope="module")
def load(redis: Cluster) -> Iterator[Writes]:
    with Writes(lambda: primary(redis)).running() as writes:
        redis.until("a write", lambda: writes.acknowledged)
        yield writes
    lost = redis.until("the primary answers", lambda: None if (found := writes.missing()) is None else [found])[0]
    print(f"{len(writes.acknowledged)} writes, {len(lost)} lost, slowest {writes.slowest_s:.2f} s")
    assert not lost


@pytest.fixture(autouse=True)
def _written_to_all_the_time(redis: Cluster, load: Writes) -> Iterator[None]:
    before = len(load.acknowledged)
    yield
    redis.until("writes go on", lambda: len(load.acknowledged) > before + 10)


def leads(cluster: Cluster) -> str:
    """Address of the member that has the role."""
    (end,) = [each for each in cluster.client.endpoints() if each.name == "primary"]
    (address,) = end.addresses
    return address


def primary(cluster: Cluster) -> Where:
    host, _, port = leads(cluster).rpartition(":")
    return host, int(port), cluster.client.credentials("redis", "primary").password


def member_at(cluster: Cluster, address: str) -> str:
    host = address.rpartition(":")[0]
    return next(task.member for task in cluster.client.tasks() if task.address == host)


def test_what_it_acknowledges_is_on_disk(redis: Cluster) -> None:
    """By default it answers before it has written anything while the disk is busy with what came before."""
    connection = Connection(primary(redis))
    assert connection.array("CONFIG", "GET", "appendfsync") == ["appendfsync", "always"]
    connection.close()


def test_it_is_under_60_statements() -> None:
    import ast

    plain = (ast.Import, ast.ImportFrom)
    found = [each for each in ast.walk(ast.parse(REDIS.read_text())) if isinstance(each, ast.stmt)]
    assert len([each for each in found if not isinstance(each, plain)]) <= 60


def test_a_drain_moves_the_primary_first_and_it_is_not_taken_back(redis: Cluster) -> None:
    before = leads(redis)
    node = redis.task(member_at(redis, before)).node
    redis.upcall("node", "drain", node)
    assert leads(redis) != before
    redis.upcall("node", "undrain", node)
    redis.until_ready(*SERVERS)
    assert leads(redis) != before


def test_an_option_is_changed_one_by_one_and_the_primary_moves_for_it(redis: Cluster) -> None:
    first = {member: redis.task(member).incarnation for member in SERVERS}
    redis.upcall("update", "redis", "--set", "memory_mib=80")
    assert {member: redis.task(member).incarnation for member in SERVERS} == {
        member: incarnation + 1 for member, incarnation in first.items()
    }


def test_it_shrinks_and_the_primary_leaves_last_of_all_its_data(redis: Cluster) -> None:
    redis.upcall("scale", "redis", "2")
    assert member_at(redis, leads(redis)) in SERVERS[:2]
    redis.upcall("scale", "redis", "3")
    redis.until_ready(*SERVERS)


def test_another_version_of_its_code_is_an_upgrade_and_rollback_returns(redis: Cluster, tmp_path: Path) -> None:
    newer = tmp_path / "redis.py"
    text = REDIS.read_text().replace("    before_stop_s = 60.0\n", '    before_stop_s = 60.0\n    version = "0.2.0"\n')
    newer.write_text(text.replace("repl-ping-replica-period 1", "repl-ping-replica-period 2"))
    redis.upcall("install", str(newer))
    assert redis.client.service("redis").version == "0.2.0"
    redis.upcall("rollback", "redis")
    assert redis.client.service("redis").version == "0.1.0"


def test_a_primary_that_is_killed_is_back_in_place_with_all_it_had(redis: Cluster) -> None:
    before = redis.task(member_at(redis, leads(redis)))
    for pid in pids_of(f"redis-server {before.address}:"):
        os.kill(pid, signal.SIGKILL)
    redis.until("it was started again", lambda: redis.task(before.member).incarnation > before.incarnation)
    redis.until_ready(*SERVERS)
