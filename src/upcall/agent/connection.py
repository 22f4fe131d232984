"""The one connection to the master: dialled out, dialled again, and never a reason to end a task.

What must not get lost is not kept here: statuses lie in the checkpoint until they are acknowledged and are said again
after each registration; everything else (usage, progress, replies) is dropped when there is no connection.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from upcall.protocol.agent import FromAgent, Register, ToAgent, decode_to_agent, encode
from upcall.protocol.errors import Invalid
from upcall.protocol.names import TaskName, refusal
from upcall.transport import dialling

log: Final = logging.getLogger(__name__)

DOOR: Final = "/v1/agent"
REDIAL_FIRST_S = 0.2
REDIAL_MAX_S = 2.0
REDIAL_QUICK_S = 5.0
"""For so long the pauses do not grow: a master that starts beside us, or again, is a moment away."""
PING_EVERY_S = 5.0
SILENT_FOR_S = 30.0
"""After which a connection that says nothing, not even pongs, is given up."""
MESSAGE_BYTES_MAX = 64 << 20
QUEUE_MAX = 10_000


class Unusable(msgspec.Struct, frozen=True, kw_only=True, tag="launch"):
    """A launch that cannot be read as one: whose it is, and why. It is an end with a reason; silence would be waited
    for."""

    task: TaskName
    generation: int = 0
    fence: int = 1
    reason: str = ""


_unusable = msgspec.json.Decoder(Unusable)


class Connection:
    def __init__(
        self,
        master: dialling.Way,
        token_file: Path,
        register: Callable[[], Register],
        received: Callable[[ToAgent | Unusable], None],
        door: str = DOOR,
    ) -> None:
        self._master = master
        self._door = door
        self._token_file = token_file
        self._register = register
        self._received = received
        self._queue: asyncio.Queue[FromAgent] | None = None

    def token(self) -> str:
        """Read anew each time: tokens are exchanged while agents run."""
        try:
            return self._token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Invalid(f"cannot read the agent's token: {error.strerror}", where=str(self._token_file)) from None

    def send(self, message: FromAgent) -> None:
        """Dropped when there is no connection. A master too slow to take what is sent gets a new connection."""
        if self._queue is None:
            return
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(message)

    async def run(self) -> None:
        """For ever."""
        wait_s = REDIAL_FIRST_S
        said = ""
        away_since_s = asyncio.get_running_loop().time()
        while True:
            began_s = asyncio.get_running_loop().time()
            try:
                await self._talk()
                reason = "the master closed the connection"
            except aiohttp.WSServerHandshakeError as error:
                reason = f"the master refused with status {error.status}"
            except (aiohttp.ClientError, OSError, Invalid) as error:
                reason = str(error) or type(error).__name__
            if reason != said:
                log.warning("no connection to %s: %s", self._master, reason)
                said = reason
            if asyncio.get_running_loop().time() - began_s > SILENT_FOR_S:
                wait_s, said = REDIAL_FIRST_S, ""
                away_since_s = asyncio.get_running_loop().time()
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            if asyncio.get_running_loop().time() - away_since_s > REDIAL_QUICK_S:
                wait_s = min(wait_s * 2, REDIAL_MAX_S)

    async def _talk(self) -> None:
        headers = {"Authorization": f"Bearer {self.token()}"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENT_FOR_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers, connector=self._master.connector()) as session,
            session.ws_connect(
                self._master.base + self._door, heartbeat=SILENT_FOR_S, max_msg_size=MESSAGE_BYTES_MAX, compress=0
            ) as socket,
        ):
            await socket.send_str(encode(self._register()).decode())
            self._queue = asyncio.Queue(QUEUE_MAX)
            writers = [asyncio.create_task(self._write(socket, self._queue)), asyncio.create_task(_ping(socket))]
            try:
                async for message in socket:
                    if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                        self._take(message.data)
            finally:
                self._queue = None
                for writer in writers:
                    writer.cancel()

    def _take(self, data: bytes | str) -> None:
        """What this agent does not understand (a newer master's) is said once in its log and left alone."""
        try:
            message = decode_to_agent(data)
        except msgspec.MsgspecError as error:
            reason = str(refusal(error, "")) if isinstance(error, msgspec.ValidationError) else str(error)
            log.warning("message of the master not understood: %s", reason)
            with contextlib.suppress(msgspec.MsgspecError):
                self._received(msgspec.structs.replace(_unusable.decode(data), reason=reason))
            return
        self._received(message)

    async def _write(self, socket: aiohttp.ClientWebSocketResponse, queue: asyncio.Queue[FromAgent]) -> None:
        while True:
            message = await queue.get()
            try:
                await socket.send_str(encode(message).decode())
            except (ConnectionError, aiohttp.ClientError):
                await socket.close()
                return


async def _ping(socket: aiohttp.ClientWebSocketResponse) -> None:
    """The master judges our liveness by these."""
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        while True:
            await asyncio.sleep(PING_EVERY_S)
            await socket.ping()
