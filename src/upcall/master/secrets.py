"""Secrets are references. The values lie in files that only the owner may read, never in a record or an event.

A turn only reads them. One that is generated at its first use is made beside the turns (a flushed write is slow, and
random): the launch that wants it waits for it, like for a name that is not known yet.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from upcall.cluster.folder import write_private
from upcall.master.stores import Keep, in_the_folder
from upcall.protocol.errors import NotFound, NotNow
from upcall.protocol.nearest import choice, nearest
from upcall.protocol.secret_names import missing, valid

GRANTS: Final = ".grants.json"
"""Beside the values; no secret has such a name."""


class NotMade(NotNow):
    """A generated secret is used for the first time. ``name`` is in the details."""


class Secrets:
    def __init__(self, folder: Path, keep: Keep = in_the_folder) -> None:
        self._folder, self._keep = folder, keep
        self._going: set[str] = set()
        """They are being removed, beside the turns: nobody is given one any more."""

    def names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        there = {path.name for path in self._folder.iterdir() if not path.name.startswith(".")}
        return sorted(there - self._going)

    def must_be(self, name: str, where: str) -> None:
        """``NotFound``, with the nearest and how one is made, where nobody has set it."""
        if name in self._going or not self._path(name, where).exists():
            raise missing(name, self.names(), where)

    def put(self, name: str, value: str) -> None:
        self._write(self._path(name), value.encode())

    def get(self, name: str) -> str:
        try:
            return self._path(name).read_text()
        except FileNotFoundError:
            raise NotFound(f"no secret {name!r}", expected=f"`upcall secret set {name}` first") from None

    def make(self, name: str) -> None:
        """A random value, unless there is one. On the disk, whole, when it returns."""
        path = self._path(name)
        if not path.exists():
            self._write(path, secrets.token_urlsafe(24).encode())

    def granted(self, name: str) -> list[str]:
        """Services to which it may be given by whoever may install one, as an admin said."""
        return self.grants().get(name, [])

    def grant(self, name: str, service: str, *, stands: bool) -> list[str]:
        """``stands``: from now on, or no more. Gives the services that are left."""
        grants = self.grants()
        if stands:
            self.must_be(name, "secret")
        elif service not in grants.get(name, ()):
            raise self._not_granted(name, service, grants)
        others = [one for one in grants.pop(name, []) if one != service]
        if found := sorted([*others, service] if stands else others):
            grants[name] = found
        self._write(self._folder / GRANTS, msgspec.json.encode(grants))
        return found

    def _not_granted(self, name: str, service: str, grants: Mapping[str, Sequence[str]]) -> NotFound:
        """There is nothing to be taken back: which of the two names may be meant otherwise."""
        if not self._path(name).exists():
            return missing(name, self.names())
        known = grants.get(name, ())
        expected = choice(known, f"nothing: nobody was granted {name}")
        return NotFound(f"{name!r} was not granted to {service!r}{nearest(service, known)}", expected=expected)

    def grants(self) -> dict[str, list[str]]:
        """By secret: :meth:`granted`."""
        path = self._folder / GRANTS
        return msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]]) if path.exists() else {}

    def going(self, name: str) -> None:
        """From now on nobody is given it; :meth:`remove` follows. In a turn: what uses it is known there."""
        self._going.add(name)

    def remove(self, name: str) -> list[str]:
        """Its value, and the word that it may be given to others; gives whose that was. Nobody uses it."""
        try:
            grants = self.grants()
            if granted := grants.pop(name, []):
                self._write(self._folder / GRANTS, msgspec.json.encode(grants))
            self._keep(f"{self._folder.name}/{name}", None)
            self._path(name).unlink(missing_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)  # Said to be gone, it does not come back with a power cut.
            finally:
                os.close(folder)
            return granted
        finally:
            self._going.discard(name)

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

    def _write(self, path: Path, data: bytes) -> None:
        self._keep(f"{self._folder.name}/{path.name}", data)
        write_private(path, data)

    def _path(self, name: str, where: str = "secret") -> Path:
        return self._folder / valid(name, where)
