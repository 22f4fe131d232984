"""What Kafka's, Cassandra's and Spark's own code says is wrong: in whole sentences, with what is done about it, from
what the systems say of themselves."""

import asyncio
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut, ReadTimeout
from cassandra.cluster import NoHostAvailable
from cassandra.policies import SimpleConvictionPolicy
from cassandra.pool import Host
from confluent_kafka import KafkaError, KafkaException

from upcall.catalog.cassandra import health as cassandra
from upcall.catalog.cassandra.ranges import Range
from upcall.catalog.cassandra.ring import passes
from upcall.catalog.kafka import health as kafka
from upcall.catalog.kafka.partitions import Partition
from upcall.catalog.kafka.quorum import parse_lags
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.spark import health as spark
from upcall.catalog.spark import pages
from upcall.catalog.spark.service import Spark
from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow
from upcall.service import Degraded, Member
from upcall.service.context import Context
from upcall.service.faults import sentence
from upcall.service.member import MemberSet


def member(name: str, state: str = "ready", **more: Any) -> Member:
    seen = wire.Member(name=name, state=state, address=f"a{name.rpartition('-')[2]}", **more)
    return Member(name, name.rpartition("-")[0], seen=seen)


def lines(found: list[Degraded]) -> list[str]:
    return [f"{one.what}; {one.doing}" for one in found]


def served(*parts: Partition, leader: int = 1, minimum: int = 2) -> kafka.Served:
    leads = {each: leader if each.in_sync else kafka.NOBODY for each in parts}
    return kafka.Served(leads, frozenset({1, 2, 3}), {each.topic: minimum for each in parts})


def test_each_partition_stands_in_the_line_of_the_worst_that_is_true_of_it() -> None:
    parts = (
        Partition("t", 0, (1, 2, 3), ()),
        Partition("t", 1, (1, 2, 3), (1,)),
        Partition("t", 2, (1, 2, 3), (1, 3)),
        Partition("t", 3, (1, 2, 3), (1, 2, 3)),
    )
    assert lines(kafka.of_partitions(served(*parts), {1, 3})) == [
        "1 partition of 4 is offline, neither read nor written (t-0); broker-0, broker-2 catch up; broker-1 is away",
        "1 partition of 4 cannot be written with acks=all, below min.insync.replicas (t-1); "
        "broker-2 catches up; broker-1 is away",
        "1 partition of 4 has fewer replicas in sync than wanted (t-2); broker-1 is away",
    ]
    assert kafka.of_partitions(served(parts[3]), {1, 2, 3}) == []


def test_a_broker_that_answers_and_is_not_let_in_is_fenced() -> None:
    brokers = [member("broker-0"), member("broker-1"), member("broker-2", "ended")]
    (found,) = kafka.of_brokers(brokers, {1})
    assert (found.member, found.key) == ("broker-1", "fenced broker-1")


def test_voters_that_are_away_say_how_many_more_may_be() -> None:
    assert lines(kafka.of_quorum({1, 2, 3}, {1, 2})) == [
        "1 of 3 controllers that vote is away (broker-2); none more may be away"
    ]
    (two,) = kafka.of_quorum({1, 2, 3}, {1})
    assert two.doing == "nothing can be decided: a majority is 2"
    assert kafka.of_quorum({1, 2, 3}, {1, 2, 3}) == []


def test_that_another_voter_is_away_is_so_since_another_time() -> None:
    keys = {kafka.of_quorum({1, 2, 3}, alive)[0].key for alive in ({2, 3}, {1, 3}, {1})}
    assert len(keys) == 3


REPLICATION = """\
NodeId	DirectoryId           	LogEndOffset	Lag	LastFetchTimestamp	LastCaughtUpTimestamp	Status
1     	f9MjZxeUqaBW7YF7GxxEbw	2000        	0  	1700000100000     	1700000100000        	Leader
2     	g9MjZxeUqaBW7YF7GxxEbw	2000        	0  	1700000099900     	1700000099900        	Follower
3     	h9MjZxeUqaBW7YF7GxxEbw	1200        	800	1700000099900     	1700000040000        	Follower
4     	i9MjZxeUqaBW7YF7GxxEbw	100         	99 	1700000000000     	1700000000000        	Observer
"""


def test_a_voter_that_has_not_read_all_for_long_lags() -> None:
    assert parse_lags(REPLICATION) == {3: 60}
    (found,) = kafka.of_lag(parse_lags(REPLICATION))
    assert found.what == "broker-2 votes, and is 60 s behind what the controllers agreed on"


