"""The webhook that is asked about evictions, and ``kubectl drain``."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from lab.control_plane import ControlPlane, free_port
from objects import pod

from upcall.substrate.kubernetes.certificates.keeping import Keeper, now
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import TooMany
from upcall.substrate.kubernetes.client.kinds import POD
from upcall.substrate.kubernetes.evictions.objects import PATH
from upcall.substrate.kubernetes.evictions.serving import STANDS_IN, Webhook, serving, telling
from upcall.substrate.kubernetes.names import MEMBER, SERVICE

LIMIT_S = 400.0


@dataclass
class Asked:
    """Serves the webhook, with a certificate as old as a test wants it."""

    api: Api
    namespace: str
    webhook: Webhook
    ahead: datetime.timedelta = datetime.timedelta()
    keeper: Keeper = field(init=False)

    def clock(self) -> datetime.datetime:
        return now() + self.ahead

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        port = free_port()
        self.keeper = Keeper(
            self.api,
            self.namespace,
            STANDS_IN,
            ("127.0.0.1",),
            telling(
                self.api,
                {"url": f"https://127.0.0.1:{port}{PATH}"},
                {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            ),
            clock=self.clock,
            server_for=datetime.timedelta(days=300),
        )
        await self.keeper.look()
        async with serving(self.webhook, "127.0.0.1", port, self.keeper.tls):
            yield

    async def until_heard(self) -> None:
        """The API server has heard of it, which it does in its own time: an eviction of nobody's pod is asked about."""
        await self.api.create(POD, pod("probe", labels={SERVICE: "probe", MEMBER: "one"}), self.namespace)
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await self.api.evict("probe", self.namespace, dry_run=True)
                except TooMany as held:
                    if "would be asked" in held.message:
                        break
                await asyncio.sleep(0.1)
        await self.api.delete(POD, "probe", self.namespace, grace_s=0)


async def drain(plane: ControlPlane, node: str, *more: str) -> asyncio.subprocess.Process:
    command = plane.kubectl("drain", node, "--force", "--ignore-daemonsets", *more)
    out = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdout=out, stderr=asyncio.subprocess.STDOUT)


async def read_until(process: asyncio.subprocess.Process, words: str, limit_s: float = LIMIT_S) -> str:
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(limit_s):
        while words not in said:
            line = await process.stdout.readline()
            assert line, f"it ended without {words!r}:\n{said}"
            said += line.decode()
    return said


async def says(*command: str) -> str:
    """A command that succeeds."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()
