"""A name server that knows the pods: what a cluster's DNS says of those that have a host name and a subdomain; and of a
Service with a selector the pod behind it, for there is nobody who would lead its own address there."""

import asyncio
import struct
from typing import Final, cast

from upcall.substrate.kubernetes.client.kinds import Object

PORT: Final = 53
SUFFIX: Final = ".cluster.local"
ADDRESS: Final = 1
"""The kind of question that has an answer."""
FOR_S: Final = 1
NO_SUCH_NAME: Final = 3


class Names(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.known: dict[str, tuple[str, str]] = {}
        """Name -> address and the pod's uid."""
        self.services: dict[str, Object] = {}
        """By uid."""
        self._ready: dict[str, Object] = {}

    def take(self, pod: Object) -> None:
        spec, status, meta = pod["spec"], pod.get("status", {}), pod["metadata"]
        if any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ()):
            self._ready[meta["uid"]] = pod
        else:
            self._ready.pop(meta["uid"], None)
        if not spec.get("subdomain"):
            return
        name = f"{spec['hostname']}.{spec['subdomain']}.{meta['namespace']}.svc"
        if status.get("podIP") and status.get("phase") not in ("Succeeded", "Failed"):
            self.known[name] = (status["podIP"], meta["uid"])
        else:
            self.forget(meta["uid"])

    def _behind(self, name: str) -> tuple[str, str] | None:
        for service in self.services.values():
            meta, selector = service["metadata"], service["spec"].get("selector") or {}
            if name != f"{meta['name']}.{meta['namespace']}.svc" or not selector:
                continue
            for uid, pod in self._ready.items():
                labels = pod["metadata"].get("labels") or {}
                if pod["metadata"]["namespace"] == meta["namespace"] and selector.items() <= labels.items():
                    return pod["status"]["podIP"], uid
        return None

    def forget(self, uid: str) -> None:
        self._ready.pop(uid, None)
        self.known = {name: found for name, found in self.known.items() if found[1] != uid}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self.answer(data), addr)

    def answer(self, data: bytes) -> bytes:
        name, end = _name(data, 12)
        kind = struct.unpack_from("!H", data, end)[0]
        plain = name.lower().removesuffix(SUFFIX)
        found = self.known.get(plain) or self._behind(plain)
        answers = b""
        if found is not None and kind == ADDRESS:
            # The name is that of the question, which stands behind the header.
            answers = struct.pack("!HHHIH", 0xC00C, ADDRESS, 1, FOR_S, 4) + bytes(map(int, found[0].split(".")))
        # An answer, by who is in charge; recursion was wanted or not, and is available.
        flags = 0x8480 | struct.unpack_from("!H", data, 2)[0] & 0x0100 | (0 if found else NO_SUCH_NAME)
        header = data[:2] + struct.pack("!HHHHH", flags, 1, 1 if answers else 0, 0, 0)
        return header + data[12 : end + 4] + answers


def _name(data: bytes, at: int) -> tuple[str, int]:
    """And where it ends."""
    words = []
    while length := data[at]:
        words.append(data[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(words), at + 1
