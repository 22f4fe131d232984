"""The fast-data path as services like any other: what the demo's composition installs beside the data systems."""

from importlib.resources import files


def libraries() -> bytes:
    """What tasks of the path import in the platform's own Python: extras of the installation, locked for an image.

    Made anew by ``python -m upcall.artifacts.relock src/upcall/fastdata/lock/libraries.json``."""
    return (files("upcall.fastdata") / "lock" / "libraries.json").read_bytes()
