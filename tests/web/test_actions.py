"""From a browser's message to one call of the API: what is none of ours goes nowhere."""

import pytest

from upcall.protocol.errors import Invalid
from upcall.protocol.operator import Ask, Drain
from upcall.web.actions import ACTIONS, asked


def test_a_drain_carries_window_and_deadline() -> None:
    question = asked({"verb": "drain", "target": "node-2"})
    assert question is not None
    path, body = question.call({"reason": "disks", "window_s": "120", "on_deadline": "proceed"})
    assert path == "/v1/nodes/node-2/drain"
    assert body == Drain(reason="disks", window_s=120, on_deadline="proceed")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"verb": "drain"},
        {"verb": "rm", "target": "x"},
        {"verb": "drain", "target": 7},
        {"verb": "drain", "target": ""},
    ],
)
def test_what_is_no_verb_of_ours_is_ignored(message: dict[str, object]) -> None:
    assert asked(message) is None


def test_a_target_stays_one_part_of_the_path() -> None:
    question = asked({"verb": "restart", "target": "hello.web-0?x=1"})
    assert question is not None
    path, body = question.call({"unknown": "ignored"})
    assert path == "/v1/tasks/hello.web-0%3Fx%3D1/restart"
    assert body == Ask()
    outside = asked({"verb": "restart", "target": "../shutdown"})
    assert outside is not None
    with pytest.raises(Invalid, match="not a name of a member"):
        outside.call({})


def test_a_wrong_window_is_named() -> None:
    question = asked({"verb": "drain", "target": "node-1"})
    assert question is not None
    with pytest.raises(Invalid) as error:
        question.call({"window_s": "soon"})
    assert error.value.problem.where == "window_s"


def test_forcing_wants_a_reason() -> None:
    assert any(one.get("required") for one in ACTIONS["force"].fields)
    assert ACTIONS["force"].danger
