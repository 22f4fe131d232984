"""Code that does not return costs its service's host nothing: it is told with the file and the line, holds up nobody
who takes the service away or brings a mended file, and is not called again while it hangs."""

import asyncio
import hashlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from http_master import TOKEN, HttpMaster
from test_service_host import QUICK, STOPS, deployed, hosting, offered, until

from upcall.protocol import service as wire
from upcall.service import hanging, host, previewing, service_thread
from upcall.service.apart import Apart
from upcall.service.connection import Connection
from upcall.service.context import Context
from upcall.service.hanging import Hangs
from upcall.service.loading import Trials
from upcall.testing import SimulatedMaster

pytestmark = pytest.mark.usefixtures("looks_often")

WAITS = '''"""A service whose code waits for something."""

from pathlib import Path
from time import sleep

from upcall.service import Declaration, Pod, Service, ServiceOptions, accept


class Waits(Service):
    class Options(ServiceOptions):
        count: int = 1

    options: Options

    async def on_start(self):
        pass

    def pods(self):
        return [Pod("web", count=self.options.count)]

    def task(self, member):
        return Declaration(command=("x",))

    async def may_stop(self, member, why):
        return accept()

    def waits(self):
        with Path("CALLS").open("a") as calls:
            calls.write("called\\n")
        while not Path("GO").exists():
            sleep(0.05)
'''


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_thread, "LOOK_S", 0.5)
    monkeypatch.setattr(service_thread, "STOP_TIMEOUT_S", 0.5)


