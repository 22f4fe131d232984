"""A machine from which a cluster is used: the command line, as a process, with a kubeconfig and nothing else."""

import asyncio
import contextlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

from evicting import LIMIT_S
from lab.control_plane import ControlPlane, control_plane
from lab.network import networked, way_out
from lab.running import Container, RunningNodes

from upcall.keeper import processes
from upcall.kubernetes.control_plane.leading import LEADS
from upcall.kubernetes.installing.objects import NAME
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEPLOYMENT, POD, WEBHOOK, Object

IMAGE: Final = "example.invalid/upcall:1"


class Laptop:
    """Of somebody who has a kubeconfig, and nothing else."""

    def __init__(
        self,
        data: Path,
        kubeconfig: Path,
        namespace: str,
        running: RunningNodes | None = None,
        python: str = sys.executable,
    ) -> None:
        """``python``: of the release whose command line it has (:mod:`other_release`)."""
        self.data, self.namespace, self.running, self.python = data, namespace, running, python
        self.kubeconfig = str(kubeconfig)
        # Of another release is what is installed there, and not what the tests run from.
        own = {name: value for name, value in os.environ.items() if python == sys.executable or name != "PYTHONPATH"}
        self.environment = own | {"KUBECONFIG": str(kubeconfig), "UPCALL_DATA": str(data)}

    async def said(self, *words: str) -> tuple[int | None, str]:
        pipe = asyncio.subprocess.PIPE
        command = (self.python, "-m", "upcall.cli", *words)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=pipe, stderr=asyncio.subprocess.STDOUT, env=self.environment
        )
        async with asyncio.timeout(LIMIT_S):
            text, _ = await process.communicate()
        return process.returncode, text.decode()

    async def upcall(self, *words: str, code: int = 0) -> str:
        ended, text = await self.said(*words)
        assert ended == code, f"upcall {' '.join(words)}: {ended}: {text}\n{self.outputs()}"
        return text

    async def up(self, image: str = IMAGE) -> str:
        return await self.upcall("up", "--on", "kubernetes", "--namespace", self.namespace, "--image", image)

    async def task(self, member: str, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        said = ""
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    code, said = await self.said("task", "list", "-o", "json")
                    for one in json.loads(said) if code == 0 else ():
                        if one["member"] == member and holds(one):
                            return dict(one)
        except TimeoutError:
            raise AssertionError(f"{member}: {what}: never; {said}\n{self.outputs()}") from None

    async def until_said(self, text: str, *words: str) -> None:
        said = ""
        try:
            async with asyncio.timeout(LIMIT_S):
                while text not in " ".join(said.split()):
                    _, said = await self.said(*words)
        except TimeoutError:
            raise AssertionError(f"{words} never said {text!r}: {said}\n{self.outputs()}") from None

    def outputs(self) -> str:
        """What the control plane's containers wrote."""
        found = [
            f"{one.pod['metadata']['name']}: {line}"
            for one in (self.running.containers.values() if self.running else ())
            if one.pod["metadata"]["name"].startswith(NAME) and (one.folder / "output").exists()
            for line in one.output().splitlines()[-25:]
        ]
        return "\n".join(found)


async def leader(api: Api, namespace: str, other_than: str = "") -> Object:
    async with asyncio.timeout(LIMIT_S):
        while True:
            for one in (await api.list(POD, namespace, labels=f"{LEADS}=true")).objects:
                if one["metadata"]["uid"] != other_than:
                    return one
            await asyncio.sleep(0.1)


def pids(container: Container) -> list[int]:
    """All that runs in it."""
    assert container.process is not None
    return [one.pid for one in processes.descendants(container.process.pid, processes.table())]


@contextlib.contextmanager
def plane_with_a_way_out(folder: Path) -> Iterator[ControlPlane]:
    """Its API server goes to what is in the cluster by the network that is played."""
    with control_plane(folder, kube_apiserver=way_out(folder)) as running:
        yield running


@contextlib.asynccontextmanager
async def machines(api: Api, plane: ControlPlane, folder: Path) -> AsyncIterator[RunningNodes]:
    """Three nodes whose pods run."""
    pki = plane.authority.folder
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pki / "api.crt", pki / "api.key")
    async with networked(api, 3, folder / "machines", plane.folder, tls) as nodes:
        yield nodes


@contextlib.asynccontextmanager
async def left_clean(laptop: Laptop, api: Api) -> AsyncIterator[Laptop]:
    """What it put into the cluster is gone afterwards, however a test ended."""
    yield laptop
    for one in (await api.list(WEBHOOK)).objects:
        await api.delete(WEBHOOK, one["metadata"]["name"])
    with contextlib.suppress(NotFound):
        await api.delete(DEPLOYMENT, NAME, laptop.namespace)
    for each in (await api.list(POD, laptop.namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, laptop.namespace)
