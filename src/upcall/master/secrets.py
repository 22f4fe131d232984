"""Secrets are references. The values lie in files that only the owner may read, never in a record or an event.

A turn only reads them. One that is generated at its first use is made beside the turns (a flushed write is slow, and
random): the launch that wants it waits for it, like for a name that is not known yet.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from upcall.cluster.folder import write_private
from upcall.master.stores import Keep, in_the_folder
from upcall.protocol.errors import Invalid, NotFound, NotNow
from upcall.protocol.nearest import nearest
from upcall.protocol.pattern_words import in_words

GRANTS: Final = ".grants.json"
"""Beside the values; no secret has such a name."""
NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,99}$(?!\n)"


class NotMade(NotNow):
    """A generated secret is used for the first time. ``name`` is in the details."""


class Secrets:
    def __init__(self, folder: Path, keep: Keep = in_the_folder) -> None:
        self._folder, self._keep = folder, keep

    def names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))

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
            self.get(name)
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
            return NotFound(f"no secret {name!r}{nearest(name, self.names())}", expected="one of `upcall secret list`")
        known = grants.get(name, ())
        expected = f"one of {', '.join(known)}" if known else f"nothing: nobody was granted {name}"
        return NotFound(f"{name!r} was not granted to {service!r}{nearest(service, known)}", expected=expected)

    def grants(self) -> dict[str, list[str]]:
        """By secret: :meth:`granted`."""
        path = self._folder / GRANTS
        return msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]]) if path.exists() else {}

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

    def _path(self, name: str) -> Path:
        if not re.match(NAME, name):
            raise Invalid(f"not a name of a secret: {name!r}", where="secret", expected=in_words(NAME))
        return self._folder / name
