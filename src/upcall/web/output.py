"""The output of one member in one browser: followed while it is looked at, over the ends of its incarnations.

A member may write faster than a browser draws. What is sent is the newest of each moment, and how much was left out is
said; a browser holds a bounded part.
"""

import asyncio
import re
from collections import deque
from typing import Any, Final

from nicegui import Client as Browser
from nicegui import ui

from upcall.client.streaming import backoff
from upcall.protocol.errors import NotNow, UpcallError
from upcall.web.elements import PARTS
from upcall.web.live import Live

LINES_FIRST: Final = 500
LINES_AT_ONCE: Final = 500
TOGETHER_S: Final = 0.15
"""Lines that come within it are one message."""
LINE_CHARACTERS_MAX: Final = 4000
CONTROL: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)|[\x00-\x08\x0b-\x1f\x7f]")
"""Colours and movements of a terminal, and what else is no text."""


class Output(ui.element, component=PARTS / "logs.js"):
    """One at a time: opening another one ends the first."""

    def __init__(self, live: Live, token: str) -> None:
        super().__init__()
        self._live, self._api, self._token = live, live.client, token
        self._browser: Browser = ui.context.client
        self._following: asyncio.Task[None] | None = None
        self.on("closed", self.stop)
        self._browser.on_delete(self.stop)

    def open(self, member: Any) -> None:
        """What is no member of now is nothing to open."""
        if not isinstance(member, str) or _incarnation(self._live, member) is None:
            return
        self.stop()
        self.run_method("open", member)
        self._following = asyncio.ensure_future(self._follow(member))

    def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    async def _follow(self, member: str) -> None:
        attempt = 0
        while (number := _incarnation(self._live, member)) is not None:
            try:
                await self._read(member)
            except NotNow:
                await backoff(attempt)
                attempt += 1
                self._say_again()
                continue
            except UpcallError as error:
                self._say(str(error))
                return
            attempt = 0
            self._say(f"the output of {member}.{number} ended")
            await self._until_another(member, number)
        self._say(f"{member} is gone")

    async def _read(self, member: str) -> None:
        batches = Batches(self._send)
        sending = asyncio.ensure_future(batches.run())
        try:
            async for line in self._api.output(member, LINES_FIRST, token=self._token):
                batches.add(CONTROL.sub("", line)[:LINE_CHARACTERS_MAX])
        finally:
            sending.cancel()
        batches.flush()

    async def _until_another(self, member: str, number: int) -> None:
        news = asyncio.Event()
        end = self._live.listen(news.set, lambda _: None)
        try:
            while _incarnation(self._live, member) == number:
                await news.wait()
                news.clear()
        finally:
            end()

    def _send(self, lines: list[str]) -> None:
        with self._browser:
            self.run_method("append", lines)

    def _say_again(self) -> None:
        """The same lines come once more."""
        with self._browser:
            self.run_method("begin")

    def _say(self, text: str) -> None:
        with self._browser:
            self.run_method("say", f"— {text} —")


class Batches:
    """Lines gathered for a moment, the newest of them sent together."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._lines: deque[str] = deque(maxlen=LINES_AT_ONCE)
        self._left_out = 0
        self._news = asyncio.Event()

    def add(self, line: str) -> None:
        self._left_out += len(self._lines) == LINES_AT_ONCE
        self._lines.append(line)
        self._news.set()

    def flush(self) -> None:
        lines = list(self._lines)
        if self._left_out:
            lines.insert(0, f"... {self._left_out} lines came too fast and were left out: `upcall logs` has them")
        self._lines.clear()
        self._left_out = 0
        if lines:
            self._send(lines)

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(TOGETHER_S)
            self.flush()


def _incarnation(live: Live, member: str) -> int | None:
    services = live.status.services if live.status is not None else []
    return next((one.incarnation for service in services for one in service.members if one.member == member), None)
