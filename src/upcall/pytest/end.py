"""``python -m upcall.pytest.end``: ends clusters of tests that are kept and that nobody uses, at once."""

import argparse
import sys
from pathlib import Path

from upcall.pytest import guardian
from upcall.pytest.holding import Lock, Place, is_taken, locked, until_ended
from upcall.pytest.use import base


def end_all(folder: Path) -> list[str]:
    """What could not be ended, in words. When this returns the guardians have ended, too."""
    used: list[str] = []
    guards: list[Lock] = []
    for door in sorted(folder.glob("*.door")):
        place = Place(door.with_suffix(""))
        with locked(door):
            if is_taken(place.users):
                used.append(f"{place.root} is in use")
                continue
            if place.root.exists():
                guards.append(Lock(place.guard))
            guardian.clear(place)
            guardian.remove_door(place)
    # Not before the doors are open: one of them may be waiting there.
    for guard in guards:
        until_ended(guard)
    return used


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m upcall.pytest.end", description="Ends clusters kept for tests.")
    parser.add_argument("--folder", default="", help="where `upcall_folder` says that they lie")
    used = end_all(base(parser.parse_args().folder))
    for words in used:
        print(f"error: {words}: end that run of pytest first", file=sys.stderr)
    return 1 if used else 0


if __name__ == "__main__":
    sys.exit(main())
