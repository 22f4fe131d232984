"""Ctrl-C at any moment: the command ends with one word, and what it asked for is whole or was never there."""

import time
from pathlib import Path

import pytest
from real_cluster import Cluster, interrupt

from upcall.client.folder import cluster_of
from upcall.cluster.folder import DataFolder

HELLO = str(Path(__file__).parents[2] / "examples" / "hello.py")
MOMENTS_S = (0.2, 0.6, 1.2)
"""While it begins, in the middle, and near its end; later on a slow machine, which is as good."""


@pytest.fixture(scope="module")
def hello(cluster: Cluster) -> Cluster:
    cluster.upcall("install", HELLO, "--set", "count=2")
    return cluster


def interrupted(cluster: Cluster, after_s: float, *words: str) -> str:
    """What the command said to the interrupt, if it had not done its work by then."""
    process = cluster.begin(*words)
    time.sleep(after_s)
    errors = interrupt(process)
    # Before any line of ours runs, an interrupt is Python's own to report.
    assert "Traceback" not in errors or "upcall" not in errors
    return errors


def at_rest(cluster: Cluster) -> None:
    """No operation is under way, and every service is whole."""
    cluster.until("operations are over", lambda: all(one.ended_at for one in cluster.client.operations()))


@pytest.mark.parametrize("after_s", MOMENTS_S)
def test_a_drain_is_not_asked_or_goes_on_and_can_be_lifted(hello: Cluster, after_s: float) -> None:
    errors = interrupted(hello, after_s, "node", "drain", "node-1")
    at_rest(hello)
    standing = hello.client.operations()
    if "no longer waiting" in errors:
        assert [(one.kind, one.target, one.state) for one in standing] == [("maintenance", "node-1", "done")]
        assert "`upcall node undrain node-1` takes it back" in errors
    if standing:
        hello.upcall("node", "undrain", "node-1")
    hello.until("all is as before", lambda: [node.state for node in hello.client.nodes()] == ["up"] * 3)
    hello.until("the service is whole", lambda: hello.client.service("hello").state == "running")


@pytest.mark.parametrize("after_s", MOMENTS_S)
def test_a_node_that_is_added_is_whole_or_not_there(hello: Cluster, after_s: float) -> None:
    interrupted(hello, after_s, "node", "add", "node-4")

    def same() -> bool:
        declared = {one.name for one in cluster_of(DataFolder(hello.data)).nodes}
        return {one.name: one.state for one in hello.client.nodes()} == dict.fromkeys(declared, "up")

    hello.until("what is declared is up, and nothing else", same)
    tokens = {path.name for path in (hello.data / "secrets").glob("agent-*.token")}
    there = len(hello.client.nodes()) == 4
    assert ("agent-node-4.token" in tokens) == there
    if there:
        hello.upcall("node", "remove", "node-4")
        hello.until("it is gone", lambda: len(hello.client.nodes()) == 3)


def test_nothing_stands_of_a_node_that_was_removed(hello: Cluster) -> None:
    hello.upcall("node", "add", "node-4")
    hello.upcall("node", "remove", "node-4")
    hello.until("it is gone", lambda: len(hello.client.nodes()) == 3)
    hello.until("its removal is over", lambda: hello.client.operations() == [])
    assert "node-4" not in hello.upcall("status").stdout
    hello.upcall("node", "add", "node-4")  # the name is free
    hello.upcall("node", "remove", "node-4")
    hello.until("it is gone", lambda: len(hello.client.nodes()) == 3)


@pytest.mark.parametrize("after_s", MOMENTS_S)
def test_an_uninstall_is_not_asked_or_goes_on(hello: Cluster, after_s: float) -> None:
    errors = interrupted(hello, after_s, "uninstall", "hello")
    at_rest(hello)
    if "no longer waiting" in errors:
        hello.until("it is gone", lambda: hello.client.services() == [])
    if hello.client.services():
        hello.until("it is untouched", lambda: hello.client.service("hello").state == "running")
    else:
        assert hello.client.tasks() == []
        hello.upcall("install", HELLO, "--set", "count=2")
