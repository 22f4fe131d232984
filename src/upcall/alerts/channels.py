"""Where people are told: what a person has set up, in one private file, for an address may be a key to somebody's door.

``upcall alerts`` writes the file; the process reads it at its start, and is started anew after each change.
"""

import re
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from upcall.cluster.folder import DataFolder, write_private
from upcall.protocol.decoder_words import shown
from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.protocol.nearest import nearest

Kind = Literal["webhook", "mail", "desktop"]
CHANNELS_MAX: Final = 20
"""Each keeps what waits for it; a cluster has few who are woken at night."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
URL_CHARACTERS_MAX: Final = 2048
ADDRESS: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\-][^\s@<>,;:\"()\[\]\\]{0,63}@[A-Za-z0-9.-]{1,253}\Z")
LOCAL_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")


class Channel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    kind: Kind
    target: str = ""
    """A URL, which whoever knows it can write to; a mail address or a user of this machine; of a desktop nothing."""
    added_at: float = 0.0
    """Seconds since 1970."""

    @property
    def where(self) -> str:
        """As it may be shown: a URL without what opens it."""
        if self.kind != "webhook":
            return self.target
        parts = urlsplit(self.target)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}/..."


def read(folder: DataFolder) -> list[Channel]:
    path = folder.alerts_file
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Channel])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid(f"cannot be read: {error}", where=str(path), expected="what `upcall alerts add` wrote") from None


def add(folder: DataFolder, channel: Channel) -> None:
    known = read(folder)
    if any(one.name == channel.name for one in known):
        raise Conflict(
            f"{channel.name!r} is there already",
            where="NAME",
            expected=f"another name, or `upcall alerts remove {channel.name}` first",
        )
    if len(known) >= CHANNELS_MAX:
        raise Conflict(f"{CHANNELS_MAX} are told already", where="NAME", expected="fewer: `upcall alerts remove`")
    _write(folder, [*known, channel])


def remove(folder: DataFolder, name: str) -> Channel:
    known = {one.name: one for one in read(folder)}
    found = find(known, name)
    _write(folder, [one for one in known.values() if one is not found])
    folder.alerts_state(name).unlink(missing_ok=True)
    return found


def find(known: dict[str, Channel], name: str) -> Channel:
    if name not in known:
        right = "a name that `upcall alerts list` has" if known else "`upcall alerts add`: nobody is told yet"
        raise NotFound(f"nobody is told as {name!r}{nearest(name, known)}", where="NAME", expected=right)
    return known[name]


def _write(folder: DataFolder, channels: list[Channel]) -> None:
    if channels:
        write_private(folder.alerts_file, msgspec.json.encode(channels) + b"\n")
    else:
        folder.alerts_file.unlink(missing_ok=True)


def valid_name(name: str) -> str:
    if not NAME.match(name):
        raise Invalid(
            f"not a name: {shown(name)}", where="NAME", expected="small letters, digits and -, at most 40 of them"
        )
    return name


def valid_url(text: str) -> str:
    """What was wrong is said without the URL itself."""
    right = "an address as https://hooks.example.org/..., of one line"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Invalid("not a URL", where="--webhook", expected=right) from None
    if len(text) > URL_CHARACTERS_MAX or not text.isprintable() or " " in text:
        raise Invalid("a URL of a strange form or length", where="--webhook", expected=right)
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise Invalid(
            f"not a URL of a web server: its scheme is {shown(parts.scheme)}", where="--webhook", expected=right
        )
    if parts.scheme == "http" and not is_here(text):
        raise Invalid(
            "without TLS, who listens on the way reads the key that the URL is",
            where="--webhook",
            expected="https://..., or an address of this machine (localhost)",
        )
    return text


def is_here(url: str) -> bool:
    """Of this machine: nobody listens on the way, and no proxy is asked."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def valid_address(text: str) -> str:
    if not ADDRESS.match(text) and not LOCAL_USER.match(text):
        raise Invalid(
            f"not a mail address: {shown(text)}", where="--mail", expected="name@example.org, or a user of this machine"
        )
    return text
