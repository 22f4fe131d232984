"""``python -m upcall.cli``: the same as the console script."""

import sys

from upcall.cli.main import run

sys.exit(run())
