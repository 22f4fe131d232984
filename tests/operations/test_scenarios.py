"""The meaning of the ledger, by example: each scenario on every kind of cluster."""

import os
from pathlib import Path

import pytest
from transcript import expected, parse, render, run

from upcall.testing import KINDS, SimulatedKind

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_comes_out_as_written(path: Path, kind: SimulatedKind) -> None:
    if os.environ.get("UPCALL_REWRITE"):
        path.write_text(render(parse(path.read_text()), {kind: run(path, kind) for kind in KINDS}))
    blocks = parse(path.read_text())
    for block, result in zip(blocks, run(path, kind), strict=True):
        if block.commands:
            assert result == expected(block, kind), f"{path.name} on {kind}, after: {'; '.join(block.commands)}"


def test_they_are_numbered_without_gaps() -> None:
    numbers = {int(path.stem[:2]) for path in SCENARIOS}
    assert numbers == set(range(1, max(numbers) + 1))
