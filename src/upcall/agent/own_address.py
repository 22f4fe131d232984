"""What a task's own connections come from: its member's address, where the kernel lets us see to it.

For a destination on loopback the kernel takes one source for the whole machine, 127.0.0.1, so who is connected to could
not tell members apart. A program at the hooks ``connect4`` and ``connect6`` of a task's control group (v2) binds each
socket that nobody has bound yet to the member's address before it connects, if it connects to loopback; the port stays
the kernel's to choose. A socket that its program bound itself is left as it is, and so are destinations elsewhere.

The program is a dozen instructions with the address among them (``bpf(2)``, ``bpf-helpers(7)``), one for each task,
and goes with its group. It needs CAP_BPF and CAP_NET_ADMIN, so root of the machine, and Linux 4.17.
"""

import ctypes
import ipaddress
import os
import platform
import struct
import sys
from pathlib import Path
from typing import Final

from upcall.keeper import linux

SYSCALL: Final = {"x86_64": 321, "aarch64": 280}
PROG_LOAD: Final = 5
PROG_ATTACH: Final = 8
CGROUP_SOCK_ADDR: Final = 18
ALLOW_MULTI: Final = 2
"""Programs of groups around this one run as well."""
CONNECT4: Final = 10
CONNECT6: Final = 11
HELPER_BIND: Final = 64
LICENSE: Final = b"Apache-2.0\0"
"""``bpf_bind`` asks for none in particular."""

Test = bytes | tuple[int, int, int]
"""An instruction, or a jump past the rest unless a register has a value: its code, the register, the value."""

LOOPBACK: Final = 127
IP4: Final = 4
IP6: Final = 8
"""Where ``struct bpf_sock_addr`` keeps the destination, in network order."""


def give(group: Path, address: str) -> None:
    """Connections of what runs in this group (v2) come from ``address`` from now on; ``OSError`` where they cannot."""
    own = ipaddress.IPv4Address(address).packed
    descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for hook, program in ((CONNECT4, _connect4(own)), (CONNECT6, _connect6(own))):
            loaded = _load(program, hook)
            try:
                _bpf(PROG_ATTACH, struct.pack("=IIII", descriptor, loaded, hook, ALLOW_MULTI))
            finally:
                os.close(loaded)  # The group keeps it.
    finally:
        os.close(descriptor)


def possible(group: Path) -> bool:
    """Found by trying, on a group in which nothing runs."""
    if sys.byteorder != "little" or platform.machine() not in SYSCALL:
        return False
    try:
        give(group, "127.0.0.1")
    except OSError:
        return False
    return True


# -- the programs -----------------------------------------------------------------------------------------------------

R0, R1, R2, R3, R6, STACK = 0, 1, 2, 3, 6, 10
MOV_VALUE, MOV, ADD_VALUE, AND_VALUE = 0xB7, 0xBF, 0x07, 0x57
LOAD_WORD, STORE_WORD = 0x61, 0x62
SKIP_UNLESS, SKIP_UNLESS_WORD, CALL, EXIT = 0x55, 0x56, 0x85, 0x95


def _connect4(own: bytes) -> bytes:
    address = struct.pack("<HH4s8x", 2, 0, own)  # struct sockaddr_in
    test: list[Test] = [_op(LOAD_WORD, R2, R6, IP4), _op(AND_VALUE, R2, value=0xFF), (SKIP_UNLESS, R2, LOOPBACK)]
    return _bound(test, address)


def _connect6(own: bytes) -> bytes:
    """For sockets of both families, which Java opens: an address of IPv4 as one of IPv6 (``::ffff:127.0.0.1``)."""
    address = struct.pack("<HHI10x2s4sI4x", 10, 0, 0, b"\xff\xff", own, 0)  # struct sockaddr_in6, and to eight bytes
    test: list[Test] = []
    for word, value in ((0, 0), (1, 0), (2, struct.unpack("<i", b"\0\0\xff\xff")[0])):
        # A word is loaded without a sign, and what it is compared with is given one: the upper half must not count.
        test += [_op(LOAD_WORD, R2, R6, IP6 + 4 * word), (SKIP_UNLESS_WORD, R2, value)]
    test += [_op(LOAD_WORD, R2, R6, IP6 + 12), _op(AND_VALUE, R2, value=0xFF), (SKIP_UNLESS, R2, LOOPBACK)]
    return _bound(test, address, length=28)


def _bound(test: list[Test], address: bytes, length: int = 16) -> bytes:
    """Where all tests hold: the address onto the stack, and ``bpf_bind``. The connection is allowed in any case."""
    bind = [
        _op(STORE_WORD, STACK, offset=at - len(address), value=struct.unpack_from("<i", address, at)[0])
        for at in range(0, len(address), 4)
    ]
    bind += [
        _op(MOV, R1, R6),
        _op(MOV, R2, STACK),
        _op(ADD_VALUE, R2, value=-len(address)),
        _op(MOV_VALUE, R3, value=length),
        _op(CALL, value=HELPER_BIND),
    ]
    allow = [_op(MOV_VALUE, R0, value=1), _op(EXIT)]
    program = [_op(MOV, R6, R1)]
    for number, each in enumerate(test):
        if isinstance(each, bytes):
            program.append(each)
        else:
            code, register, value = each
            program.append(_op(code, register, offset=len(test) - number - 1 + len(bind), value=value))
    return b"".join((*program, *bind, *allow))


def _op(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, to | source << 4, offset, value)


# -- the call ---------------------------------------------------------------------------------------------------------


def _load(program: bytes, hook: int) -> int:
    instructions, license_ = ctypes.create_string_buffer(program), ctypes.create_string_buffer(LICENSE)
    places = ctypes.addressof(instructions), ctypes.addressof(license_)
    # union bpf_attr: type, count, instructions, license, log (none), kernel version, flags, name, interface, hook
    words = struct.pack("=IIQQIIQII16sII", CGROUP_SOCK_ADDR, len(program) // 8, *places, 0, 0, 0, 0, 0, b"", 0, hook)
    return _bpf(PROG_LOAD, words)


def _bpf(command: int, attributes: bytes) -> int:
    words = ctypes.create_string_buffer(attributes, len(attributes))
    return linux.syscall(SYSCALL[platform.machine()], command, words, len(attributes), what="bpf")
