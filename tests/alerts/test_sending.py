"""One message by each way: a real server on loopback; mailer and desktop are programs of the machine, played."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from upcall.alerts import sending
from upcall.alerts.channels import Channel
from upcall.alerts.notices import Notice
from upcall.alerts.sending import Untold, check_tools, send
from upcall.protocol.errors import Conflict

NOTICE = Notice(
    id="c-7-alert",
    cluster="c",
    sequence=7,
    at=1.0,
    what="alert",
    subject="op-1",
    text="waits\nfor you",
    service="kafka",
)
Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/key", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/key"
    finally:
        await runner.cleanup()


def hook(url: str) -> Channel:
    return Channel(name="ops", kind="webhook", target=url)


async def test_a_webhook_gets_words_and_facts_and_on_this_machine_no_proxy_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    got: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.Response(status=204)

    async with listening(take) as url:
        await send(hook(url), [NOTICE], "c")
    assert got[0]["text"].endswith("alert: kafka: op-1: waits\nfor you")
    assert got[0]["alerts"][0]["id"] == "c-7-alert"


@pytest.mark.parametrize("status", [301, 400, 404, 500])
async def test_what_is_no_yes_is_untold_and_says_nothing_of_the_key(status: int) -> None:
    async def refuse(request: web.Request) -> web.Response:
        headers = {"Location": "https://example.org/"} if status == 301 else {}
        return web.Response(status=status, text=f"no\x1b[31m {request.url}" + "x" * 5000, headers=headers)

    async with listening(refuse) as url:
        with pytest.raises(Untold) as untold:
            await send(hook(url), [NOTICE], "c")
    said = str(untold.value)
    assert said.startswith(f"it answered {status}: no")
    assert "/key" not in said
    assert "\x1b" not in said
    assert len(said) < 200


async def test_nobody_there() -> None:
    async def never(request: web.Request) -> web.Response:
        return web.Response()

    async with listening(never) as url:
        pass
    with pytest.raises(Untold, match="cannot be reached: Connect") as untold:
        await send(hook(url), [NOTICE], "c")
    assert "key" not in str(untold.value)


async def test_who_never_answers_is_given_up_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SEND_S", 0.05)

    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response()

    async with listening(silent) as url:
        with pytest.raises(Untold, match="no answer within"):
            await send(hook(url), [NOTICE], "c")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that is all of PATH, but for what shells need."""
    found = tmp_path / "bin"
    found.mkdir()
    monkeypatch.setenv("PATH", f"{found}:/usr/bin:/bin")
    monkeypatch.setattr(sending, "MAILERS", str(found))
    return found


def program(folder: Path, name: str, does: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)


async def test_a_mailer_gets_the_message_on_its_input(programs: Path, tmp_path: Path) -> None:
    program(programs, "sendmail", f'printf "%s\\n" "$@" > {tmp_path}/words; cat > {tmp_path}/mail')
    channel = Channel(name="me", kind="mail", target="ops@example.org")
    check_tools(channel)
    await send(channel, [NOTICE], "c")
    assert (tmp_path / "words").read_text().split() == ["-i", "--", "ops@example.org"]
    mail = (tmp_path / "mail").read_text()
    assert "To: ops@example.org" in mail
    assert "Subject: c: alert: kafka: op-1: waits for you" in mail
    assert "X-Upcall-Id: c-7-alert" in mail


async def test_a_mailer_that_fails_is_asked_again(programs: Path) -> None:
    program(programs, "sendmail", 'cat > /dev/null; echo "no such user" >&2; exit 67')
    with pytest.raises(Untold, match="ended with 67: no such user"):
        await send(Channel(name="me", kind="mail", target="nobody"), [NOTICE], "c")


async def test_a_desktop(programs: Path, tmp_path: Path) -> None:
    program(programs, "notify-send", f'printf "%s|" "$@" > {tmp_path}/words')
    channel = Channel(name="me", kind="desktop")
    check_tools(channel)
    await send(channel, [NOTICE], "c")
    assert "--|c: alert: kafka: op-1: waits for you|" in (tmp_path / "words").read_text()


@pytest.mark.parametrize("kind", ["mail", "desktop"])
def test_what_this_machine_has_not_is_said_beforehand(
    kind: Any, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.fspath(programs))
    with pytest.raises(Conflict, match="this machine has no"):
        check_tools(Channel(name="me", kind=kind, target="root"))
