"""Judging health, in time that the test owns."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from upcall.agent import checks
from upcall.agent.tail import Tail
from upcall.agent.watching import Watching
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
    with pytest.raises(Invalid, match="unknown port 'clients'; at ready; expected client"):
        checks.make_probe(Check(tcp="clients"), "127.0.0.1", ports, run, "ready")
    with pytest.raises(Invalid, match="a check has no target that can be asked"):
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


async def test_a_log_is_looked_at_from_where_it_stood_also_when_it_was_rotated_since(tmp_path: Path) -> None:
    watching = Watching()
    try:
        (tmp_path / "stdout").write_text("ERROR while starting\n")
        after = checks.written_so_far(tmp_path)
        looking = asyncio.create_task(checks.until_logged("ERROR", tmp_path, watching, "health", after))
        with (tmp_path / "stdout").open("a") as log:
            log.write("all is well\n")
        await asyncio.sleep(0)
        (tmp_path / "stdout").rename(tmp_path / "stdout.1")
        (tmp_path / "stdout").write_text("new file\n")
        (tmp_path / "stderr").write_text("an ERROR at last\n")
        async with asyncio.timeout(180):
            assert await looking == "stderr"
    finally:
        watching.close()


async def test_no_expression_and_no_line_hold_the_loop(tmp_path: Path) -> None:
    """Python's own engine would be at it until the end of the world, and the node be lost meanwhile."""
    watching = Watching()
    try:
        (tmp_path / "stderr").write_text("")
        (tmp_path / "stdout").write_text("a" * 60_000 + "!\n")
        looking = asyncio.create_task(checks.until_logged("^(a+)+$", tmp_path, watching, "ready"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not looking.done()
        with (tmp_path / "stdout").open("a") as log:
            log.write("aaa\n")
        async with asyncio.timeout(180):
            assert await looking == "stdout"
    finally:
        watching.close()


def test_a_log_rotated_more_than_once_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "stdout"
    log.write_text("old\n" * 100)
    after = Tail.at_end(log).position
    for text in ("lost\n", "kept\n"):
        log.rename(tmp_path / "stdout.1") if not (tmp_path / "stdout.1").exists() else log.replace(
            tmp_path / "stdout.1"
        )
        log.write_text(text)
        (tmp_path / f"keeps-{text.strip()}").hardlink_to(log)  # so that no inode is used twice
    assert Tail(log, after).lines() == [b"kept"]


async def test_a_check_by_command_is_named_in_its_reason() -> None:
    async def run(command: tuple[str, ...], timeout_s: float) -> str | None:
        return f"did not end within {timeout_s:g} s" if command[-1] == "hang" else None

    for last, said in (("hang", "redis-cli did not end within 5 s"), ("ping", None)):
        check = Check(exec=("{{artifact.redis}}/bin/redis-cli", last))
        assert await checks.make_probe(check, "127.0.0.1", (), run, "health")() == said
