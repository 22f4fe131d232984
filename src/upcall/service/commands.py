"""Commands of a package's own: ``upcall queue topic create orders --partitions 6``.

An expert names them, and which action (or whose log) each is; what it takes, its types, bounds and help are those of
the action's arguments, so there is nothing to be said twice::

    commands = (
        Command("topic create", "create-topic", takes=("name",)),
        Command("topic delete", "delete-topic", takes=("name",), loses="all that is in it"),
        Command("logs", member="job-{name}", takes=("name",), about="Output of a job's driver."),
    )

What a command ``takes`` is given by its place; all other arguments are options (``--partitions 6``, ``--config
KEY=VALUE``). A package that names none has one for each of its actions.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from upcall.protocol.service import ActionSpec, BringSpec, CommandSpec


@dataclass(frozen=True)
class Brings:
    """An argument of an action that the command line makes of files and names of the person who types. What it makes of
    them is put as blobs; the action is told their SHA-256."""

    argument: str
    """Which argument of the action it is."""
    how: Literal["program", "files", "requirements", "jars"]
    """``program``: a text file is the argument itself; a folder with ``__main__.py``, or a wheel, is put, and the
    argument ``bundle`` is its SHA-256. ``files``: name of each file and its SHA-256. ``requirements``: files of Python
    requirements, resolved into a lock of the kind ``libraries``. ``jars``: Maven coordinates, resolved into a lock of
    the kind ``maven``."""
    option: str = ""
    """The option's name: ``file``; empty: it is given by its place."""
    beside: str = ""
    """Name of the package's artifact that is there anyway: what that has is not fetched again."""
    about: str = ""
    """Its help."""

    @property
    def spec(self) -> BringSpec:
        return BringSpec(argument=self.argument, how=self.how, option=self.option, beside=self.beside, about=self.about)


@dataclass(frozen=True)
class Command:
    """One command: its words, and what is done by it."""

    words: str
    """As they are typed after the service's name: ``topic create``."""
    action: str = ""
    """Which action it is."""
    member: str = ""
    """Instead of an action: whose log is shown, with the names of what it takes in braces: ``job-{name}``."""
    takes: tuple[str, ...] = ()
    """Arguments that are given by their places, in this order."""
    given: dict[str, Any] = field(default_factory=dict)
    """Arguments that the command gives by itself; nobody else can."""
    about: str = ""
    """Its help; empty: what the action says of itself."""
    reads: str = ""
    """The argument whose value is a text: on the command line it is the path of a file with it."""
    named_after_it: str = ""
    """The argument that is the name of that file where nobody gives it."""
    lines: str = ""
    """The argument that is a list of texts: where none is given, they are the lines of standard input."""
    prints: str = ""
    """Of each row of the result this alone, a line each; empty: a table."""
    loses: str = ""
    """What is gone for good by it: it is asked whether that is wanted, unless ``--yes`` says so."""
    brings: tuple[Brings, ...] = ()
    """Arguments that are made of the person's own files."""
    stream: Literal["both", "stdout", "stderr"] = "both"
    """Of a log: where the member's own output is, and not its system's log, which ``--all`` shows too."""

    def spec(self, actions: dict[str, ActionSpec]) -> CommandSpec:
        """Raises ``TypeError`` where it is of no action of the service, or of an argument that the action has not."""
        if bool(self.action) == bool(self.member):
            raise TypeError(f"command {self.words!r} is of an action or of a member's log: one of the two")
        if not self.words or self.words != " ".join(self.words.split()):
            raise TypeError(f"command {self.words!r}: words with one space between")
        if self.action and self.action not in actions:
            raise TypeError(f"command {self.words!r} names the action {self.action!r}, which is none of the service")
        if self.action:
            known = actions[self.action].arguments.get("properties", {})
            named = (*self.takes, *self.given, self.reads, self.named_after_it, self.lines)
            named = (*named, *(each.argument for each in self.brings))
            if unknown := [each for each in named if each and each not in known]:
                raise TypeError(f"command {self.words!r}: {self.action} has no argument {unknown[0]!r}")
        return CommandSpec(
            words=self.words, action=self.action, member=self.member, takes=self.takes, given=self.given,
            about=self.about, reads=self.reads, named_after_it=self.named_after_it, lines=self.lines,
            prints=self.prints, loses=self.loses, brings=tuple(each.spec for each in self.brings), stream=self.stream,
        )  # fmt: skip


def specs_of(commands: tuple[Command, ...], actions: dict[str, ActionSpec]) -> tuple[CommandSpec, ...]:
    """Raises ``TypeError`` also where two have the same words, or one's words begin another's."""
    found = tuple(each.spec(actions) for each in commands)
    words = sorted(each.words for each in found)
    for one, next_one in pairwise(words):
        if one == next_one or next_one.startswith(f"{one} "):
            raise TypeError(f"commands {one!r} and {next_one!r}: the first is a command, so it has none below it")
    return found
