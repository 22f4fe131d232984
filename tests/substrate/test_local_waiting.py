"""Plans and launches that wait: whole, for room or for a name, and looked at when that may have changed."""

from played_substrate import Cluster, Context, declaration, wanted

from upcall.protocol import agent as wire
from upcall.substrate.local_waiting import LOOKED_AT_MAX


def test_a_plan_that_does_not_fit_reserves_nothing_and_says_what_would(cluster: Cluster) -> None:
    plan = {f"broker-{n}": declaration(1024, apart="broker") for n in (1, 2, 3)}
    before = dict(cluster.records)
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    (said,) = cluster.said()
    assert said == (
        "no place for broker-1, broker-2, broker-3: needs 3 nodes with 0.5 cpus, 1 GiB memory free for "
        "broker-1, broker-2, broker-3 (each on another node): node-1 would do, node-2 would do; would fit: 2 of 3"
    )
    assert cluster.records == before


def test_launches_of_a_plan_that_does_not_fit_wait_for_the_whole_of_it(cluster: Cluster) -> None:
    plan = {f"broker-{n}": declaration(1024, apart="broker") for n in (1, 2, 3)}
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    cluster.said()
    for n in (1, 2, 3):
        cluster.launch(f"kafka.broker-{n}.1", apart="broker")
    assert all(
        line.startswith(f"kafka.broker-{n}.1 pending: needs 3 nodes") for n, line in enumerate(cluster.said(), 1)
    )
    assert cluster.told() == []
    cluster.register("node-3", memory_mib=512)
    assert [line[:9] for line in cluster.said() if "broker" in line] == ["no place ", *["kafka.bro"] * 3]
    cluster.register("node-4")
    assert [line for line in cluster.told() if "launch" in line] == [
        "node-1 launch kafka.broker-1.1 place 1 at 127.40.7.10",
        "node-2 launch kafka.broker-2.1 place 1 at 127.40.7.11",
        "node-4 launch kafka.broker-3.1 place 1 at 127.40.7.12",
    ]


def test_a_plan_that_waits_is_one_plan_again_after_a_restart(cluster: Cluster) -> None:
    wishes = [wanted(f"kafka.broker-{n}.1", apart="broker") for n in (1, 2, 3)]
    cluster.start()
    for wish in wishes:
        cluster.take(cluster.substrate.launch(wish, cluster.now_s))
    cluster.take(cluster.substrate.wanted(wishes, cluster.now_s))
    cluster.register("node-1")
    cluster.register("node-2")
    assert not [line for line in cluster.told() if "launch" in line]
    cluster.register("node-3")
    assert len([line for line in cluster.told() if "launch" in line]) == 3


def test_a_plan_that_is_asked_for_again_is_refused_again(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.take(cluster.substrate.reserve("a", {"m": declaration(9000)}, cluster.now_s))
        assert len(cluster.said()) == 1
    cluster.take(cluster.substrate.cordon("node-9", cluster.now_s, closed=False))
    assert cluster.said() == [], "nothing new about it"


def test_a_smaller_plan_takes_the_place_of_one_that_waits(cluster: Cluster) -> None:
    plan = {f"broker-{n}": declaration(1024, apart="broker") for n in (1, 2, 3)}
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    del plan["broker-3"]
    cluster.said()
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    assert cluster.said() == ["kafka.broker-1 on node-1 at 127.40.7.10", "kafka.broker-2 on node-2 at 127.40.7.11"]


def test_a_plan_that_waits_goes_on_without_a_member_that_is_released(cluster: Cluster) -> None:
    plan = {f"broker-{n}": declaration(1024, apart="broker") for n in (1, 2, 3)}
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    cluster.said()
    cluster.take(cluster.substrate.release("kafka.broker-2", cluster.now_s))
    cluster.take(cluster.substrate.cordon("node-9", cluster.now_s, closed=False))
    assert cluster.said() == ["kafka.broker-1 on node-1 at 127.40.7.10", "kafka.broker-3 on node-2 at 127.40.7.11"]


def test_a_member_that_has_its_place_comes_back_while_a_plan_waits(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=1))
    cluster.take(cluster.substrate.reserve("a", {"m": declaration(), "n": declaration(9000)}, cluster.now_s))
    cluster.told()
    cluster.launch("a.m.2")
    assert cluster.told() == ["node-1 launch a.m.2 place 1 at 127.40.7.10"]


