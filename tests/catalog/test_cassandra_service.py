"""Cassandra as a service, as pure scenarios: what it declares and what it answers. What the ring says is given."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import yaml

from upcall.catalog.cassandra.ring import Range
from upcall.catalog.cassandra.service import Cassandra
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.service.actions import action_named
from upcall.service.context import Context
from upcall.service.testing import Scenario, operation

ADDRESSES = ("127.1.1.1", "127.1.1.2", "127.1.1.3")


class PlayedRing:
    """A ring of three with one keyspace on all of them."""

    def __init__(self, moving: dict[str, str]) -> None:
        self._moving = moving

    def moving(self) -> dict[str, str]:
        return self._moving

    def ranges(self) -> list[Range]:
        return [Range("fast", ADDRESSES)] * 12


class Played(Cassandra):
    package = "cassandra"
    moving: ClassVar[dict[str, str]] = {}

    async def _ask(self, question: Callable[[Any], Any]) -> Any:
        return question(PlayedRing(self.moving))


class Joining(Played):
    package = "cassandra"
    moving: ClassVar[dict[str, str]] = {"127.1.1.4": "BOOT"}


def settings(task: Declaration) -> dict[str, Any]:
    text = next(file.text for file in task.files if file.path == "cassandra.yaml")
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def seeds(task: Declaration) -> str:
    return str(settings(task)["seed_provider"][0]["parameters"][0]["seeds"])


def test_a_new_ring_starts_together_with_its_first_node_as_the_seed() -> None:
    outcome = Scenario(Cassandra, {"nodes": 3}, fresh=True).run()
    assert outcome.started == ["node-0", "node-1", "node-2"]
    for name in outcome.started:
        task = outcome.task(name)
        assert seeds(task) == "{{address.node-0}}:{{port.storage}}"
        assert settings(task)["auto_bootstrap"] is False
        assert (task.constraints.apart, task.constraints.spread) == ("node", "zone")


def test_at_a_new_place_a_node_takes_the_dead_ones_ranges_from_the_others() -> None:
    outcome = Scenario(Cassandra, {}).run()
    assert outcome.declared is not None
    replacement = outcome.declared.members["node-0"].replacement
    assert replacement is not None
    assert "-Dcassandra.replace_address_first_boot={{replaced.address}}" in replacement.command
    assert settings(replacement)["auto_bootstrap"] is True, "it refuses to replace without"
    assert "initial_token" not in settings(replacement)
    assert seeds(replacement) == "{{address.node-1}}:{{port.storage}},{{address.node-2}}:{{port.storage}}"


def test_the_users_own_settings_reach_the_file_and_win() -> None:
    task = Scenario(Cassandra, {"settings": {"concurrent_reads": 3, "auto_snapshot": True}}, fresh=True).run()
    found = settings(task.task("node-1"))
    assert (found["concurrent_reads"], found["auto_snapshot"]) == (3, True)


def test_passwords_stand_in_no_argument_and_no_file() -> None:
    task = Scenario(Cassandra, {}, fresh=True).run().task("node-0")
    assert {secret.name: secret.ref for secret in task.secrets} == {
        "jmx": "generated:cassandra.jmx|upcall {}",
        "admin": "generated:cassandra.admin",
        "client": "generated:cassandra.client",
    }
    assert "-Dcom.sun.management.jmxremote.password.file={{secret.jmx}}" in task.command
    assert "-Dcom.sun.management.jmxremote.password.toHashes=false" in task.command, "nodetool reads it too"
    assert next(file for file in task.files if file.path == "jmx.access").mode == 0o600


def test_a_stop_is_accepted_while_every_range_keeps_its_quorum() -> None:
    assert Scenario(Played, {}, operations=[operation("stop", "node-1")]).run().answer.verdict == "accept"


def test_a_stop_that_would_break_quorums_is_deferred_with_the_keyspace() -> None:
    stop = Scenario(Played, {}, members={"node-0": "held"}, operations=[operation("stop", "node-1")])
    answer = stop.run().answer
    assert (answer.verdict, answer.reason) == ("defer", "token ranges would lose their quorum: 12 of fast")


def test_nothing_stops_while_data_is_on_its_way() -> None:
    answer = Scenario(Joining, {}, operations=[operation("stop", "node-1")]).run().answer
    assert (answer.verdict, answer.reason) == ("defer", "data is on its way: 127.1.1.4 is BOOT")


def test_a_node_that_died_alone_starts_again_and_one_on_a_silent_node_is_waited_for() -> None:
    for state, said in (("ended", "restart"), ("lost", "wait")):
        lost = Scenario(Played, {}, members={"node-1": state}, operations=[operation("lost", "node-1")])
        assert lost.run().answer.verdict == said


async def test_more_copies_than_nodes_and_names_that_are_none_are_refused() -> None:
    service = Cassandra(Context(name="cassandra", options={"nodes": 2}))
    create = action_named(Cassandra, "create-keyspace")
    with pytest.raises(Conflict, match="3 replicas on 2 nodes"):
        await create.call(service, {"name": "k", "replication": 3})
    with pytest.raises(Invalid, match="name"):
        await create.call(service, {"name": 'k"; DROP KEYSPACE x; --'})


async def test_a_ring_of_which_no_node_is_ready_says_so() -> None:
    service = Cassandra(Context(name="cassandra", members={"node-0": wire.Member(name="node-0", state="ended")}))
    with pytest.raises(NotNow, match="no node is ready"):
        await service.keyspaces()
    with pytest.raises(NotNow, match="no node is ready"):
        await service.status()


def test_every_artifact_that_is_declared_is_registered_as_a_blob() -> None:
    task = Scenario(Cassandra, {}, fresh=True).run().task("node-0")
    assert task.artifacts
    assert all(artifact.lock in Cassandra.blobs() for artifact in task.artifacts)
