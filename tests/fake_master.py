"""A small master that answers the operator API from memory, for the tests of its clients.

It is live: an installed service goes through its plan, a drain is deferred until something changes, every change is an
event, and the event stream resumes and reports gaps. It decides nothing: what it answers is set by the test.
"""

import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from upcall.protocol import operator as api
from upcall.protocol import read_before
from upcall.transport import unix

TOKEN = "token-of-the-operator"
STEP_S = 0.05
GREETER_OPTIONS = {
    "properties": {
        "members": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1, "description": "How many."},
        "greeting": {"type": "string", "default": "hello"},
    },
    "additionalProperties": False,
}
GREET = {
    "name": "greet",
    "description": "Greet somebody.",
    "arguments": {"properties": {"name": {"type": "string"}}, "required": ["name"]},
}

CARD = {
    "name": {"type": "string"},
    "text": {"type": "string"},
    "copies": {"type": "integer", "minimum": 0, "default": 0},
    "style": {"type": "object", "default": {}},
}
CARDS = [
    {"name": "cards", "arguments": {"properties": {}}},
    {
        "name": "write-card",
        "arguments": {"properties": CARD, "required": ["name", "text"], "additionalProperties": False},
    },
    {
        "name": "rewrite-card",
        "checks": True,
        "arguments": {"properties": {key: CARD[key] for key in ("name", "text", "style")}},
    },
    {"name": "burn-card", "arguments": {"properties": {"card": {"type": "string"}}}},
]
CONTENTS = {
    "kind": "cards",
    "show": "cards",
    "key": "card",
    "make": "write-card",
    "change": "rewrite-card",
    "drop": "burn-card",
}


def problem(status: int, code: str, message: str, where: str = "", expected: str = "") -> web.Response:
    body = {"code": code, "message": message, "where": where, "expected": expected}
    return web.json_response(body, status=status)


def node(name: str, zone: str, **more: Any) -> api.NodeView:
    known = {"state": "up", "cpus": 2.0, "memory_mib": 4096, "memory_reserved_mib": 1024, "memory_used_mib": 700.0}
    return api.NodeView(name=name, zone=zone, **{**known, **more})


