"""A master or an agent that does not answer while the cluster goes down (stopped, stuck): ended, and started anew.

Neither takes anything with it. The master goes on from its records, an agent takes its node's tasks over; so services
still end in their order, with their grace, which ending everything by force would not give them.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from upcall.cli.session import Session
from upcall.client.blocking import Client
from upcall.cluster.processes import agent_name
from upcall.keeper import start
from upcall.protocol.errors import NotNow, UpcallError

SILENT_S: Final = 20.0
"""Nothing heard of the master for so long."""
NODE_SILENT_S: Final = 10.0
"""A node counts as silent with the master, beyond the time in which agents register with one that was started anew."""
LOOK_S: Final = 1.0
CALL_S: Final = 5.0
STOPPED_S: Final = 30.0
"""For the keeper to end one process: its grace, and what a busy machine needs."""
MASTER: Final = "master"


@contextmanager
def anew(session: Session) -> Iterator[list[str]]:
    """Within it, the master and the agents are looked at. Gives what was done, in words, as it is done."""
    did: list[str] = []
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(session, did, over), daemon=True, name="unanswering")
    watch.start()
    try:
        yield did
    finally:
        over.set()
        watch.join(CALL_S)


def _watch(session: Session, did: list[str], over: threading.Event) -> None:
    client = Client.of(session.folder)
    client.call_timeout_s = CALL_S
    client.patience_s = 0.0
    heard_s = time.monotonic()
    silent_since: dict[str, float] = {}
    done: set[str] = set()
    while not over.wait(LOOK_S):
        try:
            silent = {agent_name(one.name) for one in client.nodes() if one.state == "silent"}
        except NotNow:
            stuck = [MASTER] if time.monotonic() - heard_s > SILENT_S else []
        except UpcallError:
            continue
        else:
            heard_s = time.monotonic()
            silent_since = {name: silent_since.get(name, heard_s) for name in silent}
            stuck = [name for name, since in silent_since.items() if heard_s - since > NODE_SILENT_S]
        for name in stuck:
            if name not in done and not over.is_set() and _start_anew(session, name):
                done.add(name)
                heard_s = time.monotonic()
                did.append(f"{name} did not answer: ended, and started anew")


def _start_anew(session: Session, name: str) -> bool:
    root = str(session.folder.root)
    session.out.note(f"{name} does not answer; it is ended, and started anew")
    try:
        start.ask(root, "stop", STOPPED_S, name=name)
        start.ask(root, "start", STOPPED_S, name=name)
    except start.CannotKeep:
        return False  # the keeper's own end is seen to afterwards
    return True
