"""Judging health, in time that the test owns."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from upcall.agent import checks
from upcall.protocol.declaration import Check, Port
from upcall.protocol.errors import Invalid


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, oversleep_s: Iterator[float]) -> None:
        self.now_s = 0.0
        self._oversleep_s = oversleep_s
        monkeypatch.setattr(checks.time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(checks.asyncio, "sleep", self.sleep)

    async def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s + next(self._oversleep_s, 0.0)


async def judge(answers: list[str | None], monkeypatch: pytest.MonkeyPatch, oversleep_s: list[float]) -> list[str]:
    """What health hears of these answers, one after the other."""
    Clock(monkeypatch, iter(oversleep_s))
    heard: list[str] = []
    left = iter(answers)

    async def probe() -> str | None:
        try:
            return next(left)
        except StopIteration:
            raise asyncio.CancelledError from None

    check = Check(tcp="x", interval_s=5.0, failures=2)
    with pytest.raises(asyncio.CancelledError):
        await checks.watch_health(check, probe, lambda: heard.append("passed"), heard.append)
    return heard


async def test_unhealthy_after_failures_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = await judge(["bad", None, "bad", "bad", "bad", None], monkeypatch, [])
    assert heard == ["passed", "bad (2 times in a row)", "bad (3 times in a row)", "passed"]


async def test_a_late_clock_judges_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await judge(["bad", "bad", "bad", "bad"], monkeypatch, [0.0, 60.0, 0.0, 60.0]) == []


def test_a_check_names_ports_that_are_declared() -> None:
    async def run(command: tuple[str, ...], timeout_s: float) -> str | None:
        return None

    ports = (Port(name="client", number=1),)
    with pytest.raises(Invalid, match="unknown port 'clients'; at ready; expected one of the declared: client"):
        checks.make_probe(Check(tcp="clients"), "127.0.0.1", ports, run, "ready")
    with pytest.raises(Invalid, match="a check has no target"):
        checks.make_probe(Check(), "127.0.0.1", ports, run, "health")


async def test_a_port_that_accepts_is_well_and_one_that_does_not_says_why() -> None:
    with socket.create_server(("127.84.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await checks.probe_tcp("127.84.0.1", port, 30.0) is None
    reason = await checks.probe_tcp("127.84.0.1", port, 30.0)
    assert reason is not None
    assert f"127.84.0.1:{port}" in reason
    reason = await checks.probe_http(f"http://127.84.0.1:{port}/", 30.0)
    assert reason is not None
    assert str(port) in reason
