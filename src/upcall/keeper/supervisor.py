"""The supervisor: keeps our own processes up, for one data folder.

It is small, does no work of its own, and everything that it knows stands in files: ``keeper/spec.json`` says what
should run (:mod:`upcall.keeper.spec`), ``keeper/status.json`` what does, with identities, and ``keeper/ending.json``
that all of it is to end (:mod:`upcall.keeper.ending`). If it is killed, one of those that stand by for it starts
another one (:mod:`upcall.keeper.standing_by`), which ends what the first one kept (not the tasks) and starts it anew.
One of those that stood by is adopted until another stands by: then its turn comes too.

Requests over ``keeper/keeper.sock``, one JSON object a line:

    {"do": "status"}                         -> {"ok": true, "supervisor": identity, "processes": [...]}
    {"do": "start" | "stop", "name"}         -> {"ok": true}; ``stop`` answers when it is dead
    {"do": "add", "process": {...}}          -> {"ok": true}; kept in the spec; one of that name is replaced
    {"do": "remove", "name"}                 -> {"ok": true} when it is dead; gone from the spec (or never there)
    {"do": "prove_death", "node"}            -> {"ok": true, "killed": n} once no process of the node's tasks is left;
                                                its agent is ended first and started again afterwards
    {"do": "stands_by", "name", "pid"}       -> {"ok": true}; it starts another supervisor if this one dies
    {"do": "reload"}                         -> {"ok": true}; as SIGHUP does
    {"do": "shutdown"}                       -> {"ok": true}; as SIGTERM does: all are stopped in their order, then what
                                                is left of any task, then itself

It ends everything, itself last, when the data folder is deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from upcall import __version__
from upcall.keeper import ending, linux, records, sockets, spec
from upcall.keeper.child import Child
from upcall.keeper.identity import Identity
from upcall.keeper.listening import Held
from upcall.keeper.sweeping import LOOK_EVERY_S, Sweep

TASKS_GRACE_S = 10.0
"""For tasks that still run when everything is to end: the master should have ended them before."""

Later = Callable[[], "dict[str, Any] | None"]
"""Looks whether a request is done; its answer then, else None."""


class Supervisor:
    def __init__(
        self, data_folder: str, handed: dict[str, int] | None = None, left: dict[str, Identity] | None = None
    ) -> None:
        """``handed``: the sockets that one before us held. ``left``: what it kept and still runs, by name."""
        self._data = data_folder
        self._children: dict[str, Child] = {}
        self._going: list[Child] = []
        """Removed or replaced, and not yet dead."""
        self._clients: dict[int, tuple[socket.socket, sockets.Lines]] = {}
        self._later: list[tuple[int, Later]] = []
        self._poll = select.poll()
        self._guard = linux.FolderGuard(data_folder, os.path.join(data_folder, "keeper"))
        self._listener = sockets.listen(os.path.join(data_folder, "keeper", "keeper.sock"))
        self._wakeup = _signals()
        self._ending = ending.read(data_folder) == ending.ALL
        self._gone = False
        self._tasks_killed: set[str] = set()
        """When everything was to end, and they did not."""
        for descriptor in (self._listener.fileno(), self._wakeup, self._guard.descriptor):
            if descriptor is not None:
                self._poll.register(descriptor, select.POLLIN)
        wanted = spec.load(data_folder)
        self._held = Held(handed)
        self._held.hold(list(wanted.values()))
        for process in wanted.values():
            self._children[process.name] = Child(process, data_folder, self._held)
        self._adopted: dict[int, Child] = {}
        """By the descriptor that tells of its death."""
        for name, identity in (left or {}).items():
            if (pidfd := identity.open()) is not None:
                self._children[name].adopt(identity)
                self._adopted[pidfd] = self._children[name]
                self._poll.register(pidfd, select.POLLIN)

    # -- loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self._write_status()
        while not self._ending:
            self._once(self._wait_s())
        self._end_all()

    def _once(self, wait_s: float | None) -> None:
        changed = False
        for descriptor, _event in self._poll.poll(None if wait_s is None else wait_s * 1000):
            if descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self._wakeup:
                self._woken()
            elif descriptor in self._clients:
                self._serve(descriptor)
            elif descriptor in self._adopted:
                self._bury(descriptor)
                changed = True
            else:
                self._copy(descriptor)
        changed |= self._reap()
        if not self._gone and self._guard.gone():
            self._gone = self._ending = True
        now = time.monotonic()
        for child in self._all():
            if child.tick(now):
                self._poll.register(child.output, select.POLLIN)
                changed = True
        if changed:
            self._write_status()
        self._answer_later()

    def _all(self) -> list[Child]:
        return [*self._children.values(), *self._going]

    def _wait_s(self) -> float | None:
        now = time.monotonic()
        waits = [max(0.0, deadline - now) for child in self._all() if (deadline := child.deadline()) is not None]
        if self._guard.interval_s is not None:
            waits.append(self._guard.interval_s)
        if self._later:
            waits.append(LOOK_EVERY_S)
        return min(waits) if waits else None

    def _woken(self) -> None:
        numbers = os.read(self._wakeup, 4096)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._to_end()
        if signal.SIGHUP in numbers:
            with contextlib.suppress(spec.SpecInvalid):
                self._reload()

    def _copy(self, descriptor: int) -> None:
        for child in self._all():
            if child.output == descriptor:
                if not child.copy_output():
                    self._poll.unregister(descriptor)
                return

    def _reap(self) -> bool:
        """Children, and orphans of launchers that were killed (we are a subreaper)."""
        changed = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return changed
            if pid == 0:
                return changed
            for child in self._all():
                if child.identity is not None and child.identity.pid == pid:
                    with contextlib.suppress(KeyError):
                        self._poll.unregister(child.output)
                    child.ended(status)
                    changed = True
            self._going = [child for child in self._going if child.runs]

    def _bury(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        os.close(pidfd)
        self._adopted.pop(pidfd).ended(None)
        self._going = [child for child in self._going if child.runs]

    def _write_status(self) -> None:
        with contextlib.suppress(OSError):  # A full disk stops nobody; a deleted folder is noticed elsewhere.
            records.write(os.path.join(self._data, "keeper", "status.json"), self._status(), durable=0)

    def _status(self) -> dict[str, Any]:
        listed = [child.status() for child in self._children.values()]
        return {
            "version": 1,
            "upcall": __version__,
            "supervisor": Identity.of_this_process().to_json(),
            "ending": self._ending,
            "processes": listed,
            "tasks_killed": sorted(self._tasks_killed),
        }

    # -- requests -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # Nobody is there any more; or there is no descriptor for him just now, and he is still there.
        if not sockets.same_user(client):
            client.close()
            return
        client.settimeout(5.0)
        self._clients[client.fileno()] = (client, sockets.Lines())
        self._poll.register(client, select.POLLIN)

    def _serve(self, descriptor: int) -> None:
        client, lines = self._clients[descriptor]
        try:
            data = client.recv(65536)
            for request in lines.feed(data):
                self._request(descriptor, request)
        except (OSError, ValueError):
            data = b""
        if not data:
            self._poll.unregister(descriptor)
            client.close()
            del self._clients[descriptor]
            self._later = [(whose, later) for whose, later in self._later if whose != descriptor]

    def _request(self, descriptor: int, request: dict[str, Any]) -> None:
        try:
            answer = self._handle(request)
        except spec.SpecInvalid as error:
            answer = {"error": str(error)}
        except (KeyError, TypeError) as error:
            answer = {"error": f"malformed request: {type(error).__name__}: {error}"}
        except OSError as error:
            answer = {"error": f"{error.filename or 'the system'}: {error.strerror}"}
        if callable(answer):
            self._later.append((descriptor, answer))
        else:
            self._answer(descriptor, answer)

    def _answer(self, descriptor: int, answer: dict[str, Any]) -> None:
        client, _ = self._clients[descriptor]
        with contextlib.suppress(OSError):
            client.sendall(json.dumps(answer).encode() + b"\n")

    def _answer_later(self) -> None:
        waiting = []
        for descriptor, later in self._later:
            answer = later()
            if answer is None:
                waiting.append((descriptor, later))
            else:
                self._answer(descriptor, answer)
        self._later = waiting

    def _handle(self, request: dict[str, Any]) -> dict[str, Any] | Later:
        if self._ending and request.get("do") not in ("status", "shutdown"):
            return {"error": "everything is being ended"}
        match request.get("do"):
            case "status":
                return {"ok": True, **self._status()}
            case "start":
                self._child(request["name"]).start()
                return {"ok": True}
            case "stop":
                child = self._child(request["name"])
                child.stop()
                return _when_dead(child)
            case "add":
                return self._add(spec.parse_process(request["process"]))
            case "remove":
                return self._remove(request["name"])
            case "prove_death":
                return self._prove_death(str(request["node"]))
            case "stands_by":
                return self._stands_by(self._child(request["name"]), request["pid"])
            case "reload":
                self._reload()
                return {"ok": True}
            case "shutdown":
                self._to_end()
                return {"ok": True}
            case other:
                known = "status, start, stop, add, remove, prove_death, stands_by, reload, shutdown"
                return {"error": f"unknown request {other!r}; known are {known}"}

    def _child(self, name: str) -> Child:
        if name not in self._children:
            raise spec.SpecInvalid(f"no process is named {name!r}; known are {', '.join(self._children) or 'none'}")
        return self._children[name]

    def _stands_by(self, child: Child, pid: int) -> dict[str, Any]:
        """Whoever was adopted because nobody else did is replaced now."""
        if child.identity is None or child.identity.pid != pid:
            return {"error": f"{child.process.name} is another process by now"}
        child.stands_by = True
        self._write_status()
        if child not in self._adopted.values():
            for adopted in self._adopted.values():
                if adopted.wanted:
                    adopted.replace()
        return {"ok": True}

    def _add(self, process: spec.Process) -> dict[str, Any]:
        wanted = {name: child.process for name, child in self._children.items()}
        wanted[process.name] = process
        self._held.hold(list(wanted.values()))
        spec.save(self._data, wanted)
        self._replace(process)
        return {"ok": True}

    def _remove(self, name: str) -> dict[str, Any] | Later:
        """Idempotent: who asked may have died before it heard that it is done."""
        if name not in self._children:
            going = [child for child in self._going if child.process.name == name]
            return _when_dead(going[-1]) if going else {"ok": True}
        child = self._children[name]
        del self._children[name]
        wanted = {other: kept.process for other, kept in self._children.items()}
        spec.save(self._data, wanted)
        self._held.hold(list(wanted.values()))
        self._let_go(child)
        return _when_dead(child)

    def _replace(self, process: spec.Process) -> None:
        before = self._children.get(process.name)
        if before is not None:
            if before.process == process:
                before.start()
                return
            self._let_go(before)
        self._children[process.name] = Child(process, self._data, self._held)

    def _let_go(self, child: Child) -> None:
        child.stop()
        if child.runs:
            self._going.append(child)

    def _reload(self) -> None:
        """What the spec says now. A spec that cannot be read changes nothing."""
        wanted = spec.load(self._data)
        self._held.hold(list(wanted.values()))
        for name in [name for name in self._children if name not in wanted]:
            self._let_go(self._children.pop(name))
        for process in wanted.values():
            if process.name not in self._children or self._children[process.name].process != process:
                self._replace(process)

    def _prove_death(self, node: str) -> Later:
        """The agent first, so that it starts nothing meanwhile; it is wanted again when the proof is there."""
        if not node or "/" in node or node in (".", ".."):
            raise spec.SpecInvalid(f"{node!r} is no node")
        stopped = [child for child in self._children.values() if child.process.node == node and child.wanted]
        for child in stopped:
            child.stop()
            child.kill()
        sweep = Sweep(os.path.join(self._data, "nodes", node), grace_s=0.0)

        def proven() -> dict[str, Any] | None:
            if any(child.runs for child in stopped) or not sweep.look():
                return None
            for child in stopped:
                child.start()
            return {"ok": True, "killed": len(sweep.killed)}

        return proven

    # -- end ------------------------------------------------------------------------------------------------------

    def _to_end(self) -> None:
        """Written down first: if this process is killed in the middle of it, the next one goes on."""
        if not self._ending:
            ending.write(self._data, ending.ALL)
        self._ending = True

    def _end_all(self) -> None:
        """In order, each group together; then what is left of tasks; the folder's data is not touched."""
        for child in self._all():
            child.wanted = False
        for order in sorted({child.process.stop_order for child in self._all()}):
            group = [child for child in self._all() if child.process.stop_order == order]
            for child in group:
                child.stop()
                if self._gone:
                    child.kill()
            while any(child.runs for child in group):
                self._once(self._wait_s())
        sweep = Sweep(self._data, grace_s=0.0 if self._gone else TASKS_GRACE_S)
        while not sweep.look():
            self._once(LOOK_EVERY_S)
        self._tasks_killed = sweep.tasks_killed
        self._write_status()


def _when_dead(child: Child) -> Later:
    return lambda: None if child.runs else {"ok": True}


def _signals() -> int:
    wakeup, write = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(write, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return wakeup
