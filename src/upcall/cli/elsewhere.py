"""Clusters whose master does not run on this machine: put somewhere by ``up --on``, and reached there afterwards.

Who knows how is chosen by a name, which stands in the data folder, and is loaded when it is needed: the command line
knows no machines of any kind.
"""

import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final, Protocol, cast

from upcall.cli import cluster as birth
from upcall.cli.output import duration
from upcall.cli.session import Session
from upcall.cli.shutting_down import shut_down, start_up
from upcall.client.folder import cluster_of
from upcall.cluster.control_plane import Reached, Wanted
from upcall.cluster.folder import DataFolder
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.nearest import choice
from upcall.protocol.numbers import counted, does
from upcall.protocol.operator import Status

KNOWN: Final = {
    "kubernetes": EntryPoint("kubernetes", "upcall.kubernetes.installing.elsewhere:OnKubernetes", "upcall.on")
}
STILL_S: Final = 300.0
"""An image of some hundred MiB, on a node that has to be made first."""
SAME_S: Final = 20.0
"""How long the same reason stands that no waiting mends."""
LOOK_S: Final = 1.0


class Elsewhere(Protocol):
    def chart(self, folder: Path) -> list[Path]: ...
    def chart_files(self) -> dict[str, str]: ...
    def up(self, wanted: Wanted, note: Callable[[str], None]) -> None: ...
    def settled(self) -> bool:
        """Whether what answers is what was put there last, and not what was there before."""
        ...

    def join(self, kubeconfig: str, context: str, namespace: str) -> None:
        """The folder says this one from now on, whoever put a control plane there; nobody is asked. What is empty is
        as the cluster's own tool has it."""
        ...

    def why_not(self) -> tuple[str, bool]: ...
    def reach(self) -> Reached: ...
    def reached(self) -> str:
        """How a program of somebody else's gets there, in words."""
        ...

    def members(self) -> int: ...
    def let_go(self) -> str:
        """Where somebody else deletes all of it, nothing of ours keeps it any more, once it has ended; in words. Empty:
        nobody does."""
        ...

    def down(self) -> None: ...


def on(name: str, folder: DataFolder) -> Elsewhere:
    if name not in KNOWN:
        raise Invalid(f"nobody knows how to be on {name!r}", where="--on", expected=choice(KNOWN, "none"))
    return cast(Callable[[DataFolder], Elsewhere], KNOWN[name].load())(folder)


def start(session: Session, name: str, wanted: Wanted) -> Status:
    """``up`` without its words. What was put there stays when it does not come up: the next ``up`` goes on."""
    there = on(name, session.folder)
    with birth.only_one(session.folder):
        there.up(wanted, session.out.note)
        status = _until_up(session, there)
        start_up(session, status.services)
        return session.client.status()


def _until_up(session: Session, there: Elsewhere) -> Status:
    began_s, same, since_s, said = time.monotonic(), "", 0.0, ""
    while True:
        try:
            status = Status.model_validate(session.client.call("GET", "/v1/status"))
            if status.packages_registered and there.settled():
                return status
            last = words = f"the control plane answers; {_yet(status)}"
        except NotNow as error:
            last, words = str(error), "waiting for the control plane"
        why, fatal = there.why_not()
        now_s = time.monotonic()
        if why != same:
            same, since_s = why, now_s
        if (fatal and now_s - since_s > SAME_S) or now_s - began_s > STILL_S:
            raise Conflict(
                f"the control plane does not come up: {why or last} (after {duration(now_s - began_s)})",
                where=cluster_of(session.folder).cluster,
                expected="that to be mended, then the same `upcall up` again; `upcall down` takes away what is there",
            )
        if (why or words) != said:
            session.out.note(said := why or words)
        time.sleep(LOOK_S)


def _yet(status: Status) -> str:
    return "its replicas are exchanged" if status.packages_registered else "packages are not registered yet"


def stop(session: Session, name: str) -> None:
    """Services are told and end in their order, by the control plane; then it is taken away itself."""
    there = on(name, session.folder)
    with birth.only_one(session.folder):
        if words := there.let_go():
            session.out.note(words)
            return
        try:
            shut_down(session, session.client.services())
        except NotNow as error:
            # One that never came up has nothing to shut down.
            if members := there.members():
                raise Conflict(
                    f"the services cannot be shut down ({error}), and {counted(members, 'member')} of theirs"
                    f" {does(members, 'run')}",
                    where=str(session.folder.root),
                    expected="a control plane that answers: `upcall up --on` says why it does not",
                ) from None
        there.down()
