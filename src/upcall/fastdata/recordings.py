"""Where recorded flights come from: single files inside a wheel of the Python registry, locked by hash, never kept in
this repository.

`traffic` (Xavier Olive, MIT licence) is a library for air traffic data that carries sample trajectories, recorded by
receivers of the OpenSky Network and others. The wheel is fetched as an artifact of kind `wheels`, with none of its
many dependencies, and only the one file that the lock names is kept.

AIB232E is the flight that is shown and on which detectors are tuned; ELY1747 (a Boeing 747 on 2019-11-03)
is kept for judging them on a flight they have not seen.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from upcall.artifacts.cache import Cache

LOCKS: Final = {"AIB232E": "flight.json", "ELY1747": "second-flight.json"}
"""The lock of each recorded flight, by callsign."""


def lock_bytes(callsign: str) -> bytes:
    """The lock file of a flight, as a package registers it."""
    if callsign not in LOCKS:
        raise ValueError(f"no recorded flight {callsign!r}: known are {', '.join(LOCKS)}")
    return (files("upcall.fastdata") / "lock" / LOCKS[callsign]).read_bytes()


def fetch_recording(callsign: str, cache: Cache | None = None) -> Path:
    """The recording's file in the artifact cache; fetched, verified and kept there if it is not yet."""
    from upcall.artifacts.cache import Cache
    from upcall.artifacts.fetch import fetch
    from upcall.artifacts.lock import digest_of
    from upcall.protocol.declaration import Artifact

    data = lock_bytes(callsign)
    artifact = Artifact(name="flight", kind="wheels", lock=digest_of(data))
    ready = fetch([artifact], cache or Cache(), {artifact.lock: data}.__getitem__)
    return Path(ready["flight"].properties["file"])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m upcall.fastdata.recordings", description="Fetch a recorded flight and print its path."
    )
    parser.add_argument("callsign", nargs="?", default="AIB232E", choices=sorted(LOCKS))
    print(fetch_recording(parser.parse_args().callsign))


if __name__ == "__main__":
    main()