class Looked(Kafka):
    """Kafka of three brokers, the third on a node that is silent; what Kafka says of itself is given."""

    package = "kafka"

    def __init__(self, let_in: set[int], replication: str | None) -> None:
        super().__init__()
        self.let_in, self.replication, self.asked = let_in, replication, 0
        self.silent = {"broker-2"}

    @property
    def members(self) -> MemberSet:
        names = ("broker-0", "broker-1", "broker-2")
        return MemberSet(self._member(name, "lost" if name in self.silent else "ready") for name in names)

    def _member(self, name: str, state: str) -> Member:
        return Member(name, "broker", seen=wire.Member(name=name, state=state), _runner=self._tool)

    async def _tool(self, _tool: wire.RunTool) -> wire.ToolResult:
        self.asked += 1
        if self.replication is None:
            return wire.ToolResult(code=1, error="TimeoutException: no controller answers")
        return wire.ToolResult(code=0, output=self.replication)

    async def voting(self) -> frozenset[int]:
        return frozenset({1, 2, 3})

    async def ask(self, question: object, *, once: bool = False) -> Any:
        return kafka.Served({Partition("t", 0, (1, 2, 3), (1, 2, 3)): 1}, frozenset(self.let_in), {})

    def lines(self) -> list[str]:
        return [one.what for one in asyncio.run(self.health())]


VOTES = REPLICATION.replace("1700000040000", "1700000099900")
AWAY = "1 of 3 controllers that vote is away (broker-2)"


def test_a_broker_whose_node_is_silent_votes_as_long_as_the_quorum_says_so() -> None:
    """An agent that was stopped says nothing of its broker, which runs on."""
    (only,) = Looked({1, 2, 3}, VOTES).lines()
    assert only == "broker-2 cannot be asked, its node is silent; it serves and votes, as the controllers say"


@pytest.mark.parametrize(
    ("let_in", "replication", "why"),
    [
        ({1, 2}, VOTES, "the controllers put it out"),
        ({1, 2, 3}, REPLICATION, "it has read nothing for a minute"),
        ({1, 2, 3}, None, "nobody can be put out without a quorum"),
    ],
)
def test_it_is_away_where_kafka_says_so_or_cannot_say_anything(
    let_in: set[int], replication: str | None, why: str
) -> None:
    assert Looked(let_in, replication).lines() == [AWAY], why


def test_the_quorum_is_asked_seldom_and_anew_when_another_node_falls_silent() -> None:
    looked = Looked({1, 2, 3}, VOTES)

    async def looks() -> None:
        await looked.health()
        await looked.health()
        assert looked.asked == 1
        looked.silent.add("broker-1")
        await looked.health()

    asyncio.run(looks())
    assert looked.asked == 2


def test_a_disk_that_fills_says_what_is_slowed_and_what_makes_room() -> None:
    full = member("broker-1", filling=(wire.DiskUse("data", 950, 1024),))
    (found,) = kafka.of_disks([full, member("broker-2")], 1.0)
    assert found.what == "broker-1: volume data holds 950 MiB of 1,024"
    assert found.doing.startswith(
        "producers are slowed to 1 MiB/s at each broker; `upcall update` with a larger disk_mib"
    )


def signs(**more: Any) -> cassandra.Signs:
    known: dict[str, Any] = {
        "ranges": [Range("orders", ("a0", "a1", "a2"))], "up": {"a0", "a1", "a2"}, "silent": set(), "moving": {},
        "schemas": {}, "rooms": {}, "compactions": {}, "hints": {}, "dropped": {},
    }  # fmt: skip
    return cassandra.Signs(**{**known, **more})


NODES = {f"a{number}": member(f"node-{number}") for number in range(3)}


def told(before: dict[str, int] | None = None, **more: Any) -> dict[str, str]:
    return {one.key: one.what for one in cassandra.told(signs(**more), NODES, before or {})}


def test_a_ring_in_which_nothing_is_wrong_says_nothing() -> None:
    well = {"schemas": dict.fromkeys(NODES, "s"), "rooms": dict.fromkeys(NODES, "SPACIOUS"), "hints": {"a1": 0}}
    assert told(**well, compactions=dict.fromkeys(NODES, 2), dropped=dict.fromkeys(NODES, 7)) == {}  # type: ignore[arg-type]


def test_ranges_without_a_majority_come_first() -> None:
    found = told(up={"a0"})
    assert next(iter(found)) == "no-quorum"
    assert found["no-quorum"].endswith("at QUORUM: 1 of orders")
    assert found["down node-1"] == "node-1 answers, and the ring sees it down"


def test_what_is_on_its_way_is_one_line() -> None:
    found = told(moving={"a2": "BOOT", "x": "a stream under way"})
    assert found == {"streaming": "data is on its way between nodes: node-2 is boot; 1 stream under way"}


def test_a_schema_that_differs_names_who_differs() -> None:
    assert "node-2 differs" in told(schemas={"a0": "s", "a1": "s", "a2": "t"})["schema"]


def test_what_was_dropped_counts_since_the_last_look_and_not_before_the_first() -> None:
    assert told(dropped={"a1": 9}) == {}
    found = told({"a1": 4}, dropped={"a1": 9})
    assert found == {"dropped node-1": "node-1 dropped 5 messages that came too late, since the last look"}