class Waiting:
    """A service, and what its code waits for."""

    def __init__(self, folder: Path) -> None:
        self.file, self.calls, self.go = folder / "waits.py", folder / "calls", folder / "go"

    @property
    def text(self) -> str:
        return WAITS.replace("CALLS", str(self.calls)).replace("GO", str(self.go))

    def written(self, method: str) -> "Waiting":
        """It waits at the beginning of this one."""
        lines = self.text.splitlines()
        at = next(number for number, line in enumerate(lines) if f"def {method}(" in line)
        lines.insert(at + 1, "        self.waits()")
        self.file.write_text("\n".join(lines) + "\n")
        self.words = f"{method}() of waits.py:{at + 2}, at waits.py:"
        return self

    def called(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    found = Waiting(tmp_path)
    yield found
    found.go.touch()  # Nothing is left behind in this process.


@asynccontextmanager
async def hosted(waiting: Waiting, data: Path) -> AsyncIterator[tuple[HttpMaster, SimulatedMaster]]:
    async with HttpMaster().serving() as master:
        built = await offered(master, waiting.file)
        played = SimulatedMaster("waits", "kernel", timing=QUICK)
        async with hosting(master, data):
            master.assign("waits", built.package, played)
            yield master, played


def said(played: SimulatedMaster) -> str:
    return played.plans["deploy"].reason if "deploy" in played.plans else ""


def subscriptions(master: HttpMaster) -> int:
    return master.requests.count("GET /v1/service/waits/stream")


@pytest.mark.parametrize("method", ["on_start", "pods", "task"])
async def test_code_that_does_not_return_is_told_with_its_line_and_taken_away_without_it(
    method: str, waiting: Waiting, tmp_path: Path
) -> None:
    async with hosted(waiting.written(method), tmp_path / "data") as (master, played):
        await until(lambda: waiting.words in said(played))
        assert "in waits, has taken longer than 2 s: none of its code is called any more until that returns" in said(
            played
        )
        await asyncio.sleep(3)
        assert (waiting.called(), subscriptions(master)) == (1, 2), "one that hangs, and one that says so"
        uninstall = played.propose("uninstall")
        await until(lambda: played.operations[uninstall].state == "done")


async def test_a_mended_file_heals_it(waiting: Waiting, tmp_path: Path) -> None:
    async with hosted(waiting.written("pods"), tmp_path / "data") as (master, played):
        await until(lambda: waiting.words in said(played))
        waiting.file.write_text(waiting.text)
        mended = await offered(master, waiting.file)
        master.assign("waits", mended.package, played)
        await until(deployed(played))
        assert waiting.called() == 1


async def test_other_options_heal_it_and_such_as_would_make_it_hang_are_declined(
    waiting: Waiting, tmp_path: Path
) -> None:
    waiting.written("pods")
    waiting.file.write_text(
        waiting.file.read_text()
        .replace("        self.waits()", "        if self.options.count == 1:\n            self.waits()")
        .replace("(Service):", "(Service):\n    answer_timeout_s = 4.0")
    )
    async with hosted(waiting, tmp_path / "data") as (_, played):
        await until(lambda: "pods() of waits.py:" in said(played))
        mends = played.change(count=2)
        await until(lambda: played.operations[mends].state == "done")
        await until(deployed(played))
        harms = played.change(count=1)
        await until(lambda: played.operations[harms].state == "declined")
        assert "with these options: pods() of waits.py:21, at waits.py:" in played.known.revisions[3].why
        assert (deployed(played)(), played.known.record.revision) == (True, 2)


async def test_code_that_returns_late_is_called_again_after_a_while(
    waiting: Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_thread, "AGAIN_MIN_S", 0.1)
    async with hosted(waiting.written("pods"), tmp_path / "data") as (_, played):
        await until(lambda: waiting.words in said(played))
        assert waiting.called() == 1
        waiting.go.touch()
        await until(deployed(played))


async def test_a_question_that_blocks_is_told_too_and_what_runs_runs_on(waiting: Waiting, tmp_path: Path) -> None:
    async with hosted(waiting.written("may_stop"), tmp_path / "data") as (_, played):
        await until(deployed(played))
        played.propose("stop", "web-0")
        await until(lambda: waiting.words in said(played))
        assert played.launches == ["web-0.1"]


async def test_what_does_not_follow_from_goals_in_time_is_told_with_its_line_and_holds_up_nobody(
    waiting: Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "DERIVE_S", 0.5)
    goals = """
    class Goals(ServiceGoals):
        keep_hours: int = 1

    def from_goals(self, goals, machine):
        self.waits()
        return {}

    async def on_start(self):"""
    waiting.file.write_text(
        waiting.text.replace("\n    async def on_start(self):", goals).replace(
            "ServiceOptions,", "ServiceGoals, ServiceOptions,"
        )
    )
    async with hosted(waiting, tmp_path / "data") as (master, played):
        await until(deployed(played))
        master.derive("q-1", master.packages["waits"], {"goals": {"keep_hours": 2}})
        await until(lambda: "q-1" in master.derived)
        problem = master.derived["q-1"].problem
        assert problem is not None
        assert "from_goals() of waits.py:" in problem.message
        assert "has taken longer than 0.5 s" in problem.message
        stop = played.propose("stop", "web-0")
        await until(lambda: played.operations[stop].state in STOPS)


class Edited:
    """The files of a revision, as a host has them that has fetched them: they wait for somebody when imported."""

    def __init__(self, waiting: Waiting, sources: Path) -> None:
        self.fifo = sources.parent / "fifo"
        os.mkfifo(self.fifo)
        text = waiting.text.replace("\n\nclass Waits", f"\n\nPath({str(self.fifo)!r}).read_text()\n\n\nclass Waits")
        self.line = next(at for at, line in enumerate(text.splitlines(), 1) if "fifo" in line)
        self.revision = self.written(sources, text)

    @staticmethod
    def written(sources: Path, text: str) -> wire.Revision:
        source = hashlib.sha256(text.encode()).hexdigest()
        (sources / source).mkdir(parents=True)
        (sources / source / "waits.py").write_text(text)
        return wire.Revision(number=2, version=f"1+{source}", other_code=True, entry="waits:Waits", source=source)

    def come(self) -> None:
        with self.fifo.open("w"):
            self.fifo.unlink()
            self.fifo.touch()


async def test_code_whose_import_hangs_is_tried_once_told_with_its_line_and_holds_up_no_other(
    waiting: Waiting, tmp_path: Path
) -> None:
    nobody: Any = None
    sources = tmp_path / "packages"
    trials, edited = Trials(sources), Edited(waiting, sources)
    for within_s in (0.5, 60.0):
        with pytest.raises(Hangs, match=rf"importing waits.py:{edited.line} has taken longer than 0.5 s"):
            await trials.load(nobody, edited.revision, within_s)
    other = Edited.written(sources, waiting.text)
    assert (await trials.load(nobody, other, 60.0)).__name__ == "Waits"
    edited.come()
    await until(lambda: not trials.holds)
    assert (await trials.load(nobody, edited.revision, 60.0)).__name__ == "Waits"


async def test_an_edit_whose_import_hangs_is_declined_and_what_runs_answers_on(
    waiting: Waiting, tmp_path: Path
) -> None:
    nobody: Any = None
    sources = tmp_path / "packages"
    trials, edited = Trials(sources), Edited(waiting, sources)
    code = await trials.load(nobody, Edited.written(sources, waiting.text), 60.0)
    service = code(Context(name="waits", load=lambda revision: trials.load(nobody, revision, 0.5), started=True))
    said = await previewing.preview(service, edited.revision)
    words = f"its code cannot be loaded: importing waits.py:{edited.line} has taken longer than 0.5 s"
    assert (said.declined, said.unasked) == (words, True)
    edited.come()
    service._context.close()


async def test_what_only_waits_for_a_processor_does_not_hang(
    waiting: Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine says so; here it is said for it."""
    starved, waited_s = True, 0.0

    def waits(_: threading.Thread) -> float:
        nonlocal waited_s
        waited_s += service_thread.LOOK_S if starved else 0.0
        return waited_s

    monkeypatch.setattr(hanging, "waited_s", waits)
    async with hosted(waiting.written("pods"), tmp_path / "data") as (_, played):
        await until(lambda: waiting.called() == 1)
        await asyncio.sleep(2 * service_thread.LOOKS * service_thread.LOOK_S)
        assert not said(played)
        starved = False
        await until(lambda: waiting.words in said(played))


async def test_a_thread_that_computes_for_ever_ends_when_nobody_wants_it() -> None:
    def computes() -> None:
        while True:
            pass

    apart = Apart()
    with pytest.raises(Hangs, match=r"computes\(\) of test_hanging_code.py:\d+ has taken longer than 0.2 s"):
        await apart.call(computes, within_s=0.2, what="it")
    await until(lambda: not apart.holds)


async def test_only_so_many_calls_that_hang_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    apart = Apart()
    try:
        for _ in range(hanging.LEFT_MAX):
            with pytest.raises(Hangs, match="longer than"):
                await apart.call(over.wait, within_s=0.05, what="it")
        with pytest.raises(Hangs, match="8 calls of it hang already"):
            await apart.call(over.wait, within_s=0.05, what="it")
    finally:
        over.set()
    await until(lambda: not apart.holds)
    assert await apart.call(lambda: 1, within_s=60, what="it") == 1


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """A master in a thread, which says every tenth of a second that it is there."""
    over = threading.Event()

    def data(event: wire.StreamEvent) -> bytes:
        return b"data: " + msgspec.json.encode(event) + b"\n\n"

    def speak(server: socket.socket) -> None:
        line, _ = server.accept()
        with line:
            line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            line.sendall(data(wire.Subscribed(stream="s", wire=1, heartbeat_s=0.1)))
            while not over.wait(0.1):
                line.sendall(data(wire.Heartbeat()))

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=speak, args=(server,))
        thread.start()
        yield
        over.set()
        thread.join()


async def test_a_loop_that_stood_still_reads_what_came_meanwhile_and_keeps_its_connection(tmp_path: Path) -> None:
    async def stands_still() -> None:
        await asyncio.sleep(0.05)
        time.sleep(3)  # noqa: ASYNC251 - longer than the silence after which a master counts as gone

    with speaking(tmp_path / "s"):
        connection = Connection(tmp_path / "s", TOKEN)
        heard = 0
        async for event in connection.events("/v1/service/x/stream"):
            if isinstance(event, wire.Subscribed):
                still = asyncio.create_task(stands_still())
            heard += 1
            if heard > 60:
                break
        await still
        await connection.close()
