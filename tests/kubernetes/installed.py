"""A master and a host of services as processes of their own, on a real control plane: what a data folder that names
``kubernetes`` is, started."""

import asyncio
import functools
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from lab.control_plane import HOST, free_port

from upcall.cli import cluster as birth
from upcall.client.blocking import Client, Unreachable
from upcall.cluster.folder import DataFolder, write_private
from upcall.keeper import linux
from upcall.kubernetes.settings import FILE, Evictions, Pods, Settings
from upcall.protocol.operator import TaskView

LIMIT_S: Final = 400.0
IMAGE: Final = "example.invalid/upcall:1"


class Installed:
    def __init__(
        self,
        folder: Path,
        kubeconfig: Path,
        namespace: str,
        before: Sequence[str] = (),
        *,
        records: str = "sqlite",
        of: "Installed | None" = None,
        image: str = IMAGE,
        host: str = HOST,
        local: bool = False,
        python: str = sys.executable,
    ) -> None:
        """``before``: what stands before each command of ours. ``of``: one more replica of that one, with a copy of its
        folder and doors of its own. ``host``: by which pods reach the master. ``local``: storage is on the nodes.
        ``python``: of the release that runs (:mod:`other_release`)."""
        self.before, self.python = tuple(before), python
        self.folder, self.namespace = DataFolder(folder), namespace
        if of is None:
            cluster = birth.choose(1, 512, 1.0)
            cluster = msgspec.structs.replace(cluster, substrate="kubernetes", records=records, nodes=())
            birth.prepare(self.folder, cluster)
        else:
            shutil.copytree(of.folder.root, folder, ignore=shutil.ignore_patterns("run", "*.log"))
            cluster = of.folder.load_cluster()
            url = f"{cluster.url.rpartition(':')[0]}:{free_port()}"
            self.folder.save_cluster(msgspec.structs.replace(cluster, url=url))
        self.pods = Pods(host=host, port=free_port())
        """Where pods reach the master."""
        settings = Settings(
            kubeconfig=str(kubeconfig),
            namespace=namespace,
            image=image,
            volumes_bound_to_node=local,
            evictions=Evictions(port=free_port()),
            pods=self.pods,
        )
        write_private(folder / FILE, msgspec.json.encode(settings))
        self.running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        root = self.folder.root
        token = str(self.folder.token_file("host"))
        words = {
            "master": ("upcall.master", "--data", str(root)),
            "host": (
                *("upcall.service.host", "--master", str(self.folder.master_socket)),
                *("--token-file", token, "--data", str(root / "host")),
            ),
        }[name]
        own = self.python == sys.executable
        with (root / f"{name}.log").open("ab") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                *self.before,
                self.python,
                "-m",
                *words,
                stdout=log,
                stderr=log,
                # What is installed there, and not what the tests run from.
                env={name: value for name, value in os.environ.items() if own or name != "PYTHONPATH"},
                preexec_fn=functools.partial(linux.die_with_parent, signal.SIGKILL),
            )

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                while not await asyncio.to_thread(holds):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{what}: never\n{self.logs()}") from None

    def end(self) -> None:
        for process in self.running.values():
            if process.returncode is None:
                process.kill()

    async def kill(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGKILL)
        await self.running[name].wait()

    async def until_said(self, text: str, *words: str) -> None:
        """The command line says so, now or when those of whom it asks are there again."""
        said = ""
        try:
            async with asyncio.timeout(LIMIT_S):
                while text not in said:
                    _, said = await self._command(words)
        except TimeoutError:
            raise AssertionError(f"upcall {' '.join(words)} never said {text!r}: {said}\n{self.logs()}") from None

    async def upcall(self, *words: str, code: int = 0) -> str:
        """The command line, in a process of its own."""
        ended, said = await self._command(words)
        assert ended == code, f"upcall {' '.join(words)}: {said}\n{self.logs()}"
        return said

    async def _command(self, words: Sequence[str]) -> tuple[int | None, str]:
        out = asyncio.subprocess.PIPE
        command = (*self.before, sys.executable, "-m", "upcall.cli", *words, "--data", str(self.folder.root))
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=asyncio.subprocess.STDOUT)
        async with asyncio.timeout(LIMIT_S):
            said, _ = await process.communicate()
        return process.returncode, " ".join(said.decode().split())

    async def task(
        self, member: str, holds: Callable[[TaskView], bool], what: str, limit_s: float = LIMIT_S
    ) -> TaskView:
        """As the master has it, once that holds."""
        found: list[TaskView] = []
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    found = await asyncio.to_thread(self._tasks)
                    for one in found:
                        if one.member == member and holds(one):
                            return one
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{member}: {what}: never; {found}\n{self.logs()}") from None

    def _tasks(self) -> list[TaskView]:
        """None while the master is only starting."""
        try:
            return self.client.tasks()
        except Unreachable:
            return []

    @property
    def client(self) -> Client:
        return Client.of(self.folder)

    def logs(self) -> str:
        return "\n".join(
            f"{path.name}: {line}" for path in sorted(self.folder.root.glob("*.log")) for line in _last(path)
        )


def _last(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-30:]


@asynccontextmanager
async def installed(
    folder: Path,
    kubeconfig: Path,
    namespace: str,
    before: Sequence[str] = (),
    *,
    image: str = IMAGE,
    host: str = HOST,
    local: bool = False,
) -> AsyncIterator[Installed]:
    one = Installed(folder, kubeconfig, namespace, before, image=image, host=host, local=local)
    try:
        for name in ("master", "host"):
            await one.start(name)
        async with asyncio.timeout(LIMIT_S):
            while not one.folder.master_socket.exists():
                assert one.running["master"].returncode is None, one.logs()
                await asyncio.sleep(0.1)
        yield one
    finally:
        for process in one.running.values():
            if process.returncode is None:
                process.kill()
                await process.wait()
