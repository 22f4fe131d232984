"""A service of one's own: its files become a package of this cluster (``upcall install path/to/hello.py``)."""

from pathlib import Path

import msgspec

from upcall.cli.here import Here
from upcall.protocol.errors import Invalid, UpcallError


def upload(here: Here, path: Path) -> tuple[str, str]:
    """Register the package of a Python file or folder; its name and version."""
    from upcall.service.package import build, in_file_words

    try:
        built = build(path)
    except UpcallError:
        raise
    except Exception as error:  # the file's own code was run, and may raise anything
        words, where = in_file_words(error, path)
        raise Invalid(
            f"{path.name} cannot be imported: {words}",
            where=where,
            expected="a Python file or folder with one subclass of upcall.service.Service",
        ) from error
    package = built.package
    for digest, data in built.blobs.items():
        here.client.call("PUT", f"/v1/blobs/{digest}", data)
    here.client.call("PUT", f"/v1/packages/{package.name}/{package.version}", msgspec.to_builtins(package))
    here.out.note(f"package {package.name} {package.version} is registered from {path}")
    return package.name, package.version
