"""A machine from which a cluster is used: the command line, as a process, with a kubeconfig and nothing else."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from evicting import LIMIT_S
from lab.running import Container, RunningNodes

from upcall.keeper import processes
from upcall.kubernetes.control_plane.leading import LEADS
from upcall.kubernetes.installing.objects import NAME
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import POD, Object

IMAGE: Final = "example.invalid/upcall:1"


class Laptop:
    """Of somebody who has a kubeconfig, and nothing else."""

    def __init__(self, data: Path, kubeconfig: Path, namespace: str, running: RunningNodes | None = None) -> None:
        self.data, self.namespace, self.running = data, namespace, running
        self.kubeconfig = str(kubeconfig)
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig), "UPCALL_DATA": str(data)}

    async def said(self, *words: str) -> tuple[int | None, str]:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "upcall.cli", *words)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=pipe, stderr=asyncio.subprocess.STDOUT, env=self._environment
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
