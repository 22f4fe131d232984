"""Where an archive lies: a folder of this machine, or a bucket of an object store.

Both are used through fsspec, so another kind is one more protocol of it. All that is asked of a place is to keep
something under a name, whole or not at all. A folder does so by a file beside it that is flushed and renamed; an object
store by itself. What a place raises is said in our own errors, each with what to do.
"""

import contextlib
import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from upcall.protocol.errors import Conflict, Forbidden, Invalid, NotFound, NotNow, UpcallError

BUCKET: Final = "s3://"
FILE: Final = "file://"
_LOGIN: Final = re.compile(r"[^\s:]{1,256}:[^\s]{1,512}")
BESIDE: Final = ".half-"
"""How a file is called while it is written: no name of an archive begins so."""
TRIES: Final = 3
CONNECT_S: Final = 10
READ_S: Final = 60


class Full(Conflict):
    """No room in the place."""

    code = "full"


def normal(where: str) -> str:
    """``/abs/folder`` or ``s3://bucket/prefix``; anything else is refused, a login in the address first of all."""
    if where.startswith(BUCKET):
        bucket, _, prefix = where.removeprefix(BUCKET).partition("/")
        if "@" in bucket or ":" in bucket or not bucket:
            raise Invalid(
                "not an address of a bucket",
                where="to",
                expected="s3://BUCKET/PREFIX; who logs in stands in a secret (--secret), a server in --endpoint",
            )
        return f"{BUCKET}{bucket}/{prefix.strip('/')}".rstrip("/")
    folder = where.removeprefix(FILE)
    if "://" in folder or not folder.startswith("/"):
        raise Invalid(
            f"{where!r} is no place for backups", where="to", expected="an absolute folder, or s3://BUCKET/PREFIX"
        )
    return os.path.normpath(folder)


class Place:
    """A folder of names in a file system of fsspec."""

    def __init__(self, files: Any, root: str, where: str) -> None:
        self._files, self._root = files, root
        self.where = where
        """As a person names it."""

    def read(self, name: str) -> bytes:
        with self._worded(name):
            data: bytes = self._files.cat_file(self._path(name))
            return data

    def write(self, name: str, data: bytes) -> None:
        """It is there, whole, when this returns; what was there before is gone."""
        with self._worded(name):
            self._files.pipe_file(self._path(name), data)

    def size(self, name: str) -> int | None:
        """None: there is no such thing."""
        with self._worded(name):
            try:
                return int(self._files.info(self._path(name))["size"])
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        """What lies in it; nothing where it is not there."""
        with self._worded(folder):
            try:
                found = self._files.ls(self._path(folder), detail=False, refresh=True)
            except FileNotFoundError:
                return []
        names = {str(path).rstrip("/").rpartition("/")[2] for path in found}
        return sorted(name for name in names if name and not name.startswith("."))

    def drop(self, folder: str) -> None:
        """With all that is in it; it is no error when it is not there."""
        with self._worded(folder), contextlib.suppress(FileNotFoundError):
            for path in self._files.find(self._path(folder)):  # One by one: not every store can delete many at once.
                self._files.rm_file(path)

    def remove(self, names: Iterable[str]) -> None:
        """One after the other; all are gone for good when this returns. It is no error when one was not there."""
        for name in names:
            with self._worded(name), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(name))

    def tidy(self) -> None:
        """While nobody writes: what killed writes left goes. A store that takes a thing whole has nothing of that."""

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextlib.contextmanager
    def _worded(self, name: str) -> Iterator[None]:
        try:
            yield
        except UpcallError:
            raise
        except FileNotFoundError:
            raise NotFound(f"no {name or 'archive'} in {self.where}", where=self.where) from None
        except PermissionError as error:
            raise Forbidden(f"{self.where} does not let us in: {error}", where=self.where) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Full(
                    f"{self.where} is full",
                    where=self.where,
                    expected="room there; asked again, the backup goes on where it was",
                ) from error
            raise NotNow(f"{self.where} cannot be used: {error}", where=self.where) from error
        except Exception as error:  # What the clients of object stores raise has no common base.
            raise NotNow(f"{self.where} cannot be used: {type(error).__name__}: {error}", where=self.where) from error


