"""Moves of replicas are carried out in three steps, to their end or back, whatever dies in between. On brokers that are
played: they take a reassignment as Kafka's own tool says it, and copy at once or not at all."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException

from upcall.catalog.kafka import admin, moves, moving
from upcall.catalog.kafka.partitions import Partition

WAS = {"t-0": [1, 2, 3], "t-1": [2, 3, 1]}


class Died(Exception):
    """The host, at a point that a test chooses."""


class Brokers:
    """Four of them, and the service's own memory."""

    def __init__(self) -> None:
        self.replicas = {name: list(now) for name, now in WAS.items()}
        self.in_sync = {name: list(now) for name, now in WAS.items()}
        self.leads = {name: now[0] for name, now in WAS.items()}
        self.throttled: set[str] = set()
        self.copies = True
        self.calls = self.sized = 0
        self.dies_at = -1
        self.said: list[tuple[str, float | None]] = []
        self.slow: asyncio.Event | None = None
        """Kafka's tool takes until then; it is on its way, whoever waits for it."""
        self.narrowed: list[set[str]] = []
        """What is still throttled, whenever something else is there."""
        self.forgets = 0
        """So many reassignments come to nothing: somebody else's came later."""
        self.kept: dict[str, Any] = {}
        self.options = SimpleNamespace(move_mib_s=20.0)
        self.state = SimpleNamespace(get=self._get, set=self._set, delete=self._delete)

    def _happens(self) -> None:
        """A call to the outside; the host may die right after it."""
        self.calls += 1
        if self.calls == self.dies_at:
            raise Died

    async def _get(self, key: str, default: Any) -> Any:
        return self.kept.get(key, default)

    async def _set(self, key: str, value: Any) -> None:
        assert key not in self.kept, "what is under way is not forgotten"
        self.kept[key] = json.loads(json.dumps(value))
        self._happens()

    async def _delete(self, key: str) -> None:
        self.kept.pop(key, None)
        self._happens()

    async def partitions(self) -> list[Partition]:
        await asyncio.sleep(0)
        return [
            Partition(name[:-2], int(name[-1]), tuple(now), tuple(self.in_sync[name]))
            for name, now in self.replicas.items()
        ]

    async def ask(self, question: Any) -> None:
        question(self)
        self._happens()

    def throttle(self, wanted: moves.Targets, _rate: int, _brokers: list[int]) -> None:
        self.throttled |= {each.topic for each in wanted}

    def throttle_only(self, left: moves.Targets, topics: set[str]) -> None:
        self.narrowed.append({str(each) for each in left})
        self.throttled = (self.throttled - topics) | {each.topic for each in left}

    def unthrottle(self, topics: set[str], _brokers: list[int]) -> None:
        self.throttled -= topics

    def lead_by_the_first(self, wanted: moves.Targets) -> None:
        for each in wanted:
            first = self.replicas[str(each)][0]
            assert first in self.in_sync[str(each)]
            self.leads[str(each)] = first

    def ready_ids(self) -> list[int]:
        return [1, 2, 3, 4]

    def progress(self, text: str, share: float | None) -> None:
        self.said.append((text, share))

    def beside(self) -> Any:
        return SimpleNamespace(run=self._run)

    async def _run(self, command: tuple[str, ...], *, input: str, timeout_s: float) -> Any:
        if "--describe" in command:
            self.sized += 1
            lie = {node: [name for name, now in self.in_sync.items() if node in now] for node in self.ready_ids()}
            folders = [
                {"partitions": [{"partition": each, "size": 1 << 20} for each in names]} for names in lie.values()
            ]
            said = {"brokers": [{"broker": node, "logDirs": [folder]} for node, folder in enumerate(folders, 1)]}
            return SimpleNamespace(output=json.dumps(said))
        if self.slow is not None:
            await self.slow.wait()
        if self.forgets:
            self.forgets -= 1
            return SimpleNamespace(output="")
        for row in json.loads(input)["partitions"]:
            name, to = f"{row['topic']}-{row['partition']}", row["replicas"]
            comes = [each for each in to if each not in self.in_sync[name]]
            self.replicas[name] = to if self.copies else [*to, *(old for old in self.replicas[name] if old not in to)]
            self.in_sync[name] = [each for each in self.replicas[name] if self.copies or each not in comes]
            assert self.leads[name] in to, "no partition loses its leader with its replica"
        self._happens()
        return SimpleNamespace(output="")


def evened(found: list[Partition]) -> moves.Targets:
    return moves.evened(found, [1, 2, 3, 4], {})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "LOOK_S", 0.0)


async def moved(brokers: Brokers) -> dict[str, list[int]]:
    await moving.Moving(brokers).carry_out(evened, "spread")  # type: ignore[arg-type]
    return brokers.replicas


