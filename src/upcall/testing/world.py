"""A whole small world in virtual time: the master's cores on a simulated cluster, a clock, and scripted services.

How it is driven, and how it can die, is in :mod:`upcall.testing.driver`. Tests of the operations and of the SDK share
it.
"""

from collections.abc import Callable, Sequence
from typing import Final

from upcall.master.transaction import Transaction
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.records import Policy, Restart
from upcall.operations.views import PendingSet
from upcall.testing.driver import VirtualDriver

STEPS_MAX: Final = 100_000

Script = Callable[[PendingSet], dict[str, given.Answer]]
"""What a service answers when it is shown its set; empty: nothing."""


class World(VirtualDriver):
    """The cores, virtual time, and services that answer by a script."""

    def prepare(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.watchers: list[Callable[[World, fx.Effect], None]] = []
        self._answering: dict[str, bool] = {}

    def first(self, tx: Transaction) -> None:
        super().first(tx)
        for service in self.scripts:
            tx.ledger(given.HostSubscribed(service=service))

    def die(self) -> None:
        super().die()
        self._answering.clear()

    def saw(self, effect: fx.Effect) -> None:
        super().saw(effect)
        if isinstance(effect, fx.Show):
            self._answering[effect.service] = True
        for watch in self.watchers:
            watch(self, effect)

    # -- services ---------------------------------------------------------------------------------------------------

    def host(self, service: str, script: Script) -> None:
        """A service whose host is up and answers by a script whenever it is shown its set."""
        self.scripts[service] = script
        self.send(given.HostSubscribed(service=service))
        self.answer()

    def answer(self) -> None:
        """Lets every service that was shown its set answer it, until nobody has anything to say."""
        for _ in range(STEPS_MAX):
            waiting = sorted(s for s, shown in self._answering.items() if shown and s in self.scripts)
            if not waiting:
                return
            service = waiting[0]
            self._answering[service] = False
            pending = self.ledger.pending(service)
            answers = self.scripts[service](pending)
            if answers:
                self.send(given.Answers(service=service, epoch=pending.epoch, answers=answers))
        raise AssertionError("services and ledger keep talking for ever")

    # -- time -------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Lets virtual time pass, from deadline to deadline."""
        until_s = self.now_s + seconds
        self.answer()
        for _ in range(STEPS_MAX):
            due_s = self.deadline()
            if due_s is None or due_s > until_s:
                break
            self.now_s = max(self.now_s, due_s)
            self.survive(self.tick)
            self.answer()
        else:
            raise AssertionError("virtual time does not pass: a deadline is set again and again")
        self.now_s = until_s

    def sleep(self, seconds: float) -> None:
        """The machine is suspended: time passes for every clock, nothing else does."""
        self.now_s += seconds
        self.send(given.ClockJumped(slept_s=seconds))

    # -- the usual beginning ----------------------------------------------------------------------------------------

    def install(
        self,
        service: str,
        members: Sequence[str],
        *,
        minimum: int = 0,
        stateful: bool = True,
        needs: tuple[str, ...] = (),
        policy: Policy | None = None,
        restart: Restart = "always",
        restarts_max: int = 0,
        hooks: bool = False,
        two_at_once: bool = False,
    ) -> None:
        """Declares a service with its members and starts them; time must pass until they are ready."""
        self.send(
            given.DeclareService(
                name=service, minimum=minimum, stateful=stateful, needs=needs, policy=policy or Policy()
            )
        )
        declared = tuple(
            given.MemberDeclaration(
                name=name,
                restart=restart,
                restarts_max=restarts_max,
                hooks=hooks,
                portable=two_at_once,
                two_at_once=two_at_once,
            )
            for name in members
        )
        self.send(given.DeclareMembers(service=service, members=declared))
        self.send(given.StartMembers(service=service, members=tuple(members)))

    def ready(self, service: str) -> list[str]:
        """Members that really are ready, whatever the ledger knows."""
        return [m.name for m in self.ledger.members(service) if m.status == "ready"]
