"""Short ways to say nodes, needs and inputs in the kernel's tests."""

from typing import Any

import msgspec

from upcall.kernel import records as kr
from upcall.kernel.events import Effect, Refused, Register, Reserve, Reserved, Write
from upcall.kernel.kernel import Kernel
from upcall.kernel.resources import Resources

TYPES: dict[str, Any] = {
    kr.NODE: kr.NodeRecord,
    kr.RESERVATION: kr.Reservation,
    kr.COMING: kr.Reservation,
    kr.LEFT: kr.LeftVolumes,
    kr.ADDRESSES: int,
}


def amount(memory_mib: int, cpus: float = 0.1, disk_mib: int = 0) -> Resources:
    return Resources({"cpus": int(cpus * 1000), "memory_mib": memory_mib * 1000, "disk_mib": disk_mib * 1000})


def need(memory_mib: int, volume_mib: int = 0, **more: Any) -> kr.Need:
    volumes = (kr.Volume("data", volume_mib),) if volume_mib else ()
    return kr.Need(amount(memory_mib), volumes, **more)


def node(name: str, memory_mib: int = 4096, zone: str = "", disk_mib: int = 100_000, **attributes: str) -> Register:
    zones = {"zone": zone} if zone else {}
    return Register(name, amount(memory_mib, 8.0, disk_mib), {**zones, **attributes})


def cluster(*nodes: Register, liveness_s: float = 15.0) -> Kernel:
    kernel = Kernel("127.40.8", liveness_s)
    for each in nodes:
        kernel.handle(each, 0.0)
    return kernel


def reserve(kernel: Kernel, service: str = "s", now_s: float = 1.0, **needs: kr.Need) -> dict[str, str] | str:
    """Member -> node, or the reason."""
    return reserve_all(kernel, {member.replace("_", "-"): one for member, one in needs.items()}, service, now_s)


def reserve_all(
    kernel: Kernel, needs: dict[str, kr.Need], service: str = "s", now_s: float = 1.0
) -> dict[str, str] | str:
    return placed(kernel.handle(Reserve(service, needs), now_s))


def placed(effects: list[Effect]) -> dict[str, str] | str:
    for effect in effects:
        if isinstance(effect, Refused):
            return effect.reason
    return {e.member_id.partition(".")[2]: e.node for e in effects if isinstance(e, Reserved)}


def apply(records: dict[tuple[str, str], Any], effects: list[Effect], count: int | None = None) -> None:
    """Writes the first ``count`` records of ``effects``, through JSON as the store does."""
    writes = [effect for effect in effects if isinstance(effect, Write)]
    for write in writes[:count]:
        if write.value is None:
            records.pop((write.kind, write.key), None)
        else:
            records[write.kind, write.key] = msgspec.json.encode(write.value)


def load(records: dict[tuple[str, str], Any], liveness_s: float = 15.0) -> Kernel:
    decoded = [(kind, key, msgspec.json.decode(value, type=TYPES[kind])) for (kind, key), value in records.items()]
    return Kernel("127.40.8", liveness_s, decoded)


def registered(each: Register, *volumes: tuple[str, str, int]) -> Register:
    return Register(each.node, each.total, each.attributes, volumes)


def replace_member(kernel: Kernel, member: str, place: int, **more: Any) -> list[Effect]:
    return kernel.handle(Reserve("s", {member: need(100, 50, **more)}, {member: place}), 1.0)
