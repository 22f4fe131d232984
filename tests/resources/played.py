"""Resources in virtual time: a played API server, the core of resources, and the master's own code in a world.

What is carried between them is carried at once, one call after the other, and anything may happen to a call.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, cast

from upcall.kubernetes.resources.calls import Answer, Call, Changed, Done, Listed, Refused, Removed, ToMaster, ToServer
from upcall.kubernetes.resources.core import Core
from upcall.kubernetes.resources.kinds import OPERATION, kind_of, served
from upcall.kubernetes.resources.reading import Picture
from upcall.master import documents, keeping, revisions, services
from upcall.master import records as r
from upcall.master.streams import Streams
from upcall.master.transaction import Transaction
from upcall.master.views import Views
from upcall.operations import inputs as given
from upcall.operations.views import PendingSet
from upcall.protocol import operator as api
from upcall.protocol import service as wire
from upcall.protocol.errors import UpcallError
from upcall.substrate.kubernetes.client.kinds import Kind, Object
from upcall.testing.driver import Reborn
from upcall.testing.kubernetes.api import ApiServer, Refusal
from upcall.testing.world import World

NAMESPACE: Final = "data"
STORE: Final = kind_of("store")
SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "count": {"type": "integer", "default": 2, "minimum": 1, "maximum": 9, "size_of": "replica"},
        "label": {"type": "string", "default": ""},
    },
}
ROUNDS_MAX: Final = 10_000
WHO: Final = "operator"

Fate = Literal["", "lost", "unanswered", "refused", "leader before", "leader after"]
"""Of a call: it never arrives; it is carried out and nobody hears; it is refused; another leads before it is made, or
once it was carried out."""


class Played:
    def __init__(self) -> None:
        self.world = World("kubernetes")
        self.world.after_turn += [revisions.follow, services.finish_uninstalls]
        self._kinds = served(["store"])
        names = [kind.name for kind in (*self._kinds, OPERATION)]
        self.server = ApiServer(lambda: self.world.wall_s, more=names, whole=[OPERATION.name])
        self.fate: Callable[[Call], Fate] = lambda call: ""
        self.calls: list[str] = []
        self.away = False
        """Nobody leads."""
        self.leaders = 0
        for package, version in (("store", "1"), ("store", "2"), ("hello", "1")):
            self.register(package, version)
        self._lead()

    def register(self, package: str, version: str, needs: Sequence[str] = ()) -> None:
        made = wire.Package(
            name=package,
            version=version,
            options_schema=SCHEMA,
            needs=tuple(wire.NeedSpec(name=name, endpoint="main") for name in needs),
        )

        def put(tx: Transaction) -> None:
            self.world.state.packages.put(made)
            tx.put(r.PACKAGE, f"{package}@{version}", made)

        self.world.run(put)

    def _lead(self) -> None:
        """Another, with nothing in its memory."""
        self.leaders += 1
        self.core = Core(self._kinds, NAMESPACE, lambda: self.world.wall_s)
        self._cursors: dict[Kind, int | None] = dict.fromkeys((*self._kinds, OPERATION))
        self._waiting: list[Call] = []
        self._seen = ""

    # -- people -----------------------------------------------------------------------------------------------------

    def apply(self, name: str, kind: Kind = STORE, annotations: Mapping[str, str] = {}, **spec: Any) -> None:
        """As ``kubectl apply --server-side`` does it."""
        meta: Object = {"name": name, "namespace": NAMESPACE}
        if annotations:
            meta["annotations"] = dict(annotations)
        self.server.apply(cast(Any, kind.name), {"metadata": meta, "spec": spec}, manager="kubectl")
        self.settle()

    def delete(self, name: str, kind: Kind = STORE) -> None:
        self.server.delete(cast(Any, kind.name), name)
        self.settle()

    def resource(self, name: str, kind: Kind = STORE) -> Any:
        return self.server.find(cast(Any, kind.name), name)

    def status(self, name: str, kind: Kind = STORE) -> Any:
        return self.resource(name, kind)["status"]

    def condition(self, name: str, kind: str) -> tuple[str, str, str]:
        found = next(one for one in self.status(name)["conditions"] if one["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def operations(self) -> dict[str, Any]:
        return {one["metadata"]["name"]: one for one in self.server.all(cast(Any, OPERATION.name))}

    # -- services ---------------------------------------------------------------------------------------------------

    def runs(
        self, name: str, *members: str, says: Callable[[PendingSet], dict[str, given.Answer]] | None = None
    ) -> None:
        """Its code is there, declares members, and answers what it is asked."""
        self.world.install(name, members)
        self.world.host(name, says or accepts)
        self.world.advance(60)
        self.settle()

    def confirm(self, operation: str) -> None:
        """Its code has carried a change out."""
        service = self.world.ledger.operation(operation)
        assert service is not None
        self.world.send(given.Confirm(service=service.target.service, operation=operation))
        self.settle()

    # -- between them -----------------------------------------------------------------------------------------------

    def pass_by(self, seconds: float) -> None:
        until_s = self.world.now_s + seconds
        for _ in range(ROUNDS_MAX):
            self.settle()
            due_s = self.core.deadline(self.world.now_s)
            if due_s is None or due_s > until_s:
                break
            self.world.advance(max(due_s - self.world.now_s, 0.001))
            self._take(self.core.woken(self.world.now_s))
        self.world.advance(until_s - self.world.now_s)
        self.settle()

    def settle(self) -> None:
        for _ in range(ROUNDS_MAX):
            if self.away or not (self._hear() or self._carry() or self._show()):
                return
        raise AssertionError("it never comes to rest")

    def _take(self, calls: list[Call]) -> None:
        self._waiting += calls

    def _hear(self) -> bool:
        heard = False
        for kind, cursor in self._cursors.items():
            name = cast(Any, kind.name)
            if cursor is None:
                self._cursors[kind], heard = self.server.version, True
                self._take(self.core.heard(Listed(kind, tuple(self.server.all(name))), self.world.now_s))
                continue
            if kind is OPERATION:
                continue  # Listed once.
            for event in self.server.since(name, cursor):
                self._cursors[kind], heard = event.version, True
                said = Removed(kind, event.object) if event.type == "DELETED" else Changed(kind, event.object)
                self._take(self.core.heard(said, self.world.now_s))
        return heard

    def _show(self) -> bool:
        views = self._views()
        picture = api.Status(
            cluster="c", version="1", master_since=0, url="", event_sequence=0, nodes=[], waiting=[],
            services=views.services(), operations=views.operations(),
        ).model_dump()  # fmt: skip
        said = repr((picture["services"], picture["operations"], self.core.answers))
        if said == self._seen:
            return False
        self._seen = said
        self._take(self.core.shown(Picture.of(picture), self.core.answers, self.world.now_s))
        return True

    def _views(self) -> Views:
        streams = cast(Streams, _Everybody())
        return Views(self.world, cast(Any, _Nothing()), streams)

    def _carry(self) -> bool:
        if not self._waiting:
            return False
        call = self._waiting.pop(0)
        fate = self.fate(call)
        if fate == "leader before":
            self._lead()
            return True
        answer: Answer = Refused("", "no answer")
        if fate == "refused":
            answer = Refused("409" if isinstance(call, ToServer) else "not_now", "not now")
        elif fate != "lost":
            done = self._done(call)
            answer = answer if fate == "unanswered" else done
        if fate == "leader after":
            self._lead()
            return True
        self._take(self.core.answered(call, answer, self.world.now_s))
        return True

    def _done(self, call: Call) -> Answer:
        if isinstance(call, ToServer):
            self.calls.append(f"{call.verb} {call.kind.name} {call.name} {call.part}".strip())
            return self._written(call)
        self.calls.append(f"{call.method} {call.path}")
        try:
            return Done(self._asked(call).model_dump())
        except Reborn:
            return Refused("", "no answer")
        except UpcallError as error:
            return Refused(error.code, str(error))

    def _written(self, call: ToServer) -> Answer:
        kind = cast(Any, call.kind.name)
        try:
            if call.verb == "create":
                return Done(self.server.create(kind, call.body))
            if call.verb == "merge":
                return Done(self.server.merge(kind, call.name, call.body, part=call.part))
            self.server.delete(kind, call.name)
            return Done({})
        except Refusal as refusal:
            return Refused(str(refusal.status), refusal.message)

    def _asked(self, call: ToMaster) -> Any:
        world, body = self.world, dict(call.body or {})
        views = self._views()
        if call.path == "/v1/services":
            request = api.Install.model_validate(body)
            return views.service(world.run(lambda tx: services.install(tx, request, WHO)))
        if found := re.fullmatch(r"/v1/operations/(.+)", call.path):
            return views.operation(views.find_operation(found[1]))
        found = re.fullmatch(r"/v1/services/([^/]+)/(keep|unkeep|uninstall)", call.path)
        assert found is not None, call.path
        name = found[1]
        service = services.find(world, name)
        if found[2] == "uninstall":
            ask = api.Uninstall.model_validate(body)
            keeping.must_end(service, ask.keeper)
            item = given.Propose(kind="uninstall", asked_by=WHO, reason=ask.reason, service=name)
            return views.operation(views.find_operation(world.run(lambda tx: tx.ledger(item)).operation))
        if found[2] == "unkeep":
            what = api.Unkeep.model_validate(body).what
            return views.service(world.run(lambda tx: documents.unkeep(tx, services.find(world, name), what, WHO)))
        said = api.Keep.model_validate(body)
        return views.service(world.run(lambda tx: documents.keep(tx, name, said, WHO)))


def accepts(pending: PendingSet) -> dict[str, given.Answer]:
    """Everything, at once."""
    return {
        each.operation.id: given.Answer(verdict="accept") for each in pending.operations if not each.operation.begun
    }


class _Everybody:
    """Streams to which each service is connected."""

    def connected(self, name: str) -> bool:
        return True


class _Nothing:
    """Machines that say nothing of a task."""

    def usage(self, task: str) -> None:
        return None

    def progress(self, task: str) -> str:
        return ""
