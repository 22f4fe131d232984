"""A node whose agent is played: what it is told to run runs at once, and outlives the master."""

import msgspec

from upcall.master.driver import Driver
from upcall.protocol import agent as wire
from upcall.protocol.versions import WIRE
from upcall.substrate.interface import Send


class PlayedNode:
    def __init__(self, name: str, *, memory_mib: int = 4096, cpus: float = 4) -> None:
        self.name, self.memory_mib, self.cpus = name, memory_mib, cpus
        self.tasks: dict[str, wire.TaskStatus] = {}
        self.started: list[tuple[str, int]] = []
        """Task and generation of each process that was started."""
        self._said = 0
        self._core: Driver | None = None

    def join(self, core: Driver) -> None:
        """Registers, and again whenever the master has read its records anew."""
        self._core = core
        listener = core.listener
        pass_on, again = listener.send, core.on_reload

        def send(sent: Send) -> None:
            if sent.node == self.name:
                self._take(sent.message)
            else:
                pass_on(sent)

        def on_reload() -> None:
            again()
            self.register()

        listener.send = send  # type: ignore[method-assign, assignment]
        core.on_reload = on_reload
        self.register()

    def register(self) -> None:
        self._say(
            wire.Register(
                node=self.name,
                wire=WIRE,
                boot="1",
                cpus=self.cpus,
                memory_mib=self.memory_mib,
                disk_mib=40_000,
                attributes={"zone": "a"},
                tasks=tuple(self.tasks.values()),
            )
        )

    def running(self) -> list[str]:
        return sorted(name for name, status in self.tasks.items() if status.state == "ready")

    def _take(self, message: wire.ToAgent) -> None:
        if isinstance(message, wire.Launch):
            before = self.tasks.get(message.task)
            if before is None or before.state == "ended" or before.generation != message.generation:
                # As the agent does: another generation of what runs is launched anew.
                self.started.append((message.task, message.generation))
                self._becomes(
                    wire.TaskStatus(
                        task=message.task, state="ready", generation=message.generation, fence=message.fence
                    )
                )
        elif isinstance(message, wire.End) and message.task in self.tasks:
            self._becomes(msgspec.structs.replace(self.tasks[message.task], state="ended", exit=wire.TaskExit(code=0)))

    def _becomes(self, status: wire.TaskStatus) -> None:
        self.tasks[status.task] = status
        self._said += 1
        self._say(wire.Status(number=self._said, status=status))

    def _say(self, message: wire.FromAgent) -> None:
        core = self._core
        assert core is not None
        core.post(lambda tx: tx.substrate(core.substrate.agent(self.name, message, tx.now_s)))  # type: ignore[attr-defined]
