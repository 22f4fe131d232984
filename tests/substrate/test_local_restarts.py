"""After a restart of the master or of an agent tasks go on, and what was said meanwhile is said again."""

from played_substrate import Cluster, Context, running, wanted

from upcall.protocol import agent as wire


def test_after_a_restart_of_the_master_tasks_go_on(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.start()
    cluster.register("node-1", running("a.m.1"))
    assert cluster.told() == ["node-1 registered"], "nothing is ended before the wanted set is known"
    cluster.take(cluster.substrate.wanted([wanted("a.m.1")], cluster.now_s))
    assert cluster.told() == ["node-1 launch a.m.1 place 1 at 127.40.7.10", "node-1 synced"]
    assert cluster.said() == [
        "node-1 is up: registered",
        "a.m on node-1 at 127.40.7.10",
        "node-2 is expected",
        "a.m.1 ready",
    ]


def test_what_runs_is_told_to_go_on_even_while_a_name_is_missing(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.start(wanted("a.m.1"))
    cluster.context = Context(missing="waits for endpoint.b.c")
    cluster.register("node-1", running("a.m.1"))
    assert cluster.told() == ["node-1 registered", "node-1 launch a.m.1 place 1 at 127.40.7.10", "node-1 synced"]


def test_after_a_restart_the_wanted_come_and_the_unwanted_go(cluster: Cluster) -> None:
    for member in ("m", "n", "o"):
        cluster.launch(f"a.{member}.1", memory_mib=512)
    cluster.start(wanted("a.m.1", memory_mib=512), wanted("a.n.1", memory_mib=512))
    cluster.said()
    cluster.register("node-1", running("a.n.1"), running("a.o.1"), running("b.x.9"))
    assert cluster.told() == [
        "node-1 registered",
        "node-1 end a.o.1 within 0 s",
        "node-1 end b.x.9 within 0 s",
        "node-1 launch a.m.1 place 1 at 127.40.7.10",
        "node-1 launch a.n.1 place 1 at 127.40.7.11",
        "node-1 synced",
    ]
    cluster.status("node-1", "b.x.9", "ended", exit=wire.TaskExit(signal=9))
    assert cluster.said()[-1] == "b.x.9 ended [no code]"


def test_a_task_that_ended_while_the_master_was_down_is_reported_with_its_code(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.start(wanted("a.m.1"))
    cluster.said()
    cluster.register("node-1", wire.TaskStatus(task="a.m.1", state="ended", exit=wire.TaskExit(code=7)))
    assert "a.m.1 ended [7]" in cluster.said()
    assert not any("launch" in line for line in cluster.told())


def test_a_task_that_its_agent_forgot_has_ended(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.said(), cluster.told()
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.register("node-1")
    assert cluster.said() == [
        "a.m.1 ended [no code]: the agent of node-1 knows nothing of it any more",
    ]
    assert cluster.told() == ["node-1 registered", "node-1 synced"]


def test_a_launch_that_got_lost_is_repeated(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.told()
    cluster.register("node-1")
    assert cluster.told() == ["node-1 registered", "node-1 launch a.m.1 place 1 at 127.40.7.10", "node-1 synced"]


def test_an_agent_that_restarts_while_it_fetches_is_told_again(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "fetching")
    cluster.said(), cluster.told()
    cluster.register("node-1")
    assert cluster.told() == ["node-1 registered", "node-1 launch a.m.1 place 1 at 127.40.7.10", "node-1 synced"]
    assert cluster.said() == ["a.m.1 placed"]


def test_an_end_while_the_agent_is_away_is_told_when_it_is_back(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.told()
    cluster.end("a.m.1", 3.0)
    assert cluster.told() == []
    cluster.register("node-1", running("a.m.1"))
    assert cluster.told() == ["node-1 registered", "node-1 end a.m.1 within 3 s", "node-1 synced"]


def test_an_end_after_a_restart_waits_for_what_the_node_says(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.start()
    cluster.end("a.m.1")
    cluster.take(cluster.substrate.wanted((), cluster.now_s))
    assert "ended" not in " ".join(cluster.said()), "nothing is known about node-1 yet"
    cluster.register("node-1")
    assert cluster.said()[-1] == "a.m.1 ended [no code]: it was not running"
