"""Tars that somebody made to hurt: each is refused in words, at once, with nothing left behind."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from upcall.protocol.errors import Invalid, TooLarge, UpcallError
from upcall.service import package, unpacking

MIB = 2**20


def made(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return buffer.getvalue()


def file(name: str, content: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def claims(size: int, header: bytes) -> bytes:
    """A file whose header names a size, and nothing behind it."""
    info = tarfile.TarInfo("big.py")
    info.size = 0
    block = bytearray(made((info, b""), form=tarfile.GNU_FORMAT)[:512])
    block[156:157] = header
    block[124:136] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def sparse(real_size: int) -> bytes:
    """One hole, in the form that GNU tar invented: nothing is stored, ``real_size`` is unpacked."""
    block = bytearray(made(file("holes.py"), form=tarfile.GNU_FORMAT)[:512])
    block[156:157] = tarfile.GNUTYPE_SPARSE
    block[386:398] = b"%011o\0" % real_size
    block[398:410] = b"%011o\0" % 0
    block[483:495] = b"%011o\0" % real_size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def pax_sparse(real_size: int) -> bytes:
    info, content = file("holes.py", b"1\n0\n0\n" + bytes(505))
    info.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes.py",
        "GNU.sparse.realsize": str(real_size),
    }  # fmt: skip
    return made((info, content))


HOSTILE = {
    "a bomb, gzip": lambda: gzip.compress(made(file("zeros.py", bytes(32 * MIB)))),
    "a bomb, bzip2": lambda: bz2.compress(made(file("zeros.py", bytes(32 * MIB)))),
    "a bomb, xz": lambda: lzma.compress(made(file("zeros.py", bytes(32 * MIB)))),
    "holes": lambda: sparse(8 * 2**30 - 1),
    "small holes": lambda: sparse(4096),
    "holes, newer form": lambda: pax_sparse(2**40),
    "claims much": lambda: claims(2**50, tarfile.REGTYPE),
    "too much in all": lambda: made(*(file(f"f{n}.py", bytes(3 * MIB)) for n in range(3))),
    "too many files": lambda: made(*(file(f"f{n}.py") for n in range(unpacking.FILES_MAX + 1))),
    "too deep": lambda: made(file("/".join("d" * 100) + "/x.py")),
    "outside": lambda: made(file("../outside.py")),
    "absolute": lambda: made(file("/tmp/outside.py")),
    "a link": lambda: made(special("link.py", tarfile.SYMTYPE, "/etc/passwd")),
    "through a link": lambda: made(special("d", tarfile.SYMTYPE, ".."), file("d/outside.py")),
    "a hard link": lambda: made(special("link.py", tarfile.LNKTYPE, "../../secret")),
    "a device": lambda: made(special("null", tarfile.CHRTYPE)),
    "a pipe": lambda: made(special("pipe", tarfile.FIFOTYPE)),
    "twice": lambda: made(file("x.py"), file("x.py")),
    "file and folder": lambda: made(file("x"), file("x/y.py")),
    "cut": lambda: made(file("x.py", bytes(5000)))[:2000],
    "no tar": lambda: b"x" * 5000,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_source_is_refused_and_leaves_nothing(make: Callable[[], bytes], tmp_path: Path) -> None:
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises((Invalid, TooLarge)) as raised:
            package.unpack(data, hashlib.sha256(data).hexdigest(), tmp_path / "a" / "sources")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(raised.value, UpcallError)
    assert raised.value.problem.where == "source"
    assert raised.value.problem.expected
    assert peak < len(data) + 16 * MIB
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_within_the_bounds_is_unpacked(tmp_path: Path) -> None:
    data = made(file("mine/service.py", b"x = 1"), file("mine/lock/a.json", bytes(MIB)))
    target = package.unpack(data, hashlib.sha256(data).hexdigest(), tmp_path)
    assert (target / "mine" / "service.py").read_bytes() == b"x = 1"
