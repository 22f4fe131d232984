"""Secrets are references. The values lie in files that only the owner may read, never in a record or an event."""

import re
import secrets
from pathlib import Path

from upcall.cluster.folder import write_private
from upcall.protocol.errors import Invalid, NotFound

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}\Z")


class Secrets:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))

    def put(self, name: str, value: str) -> None:
        write_private(self._path(name), value.encode())

    def get(self, name: str) -> str:
        try:
            return self._path(name).read_text()
        except FileNotFoundError:
            raise NotFound(f"no secret {name!r}", expected=f"`upcall secret set {name}` first") from None

    def get_or_make(self, name: str) -> str:
        """A reference ``generated:<name>`` makes its value at the first use."""
        path = self._path(name)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24).encode())
        return path.read_text()

    def resolve(self, reference: str) -> str:
        """The value behind a declaration's ``Secret.ref``: the name of a secret, or ``generated:<name>``, which is made
        at its first use. After a bar comes a form with the value in place of ``{}``: ``generated:jmx|upcall {}``."""
        name, bar, form = reference.partition("|")
        generated = name.removeprefix("generated:")
        value = self.get_or_make(generated) if generated != name else self.get(name)
        return form.replace("{}", value) if bar else value

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise Invalid(f"not a name of a secret: {name!r}", expected="lower case letters, digits, '.', '_', '-'")
        return self._folder / name
