"""Secrets are references. The values lie in files that only the owner may read, never in a record or an event.

A turn only reads them. One that is generated at its first use is made beside the turns (a flushed write is slow, and
random): the launch that wants it waits for it, like for a name that is not known yet.
"""

import re
import secrets
from pathlib import Path

from upcall.cluster.folder import write_private
from upcall.protocol.errors import Invalid, NotFound, NotNow

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}\Z")


class NotMade(NotNow):
    """A generated secret is used for the first time. ``name`` is in the details."""


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

    def make(self, name: str) -> None:
        """A random value, unless there is one. On the disk, whole, when it returns."""
        path = self._path(name)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24).encode())

    def resolve(self, reference: str) -> str:
        """The value behind a declaration's ``Secret.ref``: the name of a secret, or ``generated:<name>``, which raises
        :class:`NotMade` until :meth:`make` was called for it. After a bar comes a form with the value in place of
        ``{}``: ``generated:jmx|upcall {}``."""
        name, bar, form = reference.partition("|")
        generated = name.removeprefix("generated:")
        if generated != name and not self._path(generated).exists():
            raise NotMade(f"waits for the secret {generated!r} to be made", name=generated)
        value = self.get(generated)
        return form.replace("{}", value) if bar else value

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise Invalid(f"not a name of a secret: {name!r}", expected="lower case letters, digits, '.', '_', '-'")
        return self._folder / name
