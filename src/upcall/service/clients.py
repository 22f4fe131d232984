"""How a service's clients connect: what ``upcall endpoints SERVICE`` prints and works as it stands, and the shell that
``upcall connect SERVICE`` opens::

    clients = (
        Client("Java", "client", text="new Reader(\"{{folder}}/client.properties\")",
               files={"client.properties": "bootstrap.servers={{addresses}}\\n{{login}}password={{password}}\\n"}),
    )

A password never stands on a command line or on a screen: what is printed names files, which are written for their owner
alone. Names in braces are replaced:

    {{addresses}}  host:port of all, with commas      {{hosts}}   the hosts, as a list of JSON
    {{host}} {{port}}  of the first                   {{user}} {{password}}  whom a client logs in as
    {{folder}}     where the files lie                {{python}}  the Python that upcall runs in
    {{version}}    of the package, so of its system
    {{artifact.NAME.PROPERTY}}  in a shell's command: what the package's own tasks run, from the cache
    {{login}}      nothing; a line with it, or with the user or the password, is left out where nobody is asked
"""

from dataclasses import dataclass, field

from upcall.protocol.service import ClientSpec


@dataclass(frozen=True)
class Client:
    """One way to connect."""

    name: str
    """Which client it is, as people know it: ``Python``, ``Java``."""
    endpoint: str
    """Where it connects."""
    text: str
    """What is typed, or stands in a program."""
    files: dict[str, str] = field(default_factory=dict)
    """What that reads: name and text of each, written for its owner alone."""
    shell: tuple[str, ...] = ()
    """The command that ``upcall connect`` starts; empty: it is no shell."""

    @property
    def spec(self) -> ClientSpec:
        return ClientSpec(name=self.name, endpoint=self.endpoint, text=self.text, files=self.files, shell=self.shell)