class Folder(Place):
    """A folder of this machine, of our user alone."""

    def drop(self, folder: str) -> None:
        with self._worded(folder), contextlib.suppress(FileNotFoundError):
            self._files.rm(self._path(folder), recursive=True)

    def remove(self, names: Iterable[str]) -> None:
        all_of_them = list(names)
        super().remove(all_of_them)
        for folder in sorted({Path(self._path(name)).parent for name in all_of_them}):
            with self._worded(folder.name), contextlib.suppress(FileNotFoundError):
                _flush(folder)

    def tidy(self) -> None:
        with self._worded(""):
            for half in Path(self._root).rglob(f"{BESIDE}*"):
                half.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        path = Path(self._path(name))
        with self._worded(name):
            if not path.parent.is_dir():
                if not Path(self._root).is_dir():  # A disk that was taken out: nothing is begun in its place.
                    raise NotFound(f"{self.where} is gone", where=self.where, expected="the folder, as it was")
                _make(path.parent)
            number, beside = tempfile.mkstemp(dir=path.parent, prefix=BESIDE)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(beside).replace(path)
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise
            _flush(path.parent)


def _flush(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _make(path: Path) -> None:
    """With all above it that is not there: each is ours alone."""
    for each in (*reversed(path.parents), path):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)


def folder(where: str, *, make: bool) -> Folder:
    """Raises for one that others may look into, that is not ours, or that others could put another one in place of."""
    path = Path(normal(where))
    try:
        if make:
            _make(path)
        found, above = path.stat(), path.parent.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not make:
            raise NotFound(f"no folder {path}", where="to", expected="the folder of an earlier backup") from None
        what = "made" if make and not path.exists() else "used"
        raise Invalid(
            f"{path} cannot be {what}: {error.strerror}", where="to", expected="a folder that we may make or write to"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise Invalid(f"{path} is not a folder", where="to", expected="a folder")
    if found.st_uid != os.geteuid():
        raise Invalid(f"{path} belongs to another user", where="to", expected="a folder of the user who runs upcall")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Invalid(f"others may look into {path}", where="to", expected=f"`chmod 700 {path}`, or a new folder")
    if above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX:
        what = f"others may put another folder in place of {path}"
        raise Invalid(what, where="to", expected=f"`chmod go-w {path.parent}`, or another folder")
    return Folder(_fsspec("file"), str(path), str(path))


def bucket(where: str, login: str, endpoint: str = "") -> Place:
    """``login``: ``ACCESS_KEY:SECRET_KEY``, as the secret holds it. Empty: nobody is asked there."""
    shown = normal(where)
    if login and not _LOGIN.fullmatch(login.strip()):
        raise Invalid("the secret is not a login of an object store", where="secret", expected="ACCESS_KEY:SECRET_KEY")
    key, _, secret = login.strip().partition(":")
    more = {"endpoint_url": endpoint} if endpoint else {}
    files = _fsspec(
        "s3",
        key=key or None,
        secret=secret or None,
        anon=not key,
        use_listings_cache=False,
        config_kwargs={
            "retries": {"max_attempts": TRIES},
            "connect_timeout": CONNECT_S,
            "read_timeout": READ_S,
            # Ours are better (SHA-256, compared at every read), and not every store knows these.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
        **more,
    )
    return Place(files, shown.removeprefix(BUCKET), shown)


def opened(where: str, *, login: str = "", endpoint: str = "", make: bool = False) -> Place:
    if where.startswith(BUCKET):
        return bucket(where, login, endpoint)
    return folder(where, make=make)


def _fsspec(protocol: str, **given: Any) -> Any:
    import fsspec

    try:
        return fsspec.filesystem(protocol, skip_instance_cache=True, **given)
    except ImportError:
        raise Invalid(
            f"nothing is installed here for {protocol} stores", where="to", expected="`pip install 'upcall[s3]'`"
        ) from None