def test_one_is_one() -> None:
    found = told({"a1": 4}, dropped={"a1": 5}, hints={"a2": 1})
    assert "dropped 1 message that" in found["dropped node-1"]
    assert found["hints node-2"].endswith("(1 file of hints)")


def test_what_belongs_to_every_start_is_told_only_while_it_goes_on() -> None:
    founding = {"a0": "s", "a1": "s", "a2": "t"}
    found = cassandra.told(signs(dropped={"a1": 9}, hints={"a2": 1}, silent={"a0"}, schemas=founding), NODES, {"a1": 4})
    assert {one.key for one in found if one.passes_within_s} == {"dropped node-1", "hints node-2", "schema"}


def test_hints_compactions_and_a_disk_are_told_by_node() -> None:
    found = told(hints={"a2": 3}, compactions={"a0": 31}, rooms={"a1": "FULL"})
    assert set(found) == {"hints node-2", "compactions node-0", "room node-1"}
    assert found["room node-1"] == "node-1's disk is full: Cassandra refuses writes by itself"


def test_a_node_that_does_not_answer_is_told() -> None:
    assert told(silent={"a1"}) == {"silent node-1": "node-1 does not answer what it is asked"}


def test_a_node_that_does_not_answer_is_told_alike_once_the_driver_has_given_it_up() -> None:
    """Else its minute would be over before it is restarted."""
    up = {"a0", "a2"}
    assert told(up=up, ranges=[], silent={"a1"}) == told(silent={"a1"})
    assert told(up=up, ranges=[]) == {"down node-1": "node-1 answers, and the ring sees it down"}


PAGE = {
    "workers": [
        {"host": "a0", "state": "ALIVE", "coresfree": 0},
        {"host": "a1", "state": "DEAD", "coresfree": 1},
    ],
    "activeapps": [
        {"name": "windows", "cores": 1, "state": "RUNNING"},
        {"name": "late", "cores": 0, "state": "WAITING"},
    ],
}


def test_spark_tells_lost_workers_applications_without_executors_and_jobs_that_start_again() -> None:
    workers = [member("worker-0"), member("worker-1"), member("worker-2", "starting")]
    assert [one.member for one in spark.of_workers(PAGE, workers)] == ["worker-1"]
    (waits,) = spark.of_applications(PAGE, workers)
    assert waits.what == "application late has no executors and computes nothing"
    assert "0 cores are free" in waits.doing
    job = member("job-x", "starting", ended_times=3, exit_reason="OutOfMemoryError")
    (again,) = spark.of_jobs([job, member("job-y")])
    assert again.what == "job-x ended 3 times: OutOfMemoryError"


class Unreached(Kafka):
    """One broker, which is ready and answers nobody."""

    package = "kafka"

    @property
    def members(self) -> MemberSet:
        return MemberSet([Member("broker-0", "broker", seen=wire.Member(name="broker-0", state="ready"))])

    async def voting(self) -> frozenset[int]:
        return frozenset({1})

    async def ask(self, question: object, *, once: bool = False) -> Any:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "Failed while waiting for response from broker"))


def test_brokers_that_do_not_answer_yet_are_told_in_words() -> None:
    with pytest.raises(NotNow) as caught:
        asyncio.run(Unreached().health())
    assert sentence(caught.value) == "Failed while waiting for response from broker"


def test_what_a_request_did_wrong_does_not_pass() -> None:
    assert passes(NoHostAvailable("none", {})) == "no node of the ring answers"
    assert passes(OperationTimedOut()) == "a node did not answer in time"
    assert passes(OperationTimedOut(last_host=Host("127.1.1.10", SimpleConvictionPolicy))) == (
        "127.1.1.10 did not answer in time"
    )
    assert passes(ReadTimeout("late")) == "too few copies answered the node that was asked in time"
    assert passes(InvalidRequest("no such table")) == ""
    assert passes(KeyError("x")) == ""


@pytest.mark.parametrize(
    ("workers", "applications", "words"),
    [
        (["UNKNOWN", "ALIVE"], [], "1 worker"),
        (["UNKNOWN", "UNKNOWN"], ["UNKNOWN", "WAITING"], "2 workers and 1 application"),
        (["ALIVE"], [], "those"),
    ],
)
async def test_a_master_that_starts_again_says_whom_it_looks_for_and_how_long(
    workers: list[str], applications: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page: dict[str, Any] = {
        "status": "RECOVERING",
        "workers": [{"host": "a1", "state": state, "coresfree": 2} for state in workers],
        "activeapps": [{"name": "windows", "cores": 0, "state": state} for state in applications],
    }
    monkeypatch.setattr(pages, "read", lambda _master: page)
    there = {"master-0": wire.Member(name="master-0", state="starting", incarnation=1, starts=2, address="a0")}
    master = Spark(Context(name="spark", options={}, members=there))
    (found,) = await master.health()
    assert found.what == f"master-0 started again and looks for {words} that it knew before"
    assert found.doing == "who has not answered 20s after its start counts as gone; until then no job gets cores"
    page["status"] = "ALIVE"
    assert await master.health() == []
