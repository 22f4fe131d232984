"""``python -m upcall.web --data <folder>``: serves the page of a cluster, on its own loopback address."""

import argparse
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit


def main() -> int:
    parser = argparse.ArgumentParser(prog="upcall.web", description="The page of a cluster.")
    parser.add_argument("--data", type=Path, required=True, help="data folder of the cluster")
    options = parser.parse_args()

    import uvicorn

    from upcall.client.folder import cluster_of, folder_at, token_of
    from upcall.client.streaming import AsyncClient
    from upcall.protocol.errors import UpcallError
    from upcall.web.app import application

    try:
        folder = folder_at(options.data)
        cluster, token = cluster_of(folder), token_of(folder, "page")
    except UpcallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    address = urlsplit(cluster.page_url)
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
