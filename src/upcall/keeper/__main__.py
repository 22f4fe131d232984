"""``python -m upcall.keeper <data folder> [--foreground] [--lock=N]``: starts the folder's supervisor, detached.

Returns 0 once the supervisor listens; 1, with one sentence, when it cannot be (another one runs, the folder is not
writable, the spec is wrong). ``--lock``: the descriptor of the folder's lock, which the caller has and hands on.
"""

from __future__ import annotations

import argparse
import functools
import sys

from upcall.keeper import start


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="upcall.keeper", description="Keeps the processes of a data folder.")
    parser.add_argument("folder", metavar="data folder")
    parser.add_argument("--foreground", action="store_true")
    parser.add_argument("--lock", type=int, default=-1, metavar="N")
    options = parser.parse_args(arguments)
    begin = functools.partial(start.serve, report=-1) if options.foreground else start.detach
    try:
        return begin(options.folder, handed=options.lock)
    except start.CannotKeep as error:
        print(f"upcall.keeper: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