async def test_the_new_replica_is_there_before_the_leader_moves_and_the_old_one_goes() -> None:
    brokers = Brokers()
    after = await moved(brokers)
    assert sorted(each for now in after.values() for each in now).count(4) == 1
    assert all(brokers.leads[name] in now for name, now in after.items())
    assert (brokers.throttled, brokers.kept) == (set(), {})
    assert brokers.said[-1][1] == 1.0
    assert brokers.sized == 0, "few replicas move faster than a tool says how many bytes they have"


async def test_what_takes_longer_says_how_many_bytes_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "SIZES_AFTER_S", 0.0)
    brokers = Brokers()
    await moved(brokers)
    assert brokers.sized
    assert any(text.startswith("spread: 1.0 of 1.0 MiB, ") for text, _ in brokers.said)


def test_the_call_that_moves_leaders_is_one_that_the_binding_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "TIMEOUT_S", 0.01)
    with pytest.raises((TimeoutError, KafkaException)):
        admin.Admin("127.0.0.1:1").lead_by_the_first({Partition("t", 0, (1,), (1,)): [1]})


async def test_a_host_that_dies_after_any_call_goes_on_to_the_same_end() -> None:
    undisturbed = Brokers()
    wanted = await moved(undisturbed)
    for point in range(1, undisturbed.calls + 1):
        brokers = Brokers()
        brokers.dies_at = point
        with pytest.raises(Died):
            await moved(brokers)
        assert await moved(brokers) == wanted, f"died after call {point} of {undisturbed.calls}"
        assert (brokers.throttled, brokers.kept) == (set(), {})


async def test_what_is_called_off_in_the_middle_is_as_before() -> None:
    brokers = Brokers()
    brokers.copies = False
    running = asyncio.create_task(moved(brokers))
    while not brokers.said:  # noqa: ASYNC110 - played brokers tell nobody
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert brokers.throttled
    brokers.copies = True
    await moving.Moving(brokers).call_off()  # type: ignore[arg-type]
    assert brokers.replicas == WAS
    assert (brokers.throttled, brokers.kept) == (set(), {})


async def test_what_moves_replicas_at_once_with_another_waits_for_it() -> None:
    """An update spreads while a member that was leaving stays after all."""
    brokers = Brokers()
    both = moving.Moving(brokers)  # type: ignore[arg-type]

    def away(found: list[Partition]) -> moves.Targets:
        return moves.away(found, {1}, [2, 3, 4], {})

    await asyncio.gather(both.carry_out(evened, "spread"), both.carry_out(away, "leaves"))
    assert all(1 not in now and len(now) == 3 for now in brokers.replicas.values())
    assert (brokers.throttled, brokers.kept) == (set(), {})


async def test_a_partition_on_its_way_counts_with_the_replicas_that_it_is_to_keep() -> None:
    """Between its steps it has one more: no reason to refuse that a broker leaves."""
    kafka = Brokers()
    kafka.kept[moving.MOVING] = [["t", 0, [1, 2, 3], [4, 2, 3]]]
    kafka.replicas["t-0"] = [4, 2, 3, 1]
    found = await moving.Moving(kafka).arrived(await kafka.partitions())  # type: ignore[arg-type]
    assert {str(each): each.replicas for each in found} == {"t-0": (4, 2, 3), "t-1": (2, 3, 1)}
    assert moves.too_many_replicas(found, 3) == {}


async def test_a_tool_that_runs_when_a_move_is_called_off_does_not_overtake_what_puts_it_back() -> None:
    brokers, tool = Brokers(), asyncio.Event()
    brokers.slow = tool
    both = moving.Moving(brokers)  # type: ignore[arg-type]
    running = asyncio.create_task(both.carry_out(evened, "leaves"))
    await asyncio.sleep(0.01)
    running.cancel()
    back = asyncio.create_task(both.call_off())
    await asyncio.sleep(0.01)
    tool.set()
    await back
    assert running.cancelled()
    assert (brokers.replicas, brokers.kept) == (WAS, {})


async def test_what_comes_to_nothing_is_submitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "AGAIN_S", 0.0)
    brokers = Brokers()
    brokers.forgets = 2
    assert await moved(brokers) == await moved(Brokers())


async def test_what_is_in_sync_is_throttled_no_more_while_others_still_move() -> None:
    """Else it fetches nothing while the others use the rate up, and every write to it waits."""
    brokers = Brokers()
    brokers.copies = False

    def both(found: list[Partition]) -> moves.Targets:
        return moves.away(found, {1}, [2, 3, 4], {})

    running = asyncio.create_task(moving.Moving(brokers).carry_out(both, "leaves"))  # type: ignore[arg-type]
    while not brokers.said:  # noqa: ASYNC110 - played brokers tell nobody
        await asyncio.sleep(0)
    brokers.in_sync["t-0"] = list(brokers.replicas["t-0"])
    while not brokers.narrowed:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert brokers.narrowed == [{"t-1"}]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
