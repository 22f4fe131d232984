"""Operations, to be looked at with ``kubectl``: each live one is an object, and those that ended for a while.

The record is the master's. Here is what changed, in one write each, and never more objects than :data:`LIVE_MAX` and
:data:`ENDED_MAX`. They are listed once, at the beginning; nobody watches them, for only we write them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from upcall.kubernetes.resources.calls import Answer, Call, Done, Event, Listed, Numbers, Refused, ToMaster, ToServer
from upcall.kubernetes.resources.kinds import OPERATION
from upcall.kubernetes.resources.status import moment
from upcall.substrate.kubernetes.names import MANAGED_BY, MANAGER, SERVICE, as_label

LIVE_MAX: Final = 200
"""The newest: nobody reads more, and each is an object in etcd."""
ENDED_MAX: Final = 100
ENDED_S: Final = 3600.0
"""For so long what ended stays."""
WRITTEN_AGAIN_S: Final = 5.0
AGAIN_S: Final = 30.0
"""After a failure."""
WORDS_MAX: Final = 1000

Content = dict[str, Any]


@dataclass
class Mirrored:
    is_: Content | None = None
    """As it stands in the API server; none: it is not there."""
    wanted: Content = field(default_factory=dict)
    """Empty: it is to go."""
    ended_s: float = 0.0
    """Wall time; 0: it has not, as far as is known."""
    call: int = 0
    write_s: float = 0.0
    live: bool = True

    @property
    def waits(self) -> bool:
        """Whether something is still to be done about it."""
        return self.wanted != (self.is_ or {}) or (not self.live and not self.ended_s)


class Mirror:
    def __init__(self, numbers: Numbers, wall: Callable[[], float]) -> None:
        self._numbers, self._wall = numbers, wall
        self._known: dict[str, Mirrored] = {}
        self._listed = False
        self._calls: dict[int, str] = {}

    def heard(self, event: Event) -> None:
        if not isinstance(event, Listed):
            return
        self._listed = True
        for one in event.objects:
            content = {"spec": one.get("spec") or {}, "status": one.get("status") or {}}
            self._known.setdefault(one["metadata"]["name"], Mirrored()).is_ = content

    def look(self, live: Mapping[str, Mapping[str, Any]], now_s: float) -> list[Call]:
        if not self._listed:
            return []
        newest = sorted(live.values(), key=lambda one: float(one.get("since") or 0))[-LIVE_MAX:]
        shown = {str(one["id"]): one for one in newest}
        for name, view in shown.items():
            one = self._known.setdefault(name, Mirrored())
            one.wanted, one.ended_s = content_of(view), 0.0
        for name, one in self._known.items():
            one.live = name in live
        self._forget(live)
        calls: list[Call] = []
        for name in list(self._known):
            if (call := self._next(name, name in live, name in shown, now_s)) is not None:
                calls.append(call)
        return calls

    def _forget(self, live: Mapping[str, Any]) -> None:
        ended = sorted((one.ended_s, name) for name, one in self._known.items() if one.ended_s and name not in live)
        old = {name for at, name in ended if at + ENDED_S <= self._wall()}
        for _, name in ended[:-ENDED_MAX]:
            old.add(name)
        for name in old:
            self._known[name].wanted = {}

    def _next(self, name: str, is_live: bool, is_shown: bool, now_s: float) -> Call | None:
        one = self._known[name]
        if one.call or now_s < one.write_s:
            return None
        if is_live and not is_shown:
            one.wanted = {}
        elif not is_live and not one.ended_s:
            # How it ended is asked once.
            return self._call(one, name, ToMaster(self._numbers.next(), "GET", f"/v1/operations/{quote(name)}"), now_s)
        if not one.wanted:
            if one.is_ is None:
                del self._known[name]
                return None
            return self._call(one, name, ToServer(self._numbers.next(), "delete", OPERATION, name, {}), now_s)
        if one.wanted == one.is_:
            return None
        if one.is_ is None:
            service = str(one.wanted["spec"].get("service") or "")
            labels = {MANAGED_BY: MANAGER} | ({SERVICE: as_label(service)} if service else {})
            body = {"metadata": {"name": name, "labels": labels}, **one.wanted}
            return self._call(one, name, ToServer(self._numbers.next(), "create", OPERATION, name, body), now_s)
        gone = {key: None for key in one.is_["status"] if key not in one.wanted["status"]}
        body = {"spec": one.wanted["spec"], "status": {**one.wanted["status"], **gone}}
        return self._call(one, name, ToServer(self._numbers.next(), "merge", OPERATION, name, body), now_s)

    def _call(self, one: Mirrored, name: str, call: Call, now_s: float) -> Call:
        one.call, one.write_s = call.number, now_s + WRITTEN_AGAIN_S
        self._calls[call.number] = name
        return call

    def answered(self, call: Call, answer: Answer, now_s: float) -> bool:
        """Whether it was ours."""
        name = self._calls.pop(call.number, None)
        if name is None:
            return False
        one = self._known.get(name)
        if one is None or one.call != call.number:
            return True
        one.call = 0
        if isinstance(call, ToMaster):
            self._ended(one, answer, now_s)
        elif isinstance(answer, Refused):
            self._failed(one, call, answer, now_s)
        elif call.verb == "delete":
            del self._known[name]
        else:
            one.is_ = {"spec": dict(call.body["spec"]), "status": _set(call.body["status"])}
        return True

    def _ended(self, one: Mirrored, answer: Answer, now_s: float) -> None:
        if isinstance(answer, Done):
            one.wanted = content_of(answer.object)
            one.ended_s = float(answer.object.get("ended_at") or 0) or self._wall()
            one.write_s = now_s
        elif answer.code == "not_found":
            one.wanted, one.ended_s, one.write_s = {}, self._wall(), now_s
        else:
            one.write_s = now_s + AGAIN_S

    @staticmethod
    def _failed(one: Mirrored, call: ToServer, answer: Refused, now_s: float) -> None:
        """It is there already, or is not any more: by an answer that was lost, or by somebody else's hand."""
        one.write_s = now_s + (AGAIN_S if answer.code not in ("404", "409") else 0.0)
        if answer.code == "404":
            one.is_ = None
        elif answer.code == "409" and call.verb == "create":
            one.is_ = {"spec": {}, "status": {}}

    def deadline(self, now_s: float) -> float | None:
        waits = [one.write_s for one in self._known.values() if one.write_s > now_s and one.waits]
        ends = [now_s + max(one.ended_s + ENDED_S - self._wall(), 1.0) for one in self._known.values() if one.ended_s]
        return min([*waits, *ends], default=None)


def content_of(view: Mapping[str, Any]) -> Content:
    """``view``: the operator API's."""
    spec = {
        "kind": view["kind"],
        "service": view.get("service"),
        "member": view.get("member"),
        "target": view.get("target"),
        "reason": view.get("reason"),
        "askedBy": view.get("asked_by"),
        "parent": view.get("parent"),
    }
    status = {
        "state": view["state"],
        "waitsFor": view.get("waits_for"),
        "outcome": view.get("outcome"),
        "since": moment(float(view["since"])) if view.get("since") else None,
        "endedAt": moment(float(view["ended_at"])) if view.get("ended_at") else None,
    }
    return {"spec": _set(spec), "status": _set(status)}


def _set(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say something."""
    return {key: _short(value) if isinstance(value, str) else value for key, value in fields.items() if value}


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WORDS_MAX else text[: WORDS_MAX - 3] + "..."
