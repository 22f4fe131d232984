"""Where the token of a call comes from. It changes while we run: in a pod each hour, from a cloud's program each few
minutes; a call that is refused as nobody's asks once more."""

import asyncio
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

FRESH_S: Final = 60.0
"""How long a token from a file counts without another look at it."""
PROGRAM_S: Final = 60.0
PROGRAM_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class TokenError(Exception):
    """There is none to be had; the message says why."""


class Token(Protocol):
    async def __call__(self, *, anew: bool = False) -> str:
        """Empty: the certificate says who we are. ``anew``: the last one was refused."""
        ...


class NoToken:
    async def __call__(self, *, anew: bool = False) -> str:
        return ""


class FixedToken:
    def __init__(self, token: str) -> None:
        self._token = token

    async def __call__(self, *, anew: bool = False) -> str:
        return self._token


class FileToken:
    """A file that somebody else keeps fresh."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._token = ""
        self._read_s = -FRESH_S

    async def __call__(self, *, anew: bool = False) -> str:
        if anew or time.monotonic() - self._read_s >= FRESH_S:
            try:
                self._token = self._file.read_text().strip()
            except OSError as error:
                raise TokenError(f"the token cannot be read: {error}") from None
            self._read_s = time.monotonic()
        return self._token


class ProgramToken:
    """A program of the cluster's maker (``exec`` in a kubeconfig) that prints a token and how long it is good."""

    def __init__(self, program: dict[str, Any], folder: Path, cluster: dict[str, Any]) -> None:
        self._program = program
        self._folder = folder
        self._cluster = cluster
        self._token = ""
        self._until_wall_s = 0.0
        self._asking = asyncio.Lock()

    async def __call__(self, *, anew: bool = False) -> str:
        refused = self._token if anew else None
        async with self._asking:
            # Of several calls that were refused at once, one asks.
            if not self._token or self._token == refused or time.time() >= self._until_wall_s:
                await self._ask()
            return self._token

    async def _ask(self) -> None:
        version = self._program.get("apiVersion")
        if version not in PROGRAM_VERSIONS:
            raise TokenError(f"a login program of {version} is not known; known are {' and '.join(PROGRAM_VERSIONS)}")
        command = str(self._program.get("command"))
        path = str(self._folder / command) if "/" in command else command
        environment = os.environ | {one["name"]: one["value"] for one in self._program.get("env") or ()}
        environment["KUBERNETES_EXEC_INFO"] = msgspec.json.encode(self._info(version)).decode()
        try:
            run = await asyncio.create_subprocess_exec(
                path,
                *map(str, self._program.get("args") or ()),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise TokenError(f"the login program {command} cannot be started: {error.strerror}") from None
        try:
            out, err = await asyncio.wait_for(run.communicate(), PROGRAM_S)
        except TimeoutError:
            run.kill()
            await run.wait()
            raise TokenError(f"the login program {command} gave nothing within {PROGRAM_S:.0f} s") from None
        if run.returncode:
            raise TokenError(f"the login program {command} failed: {err.decode(errors='replace').strip()[-500:]}")
        self._take(out, command)

    def _take(self, out: bytes, command: str) -> None:
        try:
            status = msgspec.json.decode(out)["status"]
            token, until = str(status["token"]), status.get("expirationTimestamp")
            self._until_wall_s = datetime.fromisoformat(until).timestamp() if until else float("inf")
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            raise TokenError(f"the login program {command} printed no token") from None
        self._token = token

    def _info(self, version: str) -> dict[str, Any]:
        spec: dict[str, Any] = {"interactive": False}
        if self._program.get("provideClusterInfo"):
            known = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
            spec["cluster"] = {name: self._cluster[name] for name in known if name in self._cluster}
        return {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
