"""``python -m upcall.cli``: the same as the console script."""

from upcall.cli.entry import run

if __name__ == "__main__":
    raise SystemExit(run())
