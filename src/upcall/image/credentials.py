"""Who asks a registry: as the common clients keep it, in ``config.json`` of ``~/.docker`` (or ``DOCKER_CONFIG``).

A password stands there, or with a helper program (``credHelpers``, ``credsStore``) that is asked for it. It is never
given on a command line, where every user of the machine could read it, and never said in an error.
"""

import base64
import binascii
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from upcall.image.errors import RegistryError

HELPER_TIMEOUT_S: Final = 30.0
TOKEN_USER: Final = "<token>"  # noqa: S105
"""How a helper says that what it gives is an identity token, not a password."""


@dataclass(frozen=True)
class Credentials:
    """A name with its password, or a token that gets others."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def file() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def of(host: str) -> Credentials | None:
    """What is known for this registry, or nothing."""
    path = file()
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"credentials cannot be read: {error}", where=str(path), expected="JSON, as `docker login` writes it"
        ) from None
    if not isinstance(config, dict):
        raise RegistryError("credentials cannot be read: no JSON object", where=str(path), expected="a JSON object")
    helper = _mapping(config, "credHelpers").get(host) or config.get("credsStore")
    if helper and (found := _helped(str(helper), host)):
        return found
    entries = _mapping(config, "auths")
    for name in (host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"):
        if isinstance(entry := entries.get(name), dict):
            return _entry(entry, path, name)
    return None


def _mapping(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _entry(entry: dict[str, Any], path: Path, name: str) -> Credentials | None:
    if token := entry.get("identitytoken"):
        return Credentials(identity=str(token))
    try:
        user, _, password = base64.b64decode(entry.get("auth") or "", validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise RegistryError(
            f"the credentials for {name} cannot be read", where=str(path), expected="`auth`: base64 of NAME:PASSWORD"
        ) from None
    user, password = user or str(entry.get("username", "")), password or str(entry.get("password", ""))
    return Credentials(user, password) if user else None


def _helped(helper: str, host: str) -> Credentials | None:
    """Ask the helper program, whose protocol is its name on its input, JSON on its output."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=host, capture_output=True, text=True, timeout=HELPER_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(
            f"the helper that keeps credentials cannot be asked: {error}", where=str(file()), expected=program
        ) from None
    if done.returncode != 0:
        return None  # It knows none for this host; somebody who needs some will be told so by the registry.
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError(
            "the helper that keeps credentials gives no answer that can be read", where=program, expected="JSON"
        ) from None
    return Credentials(identity=secret) if user == TOKEN_USER else Credentials(user, secret)
