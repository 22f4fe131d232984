"""The host over real HTTP: packages, assignments, services in threads of their own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from http_master import TOKEN, HttpMaster
from sample_services import EXAMPLES

from upcall.protocol.errors import Unauthorised
from upcall.service import package, service_thread
from upcall.service.connection import Connection
from upcall.service.host import Host, register
from upcall.service.offering import built_here
from upcall.testing import SimulatedKind, SimulatedMaster, Timing

HUNG = """
import time
from upcall.service import Declaration, Pod, Service, accept

class Hung(Service):
    def task(self, member):
        return Declaration(command=("x",))

    async def may_stop(self, member, why):
        time.sleep(3600)  # not even async
"""
CRASHING = """
from upcall.service import Declaration, Service

class Crashing(Service):
    def __init__(self, context):
        raise RuntimeError("no luck")
"""


EXITS = """
import sys
from upcall.service import Declaration, Service, accept

class Exits(Service):
    asked = 0

    def task(self, member):
        return Declaration(command=("x",))

    async def may_stop(self, member, why):
        type(self).asked += 1
        if self.asked == 1:
            sys.exit(3)
        return accept()
"""


@asynccontextmanager
async def hosting(master: HttpMaster, data: Path) -> AsyncIterator[Host]:
    host = Host(lambda: Connection(master.socket, TOKEN, host="host-1"), data, "host-1", built_here())
    task = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        task.cancel()
        await asyncio.wait([task])


async def offered(master: HttpMaster, path: Path) -> package.Built:
    """Registers a package as the command line does."""
    built = package.build(path)
    connection = Connection(master.socket, TOKEN)
    await register(connection, built)
    await connection.close()
    return built


Played = Callable[..., SimulatedMaster]
QUICK = Timing(place_s=0.02, start_s=0.02, ready_s=0.02, end_s=0.02)
"""These are lived in real time."""

STOPPED = ("done", "lifted")
"""A member that comes back lifts its stop, and may do so between two looks."""

STOPS = ("executing", *STOPPED)


@pytest.fixture
def played(kind: SimulatedKind) -> Played:
    """``played("hello", count=2)``: a master of this service, on a cluster of either kind."""
    return lambda service, **options: SimulatedMaster(service, kind, options=options, timing=QUICK)


async def until(condition: Callable[[], object]) -> None:
    """What is awaited happens in other threads and processes, so it is looked at again and again."""
    async with asyncio.timeout(180):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def deployed(master: SimulatedMaster) -> Callable[[], bool]:
    return lambda: "deploy" in master.plans and master.plans["deploy"].state == "done"


async def test_a_package_from_a_file_is_registered_assigned_and_deployed(tmp_path: Path, played: Played) -> None:
    async with HttpMaster().serving() as master:
        built = await offered(master, EXAMPLES / "hello.py")
        assert master.packages["hello"].source in master.blobs
        hello = played("hello", count=3)
        async with hosting(master, tmp_path / "a data folder"):
            master.assign("hello", built.package, hello)
            await until(deployed(hello))
            assert hello.launches == ["web-0.1", "web-1.1", "web-2.1"]
            stop = hello.propose("stop", "web-1")
            await until(lambda: hello.operations[stop].state in STOPS)


async def test_a_master_that_refuses_the_word_that_all_is_registered_keeps_its_host(
    tmp_path: Path, played: Played
) -> None:
    async with HttpMaster(refuses_ready=True).serving() as master:
        built = await offered(master, EXAMPLES / "hello.py")
        async with hosting(master, tmp_path / "data"):
            await until(lambda: "POST /v1/host/ready" in master.requests)
            hello = played("hello")
            master.assign("hello", built.package, hello)
            await until(deployed(hello))


async def test_a_hung_service_stalls_no_other_and_is_left_behind(
    tmp_path: Path, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_thread, "STOP_TIMEOUT_S", 0.5)
    (tmp_path / "hung.py").write_text(HUNG)
    async with HttpMaster().serving() as master:
        hung_package = (await offered(master, tmp_path / "hung.py")).package
        hello_package = (await offered(master, EXAMPLES / "hello.py")).package
        hung, hello = played("hung"), played("hello", count=2)
        async with hosting(master, tmp_path / "data"):
            master.assign("hung", hung_package, hung)
            await until(deployed(hung))
            hung.propose("stop", "server-0")
            await asyncio.sleep(0.5)
            master.assign("hello", hello_package, hello)
            await until(deployed(hello))
            restart = hello.propose("restart", "web-0")
            await until(lambda: hello.operations[restart].state == "done")
            assert hung.answers == []


async def test_a_service_that_crashes_is_started_again_and_stalls_no_other(tmp_path: Path, played: Played) -> None:
    (tmp_path / "crashing.py").write_text(CRASHING)
    async with HttpMaster().serving() as master:
        built = package.build(EXAMPLES / "hello.py")
        crashing = tmp_path / "crashing.py"
        source = await offered(master, crashing)
        await offered(master, EXAMPLES / "hello.py")
        hello = played("hello")
        async with hosting(master, tmp_path / "data") as host:
            master.assign("crashing", source.package, played("crashing"))
            master.assign("hello", built.package, hello)
            await until(deployed(hello))
            assert set(host._services) == {"crashing", "hello"}


async def test_a_service_that_calls_sys_exit_is_started_again_and_says_where(
    tmp_path: Path, played: Played, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_thread, "EXITED_PAUSE_MIN_S", 0.05)
    (tmp_path / "exits.py").write_text(f"{EXITS}# {tmp_path}\n")  # code of its own for each test
    async with HttpMaster().serving() as master:
        built = await offered(master, tmp_path / "exits.py")
        exits = played("exits")
        async with hosting(master, tmp_path / "data"):
            master.assign("exits", built.package, exits)
            await until(deployed(exits))
            stop = exits.propose("stop", "server-0")
            await until(lambda: exits.operations[stop].state in STOPS)
    assert "its code called sys.exit (exits.py:14 in may_stop); it is started again" in caplog.text


async def test_a_new_source_replaces_the_running_code(tmp_path: Path, played: Played) -> None:
    file = tmp_path / "hello.py"
    text = (EXAMPLES / "hello.py").read_text()
    file.write_text(text)
    async with HttpMaster().serving() as master:
        first = await offered(master, file)
        hello = played("hello", count=1)
        async with hosting(master, tmp_path / "data"):
            master.assign("hello", first.package, hello)
            await until(deployed(hello))
            file.write_text(text.replace("from {member.name}", "again from {member.name}"))
            second = await offered(master, file)
            assert second.package.source != first.package.source
            master.assign("hello", second.package, hello)
            await until(
                lambda: (
                    hello.declared is not None and "again" in hello.declared.members["web-0"].declaration.files[0].text
                )
            )
            assert hello.launches == ["web-0.1"]


async def test_a_service_that_is_no_longer_assigned_is_stopped(tmp_path: Path, played: Played) -> None:
    async with HttpMaster().serving() as master:
        built = await offered(master, EXAMPLES / "hello.py")
        hello = played("hello")
        async with hosting(master, tmp_path / "data") as host:
            master.assign("hello", built.package, hello)
            await until(deployed(hello))
            master.unassign("hello")
            await until(lambda: not host._services and not host._changes)
            hello.propose("stop", "web-0")
            await asyncio.sleep(0.5)
            assert hello.answers == []


async def test_a_master_that_comes_back_is_found_again(tmp_path: Path, played: Played) -> None:
    master = HttpMaster()
    async with master.serving():
        built = await offered(master, EXAMPLES / "hello.py")
        hello = played("hello")
        master.assign("hello", built.package, hello)
        hosted = hosting(master, tmp_path / "data")
        await hosted.__aenter__()
        await until(deployed(hello))
    try:
        async with master.serving():
            stop = hello.propose("stop", "web-1")
            await until(lambda: hello.operations[stop].state in STOPPED)
            assert hello.launches[:2] == ["web-0.1", "web-1.1"]
    finally:
        await hosted.__aexit__(None, None, None)


async def test_a_wrong_token_is_refused_by_name() -> None:
    async with HttpMaster().serving() as master:
        connection = Connection(master.socket, "wrong")
        with pytest.raises(Unauthorised, match="no such token"):
            await connection.call("GET", "/v1/service/hello/state/x")
        await connection.close()


async def test_the_host_as_a_process_ends_at_sigterm(tmp_path: Path, played: Played) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    async with HttpMaster().serving() as master:
        built = await offered(master, EXAMPLES / "hello.py")
        hello = played("hello", count=2)
        master.assign("hello", built.package, hello)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "upcall.service.host", "--master", str(master.socket), "--name", "host-7",
            "--token-file", str(tmp_path / "token"), "--data", str(tmp_path / "data"),
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await until(deployed(hello))
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(180):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
