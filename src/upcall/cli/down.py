"""``upcall down``: the operation *shutdown* (services are told, ended in order, their volumes kept), then the keeper
ends our own processes.

It always ends, within :data:`DOWN_S`: what of ours does not answer is ended and started anew, so that services still
end in their order (:mod:`upcall.cli.unanswering`); what does not end is killed; and it says what it had to do. Ctrl-C
does not skip any of it: what was asked of every service is not left half-done.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from upcall.cli import cluster as birth
from upcall.cli import keeping
from upcall.cli.session import Session, command, commands
from upcall.cli.shutting_down import ANSWER_TIMEOUT_S, shut_down
from upcall.cli.unanswering import SILENT_S, anew
from upcall.client.folder import cluster_of
from upcall.protocol.errors import Conflict, UpcallError

down_app = commands()
APPS = {"down": down_app}

DOWN_S: Final = 420.0
"""All of it: what the services have (:mod:`upcall.cli.shutting_down`), then the keeper
(:data:`keeping.STOP_TIMEOUT_S`), and the time of a last call. What still runs then is ended by the keeper."""
KILLED_EXIT: Final = 128 + signal.SIGKILL


class Down(NamedTuple):
    """How it went down."""

    incomplete: str = ""
    """Why the shutdown of the services is incomplete, if it is."""
    by_force: tuple[str, ...] = ()
    """What did not end, or answer, by itself."""


@command(down_app, "down")
def down(session: Session) -> None:
    """Shut the services down in order, then the cluster; data is kept."""
    if where := session.control_plane:
        from upcall.cli import elsewhere

        elsewhere.stop(session, where)
        session.out.say(
            {"data": str(session.folder.root), "by_force": []},
            f"down; data is kept where it is, and {session.folder.root} says where",
        )
        return
    how = stop(session)
    check_complete(session, how.incomplete)
    session.out.say(
        {"data": str(session.folder.root), "by_force": how.by_force}, f"down; data is kept in {session.folder.root}"
    )


def check_complete(session: Session, incomplete: str) -> None:
    """Everything has ended, but not everything in its order: that is no success."""
    if incomplete:
        raise Conflict(
            f"down, by force: the shutdown of the services is incomplete: {incomplete}",
            where=str(session.folder.root),
            expected="each service to end in its order; the data is kept, and `upcall up` recovers from it",
        )


def stop(session: Session) -> Down:
    """``down`` without its last words."""
    cluster_of(session.folder)
    incomplete = ""
    by_force: list[str] = []
    with birth.only_one(session.folder), _interrupts_wait():
        if keeping.running(session.folder):
            with anew(session) as started_anew:
                incomplete, killed = _services(session)
            by_force += [*started_anew, *killed]
        elif not keeping.left(session.folder):
            raise Conflict("this cluster is not up", where=str(session.folder.root), expected="`upcall up` starts it")
        else:
            incomplete = "nothing keeps this cluster any more"
        ended = keeping.end(session.folder)
        for words in [*by_force, *ended]:
            session.out.note(words)
    return Down(incomplete, (*by_force, *ended))


def _services(session: Session) -> tuple[str, list[str]]:
    """Why their shutdown is incomplete, if it is, and which members had to be killed."""
    began, began_wall_s = time.monotonic(), time.time()
    client = session.client
    client.call_timeout_s = SILENT_S

    def left_s(of_s: float) -> float:
        return max(1.0, of_s - (time.monotonic() - began))

    try:
        shut_down(session, client.patient(client.services, ANSWER_TIMEOUT_S), left_s)
        return "", [
            f"{one.member}: {one.exit_reason or 'killed'}"
            for one in client.tasks()
            if one.exit_code == KILLED_EXIT and one.since >= began_wall_s
        ]
    except UpcallError as error:
        # The master cannot be asked or could not end something: our processes end all the same, by force.
        session.out.note(f"shutdown is incomplete: {error}")
        return str(error), []


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C, also twice, is answered and does not skip the shutdown."""

    def answer(*_: object) -> None:
        os.write(sys.stderr.fileno(), b"\nstill shutting down; data is being put away safely\n")

    before = signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
