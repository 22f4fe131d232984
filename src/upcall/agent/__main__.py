"""``python -m upcall.agent``: the agent of one node."""

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
from pathlib import Path

from upcall.agent import boxes, cgroups
from upcall.agent.agent import Agent
from upcall.agent.checkpoint import Checkpoint
from upcall.agent.connection import Connection
from upcall.agent.launching import Launching
from upcall.agent.machine import Machine
from upcall.agent.places import Places
from upcall.agent.runs import Runs
from upcall.agent.sources import MasterBlobs, RegistryArtifacts
from upcall.agent.volumes import Volumes
from upcall.agent.watching import Watching
from upcall.keeper import standing_by
from upcall.keeper.linux import FolderGuard
from upcall.protocol.errors import Conflict, UpcallError
from upcall.transport.dialling import OverSocket
from upcall.transport.limits import raise_open_files

EXIT_USAGE = 2
EXIT_GONE = 3
"""The data folder was deleted."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="upcall.agent", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--data", required=True, type=Path, help="data folder of the cluster")
    parser.add_argument("--master", required=True, type=Path, help="the master's socket")
    parser.add_argument("--token-file", required=True, type=Path)
    parser.add_argument("--cpus", required=True, type=float)
    parser.add_argument("--memory-mib", required=True, type=int)
    parser.add_argument("--disk-mib", type=int, default=0, help="room for volumes; measured when it is not given")
    parser.add_argument("--attribute", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--cache", type=Path, default=None, help="cache of artifacts and blobs, shared by all nodes")
    parser.add_argument("--no-isolation", action="store_true", help="every task may do what the cluster's user may")
    parser.add_argument("--share", action="append", default=[], type=Path, help="a folder that every task may change")
    parsed = parser.parse_args()
    if wrong := [text for text in parsed.attribute if "=" not in text]:
        parser.error(f"an attribute is NAME=VALUE, not {wrong[0]!r}")
    return parsed


def lock(places: Places) -> int:
    """One agent for a node: two would take over each other's tasks."""
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Conflict("another agent serves this node already", where=str(places.node)) from None
    return descriptor


async def serve(options: argparse.Namespace) -> int:
    places = Places(options.data, options.node)
    places.make()
    lock(places)
    launching = Launching(places.node, places.data)
    agent: Agent
    master = OverSocket(options.master)
    connection = Connection(
        master, options.token_file, lambda: agent.register(), lambda message: agent.received(message)
    )
    blobs_folder = (options.cache or places.data / "cache") / "blobs"
    blobs = MasterBlobs(master, connection.token, blobs_folder)
    machine = Machine(
        node=options.node,
        attributes=dict(text.split("=", 1) for text in options.attribute),
        places=places,
        launching=launching,
        runs=Runs(places.runs, launching),
        volumes=Volumes(places.volumes, places.removed, places.served),
        groups=cgroups.detect(places.node),
        boxes=boxes.detect(places, off=options.no_isolation, shared=options.share),
        watching=Watching(),
        checkpoint=Checkpoint(places.checkpoint),
        artifacts=RegistryArtifacts(options.cache, blobs),
        blobs=blobs,
        progress=connection.send,
    )
    agent = Agent(machine, connection, cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=options.disk_mib)
    running = asyncio.ensure_future(agent.run())
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    gone = asyncio.ensure_future(_gone(FolderGuard(str(places.data), str(places.node))))
    stopping = asyncio.ensure_future(told.wait())
    await asyncio.wait({running, gone, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if gone.done():
        logging.error("the data folder %s is gone", places.data)
        return EXIT_GONE
    if running.done():
        running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await agent.close()
    machine.groups.tidy(machine.checkpoint.state.tasks)
    return 0


async def _gone(guard: FolderGuard) -> None:
    """Returns when the data folder does not exist any more."""
    changed = asyncio.Event()
    if guard.descriptor is not None:
        asyncio.get_running_loop().add_reader(guard.descriptor, changed.set)
    while not guard.gone():
        changed.clear()
        try:
            async with asyncio.timeout(guard.interval_s):
                await changed.wait()
        except TimeoutError:
            continue


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o027)
    options = arguments()
    standing_by.begin()
    raise_open_files()
    try:
        return asyncio.run(serve(options))
    except UpcallError as error:
        print(f"upcall.agent: {error}", file=sys.stderr)
    except OSError as error:
        print(f"upcall.agent: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
