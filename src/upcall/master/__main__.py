"""``python -m upcall.master --data <folder>``: the master of one cluster."""

import argparse
import logging
import os
import sys
from pathlib import Path

import uvicorn

from upcall.cluster.folder import DataFolder
from upcall.cluster.processes import UNUSABLE_EXIT
from upcall.protocol.errors import UpcallError
from upcall.store.interface import Busy, StoreError

SHUTDOWN_S = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="upcall.master", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="data folder of the cluster")
    options = parser.parse_args()
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from upcall.master.app import make

    folder = DataFolder(options.data.absolute())
    try:
        cluster = folder.load_cluster()
        master = make(folder, cluster)
    except (UpcallError, StoreError) as error:
        print(f"upcall.master: {error}", file=sys.stderr)
        # Another master may be about to end; everything else stays as it is.
        return 1 if isinstance(error, Busy) else UNUSABLE_EXIT
    host, _, port = cluster.url.partition("://")[2].rpartition(":")
    config = uvicorn.Config(
        master.app,
        host=host,
        port=int(port),
        log_level="warning",
        access_log=False,
        ws_ping_interval=5.0,
        ws_ping_timeout=20.0,
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
    )
    uvicorn.Server(config).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
