"""A layer: files in an archive, whose bytes follow from the files alone.

In an archive there is more than contents: the order of entries, times, owners, modes, and how it was compressed. None
of it is taken from the disk. Entries are sorted; everything is root's and of one time; a file may be executed by all
or by nobody, as its owner may (so a umask makes no difference), and may be written by nobody but root.

Compressed with gzip, because every registry and every runtime takes it, at level 6: of a Java runtime of 68 MiB it
leaves 38.9 after 1.9 s, level 1 leaves 40.6 after 0.9 s, and level 9 takes 6 s for nothing. The header has neither
name nor time. The same level gives the same bytes with the same compressor only: :func:`usual` tells whether this
Python has the usual one (zlib). One that has another (zlib-ng) makes layers that are as good, and have other digests;
the digest of what is *in* a layer (``diff_id``) is the same everywhere.
"""

import errno
import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from upcall.image.errors import ImageError

LEVEL: Final = 6
TIME_S: Final = 315_532_800
"""1980-01-01: the earliest that a zip file can say, and there are jars everywhere."""
MEDIA_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
NEVER: Final = ("__pycache__",)
"""Folders of what Python makes of its sources: other bytes each time."""

_KNOWN: Final = b"".join(b"%d, what is known \n" % (number * number) for number in range(2000))
_USUAL: Final = "44e21d8eed4aeaedbfeb360bfcda4e3f8095a566e4e8472a6e07e46e1bc38f77"
"""What zlib makes of it, since 2012."""


@dataclass(frozen=True)
class File:
    """A file as it is on the disk."""

    source: Path
    executable: bool


@dataclass(frozen=True)
class Data:
    """A file that is on no disk."""

    data: bytes
    executable: bool = False


@dataclass(frozen=True)
class Link:
    """A symbolic link. Where it points to is said as in the image."""

    to: str


@dataclass(frozen=True)
class Folder:
    """A folder that is not just there because something is in it."""

    mode: int = 0o755


Entry = File | Data | Link | Folder
Contents = Mapping[str, Entry]
"""By path in the image, without a slash in front."""


@dataclass(frozen=True)
class Layer:
    """What was written, and what it is called."""

    digest: str
    """Of the bytes that are sent."""
    size: int
    diff_id: str
    """Of the archive in them."""
    blob: Path
    words: str = ""
    """What is in it, for people."""
    media_type: str = MEDIA_TYPE


def usual() -> bool:
    """Whether this Python compresses as most do."""
    return hashlib.sha256(zlib.compress(_KNOWN, LEVEL)).hexdigest() == _USUAL


def tree(folder: Path, at: str, leave_out: Callable[[str], bool] = lambda _: False) -> dict[str, Entry]:
    """All that is below ``folder``, to lie at ``at`` (the top, if it is empty). ``leave_out`` is asked with the path
    below ``folder``."""
    prefix = f"{at}/" if at else ""
    found: dict[str, Entry] = {}
    for path, name in _below(folder, ""):
        if leave_out(name):
            continue
        if path.is_symlink():
            found[f"{prefix}{name}"] = Link(str(path.readlink()))
        elif path.is_file():
            found[f"{prefix}{name}"] = File(path, bool(path.stat().st_mode & 0o100))
        else:
            raise ImageError(f"{path} is neither file nor folder nor link", where=str(folder))
    return found


def _below(folder: Path, prefix: str) -> Iterator[tuple[Path, str]]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path.name not in NEVER:
                yield from _below(path, f"{prefix}{path.name}/")
        else:
            yield path, f"{prefix}{path.name}"


def write(contents: Contents, blob: Path, words: str = "") -> Layer:
    """Write the layer of these entries as the file ``blob``."""
    try:
        with blob.open("wb") as file:
            sent = _Hashed(file)
            with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=sent, mtime=0) as compressed:
                plain = _Hashed(compressed)
                archive(contents, cast("IO[bytes]", plain))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ImageError(
            "the disk is full while a layer is written",
            where=str(blob),
            expected="more room on this disk, or UPCALL_CACHE on another one",
        ) from None
    return Layer(sent.digest, sent.size, plain.digest, blob, words)


def archive(contents: Contents, into: IO[bytes]) -> None:
    """The entries as a tar, the folders that they lie in among them."""
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, entry in sorted({**_parents(contents), **contents}.items()):
            _add(tar, name, entry)


def _parents(contents: Contents) -> dict[str, Folder]:
    """Said in each layer, and each time the same: a folder that a layer does not say gets the runtime's own mode."""
    folders: dict[str, Folder] = {}
    for name in contents:
        parts = name.split("/")[:-1]
        for depth in range(len(parts), 0, -1):
            folder = "/".join(parts[:depth])
            if folder in folders:
                break
            folders[folder] = Folder()
    return folders


def _add(tar: tarfile.TarFile, name: str, entry: Entry) -> None:
    info = tarfile.TarInfo(name)
    info.mtime = TIME_S
    match entry:
        case Folder(mode):
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        case Link(to):
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, to
            tar.addfile(info)
        case Data(data, executable):
            info.mode, info.size = 0o755 if executable else 0o644, len(data)
            tar.addfile(info, io.BytesIO(data))
        case File(source, executable):
            with source.open("rb") as file:
                info.mode, info.size = 0o755 if executable else 0o644, file.seek(0, io.SEEK_END)
                file.seek(0)
                tar.addfile(info, file)


class _Hashed(io.RawIOBase):
    """Passes on what is written, and knows its digest."""

    def __init__(self, into: IO[bytes] | gzip.GzipFile) -> None:
        self._into = into
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._hash.update(data)
        self.size += len(data)
        self._into.write(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"
