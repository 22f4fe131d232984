"""Each of the four ways says what it is meant to say: so they are compared with something that they are."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.availability import consents

from upcall.catalog.kafka.partitions import Cost, Partition
from upcall.protocol import service as wire
from upcall.service import Member
from upcall.testing import Scenario, operation

WAYS = ("blind", "readiness", "operator", "upcalls")
IDS = {"cluster-id": "b25lYnJva2VyZm9ydGVzdA"}


def played(costs: tuple[str, ...] = ()) -> type[consents.Played]:
    """``costs``: the brokers whose stop would take a partition below its minimum."""

    class Asked(consents.Played):
        package = "kafka-played"

        async def cost_of_stopping(self, *without: Member) -> Cost:
            hurt = [each for each in without if each.name in costs]
            return Cost(for_now=[Partition("writes", 0, (1, 2, 3), (1, 2))] if hurt else [])

        async def voting(self) -> frozenset[int]:
            return frozenset((1, 2, 3, 4, 5))

        async def leader(self) -> int:
            return 1

        async def watched(self) -> Any:
            return None

    return Asked


def answers(way: str, *restarts: str, down: str = "", costs: tuple[str, ...] = ()) -> dict[str, str]:
    members = {
        f"broker-{number}": wire.Member(
            name=f"broker-{number}", incarnation=1, starts=1, declared_generation=1, node=f"node-{number + 1}",
            state="lost" if down == f"broker-{number}" else "ready", zone="abc"[number % 3],
            address=f"127.1.1.{number}",
        )
        for number in range(6)
    }  # fmt: skip
    asked = [operation("restart", broker) for broker in restarts]
    options = {"brokers": 6, "way": way}
    scenario = Scenario(played(costs), options=options, members=members, operations=asked, memory=IDS, nodes=6)
    found = scenario.run()
    return {op.member: found.answers[op.id].verdict for op in asked}


@pytest.mark.parametrize("way", ["blind", "readiness", "operator"])
def test_one_after_the_other_but_by_upcalls_those_of_a_zone_together(way: str) -> None:
    assert answers(way, "broker-1", "broker-4") == {"broker-1": "accept", "broker-4": "defer"}
    assert answers("upcalls", "broker-0", "broker-3") == {"broker-0": "accept", "broker-3": "accept"}


@pytest.mark.parametrize(("way", "word"), list(zip(WAYS, ("accept", "accept", "defer", "defer"), strict=True)))
def test_who_looks_at_partitions_defers_what_would_take_one_below_its_minimum(way: str, word: str) -> None:
    assert answers(way, "broker-1", costs=("broker-1",)) == {"broker-1": word}


@pytest.mark.parametrize(("way", "word"), list(zip(WAYS, ("accept", "defer", "accept", "accept"), strict=True)))
def test_with_one_broker_down_readiness_alone_waits_for_it_whatever_the_stop_costs(way: str, word: str) -> None:
    assert answers(way, "broker-0", down="broker-3") == {"broker-0": word}


def test_operator_restarts_the_active_controller_after_all_others() -> None:
    assert answers("operator", "broker-0", "broker-1") == {"broker-0": "defer", "broker-1": "accept"}
    assert answers("operator", "broker-0") == {"broker-0": "accept"}
    assert answers("readiness", "broker-0", "broker-1") == {"broker-0": "accept", "broker-1": "defer"}


def test_the_leader_of_the_controllers_is_read_from_what_kafkas_tool_says() -> None:
    said = "ClusterId:              abc\nLeaderId:               4\nLeaderEpoch:            7\n"
    found = consents.LEADER.search(said)
    assert found is not None
    assert found[1] == "4"


def test_the_file_is_loaded_as_a_service_of_a_users_own() -> None:
    assert importlib.util.find_spec("benchmarks.availability.consents") is not None
    assert consents.Played.package == "kafka-played"
