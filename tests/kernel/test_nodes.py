"""Liveness: who is late, silent, gone, back, and when it was the judge who was late."""

from upcall.kernel.nodes import Change, Nodes


def judge(nodes: Nodes, now_s: float) -> list[tuple[str, str]]:
    return [(change.node, change.state) for change in nodes.judge(now_s)]


def test_up_late_silent_back() -> None:
    nodes = Nodes(15.0)
    assert nodes.registered("a", 0.0) == Change("a", "up", "registered")
    assert nodes.deadline() == 7.5
    assert judge(nodes, 7.4) == []
    assert judge(nodes, 7.5) == [("a", "late")]
    assert nodes.usable("a")
    assert nodes.deadline() == 15.0
    assert judge(nodes, 15.0) == [("a", "silent")]
    assert not nodes.usable("a")
    assert nodes.deadline() is None
    assert judge(nodes, 16.0) == [], "told once"
    assert nodes.registered("a", 47.0) == Change("a", "up", "back after 47 s")
    assert nodes.deadline() == 54.5


def test_being_heard_moves_the_deadline() -> None:
    nodes = Nodes(15.0)
    nodes.registered("a", 0.0)
    nodes.registered("b", 1.0)
    assert nodes.heard("a", 6.0) is None
    assert nodes.deadline() == 8.5
    assert judge(nodes, 9.0) == [("b", "late")]
    assert nodes.heard("b", 9.0) == Change("b", "up", "heard again after 8 s")
    assert judge(nodes, 13.0) == []


def test_a_silent_node_on_a_connection_that_held_is_back_when_it_is_heard() -> None:
    nodes = Nodes(15.0)
    nodes.registered("a", 0.0)
    list(nodes.judge(15.0))
    assert nodes.heard("a", 20.0) == Change("a", "up", "heard again after 20 s")
    assert nodes.usable("a")


def test_who_has_not_registered_or_is_gone_is_not_heard() -> None:
    nodes = Nodes(15.0)
    nodes.expect("a", 0.0)
    assert nodes.heard("a", 1.0) is None
    assert nodes.heard("stranger", 1.0) is None
    nodes.registered("a", 2.0)
    nodes.gone("a", 3.0)
    assert nodes.heard("a", 4.0) is None
    assert nodes.state("a") == "gone"
    assert nodes.registered("a", 5.0).reason == "back after 3 s"


def test_an_expected_node_has_the_liveness_time_to_register() -> None:
    nodes = Nodes(15.0)
    nodes.expect("a", 100.0)
    assert nodes.usable("a")
    assert judge(nodes, 114.0) == []
    assert judge(nodes, 115.0) == [("a", "silent")]


def test_a_judge_that_is_late_judges_nobody_and_starts_again() -> None:
    nodes = Nodes(15.0)
    nodes.registered("a", 0.0)
    nodes.registered("b", 1.0)
    assert judge(nodes, 3600.0) == []
    nodes.heard("a", 3601.0)
    assert judge(nodes, 3608.0) == [("b", "late")]
    assert judge(nodes, 3615.0) == [("b", "silent"), ("a", "late")]


def test_a_judge_that_is_a_little_late_still_judges() -> None:
    nodes = Nodes(15.0)
    nodes.registered("a", 0.0)
    assert judge(nodes, 19.9) == [("a", "silent")]


def test_a_forgotten_node_has_no_deadline() -> None:
    nodes = Nodes(15.0)
    nodes.registered("a", 0.0)
    nodes.forget("a")
    assert nodes.deadline() is None
    assert judge(nodes, 15.0) == []
