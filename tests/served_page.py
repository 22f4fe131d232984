"""A page process and the fake master behind it, as the page's tests see them, and who visits it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fake_master import TOKEN, FakeMaster

START_TIMEOUT_S = 180.0
TIMEOUT_MS = 120_000


@dataclass
class Page:
    """A page process and its fake master."""

    url: str
    master: FakeMaster
    folder: Path

    def login_url(self) -> str:
        code = f"code-{len(self.master.codes) + 1}-{time.monotonic_ns()}"
        self.master.codes.add(code)
        return f"{self.url}/login?code={code}"


def page_address() -> str:
    return f"http://127.0.0.1:{free_port()}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    folder: Path, master: FakeMaster, program: Sequence[str] = ("-m", "upcall.web"), **environment: str
) -> Iterator[Page]:
    """The real page process over a folder of its own, ended afterwards."""
    url = page_address()
    record = {"version": 1, "cluster": "upcall-test", "prefix": "127.0.0", "url": master.url, "page_url": url}
    (folder / "cluster.json").write_text(json.dumps(record))
    master.serves(folder)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "page.token").write_text(TOKEN)
    (folder / "secrets" / "page.token").chmod(0o600)
    with page_process(folder, url, program, **environment):
        yield Page(url, master, folder)


@contextmanager
def page_process(folder: Path, url: str, program: Sequence[str], **environment: str) -> Iterator[None]:
    """The page's own process over a data folder, ended afterwards."""
    log = folder / "page.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, *program, "--data", str(folder)],
            stdout=said,
            stderr=said,
            env={**os.environ, **environment},
        )
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(f"{url}/login", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(180)


class Visited(Protocol):
    """Where a visitor goes, and the address by which he logs in."""

    url: str

    def login_url(self) -> str: ...


Opens = Callable[..., Any]
"""Opens a page as a new visitor, with these options of the browser."""


@contextmanager
def visitors(browser: Any, served: Visited) -> Iterator[Opens]:
    """Opens the page as a new visitor who logs in by a code; nothing may go wrong in a browser meanwhile."""
    contexts = []
    trouble: list[str] = []

    def look(request: Any) -> None:
        if not request.url.startswith((served.url, served.url.replace("http", "ws", 1), "data:", "blob:")):
            trouble.append(f"elsewhere: {request.url}")

    def opened(**options: Any) -> Any:
        known = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"}
        context = browser.new_context(**{**known, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("console", lambda said: trouble.append(f"console: {said.text}") if said.type == "error" else None)
        page.on("request", look)
        page.goto(served.login_url())
        page.wait_for_selector(".u-node")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not trouble, trouble
