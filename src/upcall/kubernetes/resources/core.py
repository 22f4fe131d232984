"""What is to be asked of the master and written into resources: objects and the master's picture in, calls out. Pure.

A resource is looked at whenever something of it changes: it, its service, an answer, the end of a pause. The look says
the one next thing to do, and only when that is done the next look is taken; so at most one call is under way about a
resource, and a lost or late event costs nothing.

1. The finalizer is there before anything is installed.
2. What it says is carried to the master, once for each of its generations: an install, or all of what it says (:class:`
   upcall.protocol.operator.Keep`). A refusal stands in its status and is tried again ever more seldom, for what was
   missing may come: a service that it binds to, a package, a secret.
3. Its status says what there is.
4. It is deleted: an uninstall is asked for, on its behalf. When its service is gone the finalizer goes, and with it the
   resource.

A service whose resource is gone without having asked (somebody took the finalizer away) stays, and is anybody's again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from upcall.kubernetes.resources.calls import (
    Answer,
    Call,
    Changed,
    Done,
    Event,
    Listed,
    Numbers,
    Removed,
    ToMaster,
    ToServer,
)
from upcall.kubernetes.resources.mirror import Mirror
from upcall.kubernetes.resources.reading import ADOPT, FINALIZER, Key, Picture, Resource, read
from upcall.kubernetes.resources.status import Refusal, status
from upcall.substrate.kubernetes.client.kinds import Kind, Object

PAUSE_S: Final = 2.0
PAUSE_MAX_S: Final = 300.0
WRITTEN_AGAIN_S: Final = 1.0
"""Between two writes of one resource's status: what changes faster nobody reads."""
ASKED_AGAIN_S: Final = 60.0
"""An uninstall that came to nothing: a deletion of a resource cannot be taken back, so it is asked for again."""
PASSES_BY_ITSELF: Final = ("", "not_now", "stale", "internal")
"""No word about what the resource says."""
CLOSED: Final = ("invalid", "malformed", "too_large")


@dataclass
class Known:
    resource: Resource
    call: int = 0
    """Under way about it."""
    refusal: Refusal | None = None
    failures: int = 0
    until_s: float = 0.0
    """Before that the master is not asked about it again."""
    write_s: float = 0.0
    """Before that nothing is written into it again."""
    asked_to_go: str = ""
    """The uninstall."""


