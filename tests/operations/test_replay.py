"""A recorded list of inputs replays any run, also one in which the master died; written out and read back at any point,
it goes on identically."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from answering import accept_all
from transcript import Stage, parse

from upcall.operations import inputs as given
from upcall.operations import recording
from upcall.operations.effects import Outcome
from upcall.operations.inputs import Input
from upcall.operations.ledger import Ledger
from upcall.operations.recording import Began, Line, Took, replay
from upcall.operations.records import NewerFormat, decode, encode, kind_of
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


def played(path: Path, kind: SimulatedKind) -> list[World]:
    """The worlds of a scenario, played to its end. The last input is a tick: questions look at the clock too, which is
    no input."""
    stage = Stage(kind)
    for block in parse(path.read_text()):
        stage.block(block.commands)
    for world in stage.worlds:
        world.send(given.Tick())
    return [world for world in stage.worlds if len(world.recording) > 5]


def from_a_file(lines: list[Line]) -> list[Line]:
    """A recording, as it comes back from a file."""
    return msgspec.json.decode(msgspec.json.encode(lines), type=list[Line])


def plain(outcome: Outcome) -> bytes:
    return msgspec.json.encode(outcome)


def assert_replays(world: World) -> None:
    *_, (ledger, _) = replay(from_a_file(world.recording))
    assert ledger.dump() == world.ledger.dump()
    assert {(kind_of(r), r.key): r for r in ledger.records()} == {k: decode(data) for k, data in world.stored.items()}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_recording_replays_the_whole_run_with_every_start_of_the_master(path: Path, kind: SimulatedKind) -> None:
    worlds = played(path, kind)
    assert worlds
    for world in worlds:
        assert [line.start for line in world.recording if isinstance(line, Began)] == [*range(1, world.start + 1)]
        assert_replays(world)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_what_is_looked_up_is_what_the_records_say(path: Path, kind: SimulatedKind) -> None:
    """At every point; in the same order too, where it is the order in which things are done."""
    for world in played(path, kind):
        for ledger, _ in replay(world.recording):
            rebuilt = Ledger(ledger.records(), start=1)
            assert _looked_up(ledger) == _looked_up(rebuilt)


def _looked_up(ledger: Ledger) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, index in vars(ledger.book.indexes).items():
        if isinstance(index, list):
            found[name] = index
        elif name in ("members_on", "tombstones", "standing", "all_live"):
            found[name] = {key: value and set(value) for key, value in index.items()}
        else:
            found[name] = {k: list(v) if isinstance(v, dict) else v for k, v in index.items() if v or v == 0}
    return found


def test_the_scenario_of_deaths_is_replayed_with_its_deaths(kind: SimulatedKind) -> None:
    path = next(path for path in SCENARIOS if path.stem.startswith("09"))
    worlds = played(path, kind)
    assert sum(world.deaths for world in worlds) >= 3


def test_a_death_after_any_write_is_replayed(kind: SimulatedKind) -> None:
    """A drain, and the master dies after 0, 1, 2, ... of what it writes and does."""
    for left in range(12):
        world = World(kind=kind)
        world.install("kafka", ("b0", "b1", "b2"), minimum=2)
        world.advance(5)
        world.host("kafka", accept_all)
        world.die_after = left
        world.send(given.Propose(kind="maintenance", asked_by="ann", node="n1", window_s=60))
        world.advance(30)
        assert world.deaths == 1, left
        world.send(given.Tick())
        assert_replays(world)


class Reread(Ledger):
    """Written out and read back before each input."""

    def handle(self, given: Input, now_s: float, wall_s: float) -> Outcome:
        self._book = Ledger.load(self.dump()).book
        return super().handle(given, now_s, wall_s)


def course(lines: list[Line]) -> list[tuple[bytes, bytes, float | None]]:
    return [(plain(outcome), ledger.dump(), ledger.deadline()) for ledger, outcome in replay(lines)]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_written_out_and_read_back_at_any_point_it_goes_on_identically(
    path: Path, kind: SimulatedKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    for world in played(path, kind):
        monkeypatch.setattr(recording, "Ledger", Ledger)
        expected = course(world.recording)
        monkeypatch.setattr(recording, "Ledger", Reread)
        assert course(world.recording) == expected


def test_a_fork_goes_its_own_way(kind: SimulatedKind) -> None:
    lines = [line for line in played(SCENARIOS[0], kind)[0].recording if isinstance(line, Took)]
    ledger = Ledger((), start=1)
    for line in lines[:-8]:
        ledger.handle(line.input, line.now_s, line.wall_s)
    before = ledger.dump()
    fork = ledger.fork()
    assert fork.dump() == before
    for line in lines[-8:]:
        fork.handle(line.input, line.now_s, line.wall_s)
    assert ledger.dump() == before
    assert fork.dump() != before


def test_records_are_written_and_read_one_by_one(kind: SimulatedKind) -> None:
    records = played(SCENARIOS[0], kind)[0].ledger.records()
    assert {type(record).__name__ for record in records} >= {
        "ServiceRecord",
        "MemberRecord",
        "Operation",
        "ConsentRecord",
    }
    assert [decode(encode(record)) for record in records] == records


def test_a_recording_without_its_start_or_with_writes_that_nobody_made_is_refused() -> None:
    tick = Took(input=given.Tick(), now_s=0.0, wall_s=0.0)
    with pytest.raises(ValueError, match="begins with a start"):
        list(replay([tick]))
    with pytest.raises(ValueError, match="start 2 counts 7 writes, but 0 were made"):
        list(replay([Began(start=1, written=0), tick, Began(start=2, written=7)]))


def test_a_record_of_a_newer_release_is_refused_by_name() -> None:
    with pytest.raises(NewerFormat, match="format 99"):
        decode(b'{"format":99,"record":{"type":"service","name":"kafka"}}')
