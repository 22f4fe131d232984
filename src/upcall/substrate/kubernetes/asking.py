"""Requests on their way: at most one about an object at a time, and when one that failed may be tried again.

What is wanted is looked at again whenever something changes, so nothing is queued here: a request that could not be
made now is made, or is not needed any more, when the object is looked at the next time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from upcall.substrate.interface import Output, Send
from upcall.substrate.kubernetes.objects import Kind, Raw
from upcall.substrate.kubernetes.requests import Answer, Apply, Create, Delete, Merge, Refused, Request

PAUSE_S: Final = 1.0
PAUSE_MAX_S: Final = 30.0
UNKNOWN_S: Final = 10.0
"""After a request without an answer: by then it was carried out, and is seen, or it never will be."""

Key = tuple[Kind, str]


@dataclass(frozen=True)
class UnderWay:
    request: Request
    about: str
    """The member that it is about."""
    version: int
    """Of the object, as it was known then."""


@dataclass
class Pause:
    until_s: float
    failures: int
    reason: str
    unknown: bool
    """Whether it was carried out is not known."""
    at_version: int
    """Of the object, as it was known then: once it is known better nobody waits any more."""
    about: str
    status: int


class Asking:
    def __init__(self, version_of: Callable[[Kind, str], int]) -> None:
        """``version_of``: an object, as it is known; 0: it is not."""
        self._version_of = version_of
        self._number = 0
        self._under_way: dict[Key, UnderWay] = {}
        self._numbers: dict[int, Key] = {}
        """Of what is under way."""
        self._pauses: dict[Key, Pause] = {}
        self._carried_out: dict[str, float | None] = {}
        """Uid -> grace of a deletion that the server has accepted."""

    # -- requests ---------------------------------------------------------------------------------------------------

    def create(self, kind: Kind, obj: Raw, out: Output, *, about: str = "") -> None:
        self._send(Create(self._next(), kind, obj["metadata"]["name"], obj), about, out)

    def apply(self, kind: Kind, obj: Raw, out: Output, *, part: str = "", about: str = "") -> None:
        self._send(Apply(self._next(), kind, obj["metadata"]["name"], obj, part), about, out)

    def merge(self, kind: Kind, name: str, change: Raw, out: Output, *, part: str = "", about: str = "") -> None:
        self._send(Merge(self._next(), kind, name, change, part), about, out)

    def delete(self, kind: Kind, name: str, uid: str, grace_s: float | None, out: Output, *, about: str = "") -> None:
        """Once; again only where less time is to be given."""
        if uid in self._carried_out and not _sooner(grace_s, self._carried_out[uid]):
            return
        self._send(Delete(self._next(), kind, name, uid, grace_s), about, out)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _send(self, request: Request, about: str, out: Output) -> None:
        key = (request.kind, name_of(request))
        assert key not in self._under_way, f"two requests at once about {key}"
        self._under_way[key] = UnderWay(request, about, self._version_of(*key))
        self._numbers[request.number] = key
        out.send.append(Send("", request))

    # -- what comes of them -----------------------------------------------------------------------------------------

    def is_free(self, kind: Kind, name: str, now_s: float) -> bool:
        key = (kind, name)
        pause = self._pauses.get(key)
        return key not in self._under_way and (pause is None or now_s >= pause.until_s)

    def is_under_way(self, kind: Kind, name: str) -> bool:
        """Whether something may be there that is not seen yet."""
        key = (kind, name)
        pause = self._pauses.get(key)
        return key in self._under_way or (pause is not None and pause.unknown)

    def reason(self, kind: Kind, name: str) -> str:
        """What the server said when it was asked last, and refused."""
        pause = self._pauses.get((kind, name))
        return pause.reason if pause is not None else ""

    def refused(self, kind: Kind, name: str) -> int:
        """With which status it was refused last; 0: it was not, or nobody knows."""
        pause = self._pauses.get((kind, name))
        return pause.status if pause is not None else 0

    def about(self, number: int) -> Key | None:
        return self._numbers.get(number)

    def answered(self, key: Key, answer: Answer, now_s: float) -> tuple[Request, str]:
        """The request, and the member that it is about."""
        one = self._under_way.pop(key)
        del self._numbers[one.request.number]
        if isinstance(answer, Refused):
            if answer.moved_on and self._version_of(*key) > one.version:
                return one.request, one.about  # What it is now is known already: nothing is to be waited for.
            self._pauses[key] = self._pause(key, one, answer, now_s)
            return one.request, one.about
        self._pauses.pop(key, None)
        if isinstance(one.request, Delete):
            self._carried_out[one.request.uid] = one.request.grace_s
        return one.request, one.about

    def _pause(self, key: Key, one: UnderWay, answer: Refused, now_s: float) -> Pause:
        """How long, and what is to be said of it meanwhile."""
        before, made = self._pauses.get(key), isinstance(one.request, Create)
        failures = before.failures + 1 if before is not None else 1
        pause_s = answer.wait_s or min(PAUSE_S * 2 ** (failures - 1), PAUSE_MAX_S)
        unknown = answer.status == 0 or (made and answer.status == 409)
        if answer.status == 0:
            pause_s = max(pause_s, UNKNOWN_S)
        nothing_to_say = unknown or (answer.moved_on and not made)
        reason = "" if nothing_to_say else answer.message
        return Pause(now_s + pause_s, failures, reason, unknown, self._version_of(*key), one.about, answer.status)

    def seen(self, kind: Kind, name: str, version: int) -> None:
        """The object is known better."""
        pause = self._pauses.get((kind, name))
        if pause is not None and version > pause.at_version:
            del self._pauses[kind, name]

    def forget(self, kind: Kind, name: str, uid: str) -> None:
        """It is gone."""
        self._carried_out.pop(uid, None)
        self._pauses.pop((kind, name), None)

    def asked_to_end(self, uid: str) -> bool:
        return uid in self._carried_out

    # -- time -------------------------------------------------------------------------------------------------------

    def due(self, now_s: float) -> list[tuple[Key, str]]:
        """What may be tried again, and about whom."""
        waits = self._pauses.items()
        return [(key, p.about) for key, p in waits if p.until_s <= now_s and key not in self._under_way]

    def past(self, key: Key) -> None:
        """It was looked at after its pause. Where it was not tried again, it is not needed any more."""
        if key not in self._under_way:
            self._pauses.pop(key, None)

    def deadline(self) -> float | None:
        waits = (pause.until_s for key, pause in self._pauses.items() if key not in self._under_way)
        return min(waits, default=None)


def name_of(request: Request) -> str:
    """Under which it is on its way. What is asked of a running pod's size stands by itself: a pod whose size is refused
    can be ended."""
    part = request.part if isinstance(request, Apply) else ""
    return f"{request.name}/{part}" if part else request.name


def _sooner(grace_s: float | None, before_s: float | None) -> bool:
    return grace_s is not None and (before_s is None or grace_s < before_s)
