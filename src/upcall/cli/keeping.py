"""The keeper, as ``up`` and ``down`` use it: told what to keep, started detached, asked to end everything."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from upcall.cluster.folder import Cluster, DataFolder
from upcall.cluster.processes import ALERTS, UNUSABLE_EXIT, alerts, all_processes
from upcall.keeper import ending, processes, records, spec, start
from upcall.keeper.identity import Identity
from upcall.keeper.lock import Lock, stood_by
from upcall.keeper.processes import FOLDER_MARK
from upcall.keeper.sweeping import Sweep
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.numbers import counted, does
from upcall.protocol.versions import FIRST_RELEASE

START_TIMEOUT_S: Final = 300.0
"""For the keeper alone, which imports next to nothing: a machine that has no time for that stands still."""
STOP_TIMEOUT_S: Final = 90.0
"""Four groups of ours with 10 s of grace each, then tasks; a keeper that is not done by then is killed."""
KILLED_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 10.0
STOP_ONE_S: Final = 30.0
LEFT_GRACE_S: Final = 10.0
STATUS_TIMEOUT_S: Final = 5.0
LOOK_S: Final = 0.1
"""What ends here are the processes that could have told; whether they have is seen in the machine's own tables."""
LAST_WORDS_BYTES: Final = 4000
LAST_WORDS: Final = 3


def running(folder: DataFolder) -> bool:
    return start.runs(str(folder.root))


def take(folder: DataFolder) -> Lock | None:
    """The keeper's lock, so that nobody else begins to keep this folder meanwhile; None: somebody does."""
    (folder.root / "keeper").mkdir(mode=0o700, exist_ok=True)
    lock = Lock.made(str(folder.root))
    if lock.take() and not stood_by(str(folder.root)):
        return lock
    lock.close()
    return None


def wanted_up(folder: DataFolder) -> None:
    """It is to be kept, whatever a `down` that died before its end has said."""
    ending.forget(str(folder.root))


def gone(folder: DataFolder) -> str:
    """Why nobody answers for this cluster, and what helps; empty where somebody keeps it."""
    if running(folder):
        return ""
    root = str(folder.root)
    tasks = {task for one in processes.marked(root) if (task := processes.marks(one.pid)[1])}
    if not tasks:
        return f"no cluster is up at {root}: `upcall up` starts it"
    return (
        f"nothing keeps the cluster at {root} any more: our own processes are dead, and {counted(len(tasks), 'task')}"
        f" of its services {does(len(tasks), 'run')} on; `upcall up` keeps them again, `upcall down` ends them"
    )


def begin(folder: DataFolder, cluster: Cluster, lock: Lock) -> None:
    """Start the keeper, detached; it starts everything else. The lock is handed on to it."""
    with lock:
        _begin(folder, cluster, lock)


def _begin(folder: DataFolder, cluster: Cluster, lock: Lock) -> None:
    try:
        listed = [spec.parse_process(one) for one in all_processes(folder, cluster)]
    except spec.SpecInvalid as error:
        raise Invalid(
            f"what this cluster consists of cannot be kept: {error}",
            where=str(folder.cluster_file),
            expected="nodes with names of letters, digits and dashes; take the other one out of the file",
        ) from None
    wanted_up(folder)
    spec.save(str(folder.root), {one.name: one for one in listed})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "upcall.keeper", str(folder.root), f"--lock={lock.descriptor}"],
            pass_fds=(lock.descriptor,),
            capture_output=True,
            text=True,
            env={**os.environ, FOLDER_MARK: str(folder.root)},  # so that it is found like everything that it keeps
            timeout=START_TIMEOUT_S,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Conflict(
            f"the keeper did not start within {START_TIMEOUT_S:g} s",
            where=str(folder.root),
            expected="a machine that has time for it; then `upcall up` again",
        ) from None
    if done.returncode != 0:
        words = done.stderr.strip().removeprefix("upcall.keeper: ") or "it gave no reason"
        raise Conflict(f"the keeper did not start: {words}", where=str(folder.root))


def end(folder: DataFolder, meanwhile: Callable[[list[str]], None] = lambda _: None) -> list[str]:
    """End everything of this data folder, in order, and return when it is gone: within :data:`STOP_TIMEOUT_S`, whatever
    is stopped or stuck. ``meanwhile`` gets what still runs. Gives what had to be killed, in words."""
    root = str(folder.root)
    until = time.monotonic() + STOP_TIMEOUT_S
    if folder.keeper_socket.parent.is_dir():
        ending.write(root, ending.ALL)  # Whoever stands by for a keeper that is killed goes on with the end.
    by_force = _end_keeper(folder, until - KILLED_S - LEFT_GRACE_S, meanwhile) if running(folder) else []
    # Tasks outlive a keeper that was killed; nothing of ours may stay.
    sweep = Sweep(root, LEFT_GRACE_S)
    while not sweep.look():
        if time.monotonic() > until:
            raise Conflict("some processes do not end", where=root, expected="that they can be killed")
        time.sleep(LOOK_S)
    return [
        *by_force,
        *(f"{task} did not end within {LEFT_GRACE_S:g} s: killed" for task in sorted(sweep.tasks_killed)),
    ]


