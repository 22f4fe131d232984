"""A user of its own for each service, where we are root: a number that no other service and no person has.

The numbers come from a range of the cluster's, chosen at the first need and kept in ``users.json`` of the data folder,
which all agents of this machine share. A number is never given out a second time: volumes that a service left belong
to it. The range lies where systemd, containers and people have none (UIDS.md of systemd: 1879048192 to 2147483647);
``UPCALL_UID_BASE`` at the first start chooses another, for instance within the range that a container has.
"""

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from upcall.agent.checkpoint import write_durably
from upcall.protocol.errors import Invalid

RANGE: Final = 65_536
"""Services of one cluster, also those that are gone."""
LOWEST: Final = 1_879_048_192
SLOTS: Final = 4096
BASE_VARIABLE: Final = "UPCALL_UID_BASE"
NAME_CHARS_MAX: Final = 31
"""Of a user's name, for the tools that print it."""


class Record(msgspec.Struct, kw_only=True):
    version: int = 1
    base: int
    services: dict[str, int] = {}
    """The number of each, counted from the base."""


class Users:
    def __init__(self, data: Path) -> None:
        self._file = data / "users.json"
        self._lock = data / "users.lock"
        self._known: dict[str, int] = {}

    def number(self, service: str) -> int:
        """Its user's number; a new one at the first time. Blocking."""
        if service not in self._known:
            self._known[service] = self._look_up(service)
        return self._known[service]

    def usable(self) -> bool:
        """Whether this machine (or the container that we are in) has such numbers at all."""
        try:
            base = self._load().base
            return any(first <= base and base + RANGE <= first + count for first, count in _mapped())
        except (OSError, ValueError, Invalid):
            return False

    def _look_up(self, service: str) -> int:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            record = self._load()
            if service not in record.services:
                number = max(record.services.values(), default=-1) + 1
                if number >= RANGE:
                    raise Invalid(f"{RANGE} services had a user already", where=str(self._file), expected="fewer")
                record.services[service] = number
                write_durably(self._file, msgspec.json.encode(record))
            return record.base + record.services[service]
        finally:
            os.close(descriptor)

    def _load(self) -> Record:
        try:
            record = msgspec.json.decode(self._file.read_bytes(), type=Record)
        except FileNotFoundError:
            return Record(base=_base(self._file))
        except msgspec.MsgspecError as error:
            raise Invalid(f"cannot be read: {error}", where=str(self._file)) from None
        if record.version != 1:
            raise Invalid(f"has version {record.version}", where=str(self._file), expected="version 1")
        return record


def name_of(service: str) -> str:
    return f"upcall-{service}"[:NAME_CHARS_MAX]


def _base(file: Path) -> int:
    """Chosen by where the cluster lies, so that two of one machine have different ones, as far as chance goes."""
    if text := os.environ.get(BASE_VARIABLE):
        return int(text)
    digest = hashlib.sha256(os.fsencode(file)).digest()
    return LOWEST + int.from_bytes(digest[:4], "big") % SLOTS * RANGE


def _mapped() -> list[tuple[int, int]]:
    """First number and count of each range of users that exist here."""
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    return [(int(line.split()[0]), int(line.split()[2])) for line in lines]
