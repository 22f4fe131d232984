"""What nodes a composition gets on machines of several sizes."""

from importlib.resources import files

import pytest

from upcall.cli.composition import Requires, fitting, parse
from upcall.cli.sizing import Nodes, nodes_for

DEMO = parse((files("upcall.fastdata") / "demo.yaml").read_text(), "demo.yaml")
USUAL = Nodes()


@pytest.mark.parametrize(
    ("total_mib", "cores", "nodes"),
    [
        (24_576, 2, USUAL),  # its usual parts are large enough
        (7_946, 2, Nodes(3, 2304)),  # 8 GiB: the part for `node add` is given to the full size
        (6_144, 2, USUAL),  # the half size
        (4_608, 2, Nodes(1, 3584)),  # the small one, which fits a node only as a whole
        (24_576, 1, USUAL),  # the small one, for the others ask for two cores: any node holds it
        (2_048, 2, USUAL),  # nothing fits, which is said when it is installed
    ],
)
def test_the_largest_size_that_can_run_gets_the_nodes_it_needs(total_mib: int, cores: float, nodes: Nodes) -> None:
    assert nodes_for(DEMO, total_mib, cores) == nodes


def test_a_smaller_size_is_taken_and_the_reason_said() -> None:
    has = Requires(nodes=3, cpus=2, memory_mib=3840, disk_mib=100_000)
    fits, words = fitting(DEMO, has)
    assert words == "size half; full needs 6208 MiB of memory, here are 3840"
    assert next(one for one in fits.services if one.package == "kafka").options["brokers"] == 1
