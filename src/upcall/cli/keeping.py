"""The keeper, as ``up`` and ``down`` use it: told what to keep, started detached, asked to end everything."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from upcall.cluster.folder import Cluster, DataFolder
from upcall.cluster.processes import UNUSABLE_EXIT, all_processes
from upcall.keeper import spec, start
from upcall.keeper.processes import FOLDER_MARK
from upcall.keeper.sweeping import Sweep
from upcall.protocol.errors import Conflict, Invalid

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 120.0
LEFT_GRACE_S: Final = 10.0
LOOK_S: Final = 0.1
"""What ends here are the processes that could have told; whether they have is seen in the machine's own tables."""
LAST_WORDS_BYTES: Final = 4000
LAST_WORDS: Final = 3


def running(folder: DataFolder) -> bool:
    return start.runs(str(folder.root))


def begin(folder: DataFolder, cluster: Cluster) -> None:
    """Start the keeper, detached; it starts everything else."""
    try:
        listed = [spec.parse_process(one) for one in all_processes(folder, cluster)]
    except spec.SpecInvalid as error:
        raise Invalid(
            f"what this cluster consists of cannot be kept: {error}",
            where=str(folder.cluster_file),
            expected="nodes with names of letters, digits and dashes; take the other one out of the file",
        ) from None
    (folder.root / "keeper").mkdir(mode=0o700, exist_ok=True)
    spec.save(str(folder.root), {one.name: one for one in listed})
    done = subprocess.run(
        [sys.executable, "-m", "upcall.keeper", str(folder.root)],
        capture_output=True,
        text=True,
        env={**os.environ, FOLDER_MARK: str(folder.root)},  # so that it is found like everything that it keeps
        timeout=START_TIMEOUT_S,
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        words = done.stderr.strip().removeprefix("upcall.keeper: ") or "it gave no reason"
        raise Conflict(f"the keeper did not start: {words}", where=str(folder.root))


def end(folder: DataFolder, meanwhile: Callable[[list[str]], None] = lambda _: None) -> None:
    """End everything of this data folder, in order, and return when it is gone. ``meanwhile`` gets what still runs."""
    root = str(folder.root)
    until = time.monotonic() + STOP_TIMEOUT_S
    if running(folder):
        try:
            start.ask(root, "shutdown")
        except start.CannotKeep as error:
            raise Conflict(f"the keeper cannot be asked to end: {error}", where=root) from None
        while running(folder):
            if time.monotonic() > until:
                raise Conflict(f"still not down after {STOP_TIMEOUT_S:g} s", where=root, expected="its logs say more")
            meanwhile(_kept(root))
            time.sleep(LOOK_S)
    # Tasks outlive a keeper that was killed; nothing of ours may stay.
    sweep = Sweep(root, LEFT_GRACE_S)
    while not sweep.look():
        if time.monotonic() > until:
            raise Conflict("some processes do not end", where=root, expected="that they can be killed")
        time.sleep(LOOK_S)


def _kept(root: str) -> list[str]:
    try:
        listed: list[dict[str, Any]] = start.ask(root, "status", 5.0)["processes"]
    except start.CannotKeep:
        return []
    return [str(one["name"]) for one in listed if one.get("identity")]


def master_gave_up(folder: DataFolder) -> bool:
    """Whether the master cannot use this folder: it said so at two starts, so nothing passing was in its way."""
    try:
        listed: list[dict[str, Any]] = start.ask(str(folder.root), "status", 5.0)["processes"]
    except start.CannotKeep:
        return False
    return any(
        one["name"] == "master" and one["restarts"] > 1 and one["last_exit"] == f"code {UNUSABLE_EXIT}"
        for one in listed
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
