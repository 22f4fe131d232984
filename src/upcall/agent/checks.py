"""How the agent learns whether a task is well.

A *probe* asks once: None when all is well, else the reason in words. Readiness asks until the answer is yes, often at
first (the next system is waiting for this one); health asks for as long as the task runs and calls it unhealthy after
``failures`` bad answers in a row. Probes that come again and again start no process, but for ``exec``, which says so
by its name. A ``log`` check is never asked: it is told by inotify when the log grew, and answers once. For readiness
a line that matches is the yes; for health it is the no, for good: what was logged cannot be unsaid.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

from upcall.agent.tail import Position, Tail
from upcall.agent.watching import Watching
from upcall.protocol import patterns
from upcall.protocol.declaration import Check, Port
from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import choice
from upcall.protocol.programs import program

Probe = Callable[[], Awaitable[str | None]]
Exec = Callable[[tuple[str, ...], float], Awaitable[str | None]]
"""Runs a command beside the task, with a time limit; None when it ended with 0."""

STREAMS = ("stdout", "stderr")
FIRST_INTERVAL_S = 0.1
LATE_S = 2.0
READY_INTERVAL_MAX_S = 0.5
"""Between two questions whether a task is ready, where no process has to be started for one."""


def port_number(name: str, ports: tuple[Port, ...], where: str) -> int:
    for port in ports:
        if port.name == name:
            return port.number
    known = choice([port.name for port in ports], "a declared port (none is)")
    raise Invalid(f"a check names an unknown port {name!r}", where=where, expected=known)


def make_probe(check: Check, address: str, ports: tuple[Port, ...], run: Exec, where: str) -> Probe:
    """The probe of a check that is asked (all but ``log``)."""
    if check.tcp:
        number = port_number(check.tcp, ports, where)
        return lambda: probe_tcp(address, number, check.timeout_s)
    if check.http:
        port, _, path = check.http.partition("/")
        url = f"http://{address}:{port_number(port, ports, where)}/{path}"
        return lambda: probe_http(url, check.timeout_s)
    if check.exec:
        return lambda: probe_exec(check.exec, check.timeout_s, run)
    raise Invalid("a check has no target that can be asked", where=where, expected="one of tcp, http, exec")


async def probe_tcp(address: str, port: int, timeout_s: float) -> str | None:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return f"{address}:{port} did not accept a connection within {timeout_s:g} s"
    except OSError as error:
        return f"{address}:{port}: {error.strerror or error}"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None


async def probe_http(url: str, timeout_s: float) -> str | None:
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return None if response.status < 400 else f"{url} answered with status {response.status}"
    except TimeoutError:
        return f"{url} did not answer within {timeout_s:g} s"
    except (aiohttp.ClientError, OSError) as error:
        return f"{url}: {error}"


async def probe_exec(command: tuple[str, ...], timeout_s: float, run: Exec) -> str | None:
    reason = await run(command, timeout_s)
    return reason and f"{program(command)} {reason}"


async def until_ready(check: Check, probe: Probe, heard: Callable[[str], None]) -> None:
    """Returns when the probe says yes; ``heard`` gets each reason why it does not."""
    await asyncio.sleep(check.delay_s)
    interval_max_s = check.interval_s if check.exec else min(check.interval_s, READY_INTERVAL_MAX_S)
    interval_s = min(FIRST_INTERVAL_S, interval_max_s)
    while (reason := await probe()) is not None:
        heard(reason)
        await asyncio.sleep(interval_s)
        interval_s = min(interval_s * 1.5, interval_max_s)


async def watch_health(check: Check, probe: Probe, passed: Callable[[], None], failed: Callable[[str], None]) -> None:
    """For ever; ``passed`` after a good answer, ``failed`` after enough bad ones in a row.

    Who finds its own clock late (the machine was overloaded or asleep) does not judge others by it: bad answers that
    took longer than they could have, or before which this coroutine overslept, are not counted.
    """
    bad = 0
    await asyncio.sleep(check.delay_s)
    due_s = time.monotonic()
    while True:
        began_s = time.monotonic()
        reason = await probe()
        late = began_s - due_s > LATE_S or time.monotonic() - began_s > check.timeout_s + LATE_S
        if reason is None:
            bad = 0
            passed()
        elif late:
            bad = 0
        else:
            bad += 1
            if bad >= check.failures:
                failed(f"{reason} ({bad} times in a row)" if bad > 1 else reason)
        due_s = max(time.monotonic(), began_s + check.interval_s)
        await asyncio.sleep(due_s - time.monotonic())


async def until_logged(
    pattern: str, logs: Path, watching: Watching, where: str, after: Mapping[str, Position] | None = None
) -> str:
    """Returns when a line of the output matches: the stream in which it stands. ``after``: looks only at what was
    written since."""
    expression = patterns.compiled(pattern, where)
    tails = {stream: Tail(logs / stream, (after or {}).get(stream)) for stream in STREAMS}
    async with watching.folder(logs) as changed:
        while True:
            changed.clear()  # Before the look: what is written during it is looked at again.
            for stream, tail in tails.items():
                if any(expression.search(line) for line in tail.lines()):
                    return stream
            await changed.wait()


async def lines_like(
    expressions: Sequence[str], logs: Path, watching: Watching, where: str, every_s: float
) -> AsyncIterator[str]:
    """Lines of the output that match one of these and are not the one before: the last of what came within a while."""
    compiled = [patterns.compiled(expression, where) for expression in expressions]
    tails = [Tail(logs / stream) for stream in STREAMS]
    before = b""
    async with watching.folder(logs) as changed:
        while True:
            changed.clear()
            lines = [line for tail in tails for line in tail.lines() if any(one.search(line) for one in compiled)]
            if lines and lines[-1] != before:
                before = lines[-1]
                yield before.decode(errors="replace")
            await asyncio.sleep(every_s)
            await changed.wait()


def written_so_far(logs: Path) -> dict[str, Position]:
    """Where each stream's log stands now."""
    return {stream: Tail.at_end(logs / stream).position for stream in STREAMS}
