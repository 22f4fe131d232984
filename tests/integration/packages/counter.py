"""A service with data: each start appends a line to a file in the member's volume, which it then serves."""

from upcall.protocol.declaration import Check, Declaration, Port, Secret, Volume
from upcall.service import Field, Member, Pod, Service, ServiceOptions

SERVE = (
    "echo {{incarnation}} >> {{volume.data}}/starts && cat {{secret.key}} > {{volume.data}}/seen"
    " && exec {{python}} -m http.server {{port.http}} --bind {{address}} -d {{volume.data}}"
)


class Counter(Service):
    """Counts its starts on a volume; is shown a secret."""

    class Options(ServiceOptions):
        count: int = Field(2, ge=1, le=9)

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("member", count=self.options.count)]

    def task(self, member: Member) -> Declaration:
        return Declaration(
            command=("sh", "-c", SERVE),
            volumes=(Volume(name="data", size_mib=1),),
            secrets=(Secret(name="key", ref=f"{self.name}.key"),),
            ports=(Port(name="http", number=8080),),
            ready=Check(http="http/starts"),
            grace_s=5.0,
        )
