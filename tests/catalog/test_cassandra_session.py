"""One session is kept for all questions to a ring: one that breaks takes none of the others with it."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut, Unavailable
from cassandra.cluster import Cluster, NoHostAvailable
from cassandra.policies import SimpleConvictionPolicy
from cassandra.pool import Host

from upcall.catalog.cassandra import nodes
from upcall.catalog.cassandra.ring import Ring as BlockingRing
from upcall.catalog.cassandra.service import Cassandra
from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict, NotNow
from upcall.protocol.service import Credentials
from upcall.service.blame import line_of
from upcall.service.context import Context
from upcall.service.faults import sentence


class Ring:
    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.closed = False
        self.stale = False

    def make_reader(self, user: str, password: str) -> None: ...

    def close(self) -> None:
        assert not self.closed, "once"
        self.closed = True


class Asked(Cassandra):
    """Questions are coroutines here, in place of threads."""

    async def own_login(self, endpoint: str = "admin") -> Credentials | None:
        await asyncio.sleep(0)
        return Credentials(user=endpoint, password="x")

    async def blocking(self, work: Callable[..., Any], *arguments: Any) -> Any:
        await asyncio.sleep(0)
        given = work(*arguments)
        return await given if asyncio.iscoroutine(given) else given

    def see(self, *addresses: str) -> None:
        self._context.members = {
            f"node-{n}": wire.Member(name=f"node-{n}", node=f"n{n}", state="ready", back=True, address=address)
            for n, address in enumerate(addresses)
        }


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Ring]:
    rings: list[Ring] = []

    def connect(addresses: tuple[str, ...], members: tuple[str, ...], login: Any) -> Ring:
        rings.append(Ring(addresses))
        return rings[-1]

    monkeypatch.setattr(nodes, "_connect", connect)
    return rings


async def long(ring: Any) -> Any:
    for _ in range(20):
        await asyncio.sleep(0)
        assert not ring.closed, "under the question"
    return "answered"


async def breaks(ring: Any) -> Any:
    raise ConnectionError("late")


async def asked(service: Asked, question: Any = long) -> Any:
    return await service.ask(question)


async def under_way(made: list[Ring]) -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    assert made


async def test_a_question_that_fails_closes_the_session_under_no_other_one(made: list[Ring]) -> None:
    service = Asked(Context(name="cassandra", options={}))
    service.see("127.1.1.10")
    first = asyncio.create_task(asked(service))
    await under_way(made)
    with pytest.raises(ConnectionError):
        await asked(service, breaks)
    assert await asked(service) == "answered", "a new one"
    assert await first == "answered"
    assert [ring.closed for ring in made] == [True, False], "the broken one goes with its last question"


async def late(ring: Any) -> Any:
    raise OperationTimedOut(
        errors={"127.1.1.10:9042": "Client request timeout"}, last_host=Host("127.1.1.10", SimpleConvictionPolicy)
    )


async def refused(ring: Any) -> Any:
    raise Unavailable("Cannot achieve consistency level QUORUM")


async def closed(ring: Any) -> Any:
    session = Cluster(["127.0.0.1"])
    session.shutdown()
    session.connect()


async def wrong(ring: Any) -> Any:
    raise InvalidRequest("no such table")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (late, "node-0 did not answer in time"),
        (refused, "too few nodes are up to answer"),
        (closed, "the session with the ring was closed; the next look opens another"),
    ],
)
async def test_what_passes_by_itself_is_said_in_words_of_ours_and_may_be_tried_again(
    made: list[Ring], question: Any, words: str
) -> None:
    service = Asked(Context(name="cassandra", options={}))
    service.see("127.1.1.10")
    with pytest.raises(NotNow) as caught:
        assert not await service.ask(question)
    assert sentence(caught.value) == words
    assert caught.value.__cause__ is not None
    assert "cluster.py" not in line_of(caught.value.__cause__)


async def test_what_may_not_be_done_twice_is_not_tried_again_once_it_may_have_been_done(made: list[Ring]) -> None:
    service = Asked(Context(name="cassandra", options={}))
    service.see("127.1.1.10")
    with pytest.raises(Conflict, match="node-0 did not answer in time: whether it was done is not known"):
        assert not await service.ask(late, once=True)
    with pytest.raises(NotNow):
        assert not await service.ask(refused, once=True)


async def test_what_a_request_did_wrong_stays_as_it_was_said(made: list[Ring]) -> None:
    service = Asked(Context(name="cassandra", options={}))
    service.see("127.1.1.10")
    with pytest.raises(InvalidRequest):
        assert not await service.ask(wrong)


@pytest.mark.parametrize(("statement", "once"), [("SELECT 1", False), ("  describe x", False), ("UPDATE t SET", True)])
async def test_a_statement_that_changes_something_is_none_to_repeat(statement: str, once: bool) -> None:
    told: list[bool] = []

    class Told(Asked):
        async def ask(self, question: Any, *, once: bool = False) -> Any:
            told.append(once)

    await Told(Context(name="cassandra", options={})).cql(statement)
    assert told == [once]


async def test_nodes_that_come_or_go_close_the_session_under_nobody(made: list[Ring]) -> None:
    service = Asked(Context(name="cassandra", options={}))
    service.see("127.1.1.10")
    first = asyncio.create_task(asked(service))
    await under_way(made)
    service.see("127.1.1.10", "127.1.1.11")
    assert await asked(service) == "answered"
    assert await first == "answered"
    assert [ring.closed for ring in made] == [True, False]


async def test_two_first_questions_leave_no_session_open(made: list[Ring]) -> None:
    service = Asked(Context(name="cassandra", options={}))
    service.see("127.1.1.10")
    assert list(await asyncio.gather(asked(service), asked(service))) == ["answered"] * 2
    assert [ring.closed for ring in made] == [*([True] * (len(made) - 1)), False]


async def test_a_session_that_does_not_reach_a_node_which_answers_is_closed_and_another_one_is_opened(
    made: list[Ring],
) -> None:
    async def misses(ring: Any) -> str:
        ring.stale = True
        return "what the others say"

    service = Asked(Context(name="cassandra"))
    service.see("127.1.1.1")
    assert await asked(service, misses) == "what the others say"
    assert made[0].closed
    assert await asked(service) == "answered"
    assert [ring.closed for ring in made] == [True, False]


@pytest.mark.parametrize(("answers", "silent"), [(True, set()), (False, {"127.1.1.2"})])
def test_a_node_is_silent_when_it_answers_nobody_and_not_when_the_driver_gave_up_reaching_it(
    answers: bool, silent: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine its pool of connections to a node may fail to be made; the node is up for it all the same."""

    class Answer:
        def __init__(self, there: bool) -> None:
            self.there = there

        def result(self) -> list[dict[str, Any]]:
            if not self.there:
                raise NoHostAvailable("no pool", {})
            return [{"n": 1}]

    class Session:
        def execute_async(self, query: str, host: Any, timeout: float) -> Answer:
            return Answer(host.address == "127.1.1.1")

        def execute(self, query: str, host: Any) -> list[dict[str, Any]]:
            return Answer(host.address == "127.1.1.1").result()

    ring = BlockingRing(("127.1.1.1", "127.1.1.2"), 9042)
    hosts = [SimpleNamespace(address=address, is_up=True) for address in ring.addresses]
    monkeypatch.setattr(ring, "_hosts", lambda: hosts)
    monkeypatch.setattr(ring, "_session", Session())
    monkeypatch.setattr(ring, "_beside", lambda host, query: [{"n": 2}] if answers else None)
    monkeypatch.setattr("upcall.catalog.cassandra.ring.TRIES", 0)
    up, said, found = ring.each("SELECT n FROM x")
    ring.close()
    assert up == set(ring.addresses)
    assert (found, ring.stale) == (silent, answers)
    assert said == {"127.1.1.1": [{"n": 1}], **({"127.1.1.2": [{"n": 2}]} if answers else {})}
