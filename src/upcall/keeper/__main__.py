"""``python -m upcall.keeper <data folder> [--foreground]``: starts the supervisor of a data folder, detached.

Returns 0 once the supervisor listens; 1, with one sentence, when it cannot be (another one runs, the folder is not
writable, the spec is wrong).
"""

from __future__ import annotations

import sys

from upcall.keeper import start


def main(arguments: list[str]) -> int:
    foreground = "--foreground" in arguments
    folders = [argument for argument in arguments if not argument.startswith("--")]
    if len(folders) != 1 or set(arguments) - set(folders) - {"--foreground"}:
        print("usage: python -m upcall.keeper <data folder> [--foreground]", file=sys.stderr)
        return 2
    try:
        return start.serve(folders[0]) if foreground else start.detach(folders[0])
    except start.CannotKeep as error:
        print(f"upcall.keeper: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
