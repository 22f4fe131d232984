"""`upcall open` of a control plane in the cluster: a real browser, on the machine of who looks, sees it and acts on it;
and nobody else does."""

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from evicting import LIMIT_S
from lab import hosts
from laptop import Laptop, leader
from laptop_fixtures import SMALL, laptop, plane, running

from browser import launched
from served_page import visitors
from upcall.keeper import processes
from upcall.kubernetes.control_plane import identity
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import POD

PICTURES = os.environ.get("UPCALL_PICTURES", "")
"""A folder for what the browser showed."""
__all__ = ["laptop", "plane", "running"]
WHY_NOT = hosts.missing()
pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@dataclass
class Opened:
    """A page that `upcall open` serves."""

    process: asyncio.subprocess.Process
    code_url: str

    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = self.code_url.partition("/login")[0]

    @property
    def code(self) -> str:
        return self.code_url.partition("?")[2]

    def login_url(self) -> str:
        """Good once."""
        return self.code_url


@asynccontextmanager
async def opened(laptop: Laptop) -> AsyncIterator[Opened]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "upcall.cli", "open", "--no-browser", "-o", "json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=laptop.environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said = b""
        async with asyncio.timeout(LIMIT_S):
            while b"}" not in said:
                line = await process.stdout.readline()
                assert line, (await process.stderr.read()).decode() + laptop.outputs()
                said += line
        yield Opened(process, json.loads(said)["url"])
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(LIMIT_S):
            await process.wait()


def answered(url: str, body: bytes | None = None, **headers: str) -> int:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        request = urllib.request.Request(url, body, headers=headers)
        with urllib.request.build_opener(Stay).open(request, timeout=LIMIT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def said_of(pid: int) -> list[bytes]:
    """What every process of the command says of itself to who may look."""
    ours = [pid, *(one.pid for one in processes.descendants(pid, processes.table()))]
    assert len(ours) > 1, "the page is a process of its own"
    return [Path(f"/proc/{one}/{what}").read_bytes() for one in ours for what in ("cmdline", "environ")]


def picture(page: Any, name: str) -> None:
    if not PICTURES:
        return
    for width, height in ((1280, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)
        page.screenshot(path=f"{PICTURES}/{name}-{width}.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 900})


def looked(page_here: Opened, node: str, busy: Path) -> None:
    """In a thread of its own: the browser's driver has a loop of its own there."""
    with launched() as browser, visitors(browser, page_here) as visit:
        page = visit()
        for name in ("node-1", "node-2", "node-3"):
            page.wait_for_selector(f"[data-node={name}]")
        page.wait_for_selector("text=small")
        assert "/24" in page.locator("header").first.inner_text(), "cores of three machines, not of one"
        picture(page, "cluster")

        # What a person does here is done as him, and the service is asked as by every other way.
        page.locator(f"[data-node={node}] header button", has_text="Drain").click()
        page.locator("dialog[open] button[type=submit]").click()
        page.wait_for_selector("text=6 parts would have a single copy")
        page.wait_for_selector("text=asked by admin")
        picture(page, "drain")
        busy.unlink()
        page.wait_for_selector(f"[data-node={node}] .u-state:text-is('drained')")
        page.locator(f"[data-node={node}] header button", has_text="Undrain").click()
        page.locator("dialog[open] button[type=submit]").click()
        page.wait_for_selector(f"[data-node={node}] .u-state:text-is('up')")
        picture(page, "undrained")


def looked_after_a_failover(page_here: Opened) -> None:
    with launched() as browser, visitors(browser, page_here) as visit:
        page = visit()
        page.wait_for_selector("text=small")


async def test_the_page_is_opened_through_the_api_server_for_who_asked_for_it_alone(
    laptop: Laptop, api: Api, namespace: str, tmp_path: Path
) -> None:
    await laptop.up()
    assert "page by `upcall open`" in await laptop.upcall("status")
    busy = tmp_path / "busy"
    busy.touch()
    await laptop.upcall("install", str(SMALL), "--set", f"busy={busy}")
    first = await laptop.task("small.part-0", lambda one: one["state"] == "ready", "it is ready")
    await laptop.task("small.part-1", lambda one: one["state"] == "ready", "it is ready")

    async with opened(laptop) as page:
        # Nobody is shown anything without a login; a page of another site neither.
        host = page.url.removeprefix("http://")
        assert await asyncio.to_thread(answered, f"{page.url}/") == 401
        assert await asyncio.to_thread(answered, f"{page.url}/", Host="upcall.example") == 403
        assert await asyncio.to_thread(answered, f"{page.url}/", Origin="http://upcall.example", Host=host) == 403

        # What lets in stands in no argument, environment or file of this machine.
        known = await identity.read(api, namespace)
        assert known is not None
        for whose in ("operator", "page"):
            token = known.get(identity.token_key(whose))
            assert len(token) > 30
            assert not [one for one in said_of(page.process.pid) if token in one]
            assert not [one for one in laptop.data.rglob("*") if one.is_file() and token in one.read_bytes()]

        await asyncio.to_thread(looked, page, first["node"], busy)
        assert await asyncio.to_thread(answered, f"{page.url}/login", page.code.encode()) == 401, "it was used"
        assert await asyncio.to_thread(answered, f"{page.url}/login", b"code=guessed") == 401

        # Another leads from now on: who logs in again sees the same.
        was = await leader(api, namespace)
        await api.delete(POD, was["metadata"]["name"], namespace, grace_s=0)
        await leader(api, namespace, was["metadata"]["uid"])
        async with opened(laptop) as another:
            assert another.url != page.url
            await asyncio.to_thread(looked_after_a_failover, another)

        page.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(LIMIT_S):
            assert await page.process.wait() == 0
        with pytest.raises(OSError):
            await asyncio.to_thread(answered, f"{page.url}/")
    await laptop.upcall("down")
