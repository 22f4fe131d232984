"""A service of a few lines that really runs: what a person reads of it, asks of it and does to it is seen in pods."""

from pathlib import Path

import upcall.service as up

PROGRAM = """
import http.server, os, sys
volume, greeting = sys.argv[1], open(sys.argv[2]).read()
with open(f"{volume}/lives", "a") as lives:
    lives.write("x")
print("it begins:", greeting, flush=True)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        well = not os.path.exists(f"{volume}/ill")
        self.send_response(200 if well else 500)
        self.end_headers()
        self.wfile.write(open(f"{volume}/lives").read().encode())
    def log_message(self, *words):
        pass
address, port = sys.argv[3].rsplit(":", 1)
http.server.ThreadingHTTPServer((address, int(port)), Answer).serve_forever()
"""


class Small(up.Service):
    """Says hello, and remembers how often it began."""

    class Options(up.ServiceOptions):
        count: up.Annotated[int, up.size("part")] = up.Field(2, ge=1, le=9, description="how many parts")
        busy: str = up.Field("", description="a file: while it is there, nothing may go")

    options: Options

    def pods(self) -> list[up.Pod]:
        return [up.Pod("part", count=self.options.count)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(
            command=(
                "{{python}}",
                "-u",
                "program.py",
                "{{volume.data}}",
                "{{secret.word}}",
                "{{address}}:{{port.http}}",
            ),
            files=(up.File(path="program.py", text=PROGRAM, verbatim=True),),
            secrets=(up.Secret(name="word", ref=self.own_secret("word")),),
            ports=(up.Port(name="http", number=8080),),
            volumes=(up.Volume(name="data", size_mib=10),),
            prepare=(
                (
                    "{{python}}",
                    "-c",
                    "import sys; open(sys.argv[1] + '/prepared', 'a').write('once')",
                    "{{volume.data}}",
                ),
            ),
            ready=up.Check(http="http/"),
            health=up.Check(http="http/", interval_s=0.5, failures=2),
            resources=up.Resources(cpus=0.1, memory_mib=64),
            constraints=up.Constraints(apart="host"),
            grace_s=10,
        )

    @up.action
    async def lives(self, member: str) -> str:
        """How often a part began, asked by a tool beside it."""
        found = self.members[member]
        return (await found.run(("cat", "{{volume.data}}/lives"))).output

    async def may_stop(self, member: up.Member, why: up.Operation) -> up.Verdict:
        if self.options.busy and Path(self.options.busy).exists():
            return up.defer("6 parts would have a single copy", progress=0.25)
        return up.accept()

    async def leave(self, member: up.Member | None, why: up.Operation) -> None:
        """How often a part began is nobody's loss: nothing is moved, and it may go for good."""
