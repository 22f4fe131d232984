"""Each size of the demo asks for what its services declare: a machine that is let in can place them all."""

from importlib.resources import files

import pytest

from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.spark.service import Spark
from upcall.cli.composition import Requires, fitting, parse
from upcall.fastdata.services.aircraft import Aircraft
from upcall.fastdata.services.ingest import Ingest
from upcall.fastdata.services.windows import Windows
from upcall.service import Service
from upcall.testing import Scenario

DEMO = parse((files("upcall.fastdata") / "demo.yaml").read_text(), "demo.yaml")
SERVICES: dict[str, type[Service]] = {
    "kafka": Kafka, "cassandra": Cassandra, "spark": Spark, "ingest": Ingest, "windows": Windows, "aircraft": Aircraft,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "need"), [(size.name, need) for size, need in zip(DEMO.sizes, DEMO.needs(), strict=True)]
)
def test_a_size_asks_for_what_its_members_declare(name: str, need: Requires) -> None:
    size, words = fitting(DEMO, need)
    assert words.split(";")[0] == f"size {name}"
    memory_mib = cpus = 0.0
    for item in size.services:
        outcome = Scenario(SERVICES[item.package], item.options, nodes=need.nodes, fresh=True).run()
        assert outcome.declared is not None, item.package
        for member in outcome.declared.members.values():
            memory_mib += member.declaration.resources.memory_mib
            cpus += member.declaration.resources.cpus
    assert need.memory_mib - 64 <= memory_mib <= need.memory_mib
    assert cpus <= need.cpus * need.nodes, "each node may use all cores; none is promised more than there are"
