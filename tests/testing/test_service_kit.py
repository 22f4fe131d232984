"""The kit for tests of a service: what ``docs/service.md`` says of it, and that it does not pass what is wrong."""

import asyncio
import sys
from pathlib import Path

import pytest

from upcall.operations import inputs as given
from upcall.service import package
from upcall.testing import KINDS, Life, SimulatedKind, live

EXAMPLES = Path(__file__).parents[2] / "examples"
both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def hello(monkeypatch: pytest.MonkeyPatch) -> type:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delitem(sys.modules, "hello", raising=False)
    from hello import Hello

    return Hello


def test_the_example_is_the_package_that_is_installed(hello: type) -> None:
    assert package.build(EXAMPLES / "hello.py").package.entry == f"{hello.__module__}:{hello.__name__}"


@both_kinds
def test_hello_world_is_drained_one_at_a_time(hello: type, kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        first = life.master.drain(life.master.node_of("web-0"))
        if kind != "kernel":
            # Whoever places says only of what is launched that there is no room: the old one serves on meanwhile.
            await asyncio.sleep(300)
            assert [str(task) for task in life.master.cluster.alive()] == ["hello.web-0.1", "hello.web-1.1"]
            assert life.master.members["web-0"].reason == "hello.web-0.1 runs on until it is back"
            await life.master.until(lambda: life.master.operations[first].state == "done", within_s=400)
            assert [str(task) for task in life.master.cluster.alive()] == ["hello.web-1.1"], "its window decides"
            return
        await life.master.until(lambda: life.master.operations[first].state == "done")
        second = life.master.drain(life.master.node_of("web-1"))
        await asyncio.sleep(600)
        assert life.master.answers[-1].reason == "nobody else answers"
        assert life.master.operations[second].state == "open"

    live(hello, script, kind=kind, options={"count": 2}, nodes=2)


@both_kinds
def test_hello_world_has_no_volumes_so_a_drain_moves_it(hello: type, kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        node = life.master.node_of("web-0")
        drain = life.master.drain(node)
        await life.master.until(lambda: life.master.operations[drain].state == "done")
        await life.master.until_ready("web-0")
        assert life.master.node_of("web-0") != node

    live(hello, script, kind=kind, options={"count": 2})


@both_kinds
def test_what_the_script_asserts_fails_the_test_on_each_kind(hello: type, kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        raise AssertionError("so it is run to its end")

    with pytest.raises(AssertionError, match="to its end"):
        live(hello, script, kind=kind)


@both_kinds
def test_a_script_that_waits_for_what_never_comes_ends(hello: type, kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: False)

    with pytest.raises((AssertionError, TimeoutError)):
        live(hello, script, kind=kind)


def test_two_incarnations_on_the_same_volumes_fail_the_test_although_the_script_is_content(hello: type) -> None:
    """A wrong word of a person, on a cluster where volumes follow the task: its old incarnation was not dead at all."""

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.silence(life.master.node_of("web-1"), dies=False)
        await life.master.until_proposed("lost", "web-1")
        life.master.send(given.AssumeDead(service="hello", member="web-1", who="ann", why="I think so"))
        await life.master.until(lambda: life.master.state("web-1") == "ready")

    with pytest.raises(AssertionError, match=r"hello\.web-1\.2 starts while hello\.web-1\.1 lives"):
        live(hello, script, kind="delegated")
