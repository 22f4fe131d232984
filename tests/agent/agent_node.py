"""A node under test: the real agent in a process of its own, and a master that only talks."""

import asyncio
import contextlib
import hashlib
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from upcall.agent.places import Places
from upcall.keeper import processes, records
from upcall.keeper.sweeping import Sweep
from upcall.protocol.agent import (
    Ack,
    End,
    FromAgent,
    Launch,
    Progress,
    Register,
    Registered,
    Reply,
    Status,
    Synced,
    TaskStatus,
    ToAgent,
    Usage,
    decode_from_agent,
    encode,
)
from upcall.protocol.declaration import Declaration
from upcall.transport import unix

PATIENCE_S = 180.0
TOKEN = "token-of-node-1"


class Master:
    """Acknowledges what it hears and repeats what it wants, as the real one does."""

    def __init__(self) -> None:
        self.heard: list[FromAgent] = []
        self.launches: dict[str, Launch] = {}
        self.blobs: dict[str, bytes] = {}
        self.acknowledges = True
        self._changed = asyncio.Condition()
        self._socket: web.WebSocketResponse | None = None
        self._runner: web.AppRunner | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="upcall-fake-")
        self.socket = Path(self._folder.name) / "run" / "master.sock"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/agent", self._talk)
        app.router.add_get("/v1/agent/blobs/{digest}", self._blob)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.SockSite(self._runner, unix.listen(self.socket)).start()

    async def stop(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def add_blob(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    async def _blob(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized
        return web.Response(body=self.blobs[request.match_info["digest"]])

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            heard = decode_from_agent(message.data)
            if isinstance(heard, Register):
                self._socket = socket
                await self.send(Registered(cluster="test"))
                for launch in self.launches.values():
                    await self.send(launch)
                await self.send(Synced())
            if isinstance(heard, Status) and self.acknowledges:
                await self.send(Ack(number=heard.number))
                if heard.status.state == "ended":
                    self.launches.pop(heard.status.task, None)
            async with self._changed:
                self.heard.append(heard)
                self._changed.notify_all()
        return socket

    async def send(self, message: ToAgent) -> None:
        assert self._socket is not None, "no agent is connected"
        await self._socket.send_str(encode(message).decode())

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    while not (value := condition()):
                        await self._changed.wait()
                    return value
        raise AssertionError(f"never heard: {what}; heard {self.heard[-10:]}")

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]

    def states(self, task: str) -> list[str]:
        return [said.status.state for said in self.of(Status) if said.status.task == task]

    async def state(self, task: str, state: str) -> TaskStatus:
        """The first status of the task with this state."""

        def found() -> TaskStatus | None:
            return next(
                (said.status for said in self.of(Status) if (said.status.task, said.status.state) == (task, state)),
                None,
            )

        status: TaskStatus = await self.until(found, f"{task} {state}")
        return status

    async def registered(self, times: int) -> Register:
        await self.until(lambda: len(self.of(Register)) >= times, f"registration {times}")
        register: Register = self.of(Register)[times - 1]
        return register

    async def reply(self, request: str) -> Reply:
        """The last of a request's answers, with the output of all."""

        def last() -> Reply | None:
            return next((reply for reply in self.of(Reply) if reply.request == request and reply.last), None)

        reply: Reply = await self.until(last, f"reply to {request}")
        return reply

    def output(self, request: str) -> str:
        return "".join(reply.output for reply in self.of(Reply) if reply.request == request)

    def forget(self) -> None:
        self.heard.clear()

    async def usage(self, task: str) -> Any:
        def found() -> Any:
            return next((one for usage in self.of(Usage) for one in usage.tasks if one.task == task), None)

        return await self.until(found, f"usage of {task}")

    def progress(self, task: str) -> list[Progress]:
        return [message for message in self.of(Progress) if message.task == task]


class Node:
    """The agent's process and its folder."""

    def __init__(self, data: Path, master: Master) -> None:
        self.data = data
        self.name = "node-1"
        self.places = Places(data, self.name)
        self.master = master
        self.process: asyncio.subprocess.Process | None = None
        self.address = f"127.84.{random.randint(1, 254)}.{random.randint(1, 254)}"
        token = data.parent / "agent.token"
        data.mkdir(parents=True, exist_ok=True)
        token.write_text(TOKEN)
        self.shared = data.parent / "shared"
        """What a test and its tasks tell each other by: every task may read and change it."""
        self.shared.mkdir(exist_ok=True)
        self.shared.chmod(0o777)
        self._token = token

    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "upcall.agent", "--node", self.name, "--data", str(self.data),
            "--master", str(self.master.socket), "--token-file", str(self._token),
            "--cpus", "2", "--memory-mib", "2048",
            "--attribute", "zone=a", "--attribute", "rack=r7", "--share", str(self.shared),
        ]  # fmt: skip

    async def start(self) -> None:
        log = (self.data.parent / "agent.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(*self.command(), stdout=log, stderr=log)
        log.close()

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return await self.process.wait()

    def log(self) -> str:
        return (self.data.parent / "agent.log").read_text()

    async def launch(self, task: str, *command: str, fence: int = 1, **declared: Any) -> Launch:
        more = {name: declared.pop(name) for name in ("values", "adopt_volumes", "generation") if name in declared}
        secrets = declared.pop("secret_values", {})
        launch = Launch(
            task=task,
            declaration=Declaration(command=command, **declared),
            generation=more.pop("generation", 1),
            fence=fence,
            address=self.address,
            secrets=secrets,
            **more,
        )
        self.master.launches[task] = launch
        await self.master.send(launch)
        return launch

    async def end(self, task: str, grace_s: float = 30.0, reason: str = "asked to") -> TaskStatus:
        self.master.launches.pop(task, None)
        await self.master.send(End(task=task, grace_s=grace_s, reason=reason))
        return await self.master.state(task, "ended")

    def running(self, task: str) -> dict[str, Any]:
        running = records.read(str(self.places.task(task) / records.RUNNING))
        assert running is not None
        return running

    def output(self, task: str, stream: str = "stdout") -> str:
        path = self.places.task(task) / "logs" / stream
        return path.read_text() if path.exists() else ""

    def left(self) -> list[Any]:
        return processes.marked(str(self.places.node))


@pytest.fixture
async def master() -> AsyncIterator[Master]:
    master = Master()
    await master.start()
    yield master
    await master.stop()


@pytest.fixture
async def node(tmp_path: Path, master: Master) -> AsyncIterator[Node]:
    node = Node(tmp_path / "data folder", master)
    await node.start()
    await master.registered(1)
    yield node
    assert node.process is not None
    if node.process.returncode is None:
        await node.kill()
    sweep = Sweep(str(node.places.node), grace_s=0.0)
    await eventually(sweep.look, "nothing is left")


async def eventually(condition: Callable[[], Any], what: str) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (value := condition()):  # noqa: ASYNC110 - what is waited for is another process's
            await asyncio.sleep(0.02)
    assert value, what
    return value


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.84.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