class Core:
    def __init__(self, kinds: Mapping[Kind, str], namespace: str, wall: Callable[[], float]) -> None:
        """``kinds``: of services, and the package of each."""
        self._kinds, self._namespace, self._wall = dict(kinds), namespace, wall
        self._numbers = Numbers()
        self._known: dict[Key, Known] = {}
        self._listed: set[Kind] = set()
        self._picture: Picture | None = None
        self._calls: dict[int, Key] = {}
        self._releases: dict[int, str] = {}
        self._out: list[Call] = []
        self.answers = 0
        """Of the master so far: a picture that was asked for before the last of them is old."""
        self.mirror = Mirror(self._numbers, wall)

    # -- inputs -----------------------------------------------------------------------------------------------------

    def heard(self, event: Event, now_s: float) -> list[Call]:
        if event.kind not in self._kinds:
            self.mirror.heard(event)
            self._mirror(now_s)
            return self._taken()
        match event:
            case Listed(kind=kind, objects=objects):
                self._listed.add(kind)
                there = {(kind.name, one["metadata"]["name"]) for one in objects}
                for key in [key for key in self._known if key[0] == kind.name and key not in there]:
                    del self._known[key]
                for one in objects:
                    self._put(kind, one)
                self._look_at_all(now_s)
            case Changed(kind=kind, object=one):
                self._look(self._put(kind, one), now_s)
            case Removed(kind=kind, object=one):
                self._known.pop((kind.name, one["metadata"]["name"]), None)
                self._look_at_all(now_s)
        return self._taken()

    def shown(self, picture: Picture, answers: int, now_s: float) -> list[Call]:
        """``answers``: as it was when the picture was asked for."""
        if answers != self.answers:
            return []
        self._see(picture)
        self._look_at_all(now_s)
        self._mirror(now_s)
        return self._taken()

    def answered(self, call: Call, answer: Answer, now_s: float) -> list[Call]:
        if isinstance(call, ToMaster):
            self.answers += 1
        if self.mirror.answered(call, answer, now_s):
            self._mirror(now_s)
            return self._taken()
        self._releases.pop(call.number, None)
        names = self._picture.services.keys() if self._picture is not None else frozenset()
        if isinstance(call, ToMaster) and isinstance(answer, Done):
            self._is_now(answer.object)
        key = self._calls.pop(call.number, None)
        one = self._known.get(key) if key is not None else None
        if key is None or one is None or one.call != call.number:
            return self._taken()
        one.call = 0
        if isinstance(call, ToServer):
            self._written(one, answer, now_s)
        else:
            self._told(one, call, answer, now_s)
        self._look(key, now_s)
        if self._picture is not None and self._picture.services.keys() != names:
            self._look_at_all(now_s)
        return self._taken()

    def woken(self, now_s: float) -> list[Call]:
        """A pause is over."""
        self._look_at_all(now_s)
        self._mirror(now_s)
        return self._taken()

    def deadline(self, now_s: float) -> float | None:
        found = [moment for one in self._known.values() for moment in (one.until_s, one.write_s) if moment > now_s]
        mirrored = self.mirror.deadline(now_s)
        return min([*found, *([mirrored] if mirrored is not None else [])], default=None)

    # -- a look -----------------------------------------------------------------------------------------------------

    def _look_at_all(self, now_s: float) -> None:
        for key in list(self._known):
            self._look(key, now_s)
        self._release()

    def _look(self, key: Key, now_s: float) -> None:
        one, picture = self._known.get(key), self._picture
        if one is None or picture is None or one.call:
            return
        if one.resource.deleting:
            self._let_go(one, picture, now_s)
        elif FINALIZER not in one.resource.finalizers:
            self._hold(one, (*one.resource.finalizers, FINALIZER), now_s)
            return  # Nothing is begun, and nothing said, before it stands.
        elif now_s >= one.until_s:
            self._carry(one, picture)
        if not one.call:
            self._say(one, picture, now_s)

    def _carry(self, one: Known, picture: Picture) -> None:
        resource = one.resource
        service, kept = picture.services.get(resource.name), picture.kept_by(resource.name)
        if service is None:
            body = {"package": resource.package, "name": resource.name, "keeper": resource.keeper, **resource.wanted}
            body.pop("finalize", None)
            self._ask(one, "/v1/services", body)
        elif kept == resource.what or (not kept and resource.adopts):
            keeper = service.get("keeper") or {}
            if (keeper.get("uid"), keeper.get("generation")) == (resource.uid, resource.generation):
                one.refusal, one.failures = None, 0
                return
            body = {"keeper": resource.keeper, "package": resource.package, "adopt": resource.adopts, **resource.wanted}
            self._ask(one, f"/v1/services/{quote(resource.name, safe='')}/keep", body)
        else:
            whose = kept or "the command line"
            way = f"; `{resource.command('annotate')} {ADOPT}=true` takes"
            words = f"a service {resource.name} is there, and is {whose}'s" + ("" if kept else f"{way} it over")
            one.refusal = Refusal(resource.generation, "NotOurs", words)

    def _let_go(self, one: Known, picture: Picture, now_s: float) -> None:
        resource = one.resource
        if FINALIZER not in resource.finalizers:
            return  # Somebody else holds it still.
        if picture.kept_by(resource.name) != resource.what:
            self._hold(one, tuple(each for each in resource.finalizers if each != FINALIZER), now_s)
            return
        going = picture.of_service(resource.name, "uninstall")
        if going is not None:
            one.asked_to_go, one.refusal = str(going["id"]), None
        elif one.asked_to_go:
            words = f"{one.asked_to_go} came to nothing; its service is asked again within a minute"
            one.refusal = Refusal(resource.generation, "NotLetGo", words)
            one.asked_to_go, one.until_s = "", now_s + ASKED_AGAIN_S
        elif now_s >= one.until_s:
            body = {"reason": f"{resource.what} was deleted", "keeper": resource.what}
            self._ask(one, f"/v1/services/{quote(resource.name, safe='')}/uninstall", body)

    def _say(self, one: Known, picture: Picture, now_s: float) -> None:
        wanted = status(one.resource, picture, one.refusal, self._wall())
        if wanted == dict(one.resource.status) or now_s < one.write_s:
            return
        one.write_s = now_s + WRITTEN_AGAIN_S
        self._write(one, {"status": wanted}, "status")

    def _hold(self, one: Known, finalizers: tuple[str, ...], now_s: float) -> None:
        if now_s >= one.write_s:
            self._write(one, {"metadata": {"finalizers": list(finalizers)}}, "")

    def _release(self) -> None:
        """Services of resources that are gone."""
        if self._picture is None:
            return
        for name, service in self._picture.services.items():
            kept = self._picture.kept_by(name)
            if not kept or name in self._releases.values():
                continue
            for kind in self._listed:
                what = f"{kind.name.lower()}/{name} in namespace {self._namespace}"
                if kept == what and (kind.name, name) not in self._known and service.get("desired") != "uninstalling":
                    number = self._numbers.next()
                    self._releases[number] = name
                    path = f"/v1/services/{quote(name, safe='')}/unkeep"
                    self._out.append(ToMaster(number, "POST", path, {"what": what}))

    # -- calls ------------------------------------------------------------------------------------------------------

    def _ask(self, one: Known, path: str, body: Mapping[str, Any]) -> None:
        one.call = self._numbers.next()
        self._calls[one.call] = one.resource.key
        self._out.append(ToMaster(one.call, "POST", path, body))

    def _write(self, one: Known, change: Mapping[str, Any], part: str) -> None:
        one.call = self._numbers.next()
        self._calls[one.call] = one.resource.key
        meant = {"uid": one.resource.uid, "resourceVersion": one.resource.version}
        body = {**change, "metadata": {**change.get("metadata", {}), **meant}}
        self._out.append(ToServer(one.call, "merge", one.resource.kind, one.resource.name, body, part))

    def _written(self, one: Known, answer: Answer, now_s: float) -> None:
        if isinstance(answer, Done):
            self._put(one.resource.kind, dict(answer.object))
            return
        one.failures += 1
        one.write_s = now_s + _pause(one.failures)

    def _told(self, one: Known, call: ToMaster, answer: Answer, now_s: float) -> None:
        if isinstance(answer, Done):
            one.refusal, one.failures, one.until_s = None, 0, 0.0
            return
        one.failures += 1
        one.until_s = now_s + (PAUSE_MAX_S if answer.code in CLOSED else _pause(one.failures))
        if answer.code not in PASSES_BY_ITSELF:
            keeper: Mapping[str, Any] = (call.body or {}).get("keeper") or {}
            generation = keeper["generation"] if isinstance(keeper, dict) else one.resource.generation
            one.refusal = Refusal(generation, "Refused", answer.message)

    def _is_now(self, said: Mapping[str, Any]) -> None:
        """An answer of the master's is newer than the picture."""
        if self._picture is None:
            return
        if "revision" in said and "members" in said:
            self._see(Picture({**self._picture.services, said["name"]: said}, self._picture.operations))
        elif "kind" in said and "id" in said:
            self._see(Picture(self._picture.services, {**self._picture.operations, said["id"]: said}))

    def _see(self, picture: Picture) -> None:
        before, self._picture = self._picture, picture
        if before is not None and before.services.keys() != picture.services.keys():
            # Whatever was missing may be there now.
            for one in self._known.values():
                one.until_s, one.failures = 0.0, 0

    # -- below ------------------------------------------------------------------------------------------------------

    def _put(self, kind: Kind, obj: Object) -> Key:
        """What is older than what is known changes nothing."""
        resource = read(kind, self._kinds[kind], obj)
        one = self._known.get(resource.key)
        if one is None or one.resource.uid != resource.uid:
            self._known[resource.key] = Known(resource)
        elif int(resource.version) >= int(one.resource.version):
            if resource.generation != one.resource.generation or resource.adopts != one.resource.adopts:
                # It says something else: tried at once.
                one.until_s, one.failures = 0.0, 0
            if resource.deleting and not one.resource.deleting:
                one.until_s, one.failures, one.refusal = 0.0, 0, None
            one.resource = resource
        return resource.key

    def _mirror(self, now_s: float) -> None:
        if self._picture is not None:
            self._out += self.mirror.look(self._picture.operations, now_s)

    def _taken(self) -> list[Call]:
        out, self._out = self._out, []
        return out


def _pause(failures: int) -> float:
    return float(min(PAUSE_S * 2 ** (min(failures, 12) - 1), PAUSE_MAX_S))
