"""The launcher: a tiny process for each agent that forks a shim for each task.

It exists so that tasks are nobody's children but their shim's: not the agent's, which is big, busy and replaceable.
It holds no state: what runs stands in the folders of the tasks (``<node>/<tasks or runs>/<name>/running.json``), so a
launcher that was killed is simply started again by the agent, and the shims of the old one never notice.

Requests over ``<node>/launcher.sock``, each answered by one object (``{"error": ...}`` when it failed):

    {"do": "start", "folder", "name", "argv", "env", "cwd",
     "input"?, "cgroups"?, "durable"?, "log_bytes"?, "log_files"?}
        -> {"ok": true, "running": {...}}      idempotent: a folder that has a running record is answered with it
    {"do": "signal", "folder", "signal", "to": "task" | "shim"}     -> {"ok": true, "sent": bool}
    {"do": "list"}                                                  -> {"ok": true, "running": [folders]}
    {"do": "quit"}                                                  -> {"ok": true}; refused while tasks run

It ends itself when the node's folder, or the data folder around it, is deleted.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from upcall.keeper import linux, records, shim, sockets
from upcall.keeper.identity import Identity

SOCKET = "launcher.sock"
LOCK = "launcher.lock"
START_TIMEOUT_S = 60.0
"""For a shim to say that its command runs: a fork and one small synced write, on a machine that may be very busy."""
KINDS = ("tasks", "runs")


class Launcher:
    def __init__(self, node_folder: str, data_folder: str) -> None:
        self._node = node_folder
        self._homes = [data_folder, node_folder]
        self._listener = sockets.listen(os.path.join(node_folder, SOCKET))
        self._guard = linux.FolderGuard(*self._homes)
        self._clients: dict[int, tuple[socket.socket, sockets.Lines]] = {}
        self._poll = select.poll()
        self._poll.register(self._listener, select.POLLIN)
        if self._guard.descriptor is not None:
            self._poll.register(self._guard.descriptor, select.POLLIN)
        self._ending = False

    def run(self) -> None:
        while not self._ending and not self._guard.gone():
            interval_s = self._guard.interval_s
            for descriptor, _event in self._poll.poll(interval_s * 1000 if interval_s else None):
                if descriptor == self._listener.fileno():
                    self._accept()
                elif descriptor in self._clients:
                    self._serve(descriptor)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # Nobody is there any more; or there is no descriptor for him just now, and he is still there.
        if not sockets.same_user(client):
            client.close()
            return
        client.settimeout(START_TIMEOUT_S)
        self._clients[client.fileno()] = (client, sockets.Lines())
        self._poll.register(client, select.POLLIN)

    def _serve(self, descriptor: int) -> None:
        client, lines = self._clients[descriptor]
        try:
            data = client.recv(65536)
            for request in lines.feed(data):
                client.sendall(json.dumps(self._answer(request)).encode() + b"\n")
        except (OSError, ValueError):
            data = b""
        if not data:
            self._poll.unregister(descriptor)
            client.close()
            del self._clients[descriptor]

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            match request.get("do"):
                case "start":
                    return self._start(request)
                case "signal":
                    return self._signal(request)
                case "list":
                    return {"ok": True, "running": self._running()}
                case "quit":
                    return self._quit()
                case other:
                    return {"error": f"unknown request {other!r}; known are start, signal, list, quit"}
        except (KeyError, TypeError, ValueError) as error:
            return {"error": f"malformed request: {type(error).__name__}: {error}"}
        except OSError as error:
            return {"error": f"{error.filename or 'the system'}: {error.strerror}"}

    def _folder(self, request: dict[str, Any]) -> str:
        folder = str(request["folder"])
        parts = os.path.relpath(folder, self._node).split(os.sep)
        if len(parts) != 2 or parts[0] not in KINDS:
            raise ValueError(f"{folder} is not a folder of a task below {self._node}")
        return folder

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        folder = self._folder(request)
        if running := records.read(os.path.join(folder, records.RUNNING)):
            return {"ok": True, "running": running}
        request["homes"] = self._homes
        report, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(report)
            self._leave_to_shim()
            shim.run(request, write)
        os.close(write)
        try:
            return _report(report, folder)
        finally:
            os.close(report)

    def _leave_to_shim(self) -> None:
        """The shim keeps nothing of the launcher's open."""
        self._listener.close()
        self._guard.close()
        for client, _lines in self._clients.values():
            client.close()

    def _signal(self, request: dict[str, Any]) -> dict[str, Any]:
        running = records.read(os.path.join(self._folder(request), records.RUNNING))
        to = request.get("to", "task")
        if to not in ("task", "shim"):
            raise ValueError(f"to is task or shim, not {to!r}")
        sent = running is not None and Identity.from_json(running[to]).send(int(request["signal"]))
        return {"ok": True, "sent": sent}

    def _running(self) -> list[str]:
        found = []
        for kind in KINDS:
            folder = os.path.join(self._node, kind)
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                running = records.read(os.path.join(folder, name, records.RUNNING))
                if running and Identity.from_json(running["shim"]).alive():
                    found.append(os.path.join(folder, name))
        return found

    def _quit(self) -> dict[str, Any]:
        if running := self._running():
            return {"error": f"{len(running)} tasks run"}
        self._ending = True
        return {"ok": True}


def _report(descriptor: int, folder: str) -> dict[str, Any]:
    """What the shim said. Nothing said and closed: it died."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = b""
    while poll.poll(START_TIMEOUT_S * 1000):
        part = os.read(descriptor, 65536)
        if not part:
            break
        data += part
    if not data:
        return {"error": f"the shim for {folder} said nothing; see launcher.log"}
    answer: dict[str, Any] = json.loads(data)
    return answer


def main(node_folder: str, data_folder: str) -> int:
    """Runs until told to quit. Says ``ready`` on its output once it listens."""
    lock = os.open(os.path.join(node_folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.write(1, b"ready\n")  # Another one serves this node already.
        return 0
    linux.name_process("upcall-launcher")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The kernel reaps the shims; their records say all there is.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    launcher = Launcher(node_folder, data_folder)
    os.write(1, b"ready\n")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    gc.collect()
    gc.freeze()
    launcher.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
