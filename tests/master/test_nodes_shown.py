"""What services are shown of the machines: what there is of them. A node that is not heard for a moment is not shown
to a thousand services anew."""

import sys
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
from benchmarks.turn_master import NODE_NAMES, Size, master

from upcall.substrate.interface import Node, NodeObserved

SERVICES = 3
AS_IT_WAS = Node(name=NODE_NAMES[0], cpus=100.0, memory_mib=100_000, disk_mib=100_000)
LARGER = Node(name=NODE_NAMES[0], cpus=200.0, memory_mib=100_000, disk_mib=100_000)


def of(description: Node | None = None, **more: str) -> NodeObserved:
    return NodeObserved(node=NODE_NAMES[0], description=description, **{"state": "up", **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (of(AS_IT_WAS), False),
        (of(state="silent", reason="nothing heard"), False),
        (of(closed="cordoned by somebody"), False),
        (of(LARGER), True),
        (of(state="gone"), True),
    ],
    ids=["as it was", "silent", "cordoned", "larger", "gone"],
)
async def test_services_are_shown_machines_when_there_are_others(seen: NodeObserved, shown: bool) -> None:
    async with master(Size(SERVICES)) as core:
        core.post(lambda tx: tx.observe(of(AS_IT_WAS)))
        await core.durable()
        with patch.object(type(core.listener), "wanted", return_value=None) as wanted:
            core.post(lambda tx: tx.observe(seen))
            await core.durable()
        assert wanted.call_count == (SERVICES if shown else 0)
