"""``python -m upcall.kubernetes.pod``, in an image ``upcall-pod``. With the word ``control-plane`` it becomes one: an
image has one entry point, and each has its own Python."""

import asyncio
import logging
import os
import sys

from upcall.kubernetes.pod.given import Given
from upcall.kubernetes.pod.part import Part
from upcall.protocol.errors import UpcallError
from upcall.transport.limits import raise_open_files

EXIT_USAGE = 2
CONTROL_PLANE = "upcall.kubernetes.control_plane"


def main() -> int:
    if sys.argv[1:] == ["control-plane"]:
        os.execv(sys.executable, [sys.executable, "-m", CONTROL_PLANE])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o027)
    try:
        given = Given.of(os.environ)
        raise_open_files()
        return asyncio.run(Part(given).run())
    except UpcallError as error:
        print(f"upcall-pod: {error}", file=sys.stderr)
    except OSError as error:
        print(f"upcall-pod: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
