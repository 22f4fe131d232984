"""A recorded list of inputs replays any run; written out and read back at any point, it goes on identically."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from transcript import KINDS, Stage, parse

from upcall.operations.effects import Outcome
from upcall.operations.inputs import Input
from upcall.operations.ledger import Ledger
from upcall.operations.records import NewerFormat, decode, encode
from upcall.substrate.simulated import SimulatedKind

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


class Recorded(msgspec.Struct):
    """One line of a recording, as a file would hold it."""

    input: Input
    now_s: float
    wall_s: float


def recording(path: Path, kind: SimulatedKind) -> list[Recorded]:
    """The inputs of the first start of the last world of a scenario, through JSON."""
    stage = Stage(kind)
    for block in parse(path.read_text()):
        stage.block(block.commands)
    lines = [Recorded(item, now_s, wall_s) for start, item, now_s, wall_s in stage.world.inputs if start == 1]
    return msgspec.json.decode(msgspec.json.encode(lines), type=list[Recorded])


def plain(outcome: Outcome) -> bytes:
    return msgspec.json.encode(outcome)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_recording_replays_identically_also_when_written_out_and_read_back(path: Path, kind: SimulatedKind) -> None:
    ledger, other = Ledger((), start=1), Ledger((), start=1)
    lines = recording(path, kind)
    assert len(lines) > 5
    for line in lines:
        other = Ledger.load(other.dump())
        expected = plain(ledger.handle(line.input, line.now_s, line.wall_s))
        assert plain(other.handle(line.input, line.now_s, line.wall_s)) == expected
        assert other.dump() == ledger.dump()
        assert other.deadline() == ledger.deadline()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_what_is_looked_up_is_what_the_records_say(path: Path, kind: SimulatedKind) -> None:
    """At every point; in the same order too, where it is the order in which things are done."""
    ledger = Ledger((), start=1)
    for line in recording(path, kind):
        ledger.handle(line.input, line.now_s, line.wall_s)
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


def test_a_fork_goes_its_own_way(kind: SimulatedKind) -> None:
    lines = recording(SCENARIOS[0], kind)
    ledger = Ledger((), start=1)
    for line in lines[:-3]:
        ledger.handle(line.input, line.now_s, line.wall_s)
    before = ledger.dump()
    fork = ledger.fork()
    assert fork.dump() == before
    for line in lines[-3:]:
        fork.handle(line.input, line.now_s, line.wall_s)
    assert ledger.dump() == before
    assert fork.dump() != before


def test_records_are_written_and_read_one_by_one(kind: SimulatedKind) -> None:
    ledger = Ledger((), start=1)
    for line in recording(SCENARIOS[0], kind):
        ledger.handle(line.input, line.now_s, line.wall_s)
    records = ledger.records()
    assert {type(record).__name__ for record in records} >= {
        "ServiceRecord",
        "MemberRecord",
        "Operation",
        "ConsentRecord",
    }
    assert [decode(encode(record)) for record in records] == records


def test_a_record_of_a_newer_release_is_refused_by_name() -> None:
    with pytest.raises(NewerFormat, match="format 99"):
        decode(b'{"format":99,"record":{"type":"service","name":"kafka"}}')
