"""``upcall top`` on a real cluster: a drain by key and its end, a master that is killed, a cluster that goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cluster import Cluster

from screen import Screen

HELLO = str(Path(__file__).parents[2] / "examples" / "hello.py")


@pytest.fixture
def screen(own_cluster: Cluster) -> Iterator[Screen]:
    own_cluster.up()
    own_cluster.upcall("install", HELLO, "--set", "count=2")
    found = Screen(own_cluster.data)
    yield found
    found.close()


def test_what_happens_is_seen_and_a_node_is_drained_and_given_back_by_key(own_cluster: Cluster, screen: Screen) -> None:
    screen.until("2/2 members ready")
    screen.type("2")
    screen.until("hello.web-1")
    screen.type("1d")
    screen.until("Drain node-1?")
    screen.type("y")
    screen.until("drain of node-1 is asked")
    screen.until("node-1  drained")
    screen.type("4")
    screen.until("node-1")
    screen.type("1u")
    screen.until("Undrain node-1?")
    screen.type("y")
    screen.until("node-1  up")

    # A master that is started again is waited for, and the changes after it are seen as those before.
    own_cluster.kill("master")
    own_cluster.upcall("scale", "hello", "1")
    screen.until("1/1 members ready")
    screen.type("2")
    screen.until("hello.web-0")
    screen.type("\r")
    screen.until("log of hello.web-0")

    own_cluster.down()
    code, said = screen.end()
    assert code == 1
    assert said.count("error: ") == 1
    assert "upcall up" in said
