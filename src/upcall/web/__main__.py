"""``python -m upcall.web --data <folder>``: serves the page of a cluster, on its own loopback address."""

import argparse
import contextlib
import json
import socket
import sys
import time
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

MASTER_WAIT_S: Final = 10.0
LOOK_S: Final = 0.1


def wait_for(master: SplitResult) -> None:
    """Until somebody listens there; a master that stays away longer is what the page then tells about."""
    until = time.monotonic() + MASTER_WAIT_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            socket.create_connection((master.hostname or "127.0.0.1", master.port or 80), LOOK_S).close()
            return
        time.sleep(LOOK_S)


def main() -> int:
    parser = argparse.ArgumentParser(prog="upcall.web", description="The page of a cluster.")
    parser.add_argument("--data", type=Path, required=True, help="data folder of the cluster")
    options = parser.parse_args()

    from upcall.client.folder import cluster_of, folder_at, token_of
    from upcall.protocol.errors import UpcallError

    try:
        folder = folder_at(options.data)
        cluster, token = cluster_of(folder), token_of(folder, "page")
    except UpcallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    address = urlsplit(cluster.page_url)
    wait_for(urlsplit(cluster.url))

    # Slow to load, so not before there is anything to show: at the start of a cluster the others need the processor.
    import uvicorn

    from upcall.client.streaming import AsyncClient
    from upcall.web.app import application

    app = application(AsyncClient(cluster.url, token), cluster.page_url)
    print(json.dumps({"event": "page is served", "url": cluster.page_url}), flush=True)
    uvicorn.run(
        app,
        host=address.hostname or "127.0.0.1",
        port=address.port or 0,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