def _end_keeper(folder: DataFolder, until: float, meanwhile: Callable[[list[str]], None]) -> list[str]:
    """It ends what it keeps, and itself; or it is ended."""
    root = str(folder.root)
    try:
        start.ask(root, "shutdown", ANSWER_TIMEOUT_S)
    except start.DoesNotAnswer:
        return [_kill_keeper(folder, f"did not answer within {ANSWER_TIMEOUT_S:g} s")]
    except start.CannotKeep:
        pass  # One that has just begun, in the place of one that was killed: it reads that it is to end.
    while running(folder):
        if time.monotonic() > until:
            return [_kill_keeper(folder, "did not end")]
        meanwhile(_kept(root))
        time.sleep(LOOK_S)
    left = records.read(_status_file(folder)) or {}
    ours = [f"{one['name']} did not end by itself: killed" for one in left.get("processes", ()) if one["killed"]]
    return [*ours, *(f"{task} did not end by itself: killed" for task in left.get("tasks_killed", ()))]


def keep_alerts(folder: DataFolder) -> None:
    """What tells people reads anew who they are, or ends when nobody is left. Nothing where no cluster is up: its next
    start does it."""
    if not running(folder):
        return
    root = str(folder.root)
    try:
        if folder.alerts_file.exists():
            start.ask(root, "add", ANSWER_TIMEOUT_S, process=alerts(folder))
        else:
            start.ask(root, "remove", STOP_ONE_S, name=ALERTS)
    except start.CannotKeep as error:
        raise NotNow(
            f"it is written down, but what tells people does not know yet: {error}",
            where=root,
            expected="`upcall up`, which keeps it",
        ) from None


def release(folder: DataFolder) -> str:
    """Of ``upcall``, whose keeper runs."""
    said = _status(str(folder.root)) or records.read(_status_file(folder)) or {}
    return str(said.get("upcall", FIRST_RELEASE))


def let_go(folder: DataFolder) -> None:
    """End our own processes, in their order, and the keeper; tasks run on, with what holds each of them. What does not
    end by itself is ended with the keeper."""
    root = str(folder.root)
    ending.write(root, ending.OURS)
    try:
        for process in sorted(spec.load(root).values(), key=lambda one: one.stop_order):
            start.ask(root, "stop", STOP_ONE_S, name=process.name)
    except (start.CannotKeep, spec.SpecInvalid):
        pass  # It dies with its keeper.
    _kill_keeper(folder, "is exchanged")
    if running(folder):
        raise Conflict("the keeper does not end", where=root, expected="that it can be killed")


def _kill_keeper(folder: DataFolder, why: str) -> str:
    """What it keeps dies with it; tasks do not."""
    status = records.read(_status_file(folder)) or {}
    if "supervisor" in status:
        Identity.from_json(status["supervisor"]).send(signal.SIGKILL)
    until = time.monotonic() + KILLED_S
    while running(folder) and time.monotonic() < until:
        time.sleep(LOOK_S)
    return f"the keeper {why}: killed"


def _status_file(folder: DataFolder) -> str:
    return str(folder.root / "keeper" / "status.json")


def left(folder: DataFolder) -> bool:
    """Whether processes of this data folder run that nobody keeps."""
    return bool(processes.marked(str(folder.root)))


def until_ended(folder: DataFolder) -> None:
    """Returns at once unless a keeper is about to end (its ``down`` was killed): then when it has."""
    until = time.monotonic() + STOP_TIMEOUT_S
    while running(folder) and _is_ending(str(folder.root)):
        if time.monotonic() > until:
            raise Conflict(
                f"still going down after {STOP_TIMEOUT_S:g} s", where=str(folder.root), expected="`upcall down`"
            )
        time.sleep(LOOK_S)


def _is_ending(root: str) -> bool:
    """One that does not answer may be about to begin, in the place of one that was killed as it ended."""
    said = _status(root)
    return bool(said.get("ending", ending.read(root) == ending.ALL))


def _kept(root: str) -> list[str]:
    return [str(one["name"]) for one in _status(root).get("processes", ()) if one.get("identity")]


def _status(root: str) -> dict[str, Any]:
    """What the keeper says of itself; nothing when it does not answer."""
    try:
        return start.ask(root, "status", STATUS_TIMEOUT_S)
    except start.CannotKeep:
        return {}


def processes_of(folder: DataFolder) -> list[dict[str, Any]]:
    """What the keeper says of each of ours; nothing when it does not answer."""
    return list(_status(str(folder.root)).get("processes", ()))


def master_gave_up(folder: DataFolder) -> bool:
    """Whether the master cannot use this folder: it said so at two starts, so nothing passing was in its way."""
    return any(
        one["name"] == "master" and one["restarts"] > 1 and one["last_exit"] == f"code {UNUSABLE_EXIT}"
        for one in processes_of(folder)
    )


def last_words(folder: DataFolder) -> str:
    """The end of the master's log, for an error."""
    try:
        data = (folder.root / "logs" / "master.log").read_bytes()[-LAST_WORDS_BYTES:]
    except OSError:
        return "none"
    # One that is started again and again says the same each time.
    lines = list(dict.fromkeys(line for line in data.decode("utf-8", "replace").splitlines() if line.strip()))
    return " / ".join(lines[-LAST_WORDS:]) or "none"
