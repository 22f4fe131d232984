"""Another user of the machine, and a hostile task, attack a running cluster. Nothing may come of it.

    make attack                                   writes build/attack.json

It needs root, to be another user for a moment (a forked child with a number of its own; no user is made), and to run
tasks under users of their own. A cluster of two nodes with hello on it is attacked in five ways: by what lies about and
listens (:mod:`benchmarks.attempts`), by floods while the owner's own calls and the memory are watched
(:mod:`benchmarks.floods`), by taking our addresses while everything of ours is killed, by listening there after `down`
while the owner's commands run, and from within a task of another service (:mod:`benchmarks.hostile`). A client with a
token, but hostile, sends what cannot be stored.

**Sabotage.** Two measures, each taken off once, turn it red:

    SABOTAGE=loose-modes    the folders of the cluster are open to everybody, as with a careless umask (``succeeded``)
    SABOTAGE=no-bounds      the bounds on connections and headers are off (``memory_growth_mib``, and
                            ``flood_own_call_p99_ms`` on slow machines)
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import hostile
from benchmarks.attempts import ATTEMPTS, Target, listens_where_we_did, not_there, takes_our_addresses_while_we_restart
from benchmarks.cluster import Broken, OwnCluster, own_cluster
from benchmarks.floods import Felt, percentile_ms, play
from benchmarks.strangers import Stranger
from upcall.cli.figures import Promise, Report
from upcall.client.blocking import Client
from upcall.cluster.folder import DataFolder
from upcall.keeper.identity import Identity
from upcall.protocol.errors import UpcallError
from upcall.transport import unix

NODES: Final = 2
NODE_MEMORY_MIB: Final = 1024
RESTARTS_S: Final = 12.0
AFTER_DOWN_S: Final = 20.0
SABOTAGES: Final = ("loose-modes", "no-bounds")
UNBOUND: Final = """\
import dataclasses
from upcall.transport import bounds
bounds.HEADER_BYTES_MAX = bounds.HEADERS_MAX = 1 << 40
bounds.PIPELINED_MAX = 1 << 40
bounds.OPEN = dataclasses.replace(
    bounds.OPEN, connections_max=1 << 20, unknown_max=1 << 20, burst=1 << 20, pause_s=0.0, headers_s=3600.0,
    unknown_body_s=3600.0,
)
"""

PROMISES: Final = (
    Promise("attempts", "at least 60", lambda v: v >= 60),
    Promise("succeeded", "0", lambda v: v == 0),
    Promise("flood_own_call_p99_ms", "at most 1,000 ms", lambda v: v <= 1000, "reference"),
    Promise("flood_own_calls_failed", "0", lambda v: v == 0),
    Promise("memory_growth_mib", "at most 64 MiB, master and page together", lambda v: v <= 64),
)


class Attack:
    """Counts what was tried and what came of it."""

    def __init__(self, cluster: OwnCluster) -> None:
        self.cluster = cluster
        self.folder = DataFolder(cluster.data)
        self.attempts = 0
        self.succeeded: list[str] = []

    def tried(self, what: str, got: object, count: int = 1) -> None:
        self.attempts += count
        say(f"{what}: {'GOT ' + str(got)[:300] if got else 'nothing'}")
        if got:
            self.succeeded.append(f"{what}: {got}")

    def target(self) -> Target:
        known = self.folder.load_cluster()
        members = [(task.address, port) for task in self.cluster.client.tasks() for port in task.ports.values()]
        return Target(str(self.cluster.data), known.address, known.page_address, members)


def main() -> int:
    sabotage = os.environ.get("SABOTAGE", "")
    if sabotage and sabotage not in SABOTAGES:
        print(f"SABOTAGE={sabotage} is not known here; one of {', '.join(SABOTAGES)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print(
            "`make attack` needs root: it is another user of the machine for a moment (sudo make attack)",
            file=sys.stderr,
        )
        return 2
    report = Report(f"attack-{sabotage}" if sabotage else "attack", PROMISES)
    with sabotaged(sabotage), own_cluster(nodes=NODES, memory_mib_per_node=NODE_MEMORY_MIB) as cluster:
        cluster.upcall("install", "examples/hello.py", "--set", "count=2")
        cluster.upcall("access", "grant", "somebody", "--role", "viewer")
        if missing := not_there(cluster.data):
            raise Broken(f"attacked, and not there: {', '.join(missing)}")
        attack = Attack(cluster)
        open_up(cluster.data, loose=sabotage == "loose-modes")
        on = attack.target()
        for attempt in ATTEMPTS:
            attack.tried(attempt.__name__.replace("_", " "), Stranger(attempt, on).got())
        malformed(attack)
        felt = floods(attack, on)
        task(attack)
        escapes(attack)
        restarts(attack, on)
        after_down(attack, on)
    report.figures.update(
        attempts=attack.attempts,
        succeeded=len(attack.succeeded),
        what_succeeded=attack.succeeded,
        flood_own_call_p99_ms=percentile_ms(felt.calls_s, 0.99),
        flood_own_call_max_ms=percentile_ms(felt.calls_s, 1.0),
        flood_own_calls=len(felt.calls_s),
        flood_own_calls_failed=len(felt.failed),
        memory_growth_mib=round(felt.growth_mib(), 1),
    )
    return report.finish()


def open_up(data: Path, *, loose: bool) -> None:
    """The folder above is the benchmark's own: the stranger may pass it, so that the data folder's own modes count."""
    data.parent.chmod(0o755)
    if loose:
        # All but what the owner's own commands refuse to go on with.
        for path in [data, *data.rglob("*")]:
            if not path.is_symlink() and path.name != "operator.token":
                path.chmod(0o755 if path.is_dir() else 0o644)


@contextmanager
def sabotaged(sabotage: str) -> Iterator[None]:
    """Our processes start without their bounds."""
    if sabotage != "no-bounds":
        yield
        return
    folder = Path("build", "sabotage")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(UNBOUND)
    os.environ["PYTHONPATH"] = str(folder.absolute())
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]


def malformed(attack: Attack) -> None:
    """A client with a token says what cannot be stored: it is refused, and nobody is disturbed."""
    client = attack.cluster.client
    seen = client.events(limit=1)[-1].sequence
    calls: list[tuple[str, str, bytes]] = [
        ("POST", "/v1/services", b'{"package": "hello", "name": "x", "options": {"greeting": "\\ud800"}}'),
        ("POST", "/v1/services", b'{"package": "\\udfff"}'),
        ("POST", "/v1/nodes/node-1/undrain", b'{"reason": "\\ud800\\ud800"}'),
        ("POST", "/v1/services/hello/uninstall", b'{"reason": "\\udc00"}'),
        ("PUT", "/v1/secrets/x", b'{"value": "\\ud800"}'),
        ("POST", "/v1/services", b"[" * 100_000),
        ("POST", "/v1/services", b'{"package": 1e999}'),
        ("POST", "/v1/services", b"\xff\xfe"),
    ]
    for method, path, body in calls:
        status = said(attack.folder, method, path, body)
        attack.tried(f"{method} {path} {body[:60]!r}", "" if status // 100 == 4 else f"status {status}")
    time.sleep(2.0)
    disturbed = [one.text for one in client.events(seen) if "disconnected" in one.text or "slept" in one.text]
    attack.tried("disturbing others by what cannot be stored", ", ".join(disturbed))


def said(folder: DataFolder, method: str, path: str, body: bytes) -> int:
    """The owner's own token, and whatever bytes."""
    token = folder.token_file("operator").read_text().strip()
    with contextlib.closing(http.client.HTTPConnection("localhost", timeout=30)) as connection:
        connection.sock = unix.connect(folder.master_socket, 30)
        connection.request(method, path, body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        return connection.getresponse().status


def floods(attack: Attack, on: Target) -> Felt:
    folder = attack.folder
    client = Client(folder.master_socket, folder.token_file("operator").read_text().strip(), patience_s=0.0)
    with Felt(client, processes(folder, "master", "page")) as felt:
        attack.attempts += play(on, felt, say)
    if felt.failed:
        attack.succeeded.append(f"own calls failed under a flood: {felt.failed[0]}")
    return felt


def task(attack: Attack) -> None:
    cluster = attack.cluster
    for name, text in (("victim", hostile.VICTIM), ("villain", hostile.VILLAIN)):
        file = cluster.data.parent / f"{name}.py"
        file.write_text(text)
        cluster.upcall("install", str(file))
    lines = cluster.upcall("logs", member(cluster, "villain"), "--lines", "500").splitlines()
    for line in lines:
        if line.startswith(hostile.FOUND):
            attack.tried("a task of another service", line.removeprefix(hostile.FOUND))
    tried = next((int(line.split()[1]) for line in lines if line.startswith("tried ")), 0)
    if not tried:
        raise Broken(f"the hostile task said nothing of what it tried: {lines[-5:]}")
    attack.attempts += tried - sum(line.startswith(hostile.FOUND) for line in lines)
    say(f"a hostile task tried {tried} things")


def member(cluster: OwnCluster, service: str) -> str:
    return next(one.member for one in cluster.client.tasks() if one.service == service)


def escapes(attack: Attack) -> None:
    """Names of volumes that would lead out of the data folder."""
    cluster = attack.cluster
    for number, name in enumerate(hostile.NAMES):
        file = cluster.data.parent / f"escape{number}.py"
        file.write_text(hostile.with_volume(name))
        try:
            cluster.upcall("install", str(file), "--name", f"escape{number}", "--no-wait")
            time.sleep(2.0)
            cluster.upcall("uninstall", f"escape{number}", "--no-wait")
        except Broken:
            pass
        outside = [path for path in (Path("/tmp/escaped"), cluster.data.parent / "escaped") if path.exists()]
        outside += list(cluster.data.rglob("escaped"))
        attack.tried(f"a volume named {name!r}", ", ".join(map(str, outside)))


def restarts(attack: Attack, on: Target) -> None:
    """Master, page and keeper are killed again and again; he takes their addresses in between, if he can."""
    squatter = Stranger(takes_our_addresses_while_we_restart, on, RESTARTS_S)
    until = time.monotonic() + RESTARTS_S
    kills = 0
    while time.monotonic() < until - 2:
        for name in ("master", "page"):
            for process in processes(attack.folder, name):
                os.kill(process, signal.SIGKILL)
                kills += 1
        keeper(attack.folder).send(signal.SIGKILL)
        kills += 1
        time.sleep(1.5)
    attack.tried(f"taking our addresses during {kills} kills", squatter.got(RESTARTS_S + 30), kills)
    attack.cluster.until("the master is back", lambda: attack.cluster.client.status().nodes)


def after_down(attack: Attack, on: Target) -> None:
    """He listens where we did; the owner's commands, and a tool that pins the certificate, send him nothing."""
    cluster, folder = attack.cluster, attack.folder
    token = folder.token_file("operator").read_text().strip()
    cluster.upcall("down")
    squatter = Stranger(listens_where_we_did, on, AFTER_DOWN_S)
    time.sleep(1.0)
    for words in (("status",), ("open", "--no-browser"), ("up",), ("events",)):
        try:
            cluster.upcall(*words)
            said = "it went through"
        except Broken:
            said = ""
        attack.tried(f"upcall {' '.join(words)} while he listens where we did", said)
    attack.tried("a tool that pins the certificate", pinned(folder, on, token))
    heard = squatter.got(AFTER_DOWN_S + 30)
    attack.tried("hearing a token after `down`", [one for one in heard if token in one or "Bearer" in one])
    for path in folder.tokens.glob("*.token"):
        path.chmod(0o600)  # `up` refuses loose ones, also those that a sabotage made
    cluster.upcall("up")
    old = Client(folder.master_socket, token, patience_s=0.0)
    try:
        old.call("GET", "/v1/status")
        attack.tried("a token of before the last `up`", "let in")
    except UpcallError:
        attack.tried("a token of before the last `up`", "")


def pinned(folder: DataFolder, on: Target, token: str) -> str:
    context = ssl.create_default_context(cafile=str(folder.certificate))
    try:
        with (
            socket.create_connection(on.api, 5) as plain,
            context.wrap_socket(plain, server_hostname=on.api[0]) as secured,
        ):
            secured.sendall(f"GET /v1/status HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            return "sent its token"
    except OSError:
        return ""


def keeper(folder: DataFolder) -> Identity:
    return Identity.from_json(json.loads((folder.root / "keeper" / "status.json").read_text())["supervisor"])


def processes(folder: DataFolder, *names: str) -> list[int]:
    status: dict[str, Any] = json.loads((folder.root / "keeper" / "status.json").read_text())
    return [one["identity"]["pid"] for one in status["processes"] if one["name"] in names and one["identity"]]


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
