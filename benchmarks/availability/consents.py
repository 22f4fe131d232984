"""Kafka whose consent is that of another way: the same brokers, the same plans, another answer to the same question.

This file is installed as a service of a user's own, beside the catalog's files of Kafka; ``upcall update kafka --set
way=readiness`` changes the way, and touches no broker.

The probe of ``readiness`` and ``operator`` is the one that Strimzi ships for its brokers: first after 15 s, then every
10 s, which is Kubernetes' own period. ``operator`` goes as its roller does: never while the live in-sync sets
forbid it, and the active controller last of all that go, so that one is elected once.
"""

import asyncio
import math
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from upcall.catalog.kafka import quorum
from upcall.catalog.kafka.brokers import node_id
from upcall.catalog.kafka.config import tool_command
from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.service import Kafka
from upcall.service import Field, Member, Operation, Policy, Update, Verdict, accept, defer

BLIND_PAUSE_S = 20.0
"""From one to the next. Longer than a broker's start and its catching up, on a machine that is not busy."""
PROBE_DELAY_S = 15.0
PROBE_PERIOD_S = 10.0
ASK_AGAIN_S = 0.5
USUAL_START_S = 8.0
"""Of a broker that nobody saw start."""
LEADER = re.compile(r"^LeaderId:\s*(\d+)\s*$", re.MULTILINE)
"""Of the controllers, in what Kafka's own tool says of the quorum."""
LEADER_S = 5.0
LEADER_LATE = defer("who leads the controllers is being asked", retry_after=ASK_AGAIN_S)
DESCRIBE = tool_command(
    quorum.TOOL, *quorum.CONFIG, "--bootstrap-server", "{{address}}:{{port.client}}", "describe", "--status"
)


class PlayedOptions(KafkaOptions):
    way: Literal["blind", "readiness", "operator", "upcalls"] = Field("upcalls", description="whose consent it has")


