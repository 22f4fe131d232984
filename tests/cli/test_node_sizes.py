"""What nodes a composition gets on machines of several sizes."""

from importlib.resources import files

import pytest

from upcall.cli.composition import Requires, fitting, parse
from upcall.cli.demo.sizing import Nodes, nodes_for

DEMO = parse((files("upcall.fastdata") / "demo.yaml").read_text(), "demo.yaml")
USUAL = Nodes()


@pytest.mark.parametrize(
    ("total_mib", "cores", "nodes"),
    [
        (24_576, 2, USUAL),  # its usual parts are large enough
        (7_946, 2, Nodes(3, 2304)),  # 8 GiB: the part for `node add` is given to the full size
        (6_144, 2, Nodes(1, 5120)),  # the half size: in three parts it would not fit
        (4_608, 2, Nodes(1, 3584)),  # the small one
        (24_576, 1, Nodes(1, 23_552)),  # the small one, for the others ask for two cores
        (2_048, 2, USUAL),  # nothing fits, which is said when it is installed
    ],
)
def test_the_largest_size_that_can_run_gets_the_nodes_it_needs(total_mib: int, cores: float, nodes: Nodes) -> None:
    assert nodes_for(DEMO, total_mib, cores) == nodes


def test_a_smaller_size_is_taken_and_the_reason_said() -> None:
    has = Requires(nodes=1, cpus=2, memory_mib=5120, disk_mib=100_000)
    fits, words = fitting(DEMO, has)
    assert words == "size half; full needs 3 nodes (here: 1) and 6208 MiB of memory (here: 5120)"
    assert next(one for one in fits.services if one.package == "kafka").options["brokers"] == 1
