"""One message to one place; :class:`Untold` says why it did not arrive, without the key that a URL is."""

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Final

import aiohttp

from upcall.alerts import notices as words
from upcall.alerts.channels import Channel, is_here
from upcall.alerts.notices import Notice
from upcall.protocol.errors import Conflict

SEND_S: Final = 20.0
"""For one attempt; who takes longer is asked again."""
ANSWER_BYTES_MAX: Final = 2048
ANSWER_SHOWN: Final = 120
MAILERS: Final = "/usr/sbin:/usr/lib:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin"
TITLE_CHARACTERS: Final = 200


class Untold(Exception):
    """Nobody took it; it is tried again."""


def check_tools(channel: Channel) -> None:
    """Before somebody relies on it."""
    if channel.kind == "mail" and _mailer() is None:
        raise Conflict(
            "this machine has no mailer (sendmail)",
            where="--mail",
            expected="one that is set up (packages msmtp-mta, nullmailer, postfix bring it), or --webhook",
        )
    if channel.kind == "desktop" and shutil.which("notify-send") is None:
        raise Conflict(
            "this machine has no notify-send",
            where="--desktop",
            expected="the package libnotify-bin (or libnotify), or --webhook, --mail",
        )


async def send(channel: Channel, notices: Sequence[Notice], cluster: str) -> None:
    """Returns when the other side has taken it; raises :class:`Untold`."""
    try:
        async with asyncio.timeout(SEND_S):
            match channel.kind:
                case "webhook":
                    await _post(channel.target, notices, cluster)
                case "mail":
                    await _mail(channel.target, notices, cluster)
                case "desktop":
                    await _show(notices, cluster)
    except TimeoutError:
        raise Untold(f"no answer within {SEND_S:.0f} s") from None


async def _post(url: str, notices: Sequence[Notice], cluster: str) -> None:
    try:
        async with (
            aiohttp.ClientSession(trust_env=not is_here(url)) as session,
            session.post(url, json=words.document(notices, cluster), allow_redirects=False) as response,
        ):
            if 200 <= response.status < 300:
                return
            said = (await response.content.read(ANSWER_BYTES_MAX)).decode("utf-8", "replace")
    except aiohttp.ClientConnectorError as error:
        raise Untold(f"cannot be reached: {error.os_error.strerror or type(error.os_error).__name__}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Words of the library may have the whole URL in them.
        raise Untold(f"cannot be reached: {type(error).__name__}") from None
    said = " ".join("".join(one if one.isprintable() else " " for one in said).split())[:ANSWER_SHOWN]
    raise Untold(f"it answered {response.status}" + (f": {said.replace(url, '...')}" if said else ""))


async def _mail(address: str, notices: Sequence[Notice], cluster: str) -> None:
    message = EmailMessage()
    message["To"] = address
    message["Subject"] = _one_line(words.title(notices, cluster))
    message["Auto-Submitted"] = "auto-generated"
    message["X-Upcall-Id"] = notices[-1].id
    message.set_content(words.text(notices, cluster) + "\n")
    await _run(_mailer() or "sendmail", "-i", "--", address, given=message.as_bytes())


async def _show(notices: Sequence[Notice], cluster: str) -> None:
    urgency = ("--app-name=upcall", "--urgency=critical")
    title = _one_line(words.title(notices, cluster))
    await _run("notify-send", *urgency, "--", title, words.text(notices, cluster), given=b"")


async def _run(program: str, *arguments: str, given: bytes) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise Untold(f"{program} cannot be run: {error.strerror}") from None
    try:
        _, said = await process.communicate(given)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode:
        last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
        raise Untold(f"{program} ended with {process.returncode}" + (f": {last[0][:ANSWER_SHOWN]}" if last[0] else ""))


def _mailer() -> str | None:
    return shutil.which("sendmail") or shutil.which("sendmail", path=MAILERS)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:TITLE_CHARACTERS]
