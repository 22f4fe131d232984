"""One file over HTTP, such that no byte is asked for twice, whatever ends the download.

What has arrived of a file lies in ``partial/<sha256>.part``, named for what it is to become and not for where it comes
from, so anybody who wants that file goes on with it: another attempt, another process, another address. The rules:

* The part's length is all the memory there is. A request asks for the rest (``Range``): 206 is appended; 200 is a
  server that knows no ranges, and starts over; 416, another range than the asked one, or a part longer than the file,
  start over too.
* A connection that drops is followed by another one that goes on. Only connections that bring nothing new count as
  failures, and only so many of them in a row are tried.
* The SHA-256 of the whole decides (:meth:`~upcall.artifacts.cache.Cache.put`), and a wrong part is thrown away. One
  that was pieced together is fetched once more from its beginning, because the pieces may be of different files.
* Whoever works on a part holds the file's lock, so two processes never write one part.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from upcall.artifacts.cache import Cache
from upcall.artifacts.connection import LOOK_S, Connection, Dropped, Refused, new_session
from upcall.artifacts.errors import Cancelled, Mismatch, NoSpace, NotCached
from upcall.artifacts.lock import LockedFile
from upcall.artifacts.progress import Meter

if TYPE_CHECKING:
    import requests

FRUITLESS_MAX: Final = 5
"""Connections in a row that bring nothing new; then the registry counts as unreachable."""
CONNECTIONS_MAX: Final = 1000
"""For one file, however little each brings: 400 MB in pieces of 400 kB."""
PAUSE_S = 0.2
"""Before the next connection; doubled for each fruitless one."""
PAUSE_MAX_S: Final = 30.0

Wanted = TypeVar("Wanted")


class Transfers:
    """The downloads of one artifact; its threads share it."""

    def __init__(self, cache: Cache, meter: Meter, artifact: str) -> None:
        self._cache = cache
        self._meter = meter
        self._artifact = artifact
        self._own = threading.local()
        self._over = threading.Event()

    def begin(self, text: str, files: Collection[LockedFile], besides_bytes: int = 0) -> None:
        """Say what is about to be fetched, and how much of it is here already; refuse what has no room."""
        size = sum(file.size for file in files)
        there = sum(min(self._cache.part_bytes(file), file.size) for file in files)
        self._cache.need_space(size - there + besides_bytes, self._artifact)
        self._meter.begin(text, size, there)

    def side_by_side(self, parallel: int, bring: Callable[[Wanted], None], wanted: Sequence[Wanted]) -> None:
        """Call ``bring`` for each. The first failure stops the others at once; their parts stay."""
        pool = ThreadPoolExecutor(parallel, thread_name_prefix="fetch")
        try:
            done, _ = wait([pool.submit(bring, one) for one in wanted], return_when=FIRST_EXCEPTION)
            failed = [error for future in done if (error := future.exception()) is not None]
            for error in sorted(failed, key=lambda error: isinstance(error, Cancelled)):
                raise error
        finally:
            self._over.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._over.clear()

    def bring(self, file: LockedFile, addresses: Sequence[str], target: Path | None = None) -> None:
        """See that the cache has the file, from the first address that gives it, and show it as ``target``.

        Raises :class:`Refused` when no address gives it, :class:`NotCached` when none can be reached.
        """
        with self._cache.locked(f"file-{file.sha256}", self._meter, says=""):
            if not self._cache.has(file):
                self._from_one(file, addresses)
            if target is not None:
                self._cache.link(file, target)

    def _from_one(self, file: LockedFile, addresses: Sequence[str]) -> None:
        failure: Exception = Refused("the registry does not have it")
        for address in addresses:
            try:
                self._from(file, address)
                return
            except Refused as error:
                failure = failure if isinstance(failure, NotCached) else error
            except NotCached as error:
                failure = error
        raise failure

    def _from(self, file: LockedFile, address: str) -> None:
        pieced = self._complete(file, address)
        try:
            self._cache.put(self._cache.part(file), file, self._artifact)
        except Mismatch:
            if not pieced:
                raise
            self._meter.add(-file.size)
            self._complete(file, address)
            self._cache.put(self._cache.part(file), file, self._artifact)

    def _complete(self, file: LockedFile, address: str) -> bool:
        """Connections until the part is as long as the file. Tells whether it may have come in several pieces."""
        self._cache.part(file).touch()
        reached = have = self._cache.part_bytes(file)
        pieced = False
        fruitless = 0
        for _ in range(CONNECTIONS_MAX):
            pieced = pieced or have > 0
            if have > file.size:
                have = self._start_over(file)
            if have == file.size:
                return pieced
            cause = Dropped("the registry sends less than the whole file")
            try:
                if self._receive(file, address, have):
                    return pieced
            except Dropped as error:
                cause = error
            have = self._cache.part_bytes(file)
            fruitless = 0 if have > reached else fruitless + 1
            reached = max(reached, have)
            if fruitless >= FRUITLESS_MAX:
                raise NotCached(self._artifact, file.name, str(cause)) from None
            if have < file.size:
                self._pause(max(cause.retry_after_s, min(PAUSE_S * 2**fruitless, PAUSE_MAX_S)))
        raise NotCached(self._artifact, file.name, f"the connection broke {CONNECTIONS_MAX} times")

    def _receive(self, file: LockedFile, address: str, have: int) -> bool:
        """One connection's worth. True when the server says that this is all there is."""
        connection = Connection(self._session(), address, have, self._check)
        try:
            head = connection.head()
            if head.status == 416 or (head.status == 206 and head.first_byte != have):
                self._start_over(file)
                return False
            if head.status == 200 and have:
                have = self._start_over(file)
            with self._cache.part(file).open("ab") as part:
                for chunk in connection.body():
                    have += len(chunk)
                    if have > file.size:
                        break
                    part.write(chunk)
                    self._meter.add(len(chunk), fetched=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise NoSpace(
                f"artifact {self._artifact}: the disk is full in the middle of {file.name}",
                where=str(self._cache.root),
                expected=f"{(file.size - have) >> 20} MiB more, or UPCALL_CACHE on another disk",
            ) from error
        finally:
            connection.leave()
        if have > file.size:
            self._start_over(file)
            if head.status == 200:
                raise Mismatch(self._artifact, file.name, expected=file.sha256, got=f"more than its {file.size} bytes")
            return False
        return head.status == 200 and head.tells_its_length

    def _start_over(self, file: LockedFile) -> int:
        """Nothing of the part is of use. The bytes that are left: none."""
        self._meter.add(-self._cache.part_bytes(file))
        os.truncate(self._cache.part(file), 0)
        return 0

    def _session(self) -> "requests.Session":
        if not hasattr(self._own, "session"):
            self._own.session = new_session()
        session: requests.Session = self._own.session
        return session

    def _check(self) -> None:
        self._meter.check()
        if self._over.is_set():
            raise Cancelled(f"fetching {self._artifact} was stopped", where=self._artifact)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            self._meter.wait(min(left, LOOK_S))
