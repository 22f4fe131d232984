"""``python -m upcall.web --data <folder>``: serves the page of a cluster, on its own loopback address.

The keeper listens for it (:mod:`upcall.transport.inherited`). Or a command does, that looks at a cluster elsewhere: it
names the socket that leads there, and writes the page's token into our standard input; when that ends, the page does.

Until somebody connects there is nothing to show, so nothing is loaded: a page that nobody looks at takes a seventh of
the memory.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

from upcall.cluster.listening import PAGE
from upcall.transport import inherited, unix

MASTER_WAIT_S: Final = 10.0
LOOK_S: Final = 0.1


def wait_for(master: Path) -> None:
    """Until it listens there; a master that stays away longer is what the page then tells about."""
    until = time.monotonic() + MASTER_WAIT_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            unix.connect(master, LOOK_S).close()
            return
        time.sleep(LOOK_S)


def wait_for_a_visitor(listener: socket.socket) -> None:
    """Until somebody waits in its queue; who that is, is found out afterwards."""
    looking = select.poll()
    looking.register(listener, select.POLLIN)
    looking.poll()


def given_by_who_began_us() -> str:
    """The token, which stands in no file, argument or environment; and the end, when whoever gave it ends."""
    token = sys.stdin.readline().strip()

    def end() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    return token


def main() -> int:
    parser = argparse.ArgumentParser(prog="upcall.web", description="The page of a cluster.")
    parser.add_argument("--data", type=Path, required=True, help="data folder of the cluster")
    parser.add_argument("--master", type=Path, help="the socket that leads to its master; default: as the folder says")
    parser.add_argument("--relay", type=Path, help="the socket that leads to endpoints there; default: they are here")
    parser.add_argument("--url", default="", help="of this page; default: as the folder says")
    parser.add_argument("--command", default="", help="what opens it once more; default: as the folder says")
    options = parser.parse_args()
    given = given_by_who_began_us() if options.master is not None else ""
    held = inherited.held(PAGE)
    if held is not None:
        wait_for_a_visitor(held)

    # Slow to load, so not before there is anybody to see it: at the start of a cluster the others need the processor.
    from upcall.client.folder import cluster_of, command_on, folder_at, token_of
    from upcall.protocol.errors import UpcallError

    try:
        folder = folder_at(options.data)
        page_url = options.url or cluster_of(folder).page_url
        token = given or token_of(folder, "page")
    except UpcallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    master = options.master or folder.master_socket
    listening = held or inherited.bound(*cluster_of(folder).page_address)
    wait_for(master)

    from upcall.client.streaming import AsyncClient
    from upcall.transport import bounds
    from upcall.transport.listening import Listener
    from upcall.transport.server import Server
    from upcall.web.app import application

    command = options.command or command_on(folder.root, "open")
    app, knows = application(AsyncClient(master, token, options.relay), page_url, command=command)
    print(json.dumps({"event": "page is served", "url": page_url}), flush=True)
    Server(app, [Listener(listening, bounds.OPEN, knows)], graceful_s=3).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