class Played(Kafka):
    """Kafka, by the consent of one of four ways."""

    package = "kafka-played"
    options: PlayedOptions
    _last_s = -math.inf
    _chosen = ""
    """Operation that the pause let go last."""
    _launched: dict[tuple[str, int], float]
    """Broker and incarnation -> when it was first seen."""
    _ready: dict[tuple[str, int], float]
    _active: tuple[str, int] | None = None
    """The active controller, and its incarnation: it stays that one until it is stopped."""
    _asking: asyncio.Task[int] | None = None

    @property
    def settle_s(self) -> float:  # type: ignore[override]
        return Kafka.settle_s if self.options.way == "upcalls" else 0.0

    async def on_start(self) -> None:
        self._launched, self._ready = {}, {}
        await super().on_start()

    def policy(self) -> Policy:
        """``readiness``: a budget of one. The roller of ``operator`` is not held by that, ``blind`` by nothing."""
        brokers = self.options.brokers
        least = {"blind": 0, "readiness": brokers - 1, "operator": 0}
        usual = super().policy()
        return msgspec.structs.replace(usual, minimum=least.get(self.options.way, usual.minimum))

    async def answer_set(self, operations: tuple[Operation, ...]) -> Mapping[str, Verdict]:
        if self.options.way != "blind":
            return await super().answer_set(operations)
        taking = [op for op in operations if op.member and op.kind in ("stop", "restart", "scale_in")]
        others = tuple(op for op in operations if op not in taking)
        found = dict(await super().answer_set(others)) if others else {}
        for op in taking:
            found[op.id] = self._after_a_pause(op)
        return found

    def _after_a_pause(self, operation: Operation) -> Verdict:
        now_s = self._now_s()
        if operation.id == self._chosen:
            return accept()
        if now_s < self._last_s + BLIND_PAUSE_S:
            left_s = self._last_s + BLIND_PAUSE_S - now_s
            return defer("a pause after the one before", retry_after=max(ASK_AGAIN_S, left_s))
        self._last_s, self._chosen = now_s, operation.id
        return accept()

    async def may_stop(self, broker: Member, why: Operation) -> Verdict:
        if self.options.way == "upcalls":
            return await super().may_stop(broker, why)
        away = [other.name for other in self.members.without(broker) if not self._probe(other)]
        if self.options.way == "operator":
            # One whose machine is away is not what it waits for: what counts is what the stop would cost.
            away = [name for name in away if self.members[name].state != "lost"]
        if away:
            return defer(f"{', '.join(away)} not ready by the probe", retry_after=ASK_AGAIN_S)
        if self.options.way == "readiness":
            return accept()
        verdict = await Kafka.may_stop_together(self, (broker,), why)
        if verdict.takes_away and self._others_wait(why):
            active = await self._active_controller()
            if active is None:
                return LEADER_LATE
            if broker.name == active:
                return defer("it is the active controller: after all others", retry_after=ASK_AGAIN_S)
        return verdict

    def _others_wait(self, why: Operation) -> bool:
        """Whether others than this one are still to go for the same reason."""
        return any(
            (each.kind, each.parent, each.state) == (why.kind, why.parent, "open") and each.member != why.member
            for each in self.operations
        )

    async def _active_controller(self) -> str | None:
        """None: it is not known yet. Kafka's tool says it, and starts a JVM for it: what is late is heard next time."""
        known = self._active
        now = self.members.get(known[0]) if known else None
        if known is not None and now is not None and now.ready and now.incarnation == known[1]:
            return known[0]
        if self._asking is None:
            self._asking = asyncio.create_task(self.leader())
        await asyncio.wait({self._asking}, timeout=LEADER_S)
        if not self._asking.done():
            return None
        done, self._asking = self._asking, None
        leader = done.result()
        found = next((each for each in self.members.of("broker") if node_id(each) == leader), None)
        self._active = (found.name, found.incarnation) if found is not None else None
        return self._active[0] if self._active is not None else None

    async def leader(self) -> int:
        """Node id of the active controller: the leader of the controllers' quorum."""
        said = (await self.beside().run(DESCRIBE, timeout_s=quorum.TOOL_TIMEOUT_S)).output
        found = LEADER.search(said)
        return int(found[1]) if found else 0

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        if self.options.way == "operator" and await self._active_controller() is None:
            return LEADER_LATE  # It is known when the first one is chosen.
        return await super().may_update(update, why)

    def canary(self, members: list[Member]) -> Member:
        """The first one of an update is any but the active controller."""
        active = self._active[0] if self.options.way == "operator" and self._active is not None else ""
        return super().canary([each for each in members if each.name != active] or members)

    async def may_stop_together(self, brokers: tuple[Member, ...], why: Operation) -> Verdict:
        if self.options.way == "upcalls" or len(brokers) == 1:
            return await super().may_stop_together(brokers, why)
        return defer("one at a time")

    async def may_restart(self, broker: Member, why: Operation) -> Verdict:
        return await (super().may_restart(broker, why) if self.options.way == "upcalls" else self.may_stop(broker, why))

    async def may_scale_in(self, broker: Member, why: Operation) -> Verdict:
        if self.options.way in ("upcalls", "operator"):
            return await super().may_scale_in(broker, why)
        return accept() if self.options.way == "blind" else await self.may_stop(broker, why)

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        return await super().may_go_on(canary, why) if self.options.way == "upcalls" else accept()

    async def after_ready(self, broker: Member) -> None:
        await super().after_ready(broker)
        self._ready.setdefault((broker.name, broker.incarnation), self._now_s())

    def _probe(self, broker: Member) -> bool:
        """Whether a probe that began with the broker's process has found it ready by now."""
        one = broker.name, broker.incarnation
        if not broker.ready:
            self._launched.setdefault(one, self._now_s())
            return False
        ready_s = self._ready.get(one)
        if ready_s is None:
            return broker.back  # It was ready before this code was there.
        launched_s = self._launched.get(one, ready_s - USUAL_START_S)
        periods = max(0, math.ceil((ready_s - launched_s - PROBE_DELAY_S) / PROBE_PERIOD_S))
        return self._now_s() >= launched_s + PROBE_DELAY_S + periods * PROBE_PERIOD_S

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()
