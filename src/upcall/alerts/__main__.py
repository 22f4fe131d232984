"""``python -m upcall.alerts --data <folder>``: tells people what they must know; kept while there are any."""

import argparse
import asyncio
import sys
from pathlib import Path

from upcall.alerts import channels
from upcall.alerts.following import follow
from upcall.alerts.sending import send
from upcall.alerts.telling import Teller
from upcall.client.folder import cluster_of, folder_at, token_of
from upcall.client.streaming import AsyncClient
from upcall.protocol.errors import UpcallError


async def tell(root: Path) -> None:
    folder = folder_at(root)
    cluster = cluster_of(folder).cluster
    tellers = [Teller(one, cluster, folder.alerts_state(one.name), send) for one in channels.read(folder)]
    async with AsyncClient(folder.master_socket, token_of(folder, "alerts")) as client, asyncio.TaskGroup() as group:
        for one in tellers:
            group.create_task(one.run())
        group.create_task(follow(client, tellers))


def main() -> int:
    parser = argparse.ArgumentParser(prog="upcall.alerts", description="Tells people what they must know.")
    parser.add_argument("--data", type=Path, required=True, help="data folder of the cluster")
    try:
        asyncio.run(tell(parser.parse_args().data))
    except UpcallError as error:
        print(f"upcall.alerts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