def test_a_pending_task_starts_when_there_is_room(cluster: Cluster) -> None:
    cluster.launch("a.big.1", memory_mib=5000)
    assert cluster.said() == [
        "a.big.1 pending: needs a node with 4.8 GiB memory free for big: node-1 has 4 GiB memory free, "
        "node-2 has 4 GiB memory free; would fit: 4 GiB memory"
    ]
    cluster.register("node-3", memory_mib=8000)
    assert "node-3 launch a.big.1 place 1 at 127.40.7.10" in cluster.told()


def test_a_pending_task_can_be_ended(cluster: Cluster) -> None:
    cluster.launch("a.big.1", memory_mib=5000)
    cluster.end("a.big.1")
    cluster.register("node-3", memory_mib=8000)
    assert cluster.said()[1:] == ["a.big.1 ended [no code]: it was never started", "node-3 is up: registered"]


def test_a_launch_waits_for_names_that_are_not_known_yet(cluster: Cluster) -> None:
    cluster.context = Context(missing="waits for address.broker-2", waits_on=frozenset({"a"}))
    cluster.launch("a.m.1")
    assert cluster.said()[-1] == "a.m.1 placed: waits for address.broker-2"
    assert cluster.told() == []
    cluster.context = Context(values={"address.broker-2": "127.40.7.11"}, secrets={"password": "x"})
    cluster.take(cluster.substrate.known(["another"], cluster.now_s))
    assert cluster.told() == []
    cluster.take(cluster.substrate.known(["a"], cluster.now_s))
    ((_, launch),) = cluster.sent
    assert launch.values == {"address.broker-2": "127.40.7.11"}
    assert launch.secrets == {"password": "x"}


def test_who_waits_for_a_name_is_not_looked_at_until_it_is_known(cluster: Cluster) -> None:
    """Whatever happens meanwhile, and however much time passes: nothing polls."""
    cluster.context = Context(missing="waits for endpoint.b.c", waits_on=frozenset({"b"}))
    cluster.launch("a.m.1")
    asked = cluster.asked
    quiet_until = cluster.substrate.deadline()
    assert quiet_until is not None, "nodes are listened to"
    assert quiet_until > cluster.now_s + 1
    for _ in range(10):
        cluster.now_s += 1
        cluster.take(cluster.substrate.agent_heard("node-1", cluster.now_s))
        cluster.take(cluster.substrate.tick(cluster.now_s))
        cluster.take(cluster.substrate.known(["c"], cluster.now_s))
    assert cluster.asked == asked
    cluster.take(cluster.substrate.known(["b"], cluster.now_s))
    assert cluster.asked == asked + 1


def test_a_flood_of_launches_that_wait_for_a_name_is_gone_on_with_at_once(cluster: Cluster) -> None:
    cluster.context = Context(missing="waits for endpoint.b.c", waits_on=frozenset({"b"}))
    many = LOOKED_AT_MAX + 5
    for number in range(many):
        cluster.launch(f"a.m-{number}.1", memory_mib=1, cpus=0.01)
    cluster.told()
    cluster.context = Context()
    cluster.take(cluster.substrate.known(["b"], cluster.now_s))
    assert len(cluster.told()) == LOOKED_AT_MAX
    assert cluster.substrate.deadline() == cluster.now_s
    cluster.take(cluster.substrate.tick(cluster.now_s))
    assert len(cluster.told()) == 5
    assert cluster.substrate.deadline() != cluster.now_s


def test_launches_that_nothing_fits_are_looked_at_once_for_each_change_of_room(cluster: Cluster) -> None:
    """More of them than one call looks at: they have their turn, and then there is silence."""
    for number in range(LOOKED_AT_MAX + 5):
        cluster.launch(f"a.m-{number}.1", memory_mib=5000)
    cluster.register("node-3", memory_mib=100)
    calls = 0
    while cluster.substrate.deadline() == cluster.now_s:
        calls += 1
        assert calls < 10, "it polls"
        cluster.take(cluster.substrate.tick(cluster.now_s))
    assert calls == 1
