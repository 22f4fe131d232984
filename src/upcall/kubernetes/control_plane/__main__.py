"""``python -m upcall.kubernetes.control_plane``, in an image ``upcall-pod control-plane``."""

import asyncio
import logging
import os
import sys

from upcall.kubernetes.control_plane.given import Given
from upcall.kubernetes.control_plane.living import Life
from upcall.protocol.errors import UpcallError
from upcall.substrate.kubernetes.client.errors import ApiError
from upcall.substrate.kubernetes.client.login import LoginError
from upcall.transport.limits import raise_open_files

EXIT_USAGE = 2


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o077)
    try:
        given = Given.of(os.environ)
        raise_open_files()
        return asyncio.run(Life(given).run())
    except (UpcallError, ApiError, LoginError) as error:
        print(f"upcall-pod control-plane: {error}", file=sys.stderr)
    except OSError as error:
        print(f"upcall-pod control-plane: {error.filename or 'the system'}: {error}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
