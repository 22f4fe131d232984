"""Both streams of a task as one text, in the order in which they came.

The shim keeps beside the two logs where the task went on on the other one (:class:`upcall.keeper.logs.OrderedLogs`).
So their pieces are put together here as they were written; a line stays whole, and stands where it ended. Where nobody
kept the order (it was rotated away, or a full disk took it), one stream comes after the other, and a line says so.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

STREAMS: Final = ("stdout", "stderr")
LINE_BYTES_MAX: Final = 64 * 1024
"""What is longer without an end is said in pieces."""
OUT: Final = b"[upcall: stdout]\n"
ERR: Final = b"[upcall: stderr, in what order with the lines above is not known]\n"
BOTH: Final = b"[upcall: both, in their order]\n"


class Mark(NamedTuple):
    """From here on the task writes to this stream."""

    stream: int
    written: tuple[int, int]
    """Of each stream, before it."""
    starts: tuple[int, int]
    """Of each stream, where the file begins that is written."""
    inodes: tuple[int, int]
    """Of these files; 0 where there is none yet."""

    @classmethod
    def read(cls, line: bytes) -> "Mark | None":
        try:
            stream, out, err, out_starts, err_starts, out_inode, err_inode = map(int, line.split())
        except ValueError:
            return None  # cut off by a full disk
        known = stream in (0, 1)
        return cls(stream, (out, err), (out_starts, err_starts), (out_inode, err_inode)) if known else None


class Merging:
    """Is fed with what each stream has from a place on, and with marks, and gives what can be said."""

    def __init__(self, places: tuple[int, int]) -> None:
        self._places = list(places)
        """Of each stream, how far it was taken."""
        self._given = [b"", b""]
        self._rest = [b"", b""]
        """Of each stream, a line that has no end yet."""
        self._marks: deque[Mark] = deque()
        self._forgot = False

    def mark(self, marks: Iterable[Mark]) -> None:
        if not self._forgot:
            self._marks.extend(marks)

    def forget(self) -> None:
        """Something was rotated away unread: from here on all is said as it comes."""
        self._forgot = True
        self._marks.clear()

    def waits(self, stream: int) -> int:
        """So many bytes of it were fed and are not said."""
        return len(self._given[stream])

    def feed(self, stream: int, data: bytes) -> None:
        self._given[stream] += data

    def take(self, *, all_of_it: bool) -> bytes:
        """Whole lines, in their order. ``all_of_it``: nothing more is there to be fed just now, so what no mark speaks
        of is said as it came."""
        said = [self._before_the_marks(all_of_it=all_of_it)]
        while self._marks:
            mark = self._marks[0]
            until = self._marks[1].written[mark.stream] if len(self._marks) > 1 else None
            said.append(self._piece(mark.stream, until))
            if until is None or self._places[mark.stream] < until:
                break
            self._marks.popleft()
        if all_of_it:
            said += [self._piece(stream, None) for stream in (0, 1)]
        return b"".join(said)

    def unordered(self) -> bytes:
        """All that was fed, one stream after the other."""
        out, err = (self._piece(stream, None) for stream in (0, 1))
        return OUT + out + ERR + err if out and err else out + err

    def end(self) -> bytes:
        """What has no end of a line; nothing more comes."""
        said = b"".join(rest + b"\n" for rest in self._rest if rest)
        self._rest = [b"", b""]
        return said

    def _before_the_marks(self, *, all_of_it: bool) -> bytes:
        """What came before the first mark that there is."""
        if not self._marks:
            return b""
        if not all_of_it and any(
            place + len(given) < until
            for place, given, until in zip(self._places, self._given, self._marks[0].written, strict=True)
        ):
            return b""
        out, err = (self._piece(stream, self._marks[0].written[stream]) for stream in (0, 1))
        return OUT + out + ERR + err + BOTH if out and err else out + err

    def _piece(self, stream: int, until: int | None) -> bytes:
        given = self._given[stream]
        size = len(given) if until is None else max(0, min(len(given), until - self._places[stream]))
        if not size:
            return b""
        self._given[stream], self._places[stream] = given[size:], self._places[stream] + size
        text = self._rest[stream] + given[:size]
        end = len(text) if len(text) > LINE_BYTES_MAX and b"\n" not in text else text.rfind(b"\n") + 1
        self._rest[stream] = text[end:]
        return text[:end]
