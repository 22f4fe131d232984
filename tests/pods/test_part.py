"""Our part in a pod, as the process that it is: a played master at the other end of TLS, and a test as its kubelet."""

import asyncio
import contextlib
import datetime
import functools
import json
import os
import random
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from agent_node import PATIENCE_S, Master, eventually
from aiohttp import web

from upcall.keeper import linux, processes
from upcall.kubernetes.pod.part import DOOR
from upcall.protocol.agent import Launch, ReadLog, Run
from upcall.protocol.declaration import Check, Declaration, Port, Volume
from upcall.substrate.kubernetes.certificates.renewing import Kept, renewed
from upcall.substrate.kubernetes.client.login import certify
from upcall.substrate.kubernetes.manifest import PORT

TASK = "store.replica-1.1"
TOKEN = "token-of-node-1"
SERVES = ("{{python}}", "-u", "-c", "import signal,time; print('serves'); time.sleep(1000)")


class TlsMaster(Master):
    """The one of the agent's tests, where pods find it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Kept = renewed(None, ("127.0.0.1",), datetime.datetime.now(datetime.UTC), trusted=False)
        self.port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get(DOOR, self._talk)
        app.router.add_get(DOOR + "/blobs/{digest}", self._blob)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certify(context, self.kept.certificate + self.kept.key)
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]


class Pod:
    def __init__(self, folder: Path, master: TlsMaster) -> None:
        self.folder, self.master = folder, master
        self.address = f"127.85.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.process: asyncio.subprocess.Process | None = None
        for name in ("sandbox", "volumes/data", "identity"):
            (folder / name).mkdir(parents=True)
        (folder / "identity" / "token").write_text(TOKEN)
        (folder / "identity" / "ca.crt").write_bytes(master.kept.bundle)
        self.word = folder / "word"

    async def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "UPCALL_TASK": TASK,
            "UPCALL_MASTER": f"https://127.0.0.1:{self.master.port}",
            "UPCALL_ADDRESS": self.address,
            "UPCALL_NODE": "node-7",
            "UPCALL_SANDBOX": str(self.folder / "sandbox"),
            "UPCALL_VOLUMES": str(self.folder / "volumes"),
            "UPCALL_IDENTITY": str(self.folder / "identity"),
            "UPCALL_LAST_WORD": str(self.word),
        }
        with (self.folder / "output").open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "upcall.kubernetes.pod", env=environment, stdout=output, stderr=output,
                preexec_fn=functools.partial(linux.die_with_parent, signal.SIGKILL),
            )  # fmt: skip

    def launch(self, *command: str, name: str = "", **declared: Any) -> None:
        """Without a command of its own it is ready when it has said so."""
        if not command:
            declared.setdefault("ready", Check(log="serves"))
        declaration = Declaration(command=command or SERVES, **declared)
        self.master.launches[TASK] = Launch(
            task=TASK, declaration=declaration, generation=1, fence=1, address=name or self.address
        )

    async def ready(self) -> tuple[int, str]:
        """As a kubelet asks."""
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(f"http://{self.address}:{PORT}/ready") as said:
                return said.status, await said.text()
        return 0, ""

    async def until_ready(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (await self.ready())[0] != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def ends(self) -> tuple[int, dict[str, Any]]:
        assert self.process is not None
        async with asyncio.timeout(PATIENCE_S):
            code = await self.process.wait()
        return code, json.loads(self.word.read_text().removeprefix("upcall: "))

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def left(self) -> list[Any]:
        return processes.marked(str(self.folder / "sandbox" / "nodes" / "pod"))


@pytest.fixture
async def master() -> AsyncIterator[TlsMaster]:
    one = TlsMaster()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def pod(tmp_path: Path, master: TlsMaster) -> AsyncIterator[Pod]:
    one = Pod(tmp_path / "pod", master)
    yield one
    if one.process is not None and one.process.returncode is None:
        one.process.kill()
        await one.process.wait()
    processes.kill(one.left)


async def test_it_serves_its_task_until_it_is_told_to_end(pod: Pod, master: TlsMaster) -> None:
    pod.launch(volumes=(Volume(name="data", size_mib=1),), grace_s=20)
    await pod.start()
    await pod.until_ready()
    await master.send(ReadLog(request="r1", task=TASK, lines=10))
    await master.reply("r1")
    assert master.output("r1") == "serves\n"
    await master.send(Run(request="r2", task=TASK, command=("sh", "-c", "echo $UPCALL_NODE; ls -a {{volume.data}}/..")))
    assert (await master.reply("r2")).output.split()[0] == "node-7"
    await master.usage(TASK)
    assert pod.process is not None
    pod.process.terminate()
    code, word = await pod.ends()
    assert (code, word) == (128 + signal.SIGTERM, {"signal": 15})
    assert (await master.state(TASK, "ended")).exit is not None
    assert "serves" in pod.output(), "for kubectl logs"
    assert list((pod.folder / "volumes" / "data").glob(".upcall-prepared"))


async def test_what_a_job_has_printed_is_kept_with_its_end_for_its_log_goes_with_its_pod(pod: Pod) -> None:
    pod.launch("sh", "-c", "echo it counts >&2; echo 500000 even numbers")
    await pod.start()
    code, word = await pod.ends()
    assert (code, word) == (0, {"code": 0, "lines": ["500000 even numbers"]})


async def test_a_task_that_ends_by_itself_says_why_though_the_master_is_away(pod: Pod, master: TlsMaster) -> None:
    pod.launch("sh", "-c", "while [ ! -e go ]; do sleep 0.1; done; echo the disk is full >&2; exit 7")
    await pod.start()
    await pod.until_ready()
    await master.stop()
    (pod.folder / "sandbox" / "nodes" / "pod" / "tasks" / TASK / "sandbox" / "go").touch()
    assert pod.process is not None
    answers = set()
    async with asyncio.timeout(PATIENCE_S):
        while pod.process.returncode is None:
            answers.add(await pod.ready())
            await asyncio.sleep(0.05)
    assert {status for status, _ in answers} <= {200, 0}, "who is done is not ill until the container has ended"
    code, word = await pod.ends()
    assert code == 7
    assert (word["code"], word["reason"], word["lines"]) == (7, "the disk is full", ["the disk is full"])


async def test_a_master_that_is_away_changes_nothing_and_is_told_everything_when_it_is_back(
    pod: Pod, master: TlsMaster
) -> None:
    pod.launch(*SERVES, ready=Check(tcp="port"), ports=(Port(name="port", number=7777),), start_timeout_s=1000)
    await pod.start()
    await master.state(TASK, "running")
    await master.stop()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), pod.address, 7777)
    try:
        await pod.until_ready()
        master.forget()
        await master.start()
        again = await master.registered(1)
        assert [(one.task, one.state) for one in again.tasks] == [(TASK, "ready")]
        assert await master.state(TASK, "ready")
    finally:
        server.close()


async def test_it_is_not_ready_before_its_name_stands_for_it_and_says_so(pod: Pod, master: TlsMaster) -> None:
    pod.launch(name="127.0.0.1")
    await pod.start()
    words = f"its name 127.0.0.1 does not stand for {pod.address} yet"
    async with asyncio.timeout(PATIENCE_S):
        while await pod.ready() != (503, words):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert pod.process is not None
    pod.process.terminate()
    code, word = await pod.ends()
    assert (code, word) == (0, {"reason": "it was told to end before anything of it ran"})


async def test_it_speaks_to_nobody_whom_its_authorities_do_not_vouch_for(pod: Pod, master: TlsMaster) -> None:
    other = renewed(None, ("127.0.0.1",), datetime.datetime.now(datetime.UTC), trusted=False)
    (pod.folder / "identity" / "ca.crt").write_bytes(other.bundle)
    pod.launch()
    await pod.start()
    await eventually(lambda: "no connection to" in pod.output(), "it says so")
    assert master.heard == []
    (pod.folder / "identity" / "ca.crt").write_bytes(other.bundle + master.kept.bundle)
    await pod.until_ready()


async def test_a_task_that_cannot_be_prepared_ends_its_container_with_the_reason(pod: Pod, master: TlsMaster) -> None:
    pod.launch(prepare=(("sh", "-c", "echo no such keyspace >&2; exit 3"),))
    await pod.start()
    code, word = await pod.ends()
    assert (code, word["not_started"]) == (1, True)
    assert "preparation 1 of 1 ended with code 3: no such keyspace" in word["reason"]


async def test_what_is_not_a_question_is_answered_as_such(pod: Pod, master: TlsMaster) -> None:
    pod.launch()
    await pod.start()
    await pod.until_ready()
    for question, answer in (
        (b"GET /secrets HTTP/1.1\r\n\r\n", b"404"),
        (b"x" * 9000, b""),
        (b"POST /ready x\r\n\r\n", b"404"),
    ):
        reader, writer = await asyncio.open_connection(pod.address, PORT)
        writer.write(question)
        said = b""
        with contextlib.suppress(ConnectionError):
            said = await reader.readline()
        assert (said.split() or [b"", b""])[1:2] == [answer] or not answer
        writer.close()
    assert (await pod.ready())[0] == 200
