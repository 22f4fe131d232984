"""``python -m realnodes.logind``: systemd's logind on a bus of its own, as far as a kubelet asks for it, so that a node
can be shut down gracefully. It is told to by a file, and tells the kubelet, as logind does while something holds it up.

What is spoken is D-Bus (https://dbus.freedesktop.org/doc/dbus-specification.html): a few lines to begin with, then
messages with a header of typed fields. Here only those types are known that occur.
"""

import array
import itertools
import os
import select
import socket
import struct
import time
from pathlib import Path
from typing import Final

BUS: Final = Path("/run/dbus/system_bus_socket")
GOES_DOWN: Final = Path("/run/goes-down")
LISTENED_TO: Final = Path("/run/listened-to")
DELAY_US: Final = 3_600_000_000
"""A kubelet that wants no more changes nothing of the machine's settings."""
LOOK_S: Final = 0.5
CALL, RETURN, SIGNAL = 1, 2, 4
PATH, INTERFACE, MEMBER, REPLY_TO, SENDER, SIGNATURE, DESCRIPTORS = 1, 2, 3, 5, 7, 8, 9
MANAGER: Final = "org.freedesktop.login1.Manager"
_serials = itertools.count(1)


def begin(peer: socket.socket) -> None:
    """Everybody may speak."""
    answers = {b"AUTH": b"REJECTED EXTERNAL", b"NEGOTIATE_UNIX_FD": b"AGREE_UNIX_FD"}
    with peer.makefile("rb", buffering=0) as lines:
        assert lines.read(1) == b"\0"
        while (line := lines.readline().strip()) != b"BEGIN":
            answer = answers.get(line, b"OK 0123456789abcdef0123456789abcdef")
            peer.sendall(answer + b"\r\n")


def message(kind: int, fields: dict[int, tuple[str, object]], signature: str = "", body: bytes = b"") -> bytes:
    if signature:
        fields = fields | {SIGNATURE: ("g", signature)}
    head = b""
    for code, (of, value) in fields.items():
        head = _aligned(head, 8) + bytes([code]) + _signature(of)
        head = _string(_aligned(head, 4), str(value)) if of in "so" else head + _plain(head, of, value)
    fixed = struct.pack("<cBBBII", b"l", kind, 1, 1, len(body), next(_serials))
    return _aligned(fixed + struct.pack("<I", len(head)) + head, 8) + body


def _plain(head: bytes, of: str, value: object) -> bytes:
    if of == "g":
        return _signature(str(value))
    assert isinstance(value, int)
    return bytes(-len(head) % 4) + struct.pack("<I", value)


def _aligned(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


def _signature(text: str) -> bytes:
    return bytes([len(text)]) + text.encode() + b"\0"


def _string(before: bytes, text: str) -> bytes:
    return before + struct.pack("<I", len(text)) + text.encode() + b"\0"


def heard(peer: socket.socket) -> tuple[int, int, bytes]:
    """Its kind, its number, and its fields as they are: what is called is found in them."""
    fixed = _exactly(peer, 16)
    _, kind, _, _, body, serial, fields = struct.unpack("<cBBBIII", fixed)
    rest = _exactly(peer, fields + -fields % 8 + body)
    return kind, serial, rest[:fields]


def _exactly(peer: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = peer.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def answer(peer: socket.socket, serial: int, fields: bytes) -> None:
    reply: dict[int, tuple[str, object]] = {REPLY_TO: ("u", serial)}
    if b"Hello\0" in fields:
        peer.sendall(message(RETURN, reply, "s", _string(b"", ":1.1")))
    elif b"Inhibit\0" in fields:
        # Whoever closes it is ready.
        lock, _ = os.pipe()
        told = message(RETURN, reply | {DESCRIPTORS: ("u", 1)}, "h", struct.pack("<I", 0))
        peer.sendmsg([told], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [lock]))])
    elif b"Get\0" in fields:
        peer.sendall(message(RETURN, reply, "v", _aligned(_signature("t"), 8) + struct.pack("<Q", DELAY_US)))
    else:
        if b"AddMatch\0" in fields:
            LISTENED_TO.touch()
        peer.sendall(message(RETURN, reply))


def goes_down() -> bytes:
    fields: dict[int, tuple[str, object]] = {
        PATH: ("o", "/org/freedesktop/login1"), INTERFACE: ("s", MANAGER), MEMBER: ("s", "PrepareForShutdown"),
        SENDER: ("s", ":1.0"),
    }  # fmt: skip
    return message(SIGNAL, fields, "b", struct.pack("<I", 1))


def serve(peer: socket.socket) -> None:
    begin(peer)
    told = False
    while True:
        if select.select([peer], [], [], LOOK_S)[0]:
            kind, serial, fields = heard(peer)
            if kind == CALL:
                answer(peer, serial, fields)
        elif not told and GOES_DOWN.exists():
            told = True
            peer.sendall(goes_down())


def main() -> None:
    BUS.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(BUS))
        bus.listen()
        while True:
            peer, _ = bus.accept()
            try:
                serve(peer)
            except (EOFError, OSError):
                time.sleep(0.1)


if __name__ == "__main__":
    main()
