"""Names in the test cluster: a file of hosts that processes see in the place of the machine's own.

Kubernetes has a name server; here a process gets a mount namespace of its own, in which ``/etc/hosts`` is ours.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

INTO: Final = 'of=$1; shift; mount --bind "$0" "$of" && exec "$@"'


class Hosts:
    def __init__(self, file: Path) -> None:
        self.file = file
        self._known: dict[str, str] = {}
        self.file.write_text("127.0.0.1 localhost\n")

    def add(self, name: str, address: str) -> None:
        """In place: whoever has it mounted sees the file, not its name. Of an address that is known already nothing is
        written, so that nobody reads half of it."""
        if self._known.get(name) == address:
            return
        new = name not in self._known
        self._known[name] = address
        if new:
            with self.file.open("a") as file:
                file.write(f"{address} {name}\n")
        else:
            text = "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in self._known.items())
            self.file.write_text(text)

    def before(self) -> list[str]:
        """What stands before a command that is to know these names."""
        return seeing(self.file, "/etc/hosts")


def seeing(file: Path, instead_of: str) -> list[str]:
    """What stands before a command that is to find the one in the place of the other."""
    return [*_unshare(), "sh", "-c", INTO, str(file), instead_of]


def _unshare() -> list[str]:
    more = () if os.getuid() == 0 else ("--map-root-user",)
    return ["unshare", "--mount", *more, "--propagation", "private"]


def missing() -> str:
    """Why it cannot be had on this machine; empty: it can."""
    tried = subprocess.run([*_unshare(), "mount", "--bind", "/etc/hostname", "/etc/hosts"], capture_output=True)
    return "" if tried.returncode == 0 else f"no mount namespace of our own: {tried.stderr.decode().strip()}"
