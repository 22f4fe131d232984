"""``python -m upcall.master --data <folder>``: the master of one cluster."""

import argparse
import logging
import os
import ssl
import sys
from pathlib import Path

from upcall.cluster.folder import Cluster, DataFolder
from upcall.cluster.listening import API
from upcall.cluster.processes import UNUSABLE_EXIT
from upcall.keeper import standing_by
from upcall.protocol.errors import UpcallError
from upcall.store.interface import Busy, StoreError
from upcall.transport import bounds, inherited, unix
from upcall.transport.limits import one_heap
from upcall.transport.listening import Knows, Listener
from upcall.transport.server import Server

SHUTDOWN_S = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="upcall.master", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="data folder of the cluster")
    options = parser.parse_args()
    os.umask(0o077)
    standing_by.begin()
    one_heap()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from upcall.master import garbage
    from upcall.master.app import knows, make

    folder = DataFolder(options.data.absolute())
    try:
        cluster = folder.load_cluster()
        master = make(folder, cluster)
    except (UpcallError, StoreError) as error:
        print(f"upcall.master: {error}", file=sys.stderr)
        # Another master may be about to end; everything else stays as it is.
        return 1 if isinstance(error, Busy) else UNUSABLE_EXIT
    try:
        listeners = doors(folder, cluster, knows(master))
    except OSError as error:
        print(f"upcall.master: cannot listen: {error}", file=sys.stderr)
        return 1
    garbage.look_seldom()
    server = Server(master.app, listeners, graceful_s=SHUTDOWN_S)
    master.core.on_superseded = server.end
    server.run()
    if master.core.superseded:
        print(f"upcall.master: another master has taken over: {master.core.superseded}", file=sys.stderr)
        return 1
    return 0


def doors(folder: DataFolder, cluster: Cluster, known: Knows) -> list[Listener]:
    """A Unix socket for all that is ours, and TLS with the cluster's own certificate for other tools. A flood on the
    second is not felt on the first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder.certificate, folder.certificate_key)
    open_to_all = inherited.held(API) or inherited.bound(*cluster.address)
    return [
        Listener(unix.listen(folder.master_socket), bounds.LOCAL, known),
        Listener(open_to_all, bounds.OPEN, known, context),
    ]


if __name__ == "__main__":
    sys.exit(main())
