"""Members: the service's own tasks, as last observed.

A member is a name that lasts (``broker-2``); what runs under it at the moment is its incarnation. A :class:`Member` is
a snapshot: it does not change under the expert's hands; the next call gets a newer one.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from upcall.protocol import service as wire
from upcall.protocol.errors import UpcallError
from upcall.protocol.last_words import LINES_MAX, cause
from upcall.protocol.programs import program

WHY_CHARS_MAX: Final = 300
"""Of the line that says why a tool failed, in its error."""

Runner = Callable[[wire.RunTool], Awaitable[wire.ToolResult]]


class ToolFailed(UpcallError):
    """A one-shot tool ended with a code that was not expected."""

    code = "tool_failed"

    def __init__(self, member: str, command: Sequence[str], result: wire.ToolResult) -> None:
        why = cause([text.splitlines()[-LINES_MAX:] for text in (result.error, result.output)])
        words = f"{program(command)} ended with {result.code}"
        super().__init__(f"{words}: {why[:WHY_CHARS_MAX]}" if why else words, where=member)
        self.result = result


async def _nowhere(_tool: wire.RunTool) -> wire.ToolResult:
    raise RuntimeError("this member is a plain value: tools run only in a service that a host runs")


@dataclass(frozen=True)
class Member:
    """One member of the service."""

    name: str
    pod: str = ""
    """Empty: a member that no pod names any more."""
    index: int = -1
    """Its number in its pod, from 0."""
    seen: wire.Member = field(default_factory=lambda: wire.Member(name=""))
    """What was last observed of it."""
    peers: tuple[str, ...] = ()
    """Names of the other members of its pod."""
    replacing: bool = False
    """Only while its declaration is made: the one for a place after the first, where volumes are empty and
    ``{{replaced.address}}`` is the address that the member had at the place before."""
    _runner: Runner = field(default=_nowhere, repr=False, compare=False)

    @property
    def ready(self) -> bool:
        """As a process; see :attr:`back`."""
        return self.seen.state == "ready"

    @property
    def filling(self) -> tuple[wire.DiskUse, ...]:
        """What of its disk is nearly full."""
        return self.seen.filling

    @property
    def back(self) -> bool:
        """Ready, and its ``after_ready`` has returned: it counts again."""
        return self.ready and self.seen.back

    @property
    def state(self) -> str:
        return self.seen.state

    @property
    def incarnation(self) -> int:
        return self.seen.incarnation

    @property
    def task(self) -> str:
        """Name of the incarnation, as ``counts_on`` wants it: ``broker-2.7``."""
        return f"{self.name}.{self.seen.incarnation}"

    @property
    def without_data(self) -> bool:
        """It has ended, and was not started: the volumes that it served with are not there, but other folders (those
        that are declared with ``holds_data``)."""
        return self.seen.without_data

    @property
    def started(self) -> bool:
        """Whether it was ever started at its place: it may have data, and starting it again takes nothing away."""
        return self.seen.starts > 0

    @property
    def ended_times(self) -> int:
        """How often it ended by itself in short succession, while that goes on: from the second time on. How it ended
        the last time is in ``seen``: ``exit_code``, ``exit_reason``, ``last_lines``."""
        return self.seen.ended_times

    @property
    def behind(self) -> bool:
        """It is told something newer than what its next start gets: its turn in an update has not come."""
        return self.seen.behind

    @property
    def placed(self) -> bool:
        return bool(self.seen.node) or self.started

    @property
    def place(self) -> int:
        """1, and one more each time that it was replaced."""
        return self.seen.place

    @property
    def role(self) -> wire.Role:
        """``founding``, ``joining`` or ``replacing``: whether it begins with the others, comes to others that have
        data, or takes the place of what it was itself. Place 1 is not the first day."""
        return "replacing" if self.replacing else self.seen.role

    @property
    def taken_back(self) -> bool:
        """It began at its place with volumes of before: those of the life before, where the service was installed
        again, or some that had been set aside and that a person gave it back."""
        return self.seen.taken_back

    @property
    def address(self) -> str:
        return self.seen.address

    @property
    def node(self) -> str:
        """Name of its node; empty until it has a place. Who shares one goes with it. In a declaration: ``{{node}}``."""
        return self.seen.node

    @property
    def zone(self) -> str:
        """Zone of its node; empty until it has a place. In a declaration write ``{{zone}}``."""
        return self.seen.zone

    def at(self, port: str) -> str:
        """``host:port`` for a client in the host process; empty while the member has no address."""
        number = self.seen.ports.get(port)
        return f"{self.seen.address}:{number}" if self.seen.address and number else ""

    async def run(
        self,
        command: Sequence[str],
        *,
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        input: str = "",
        codes: tuple[int, ...] = (0,),
    ) -> wire.ToolResult:
        """Runs a one-shot tool beside the member, with its artifacts, environment, volumes and address.

        Raises :class:`ToolFailed` when its exit code is not one of ``codes`` (``()``: any code will do).
        """
        tool = wire.RunTool(
            member=self.name, command=tuple(command), timeout_s=timeout_s, env=dict(env or {}), input=input
        )
        result = await self._runner(tool)
        if codes and result.code not in codes:
            raise ToolFailed(self.name, command, result)
        return result

    def __str__(self) -> str:
        return self.name


class MemberSet:
    """All members, in the order of their pods: to go through, or one by its name (``members["web-0"]``)."""

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self._members = {member.name: member for member in members}

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __contains__(self, member: Member | str) -> bool:
        """By its name too."""
        return str(member) in self._members

    def __len__(self) -> int:
        return len(self._members)

    def get(self, name: str) -> Member | None:
        return self._members.get(name)

    def values(self) -> list[Member]:
        """As a list, which stays as it is."""
        return list(self._members.values())

    def items(self) -> list[tuple[str, Member]]:
        return list(self._members.items())

    @property
    def ready(self) -> list[Member]:
        return [member for member in self._members.values() if member.ready]

    def of(self, pod: str) -> list[Member]:
        """The members of one pod."""
        return [member for member in self._members.values() if member.pod == pod]

    def there(self, pod: str) -> list[Member]:
        """Those of them that were ever started. What an update is still to bring is in the pod, and has nothing yet;
        who is to leave is in no pod any more, and takes nothing more. Options say what is wanted: count these."""
        return [member for member in self.of(pod) if member.incarnation]

    def away(self, pod: str) -> list[str]:
        """Names of those of it that do not count: not ready, or not :attr:`Member.back`."""
        return [member.name for member in self.of(pod) if not member.back]

    def back(self, pod: str) -> list[Member]:
        return [member for member in self.of(pod) if member.back]

    def without(self, member: Member | str) -> list[Member]:
        """All but this one."""
        return [other for name, other in self._members.items() if name != str(member)]

    def __repr__(self) -> str:
        return f"MemberSet({', '.join(f'{m.name}: {m.state}' for m in self._members.values())})"