class FakeMaster:
    """State, and a server over it in a thread of its own."""

    def __init__(self) -> None:
        self.volumes = {
            name: api.VolumesView(
                name=name, member="log.m-0", node="node-2", node_state=node_state, state=state, volumes=["data"],
                size_mib=10, until=until, reason=reason,
            )
            for name, state, node_state, until, reason in (
                ("log.m-0:1@node-1", "in use", "up", 0.0, ""),
                ("log.m-0:2@node-2", "aside", "silent", 0.0, "log.m-0 was placed anew"),
                ("log.m-0:3@node-2", "kept", "up", 2e9, ""),
            )
        }  # fmt: skip
        self.nodes = {f"node-{at}": node(f"node-{at}", "abc"[at - 1]) for at in (1, 2, 3)}
        self.revisions: list[api.RevisionView] = []
        self.update_ends: tuple[str, ...] = ("done",)
        """State and outcome in which an update ends."""
        self.packages = [
            api.PackageView(
                name="greeter",
                version="1.0.0",
                description="Says hello.",
                options_schema=GREETER_OPTIONS,
                actions=[GREET, *CARDS],
                contents=[CONTENTS],
            ),
            api.PackageView(name="archive", version="2.1.0", description="Keeps what it is given."),
        ]
        self.services: dict[str, api.ServiceView] = {}
        self.endpoint_names: dict[str, str] = {}
        self.operations: dict[str, api.OperationView] = {}
        self.asked: dict[str, api.ActionView] = {}
        self.cards: dict[str, dict[str, Any]] = {}
        self.events: list[api.Event] = []
        self.first_kept = 0
        self.logs: dict[str, list[str]] = {}
        """Member -> its lines; one that is followed is followed until `ends` has it."""
        self.ends: set[str] = set()
        self.secrets: dict[str, str] = {}
        self.granted: dict[str, set[str]] = {}
        self.calls: list[tuple[str, str, Any]] = []
        self.waiting: list[str] = []
        self.codes: set[str] = set()
        self.logins: list[dict[str, Any]] = []
        """As they were asked for."""
        self.sessions: set[str] = {TOKEN}
        self.not_now = 0
        """So many calls are answered "not now"."""
        self.lost_answers = 0
        """So many calls that change something are carried out, and their answer is lost."""
        self.would_answer = "defer: a copy is on its way"
        self.would_decline = ""
        """What a service would say to an update."""
        self.node_children: list[str] = []
        """Stops below whatever is asked of a node."""
        self.blocked = ""
        """Why every new service is blocked."""
        self.nodes_are_late = 0
        """So often none of them has been heard of since it started."""
        self.refused = ""
        """A service that is refused when it is asked for, for a reason that only the master knows."""
        self.since = time.time()
        self.failing_actions = self.actions_not_now = 0
        """So many actions fail, or are answered "not now"."""
        self.action_problem: api.ActionProblem | None = None
        """Why those fail, part by part."""
        self.step_s = STEP_S
        self.page_url = ""
        self.url = "https://127.77.7.1:5050"
        """What it says of itself; nobody listens there."""
        self.folder = tempfile.TemporaryDirectory(prefix="upcall-fake-")
        self.socket = Path(self.folder.name) / "run" / "master.sock"
        self.streams = 0
        self.after_stop: Callable[[], None] = lambda: None
        self._looks: dict[str, list[tuple[int, Callable[[], None]]]] = {}
        self._changed: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    # -- the server ---------------------------------------------------------------------------------------------------

    def start(self) -> "FakeMaster":
        self._thread.start()
        assert self._ready.wait(180)
        return self

    def stop(self) -> None:
        if self._loop.is_closed():
            return  # A test did it already.
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(180)
        self.folder.cleanup()

    def serves(self, data: Path) -> None:
        """It is the master of this data folder."""
        (data / "run").symlink_to(self.socket.parent)

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._changed = asyncio.Event()
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.SockSite(runner, unix.listen(self.socket))
        self._loop.run_until_complete(site.start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._authorise])
        app.add_routes(
            [
                web.get("/v1/status", self._status),
                web.get("/v1/packages", self._list(lambda: self.packages)),
                web.get("/v1/services", self._list(lambda: list(self.services.values()))),
                web.post("/v1/services", self._install),
                web.post("/v1/services/preview", self._preview_install),
                web.get("/v1/services/{name}", self._service),
                web.get("/v1/services/{name}/plans", self._plans),
                web.post("/v1/services/{name}/plans/{plan}/{verb}", self._nothing),
                web.post("/v1/services/{name}/actions/{action}/begin", self._action),
                web.post("/v1/services/{name}/actions/{action}/check", self._check_action),
                web.get("/v1/services/{name}/actions", self._action),
                web.get("/v1/actions/{id}", self._action),
                web.post("/v1/actions/{id}/cancel", self._action),
                web.post("/v1/services/{name}/uninstall", self._uninstall),
                web.post("/v1/services/{name}/made", self._made),
                web.post("/v1/services/{name}/update", self._update),
                web.post("/v1/services/{name}/rebalance", self._rebalance),
                web.post("/v1/services/{name}/update/preview", self._preview),
                web.post("/v1/services/{name}/finalize", self._finalize),
                web.get("/v1/services/{name}/revisions", self._list(lambda: self.revisions)),
                web.get("/v1/endpoints", self._endpoints),
                web.get("/v1/endpoints/{service}/{endpoint}/credentials", self._credentials),
                web.get("/v1/nodes", self._list(lambda: list(self.nodes.values()))),
                web.post("/v1/nodes", self._add_node),
                web.post("/v1/nodes/{node}/{verb}", self._node_verb),
                web.post("/v1/maintenance", self._drain_together),
                web.post("/v1/maintenance/over", self._undrain_together),
                web.get("/v1/tasks", self._tasks),
                web.get("/v1/tasks/{task}", self._task),
                web.get("/v1/volumes", self._list(lambda: list(self.volumes.values()))),
                web.post("/v1/volumes/{volumes}/drop", self._drop_volumes),
                web.post("/v1/volumes/{volumes}/take-back", self._take_back_volumes),
                web.post("/v1/tasks/{task}/{verb}", self._task_verb),
                web.get("/v1/tasks/{task}/logs", self._logs),
                web.get("/v1/operations", self._operations),
                web.get("/v1/operations/{id}", self._operation),
                web.get("/v1/operations/{id}/why", self._why),
                web.post("/v1/operations/{id}/{verb}", self._operation_verb),
                web.get("/v1/events", self._events),
                web.put("/v1/secrets/{name}", self._secret),
                web.delete("/v1/secrets/{name}", self._remove_secret),
                web.post("/v1/secrets/{name}/grant", self._grant_secret),
                web.get("/v1/secrets", self._list(self._secrets_there)),
                web.post("/v1/login-codes", self._login_code),
                web.post("/v1/login", self._login),
                web.post("/v1/shutdown", self._shutdown),
                web.post("/v1/startup", self._nothing),
                web.put("/v1/blobs/{digest}", self._nothing),
                web.put("/v1/packages/{name}/{version}", self._nothing),
                web.delete("/v1/packages/{name}", self._remove_package),
            ]
        )
        return app

    @web.middleware
    async def _authorise(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.read()
        self.calls.append((request.method, request.path, json.loads(body) if body[:1] in (b"{", b"[") else body))
        if self.not_now > 0:
            self.not_now -= 1
            return problem(503, "not_now", "the master recovers")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.sessions:
            return problem(401, "unauthorised", "no valid token", "Authorization", "a token of this cluster")
        response: web.StreamResponse = await handler(request)
        if self.lost_answers > 0 and request.method == "POST" and request.transport:
            self.lost_answers -= 1
            request.transport.abort()
        return response

    def _list(self, found: Callable[[], Any]) -> Callable[[web.Request], Any]:
        async def handler(_: web.Request) -> web.Response:
            return await answer(found())

        return handler

    # -- changes ------------------------------------------------------------------------------------------------------

    def happens(self, kind: str, subject: str, text: str) -> None:
        """An event, from any thread."""
        event = api.Event(sequence=len(self.events) + 1, at=time.time(), kind=kind, subject=subject, text=text)
        self.events.append(event)

        def wake() -> None:
            self._changed.set()
            self._changed = asyncio.Event()

        self._loop.call_soon_threadsafe(wake)

    def add_service(
        self, name: str, members: int, *, package: str = "greeter", endpoint: str = "http", steps_done: int = 0
    ) -> api.ServiceView:
        """``endpoint``: the name of the one that it has as soon as all members are ready."""
        at = {
            name: list(self.nodes)[number % len(self.nodes)]
            for number, name in enumerate(f"m-{i}" for i in range(members))
        }
        steps = [{"name": one, "state": "pending", "reason": "", "since": time.time()} for one in at]
        phase = {"name": "members", "strategy": "serial", "state": "running", "steps": steps}
        view = api.ServiceView(
            name=name,
            package=package,
            version=next((one.version for one in self.packages if one.name == package), "1.0.0"),
            revision=1,
            state="blocked" if self.blocked else "deploying",
            reason=self.blocked,
            wanted=members,
            actions=[GREET, *CARDS],
            plans=[{"name": "deploy", "state": "running", "phases": [phase]}],
            members=[
                api.TaskView(
                    member=f"{name}.{one}", service=name, name=one, incarnation=1, task=f"{name}.{one}.1",
                    state="wanted", node=where, zone=self.nodes[where].zone, address=f"127.0.0.{number + 2}",
                    ports={"http": 8000}, memory_mib=256, memory_used_mib=120.0, since=time.time(),
                )
                for number, (one, where) in enumerate(at.items())
            ],
        )  # fmt: skip
        self.services[name] = view
        self.endpoint_names[name] = endpoint
        for one in view.members:
            self.nodes[one.node].members.append(one.member)
        for at_step in range(steps_done):
            self.step(view, at_step)
        return view

    def step(self, view: api.ServiceView, at: int) -> None:
        plan = view.plans[0]
        plan["phases"][0]["steps"][at]["state"] = "done"
        view.members[at].state = "ready"
        view.ready += 1
        if view.ready == view.wanted:
            plan["state"] = plan["phases"][0]["state"] = "done"
            view.state = "running"
            view.endpoints = [
                api.EndpointView(
                    service=view.name,
                    name=self.endpoint_names[view.name],
                    addresses=[f"{one.address}:8000" for one in view.members],
                    user="client",
                )
            ]

    async def _deploy(self, view: api.ServiceView) -> None:
        for at in range(view.wanted):
            view.plans[0]["phases"][0]["steps"][at]["state"] = "running"
            self.happens("plan", view.name, f"deploy/members/m-{at} running")
            await asyncio.sleep(self.step_s)
            self.step(view, at)
            self.happens("task", view.members[at].member, "ready")

    def operation(self, kind: str, target: str, **more: Any) -> api.OperationView:
        name = f"op-{len(self.operations) + 1}"
        known: dict[str, Any] = {"klass": "windowed", "state": "open", "reason": "maintenance", "asked_by": "operator"}
        view = api.OperationView(id=name, kind=kind, target=target, since=time.time(), **{**known, **more})
        self.operations[name] = view
        self.happens("operation", name, f"{kind} of {target} is asked: {view.reason}")
        return view

    def end(self, view: api.OperationView, state: str = "done", outcome: str = "") -> None:
        view.state, view.outcome, view.waits_for, view.ended_at = state, outcome, "", time.time()
        self.happens("operation", view.id, f"{view.kind} of {view.target} is {state}")

    def end_soon(self, view: api.OperationView, state: str = "done", outcome: str = "") -> None:
        self._loop.call_soon_threadsafe(self._loop.call_later, self.step_s * 4, self.end, view, state, outcome)

    # -- answers ------------------------------------------------------------------------------------------------------

    async def _remove_package(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in {one.name for one in self.packages}:
            return problem(404, "not_found", f"no package {name!r}", "package", "one of the catalog")
        self.packages = [one for one in self.packages if one.name != name]
        return await answer(self.packages)

    async def _status(self, _: web.Request) -> web.Response:
        status = api.Status(
            cluster="upcall-test",
            version="0.1.0",
            master_since=self.since,
            url=self.url,
            page_url=self.page_url,
            event_sequence=len(self.events),
            cpus=max((one.cpus for one in self.nodes.values()), default=0),
            nodes=list(self.nodes.values()),
            services=list(self.services.values()),
            operations=[one for one in self.operations.values() if one.ended_at is None],
            waiting=self.waiting,
        )
        return await answer(status)

    async def _install(self, request: web.Request) -> web.Response:
        asked = await request.json()
        refused = self._install_refused(asked)
        if refused is not None:
            return refused
        view = self.add_service(asked["name"], asked["options"].get("members", 1), package=asked["package"])
        view.options, view.platform = asked["options"], asked.get("platform", "")
        if not self.blocked:
            self._deploying = asyncio.ensure_future(self._deploy(view))
        return await answer(view)

    async def _preview_install(self, request: web.Request) -> web.Response:
        refused = self._install_refused(await request.json())
        return refused if refused is not None else await answer({})

    def _install_refused(self, asked: dict[str, Any]) -> web.Response | None:
        known = {one.name: one for one in self.packages}
        if asked["package"] not in known:
            return problem(404, "not_found", f"unknown package {asked['package']!r}", "package", "greeter or archive")
        if asked["name"] in self.services:
            return problem(409, "conflict", f"{asked['name']} is there already", "name", "another name")
        if asked["name"] == self.refused:
            return problem(409, "conflict", f"{self.refused} is not wanted here", "name")
        members = asked["options"].get("members", 1)
        if not isinstance(members, int) or not 1 <= members <= 9:
            return problem(422, "invalid", f"members: {members!r} is out of range", "options.members", "1 to 9")
        return None

    def _found(self, request: web.Request) -> api.ServiceView:
        name = request.match_info["name"]
        if name not in self.services:
            raise web.HTTPNotFound(
                text=json.dumps({"code": "not_found", "message": f"no service {name!r}"}),
                content_type="application/json",
            )
        return self.services[name]

    def once_looked_at(self, service: str, times: int, happens: Callable[[], None]) -> None:
        """``happens`` at the so many-th look at a service, before the next is answered."""
        self._looks.setdefault(service, []).append((times, happens))

    async def _service(self, request: web.Request) -> web.Response:
        view = self._found(request)
        given = await answer(view)
        pending = [(left - 1, happens) for left, happens in self._looks.pop(view.name, [])]
        self._looks[view.name] = [one for one in pending if one[0]]
        for left, happens in pending:
            if not left:
                happens()
        return given

    async def _plans(self, request: web.Request) -> web.Response:
        return await answer(self._found(request).plans)

    async def _action(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            known = list(reversed(self.asked.values()))
            return await answer(self.asked[request.match_info["id"]] if "id" in request.match_info else known)
        if request.path.endswith("/cancel"):
            one = self.asked[request.match_info["id"]]
            one.state, one.error, one.ended_at = "cancelled", "cancelled by operator", time.time()
            return await answer(one)
        arguments = await request.json()
        if self.actions_not_now:
            self.actions_not_now -= 1
            return problem(503, "not_now", "its code is not connected")
        one = api.ActionView(
            id=f"act-{len(self.asked) + 1}", service=request.match_info["name"], name=request.match_info["action"],
            who="operator", state="running", began_at=time.time(), progress="looks for them",
            patience_s=float(request.query.get("patience_s", 0)),
        )  # fmt: skip
        self.asked[one.id] = one

        def over() -> None:
            one.ended_at = time.time()
            if self.failing_actions:
                self.failing_actions -= 1
                one.state, one.error = "failed", "nobody is there to greet"
                if why := self.action_problem:
                    one.problem, one.waiting_helps = why, why.code == "not_now"
            else:
                one.state, one.result = "done", self._result(one.name, arguments)

        if arguments.get("name") != "nobody":
            self._loop.call_later(self.step_s, over)
        return await answer(one)

    async def _check_action(self, request: web.Request) -> web.Response:
        """A card in red stays as it is, unless the service is to have five members."""
        asked = await request.json()
        options = (asked["update"] or {}).get("options") or {}
        red = self.cards.get(asked["arguments"].get("name"), {}).get("style") == {"colour": "red"}
        known = request.match_info["action"] == "rewrite-card"
        refused = "what is red is not rewritten" if known and red and options.get("members") != 5 else ""
        why = api.ActionProblem(code="conflict", message=refused, where="text", expected="another colour first")
        return await answer(api.CheckedAction(refused=refused, reasons=[why] if refused else [], known=known))

    def _result(self, action: str, arguments: dict[str, Any]) -> Any:
        """Cards are kept, whichever service is asked."""
        name = str(arguments.get("name") or arguments.get("card"))
        match action:
            case "cards":
                return [{"card": name, **card} for name, card in sorted(self.cards.items())]
            case "write-card":
                self.cards[name] = {"copies": 3, "style": {}} | {
                    k: v for k, v in arguments.items() if k != "name" and v
                }
            case "rewrite-card":
                self.cards[name] |= {key: value for key, value in arguments.items() if key != "name"}
            case "burn-card":
                del self.cards[name]
        return {"said": f"hello {name}"}

    async def _made(self, request: web.Request) -> web.Response:
        said, view = await request.json(), self._found(request)
        kinds = view.made.setdefault(said["platform"], {})
        kinds[said["kind"]] = sorted({*kinds.get(said["kind"], []), *said["made"]} - {*said["dropped"]})
        return await answer(view)

    async def _uninstall(self, request: web.Request) -> web.Response:
        view = self._found(request)
        operation = self.operation("uninstall", view.name, klass="voluntary")
        self._loop.call_later(self.step_s, self.services.pop, view.name, None)
        self.end_soon(operation)
        return await answer(operation)

    async def _update(self, request: web.Request) -> web.Response:
        view = self._found(request)
        operation = self.operation("update", view.name, klass="voluntary")
        view.revision += 1
        asked = await request.json()
        if asked.get("options") is not None:
            view.options = asked["options"]
        self.end_soon(operation, *self.update_ends)
        return await answer(operation)

    async def _finalize(self, request: web.Request) -> web.Response:
        view = self._found(request)
        operation = self.operation("finalize", view.name, klass="voluntary")
        view.came_from = ""
        self.end_soon(operation)
        return await answer(operation)

    async def _rebalance(self, request: web.Request) -> web.Response:
        operation = self.operation("rebalance", self._found(request).name, klass="voluntary")
        self.end_soon(operation)
        return await answer(operation)

    async def _preview(self, request: web.Request) -> web.Response:
        view = self._found(request)
        return await answer(
            api.PreviewView(
                revision=view.revision + 1,
                kind="update",
                changed={"members": (3, 4), "config.greeting": (None, "hi")},
                how={"members": "restart", "config.greeting": "live"},
                restart={"m-0": "its command differs"},
                live=["m-1"],
                come=["m-3"],
                answer=self.would_answer,
                declined=self.would_decline,
                between={"config.old": "gone", "config.wait": "default 5, now 10", "config.newer": "new"},
                last_took_s=42.0,
            )
        )

    async def _endpoints(self, _: web.Request) -> web.Response:
        return await answer([one for view in self.services.values() for one in view.endpoints])

    async def _credentials(self, _: web.Request) -> web.Response:
        return await answer(api.CredentialsView(user="client", password="of-the-client"))

    async def _add_node(self, request: web.Request) -> web.Response:
        asked = await request.json()
        name = asked["name"] or f"node-{len(self.nodes) + 1}"
        self.nodes[name] = node(name, asked["zone"] or "a")
        return web.json_response({"name": name})

    async def _node_verb(self, request: web.Request) -> web.Response:
        name, verb = request.match_info["node"], request.match_info["verb"]
        if self.nodes_are_late:
            self.nodes_are_late -= 1
            return problem(503, "not_now", f"{name} has not registered yet", "node")
        if name not in self.nodes:
            return problem(404, "not_found", f"no node {name!r}", "node", ", ".join(self.nodes))
        asked = await request.json()
        operation = self.operation(verb, name, reason=asked["reason"])
        operation.kind, operation.children = "maintenance", self.node_children
        if verb == "drain":
            self.nodes[name].state = "draining"
            operation.waits_for = "deferred by greeter: somebody is being greeted"
        else:
            self.nodes[name].state = "up"
        self.end_soon(operation, "lifted" if verb == "undrain" else "done")
        return await answer(operation)

    async def _drain_together(self, request: web.Request) -> web.Response:
        asked = await request.json()
        names = asked["nodes"] or [each.name for each in self.nodes.values() if each.zone == asked["zone"]]
        if not names:
            zones = sorted({each.zone for each in self.nodes.values()})
            return problem(404, "not_found", f"no node is in a zone {asked['zone']!r}", "zone", ", ".join(zones))
        operation = self.operation("maintenance", f"nodes {', '.join(names)}", reason=asked["reason"])
        operation.nodes = names
        for name in names:
            self.nodes[name].state = "draining"
        self.end_soon(operation, "done")
        return await answer(operation)

    async def _undrain_together(self, request: web.Request) -> web.Response:
        asked = await request.json()
        names = asked["nodes"] or [each.name for each in self.nodes.values() if each.zone == asked["zone"]]
        for name in names:
            self.nodes[name].state = "up"
        operation = self.operation("maintenance", f"nodes {', '.join(names)}", reason=asked["reason"])
        self.end_soon(operation, "lifted")
        return await answer([operation])

    async def _task(self, request: web.Request) -> web.Response:
        """Of members that are there; none has left."""
        name = request.match_info["task"]
        for view in self.services.values():
            for one in view.members:
                if name in (one.member, one.task):
                    return await answer(one)
        return problem(404, "not_found", f"no member {name!r}", "member")

    async def _tasks(self, _: web.Request) -> web.Response:
        return await answer([one for view in self.services.values() for one in view.members])

    async def _task_verb(self, request: web.Request) -> web.Response:
        operation = self.operation(request.match_info["verb"], request.match_info["task"], klass="voluntary")
        self.end_soon(operation)
        return await answer(operation)

    async def _take_back_volumes(self, request: web.Request) -> web.Response:
        operation = self.operation("replace", self.volumes[request.match_info["volumes"]].member, klass="voluntary")
        self.end_soon(operation)
        return await answer(operation)

    async def _drop_volumes(self, request: web.Request) -> web.Response:
        found = self.volumes.get(request.match_info["volumes"])
        if found is None or found.state == "in use":
            return problem(409, "conflict", "it is in use", "volumes")
        found.state = "deleting"
        return await answer(found)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        name, lines = request.match_info["task"], int(request.query["lines"])
        response = web.StreamResponse()
        if (log := self.logs.get(name)) is None:
            await response.prepare(request)
            for number in range(lines):
                await response.write(f"line {number}\n".encode())
            return response
        known = "".join(f"{line}\n" for line in (log[-lines:] if lines else [])).encode()
        mark, at = request.query.get("after", ""), len(log)
        await response.prepare(request)
        await response.write(read_before.after(known, mark) if mark else known)
        while request.query["follow"] == "true" and not (name in self.ends and at == len(self.logs[name])):
            for line in (log := self.logs[name])[at:]:
                await response.write(f"{line}\n".encode())
            at = len(log)
            await asyncio.sleep(0.02)
        return response

    async def _operations(self, request: web.Request) -> web.Response:
        every = request.query.get("all") == "true"
        return await answer([one for one in self.operations.values() if every or one.ended_at is None])

    async def _operation(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.operations:
            return problem(404, "not_found", f"no operation {name!r}", "operation")
        return await answer(self.operations[name])

    async def _why(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.operations:
            return problem(404, "not_found", f"no operation {name!r}", "operation")
        view = self.operations[name]
        children = [
            api.Why(operation=one, lines=[sentence(one)]) for one in self.operations.values() if one.parent == name
        ]
        return await answer(api.Why(operation=view, lines=[sentence(view), "asked for by operator"], children=children))

    async def _operation_verb(self, request: web.Request) -> web.Response:
        view = self.operations[request.match_info["id"]]
        if request.match_info["verb"] == "cancel":
            self.end(view, "withdrawn", "cancelled by operator")
        else:
            view.forced_by = "operator"
            self.end(view)
        return await answer(view)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        limit = int(request.query.get("limit", 500))
        since = int(request.query.get("since", -1))
        if request.query.get("follow") != "true":
            return await answer(self.events[-limit:] if since < 0 else self.events[since : since + limit])
        since = max(0, len(self.events) - limit) if since < 0 else since
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.streams += 1
        if since < self.first_kept:
            gap = api.Event(
                sequence=self.first_kept, at=time.time(), kind="gap", subject="events", text="older ones are gone"
            )
            await response.write(f"id: {gap.sequence}\ndata: {gap.model_dump_json()}\n\n".encode())
            since = self.first_kept
        while True:
            changed = self._changed
            for event in self.events[since:]:
                await response.write(f"id: {event.sequence}\ndata: {event.model_dump_json()}\n\n".encode())
                since = event.sequence
            await response.write(b": heartbeat\n\n")
            await asyncio.wait([asyncio.ensure_future(changed.wait())], timeout=5)

    async def _secret(self, request: web.Request) -> web.Response:
        self.secrets[request.match_info["name"]] = (await request.json())["value"]
        return web.json_response({})

    def _secrets_there(self) -> list[dict[str, Any]]:
        return [self._secret_view(name) for name in sorted(self.secrets)]

    def _secret_view(self, name: str) -> dict[str, Any]:
        used_by = sorted(one.name for one in self.services.values() if name in one.secrets)
        return {"name": name, "granted": sorted(self.granted.get(name, ())), "used_by": used_by}

    async def _remove_secret(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        view = self._secret_view(name)
        del self.secrets[name]
        self.granted.pop(name, None)
        return web.json_response({**view, "used_by": []})

    async def _grant_secret(self, request: web.Request) -> web.Response:
        said, granted = await request.json(), self.granted.setdefault(request.match_info["name"], set())
        (granted.add if said["stands"] else granted.discard)(said["service"])
        return web.json_response(sorted(granted))

    async def _login_code(self, _: web.Request) -> web.Response:
        code = f"code-{len(self.codes) + 1}"
        self.codes.add(code)
        return await answer(api.LoginCode(code=code, expires_s=120))

    async def _login(self, request: web.Request) -> web.Response:
        given = await request.json()
        self.logins.append(given)
        code = given["code"]
        if code not in self.codes or given["user"] not in (None, 0, os.geteuid()):
            return problem(401, "unauthorised", "this login code is used up or too old", "code", "a new one")
        self.codes.remove(code)
        token = f"session-of-{code}"
        self.sessions.add(token)
        return web.json_response({"token": token})

    async def _shutdown(self, request: web.Request) -> web.Response:
        operation = self.operation(request.path.rpartition("/")[2], "cluster", klass="grant")
        self.end_soon(operation)
        return await answer(operation)

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.json_response({})


async def answer(value: Any) -> web.Response:
    many = isinstance(value, list)
    found = [one.model_dump() if hasattr(one, "model_dump") else one for one in (value if many else [value])]
    return web.json_response(found if many else found[0])


def sentence(one: api.OperationView) -> str:
    return f"{one.id} {one.kind} of {one.target} ({one.klass}) {one.state}: {one.waits_for or one.outcome or 'begins'}"
