"""How much memory the demo's nodes get."""

from importlib.resources import files

import pytest

from upcall.cli import demo, machine
from upcall.cli.composition import parse

FULL = parse((files("upcall.fastdata") / "demo.yaml").read_text(), "demo.yaml").requires


@pytest.mark.parametrize(
    ("total_mib", "part_mib"),
    [
        (24_576, None),  # the usual parts are large enough
        (7_946, 2304),  # a machine of 8 GiB: the part for `node add` is given to the demo
        (4_096, None),  # too small for the full size in any case: a smaller one is taken
    ],
)
def test_the_full_demo_fits_a_machine_of_8_gib(
    monkeypatch: pytest.MonkeyPatch, total_mib: int, part_mib: int | None
) -> None:
    monkeypatch.setattr(machine, "memory_mib", lambda: total_mib)
    assert demo._memory_mib(FULL) == part_mib
