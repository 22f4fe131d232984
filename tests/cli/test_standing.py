"""What ``why`` and ``status`` say of an operation that is over and still has effect: words that fit its kind."""

import time

from upcall.cli.status import waiting_lines
from upcall.cli.why import degraded_lines, operation_row, standing
from upcall.protocol.operator import DegradedView, NodeView, OperationView, ServiceView, Status


def operation(kind: str, target: str, *, removes: bool = False) -> OperationView:
    return OperationView(
        id="op-7", kind=kind, klass="windowed", state="done", target=target, reason="", asked_by="ann",
        since=time.time(), ended_at=time.time(), removes_node=removes,
    )  # fmt: skip


def status(*operations: OperationView, nodes: tuple[str, ...] = ("node-1", "node-2")) -> Status:
    return Status(
        cluster="c", version="1", master_since=0.0, event_sequence=0, services=[], operations=list(operations),
        nodes=[NodeView(name=name, state="up") for name in nodes],
    )  # fmt: skip


def test_a_drain_says_what_ends_it() -> None:
    assert "`upcall node undrain node-2` ends it" in standing(operation("maintenance", "node-2"))


def test_a_removal_speaks_of_no_undrain() -> None:
    found = operation("maintenance", "node-2", removes=True)
    assert standing(found) == "op-7 removal of node-2: its members have left; the node is being taken away"
    assert operation_row(found)[1] == "removal"


def test_a_removed_node_that_is_gone_is_of_the_past() -> None:
    found = operation("maintenance", "node-2", removes=True)
    assert waiting_lines(status(found)) == [standing(found)]
    assert waiting_lines(status(found, nodes=("node-1",))) == []


def test_a_shutdown_says_what_ends_it() -> None:
    assert "`upcall up` ends it" in standing(operation("shutdown", "the system"))


def test_what_its_own_code_says_is_wrong_stands_beside_what_waits_with_since_when() -> None:
    lags = DegradedView(
        what="12 of 48 partitions lag", doing="broker-2 catches up", member="broker-2",
        since=time.time() - 185, key="lag",
    )  # fmt: skip
    service = ServiceView(name="kafka", package="kafka", version="1", revision=1, state="updating", degraded=[lags])
    line = "kafka: degraded for 3m 05s: 12 of 48 partitions lag; broker-2 catches up"
    assert degraded_lines(service) == [line]
    found = status()
    found.services.append(service)
    assert waiting_lines(found) == [line]
    service.state, service.reason = "degraded", lags.what
    assert waiting_lines(found) == [], "it stands in its row"


def test_what_comes_back_by_itself_is_said_once_by_its_service() -> None:
    loss = operation("lost", "hello.web-1")
    loss.ended_at, loss.state, loss.service, loss.waits_for = (
        None,
        "open",
        "hello",
        "the restart pause: it ended 4 times",
    )
    found = status(loss)
    found.services.append(
        ServiceView(
            name="hello", package="hello", version="1", revision=1, state="recovering",
            reason="web-1 ended 4 times, last: exit code 137 (SIGKILL); next try in 4 s",
        )
    )  # fmt: skip
    assert waiting_lines(found) == []
    found.services[0].state = "updating"
    (line,) = waiting_lines(found)
    assert line.startswith("under way: loss of hello.web-1")
