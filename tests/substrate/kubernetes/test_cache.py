"""What is known of the API server, whatever comes late, twice, or not at all."""

from typing import Any

from objects_of import raw_node, raw_pod

from upcall.substrate.kubernetes.cache import Cache
from upcall.substrate.kubernetes.objects import KINDS
from upcall.substrate.kubernetes.requests import Changed, Listed, Removed


def full(*pods: dict[str, Any], version: int = 10) -> Cache:
    cache = Cache()
    for kind in KINDS:
        cache.take(Listed(kind, pods if kind == "Pod" else (), version))
    return cache


def test_nothing_is_concluded_before_each_kind_was_listed_once() -> None:
    cache = Cache()
    for kind in KINDS:
        assert not cache.complete
        cache.take(Listed(kind, (), 5))
    assert cache.complete


def test_what_is_newer_holds_whatever_comes_later() -> None:
    cache = full(raw_pod(version=7, phase="Running"))
    assert not cache.take(Changed("Pod", raw_pod(version=6, phase="Pending")))
    assert not cache.take(Changed("Pod", raw_pod(version=7, phase="Running"))), "told twice"
    ((_, before, now),) = cache.take(Changed("Pod", raw_pod(version=8, phase="Failed")))
    assert (before and before.metadata.version, now and now.metadata.version) == (7, 8)


def test_what_was_deleted_does_not_come_back_by_an_old_event() -> None:
    cache = full(raw_pod(version=7))
    cache.take(Removed("Pod", raw_pod(version=9)))
    assert not cache.take(Changed("Pod", raw_pod(version=8)))
    assert not cache.take(Changed("Pod", raw_pod(version=10))), "nor by a server that lags behind in another way"
    assert cache.pods == {}
    assert cache.take(Changed("Pod", raw_pod(version=11, uid="u2"))), "another of its name does"


def test_the_deletion_of_an_older_one_of_its_name_takes_nothing_away() -> None:
    cache = full(raw_pod(version=11, uid="u2"))
    assert not cache.take(Removed("Pod", raw_pod(version=9, uid="u1")))
    assert cache.pods["log.b0.p1"].uid == "u2"


def test_a_list_takes_away_what_is_missing_in_it_but_not_what_is_newer_than_it() -> None:
    cache = full(raw_pod(version=7))
    assert not cache.take(Listed("Pod", (), 6)), "an older list"
    ((_, before, now),) = cache.take(Listed("Pod", (), 12))
    assert before is not None
    assert now is None


def test_pods_are_found_by_their_member_the_oldest_first() -> None:
    from objects_of import wanted

    cache = full(
        raw_pod(of=wanted(incarnation=10, place=2), uid="b"), raw_pod(of=wanted(incarnation=9, place=1), uid="a")
    )
    assert [pod.task.incarnation for pod in cache.pods_of("log.b0") if pod.task] == [9, 10]
    cache.take(Removed("Pod", raw_pod(of=wanted(incarnation=9, place=1), uid="a", version=20)))
    assert [pod.uid for pod in cache.pods_of("log.b0")] == ["b"]


def test_another_kind_of_the_same_name_is_another_object() -> None:
    cache = full(raw_pod(version=7))
    cache.take(Changed("Node", raw_node("log.b0.p1")))
    assert set(cache.nodes) == set(cache.pods) == {"log.b0.p1"}
