"""A service whose members write down, outside of all that is ours, when they begin and when they are told to end."""

from upcall.protocol.declaration import Check, Declaration
from upcall.service import Field, Member, Operation, Pod, Service, ServiceOptions, Verdict, replace

PROGRAM = """
import signal, sys

def say(what):
    with open(sys.argv[1], "a") as book:
        book.write(sys.argv[2] + " " + what + chr(10))

def told(number, frame):
    say("told to end")
    sys.exit(0)

signal.signal(signal.SIGTERM, told)
say("begins")
open("well", "w").close()
while True:
    signal.pause()
"""


class Witness(Service):
    """Is well as long as a file of that name is in its sandbox."""

    class Options(ServiceOptions):
        count: int = Field(3, ge=1, le=9)
        book: str

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("w", count=self.options.count)]

    def task(self, member: Member) -> Declaration:
        well = Check(exec=("test", "-e", "well"), interval_s=0.5, failures=1)
        return Declaration(
            command=("{{python}}", "-c", PROGRAM, self.options.book, f"witness.{member.name}.{{{{incarnation}}}}"),
            ready=well,
            health=well,
            grace_s=20.0,
        )

    async def on_lost(self, member: Member, why: Operation) -> Verdict:
        return replace("it has no data: a node that does not answer is not waited for")
