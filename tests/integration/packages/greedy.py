"""Wants what it is told to want."""

from upcall.protocol.declaration import Check, Declaration, Port, Resources
from upcall.service import Field, Member, Pod, Service, ServiceOptions


class Greedy(Service):
    """Wants what it is told to want, and runs a command."""

    class Options(ServiceOptions):
        count: int = Field(1, ge=1, le=9)
        cpus: float = Field(0.1, gt=0)
        memory_mib: int = Field(64, gt=0)
        disk_mib: int = Field(0, ge=0)
        command: str = "exec sleep 100000"
        port: int = Field(18347, ge=1, le=65535)

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("member", count=self.options.count)]

    def task(self, member: Member) -> Declaration:
        wanted = self.options
        return Declaration(
            command=("sh", "-c", wanted.command),
            ports=(Port(name="main", number=wanted.port),),
            resources=Resources(cpus=wanted.cpus, memory_mib=wanted.memory_mib, disk_mib=wanted.disk_mib),
            ready=Check(tcp="main"),
        )
