"""The files of a package's source, from a tar that anybody may have made.

A package's own tars are plain and small, so what is let through is just that: no compression (which turns a megabyte
into as many gigabytes as one likes), no links, devices or holes, names that stay below the folder, and so many files
and bytes. What an entry *claims* counts, before a byte of it is written.
"""

import io
import tarfile
from pathlib import Path
from typing import Final

from upcall.protocol.errors import Invalid, TooLarge
from upcall.protocol.names import is_inside

SOURCE_BYTES_MAX: Final = 8 * 2**20
"""A package is code and lock files; what is large is an artifact."""
FILES_MAX: Final = 2000
BLOCKS_OF_FILE: Final = 8 * 512
"""In the tar, beside its content: its headers, its long name, what is added to whole blocks."""


def unpack(data: bytes, folder: Path) -> None:
    """Into an empty folder. Raises what is wrong; the caller throws away what was written so far."""
    limit = SOURCE_BYTES_MAX + FILES_MAX * BLOCKS_OF_FILE
    if len(data) > limit:
        raise TooLarge(f"a source of {len(data)} bytes", where="source", expected=f"at most {limit}")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            _files(tar, folder)
    except (tarfile.TarError, EOFError, ValueError, UnicodeError) as error:
        raise Invalid(f"the source cannot be read: {error}", where="source", expected="a plain tar") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = Path(error.filename or "").name
        raise Invalid(f"the source holds {name!r} twice", where="source", expected="each name once") from None


def _files(tar: tarfile.TarFile, folder: Path) -> None:
    claimed = 0
    for number, entry in enumerate(tar):
        if number >= FILES_MAX:
            raise TooLarge(f"more than {FILES_MAX} files of source", where="source", expected=f"at most {FILES_MAX}")
        if entry.isdir():
            continue
        claimed += entry.size
        if entry.size < 0 or claimed > SOURCE_BYTES_MAX:
            raise TooLarge(
                f"{claimed} bytes of source, unpacked",
                where="source",
                expected=f"at most {SOURCE_BYTES_MAX}; large things are artifacts",
            )
        content = tar.extractfile(entry) if entry.isreg() and not entry.issparse() else None
        if content is None or not is_inside(entry.name):
            raise Invalid(
                f"the source holds {entry.name[:200]!r}", where="source", expected="plain files below its folder"
            )
        target = folder / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as output:
            output.write(content.read())
