"""Records in an API server: calls that go wrong, writers that were stopped, deaths at any call."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from upcall.kubernetes.records import head as heads
from upcall.kubernetes.records import objects, writing
from upcall.kubernetes.records.store import KubernetesStore
from upcall.store.interface import (
    Append,
    CommitFailed,
    Corrupt,
    Delete,
    FutureVersion,
    Put,
    Store,
    Superseded,
    VersionConflict,
)
from upcall.substrate.kubernetes.evictions.objects import DEFINED
from upcall.testing.kubernetes.records import KeptObjects, Meets, Trouble

RECORDS = "/apis/upcall.dev/v1alpha1/namespaces/data/records"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/data/leases"
CHANGING = ("POST", "PUT", "DELETE")
LIMIT_S = 60.0


class Opened:
    def __init__(self) -> None:
        self.server = KeptObjects()
        self.stores: list[KubernetesStore] = []
        self.wall_s = 1_000_000.0

    def __call__(self, meets: Meets | None = None, **more: Any) -> KubernetesStore:
        store = KubernetesStore(lambda: self.server.connect(meets), "data", wall=lambda: self.wall_s, **more)
        self.stores.append(store)
        return store

    def object(self, key: str) -> dict[str, Any]:
        return self.server.objects[f"{RECORDS}/{objects.name('k', key)}"]


@pytest.fixture
def opened() -> Iterator[Opened]:
    one = Opened()
    yield one
    for store in one.stores:
        store.close()


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def content(store: Store) -> dict[str, bytes]:
    return {record.key: record.value for record in store.load("k")}


def events(store: Store) -> list[int]:
    return [event.sequence for event in store.events_after("c", 0)]


# -- answers -----------------------------------------------------------------------------------------------------------

COMMITS: tuple[tuple[Put | Delete | Append, ...], ...] = (
    (Put("k", "a", b"1", 0), Put("k", "b", b"1", 0), Append("c", 1, b"")),
    (Put("k", "a", b"2"), Delete("k", "b"), Append("c", 2, b""), Append("c", 3, b"")),
    (Put("k", "b", b"3", 0), Put("k", "a", b"3"), Put("k", "a", b"4"), Append("c", 4, b"")),
)
AFTERWARDS = ({"a": b"1", "b": b"1"}, {"a": b"2"}, {"a": b"4", "b": b"3"})
"""Of the records, after each commit."""


def nth(number: int, trouble: Trouble) -> Meets:
    calls = itertools.count()

    async def meets(method: str, path: str) -> Trouble:
        hit = next(calls) == number and (trouble != "conflict" or method != "GET")
        return trouble if hit else ""

    return meets


def counted() -> int:
    calls = itertools.count()

    async def meets(method: str, path: str) -> Trouble:
        next(calls)
        return ""

    opened = Opened()
    store = opened(meets)
    for commit in COMMITS:
        store.commit(commit)
    store.put_blob(b"blob")
    store.close()
    return next(calls)


@pytest.mark.parametrize("trouble", ["unreachable", "unanswered", "throttled", "conflict", "fault"])
def test_whatever_one_call_meets_each_write_is_made_once_and_all_is_as_without_it(
    monkeypatch: pytest.MonkeyPatch, trouble: Trouble
) -> None:
    monkeypatch.setattr("upcall.kubernetes.records.calls.PAUSE_S", 0.0)
    undisturbed = Opened()
    plain = undisturbed()
    for commit in COMMITS:
        plain.commit(commit)
    plain.put_blob(b"blob")
    for number in range(counted()):
        opened = Opened()
        store = opened(nth(number, trouble))
        for commit, after in zip(COMMITS, AFTERWARDS, strict=True):
            versions = store.commit(commit)
            assert content(store) == after
            of_puts = {one.key: version for one, version in zip(commit, versions, strict=True) if isinstance(one, Put)}
            assert of_puts.items() <= {r.key: r.version for r in store.load("k")}.items()
        digest = store.put_blob(b"blob")
        again = opened()
        for one in (store, again):
            assert (content(one), events(one), one.blob(digest)) == (AFTERWARDS[-1], [1, 2, 3, 4], b"blob")
        made = [path for method, path in opened.server.written if path.startswith(RECORDS)]
        expected = [path for method, path in undisturbed.server.written if path.startswith(RECORDS)]
        # Beginning anew after a lost answer, and the second store's own, are starts, and no records.
        assert [p for p in made if not p.endswith("/start")] == [p for p in expected if not p.endswith("/start")]
        for each in opened.stores:
            each.close()
    plain.close()


def test_a_server_that_is_away_is_waited_for_and_nothing_is_given_up(
    opened: Opened, beside: ThreadPoolExecutor
) -> None:
    away = threading.Event()

    async def meets(method: str, path: str) -> Trouble:
        return "unreachable" if away.is_set() else ""

    store = opened(meets)
    away.set()
    writing = beside.submit(store.put, "k", "a", b"1")
    with pytest.raises(TimeoutError):
        writing.result(1.0)
    assert content(store) == {}
    away.clear()
    assert writing.result(LIMIT_S) > 0
    assert content(opened()) == {"a": b"1"}


def test_who_waits_for_a_server_that_is_away_is_let_go_when_the_store_is_closed(
    opened: Opened, beside: ThreadPoolExecutor
) -> None:
    away = threading.Event()

    async def meets(method: str, path: str) -> Trouble:
        return "unreachable" if away.is_set() else ""

    store = opened(meets)
    away.set()
    writing = beside.submit(store.put, "k", "a", b"1")
    with pytest.raises(TimeoutError):
        writing.result(0.5)
    closing = threading.Thread(target=store.close)
    closing.start()
    with pytest.raises(CommitFailed, match="nobody waits"):
        writing.result(LIMIT_S)
    closing.join()


def test_what_is_refused_fails_its_commit_and_the_next_start_goes_on_with_its_beginning(opened: Opened) -> None:
    full = True

    async def meets(method: str, path: str) -> Trouble:
        return "refused" if full and method == "POST" and path == RECORDS and stored else ""

    stored: list[int] = []
    store = opened(meets)
    stored.append(store.put("k", "a", b"1"))
    with pytest.raises(CommitFailed, match="quota"):
        store.commit([Put("k", "a", b"2"), Put("k", "b", b"2"), Append("c", 1, b"")])
    with pytest.raises(CommitFailed, match="before a new start"):
        store.put("k", "a", b"3")
    full = False
    assert store.begin() == 2
    assert (content(store), events(store)) == ({"a": b"2"}, [])
    store.put("k", "b", b"3", 0)
    assert content(opened()) == {"a": b"2", "b": b"3"}


@pytest.mark.parametrize("change", [Put("k", "a", b"2"), Append("c", 1, b"")], ids=["a record", "an event"])
def test_a_server_that_is_unwell_for_long_fails_the_commit_in_its_own_words(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, change: Put | Append
) -> None:
    """As one whose etcd is full: whatever is written has the same answer."""
    monkeypatch.setattr("upcall.kubernetes.records.calls.PAUSE_S", 0.0)
    monkeypatch.setattr("upcall.kubernetes.records.calls.FAULTS_S", 0.0)

    async def meets(method: str, path: str) -> Trouble:
        return "full" if full and method in CHANGING else ""

    full = False
    store = opened(meets)
    store.put("k", "a", b"1")
    full = True
    with pytest.raises(CommitFailed, match="database space exceeded"):
        store.commit([change])
    full = False
    store.begin()
    assert (content(store), events(store)) == ({"a": b"1"}, [])


def test_what_somebody_changes_again_and_again_is_said(opened: Opened) -> None:
    async def meets(method: str, path: str) -> Trouble:
        return "conflict" if method == "PUT" and not path.endswith("/start") else ""

    store = opened(meets)
    store.put("k", "a", b"1")
    with pytest.raises(CommitFailed, match="record k/a cannot be written: it is changed again and again"):
        store.put("k", "a", b"2")


# -- stopped -----------------------------------------------------------------------------------------------------------


class Stopped:
    """A writer that looks, and is stopped before its write arrives."""

    def __init__(self, holds: Callable[[str, str], bool]) -> None:
        self._holds = holds
        self.reached, self.goes_on = threading.Event(), threading.Event()
        self.armed = False

    async def __call__(self, method: str, path: str) -> Trouble:
        if self.armed and self._holds(method, path):
            self.armed = False
            self.reached.set()
            await asyncio.to_thread(self.goes_on.wait, LIMIT_S)
        return ""


LATE: dict[str, Callable[[Store, int], object]] = {
    "a record over another": lambda store, version: store.put("k", "a", b"late", version),
    "a record over whatever there is": lambda store, version: store.put("k", "a", b"late"),
    "a record that nobody has": lambda store, version: store.put("k", "new", b"late", 0),
    "a deletion": lambda store, version: store.delete("k", "a", version),
    "an event": lambda store, version: store.commit([Append("c", 2, b"late")]),
    "a blob's deletion": lambda store, version: store.delete_blob(next(iter(store.blobs()))),
}


@pytest.mark.parametrize("next_writes", [False, True], ids=["the next start rests", "the next start writes"])
@pytest.mark.parametrize("late", LATE)
def test_what_a_stopped_writer_sends_after_the_next_start_took_over_never_counts(
    opened: Opened, beside: ThreadPoolExecutor, late: str, next_writes: bool
) -> None:
    stopped = Stopped(lambda method, path: method in CHANGING)
    older = opened(stopped)
    version = older.put("k", "a", b"1", 0)
    older.commit([Append("c", 1, b"")])
    digest = older.put_blob(b"lock")
    stopped.armed = True
    written = beside.submit(LATE[late], older, version)
    assert stopped.reached.wait(LIMIT_S)
    newer = opened()
    assert (content(newer), newer.load("k")[0].version, events(newer)) == ({"a": b"1"}, version, [1])
    if next_writes:
        newer.put("k", "a", b"2", version)
        newer.put("k", "new", b"2", 0)
        newer.commit([Append("c", 2, b"2")])
    before = len(opened.server.written)
    stopped.goes_on.set()
    with pytest.raises(Superseded, match="start 2"):
        written.result(LIMIT_S)
    arrived = len(opened.server.written) > before
    assert arrived or (next_writes and late not in ("an event", "a blob's deletion")), "it was late, and it arrived"
    with pytest.raises(Superseded):
        older.put("k", "b", b"")
    expected = ({"a": b"2", "new": b"2"}, [1, 2]) if next_writes else ({"a": b"1"}, [1])
    assert (content(newer), events(newer), newer.blob(digest)) == (*expected, b"lock")
    # Nor for those who come later, nor does it stand in the way of the one who had not seen it.
    if not next_writes:
        newer.commit([Put("k", "a", b"2", version), Put("k", "new", b"2", 0), Append("c", 2, b"2")])
    third = opened()
    for one in (newer, third, opened()):
        assert (content(one), events(one), one.blob(digest)) == ({"a": b"2", "new": b"2"}, [1, 2], b"lock")
    assert [e.value for e in third.events_after("c", 1)] == [b"2"]


@pytest.mark.parametrize("late", LATE)
def test_what_arrives_before_the_next_start_has_listed_all_counts_for_everybody_or_for_nobody(
    opened: Opened, beside: ThreadPoolExecutor, late: str
) -> None:
    stopped = Stopped(lambda method, path: method in CHANGING)
    older = opened(stopped)
    version = older.put("k", "a", b"1", 0)
    older.commit([Append("c", 1, b"")])
    older.put_blob(b"lock")
    stopped.armed = True
    written = beside.submit(LATE[late], older, version)
    assert stopped.reached.wait(LIMIT_S)
    # It has taken the head, and not looked yet.
    takes = Stopped(lambda method, path: method == "GET" and path == RECORDS)
    takes_calls = itertools.count()

    async def meets(method: str, path: str) -> Trouble:
        # The first list of all is who asks whether the kind is known.
        takes.armed = takes.armed or (method == "PUT" and path.endswith("/start") and not next(takes_calls))
        return await takes(method, path)

    with ThreadPoolExecutor(1) as another:
        opening: Future[KubernetesStore] = another.submit(opened, meets)
        assert takes.reached.wait(LIMIT_S)
        stopped.goes_on.set()
        with pytest.raises(Superseded):
            written.result(LIMIT_S)
        takes.goes_on.set()
        newer = opening.result(LIMIT_S)
    found = (newer.load("k"), events(newer), newer.blobs())
    again = opened()
    assert (again.load("k"), events(again), again.blobs()) == found
    assert again.put("k", "a", b"4") > version


# -- deaths ------------------------------------------------------------------------------------------------------------


class DiedError(Exception):
    pass


def test_who_dies_at_any_call_has_lost_nothing_acknowledged_and_left_a_beginning() -> None:
    for number in range(counted()):
        for carried_out in (False, True):
            opened = Opened()
            calls = itertools.count()

            async def meets(method: str, path: str, calls: Any = calls, at: int = number) -> Trouble:
                if next(calls) >= at:
                    raise DiedError
                return ""

            acknowledged = 0
            try:
                store = opened(meets)
                for commit in COMMITS:
                    store.commit(commit)
                    acknowledged += 1
            except DiedError:
                pass
            again = opened()
            found = content(again)
            states = [{}, *AFTERWARDS]
            beginnings = [*BEGINNINGS[acknowledged], states[acknowledged]] if acknowledged < 3 else [states[3]]
            assert found in beginnings, (number, carried_out, acknowledged)
            assert len(events(again)) >= (0, 1, 3, 4)[acknowledged]
            for each in opened.stores:
                each.close()


BEGINNINGS: tuple[tuple[dict[str, bytes], ...], ...] = (
    ({"a": b"1"}, {"a": b"1", "b": b"1"}),
    ({"a": b"2", "b": b"1"}, {"a": b"2"}),
    ({"a": b"2", "b": b"3"}, {"a": b"3", "b": b"3"}, {"a": b"4", "b": b"3"}),
)
"""What a commit that is not acknowledged may have come to."""


# -- hands -------------------------------------------------------------------------------------------------------------


def test_a_label_of_somebody_elses_changes_nothing(opened: Opened) -> None:
    store = opened()
    version = store.put("k", "a", b"1")
    newer = opened()
    for path in list(opened.server.objects):
        # Whoever encrypts what is stored with a new key writes everything anew as well.
        opened.server.carry_out("PATCH", path, {}, opened.server.objects[path])
    assert newer.get("k", "a").version == version  # type: ignore[union-attr]
    second = newer.put("k", "a", b"2", version)
    newer.commit([Append("c", 1, b"")])
    assert second > version
    assert content(opened()) == {"a": b"2"}


def test_what_somebody_has_deleted_or_changed_by_hand_is_not_written_over(opened: Opened) -> None:
    store = opened()
    gone, changed = store.put("k", "gone", b"1"), store.put("k", "changed", b"1")
    del opened.server.objects[f"{RECORDS}/{objects.name('k', 'gone')}"]
    edited = opened.object("changed")
    opened.server.carry_out("PUT", f"{RECORDS}/{objects.name('k', 'changed')}", {}, edited | {
        "spec": edited["spec"] | {"text": "edited", "write": edited["spec"]["write"] + 1000}
    })  # fmt: skip
    for key, version in (("gone", gone), ("changed", changed)):
        with pytest.raises(VersionConflict, match=f"expected {version}"):
            store.put("k", key, b"2", version)
    store.begin()
    assert content(store) == {"changed": b"edited"}


def test_who_may_write_is_known_again_when_somebody_has_deleted_it(opened: Opened) -> None:
    store = opened()
    version = opened().put("k", "a", b"1")
    del opened.server.objects[f"{RECORDS}/{heads.NAME}"]
    newer = opened()
    assert newer.start > 2
    assert newer.put("k", "a", b"2", version) > version
    with pytest.raises(Superseded):
        store.put("k", "b", b"")


def test_what_is_not_as_it_was_written_is_said(opened: Opened) -> None:
    store = opened()
    store.put("k", "a", b"1" * 10_000)
    digest = store.put_blob(b"lock")
    piece = next(path for path in opened.server.objects if "/configmaps/blob" in path)
    opened.server.objects[piece]["binaryData"]["part"] = "AAAA"
    with pytest.raises(Corrupt, match=digest):
        store.blob(digest)
    del opened.server.objects[piece]
    with pytest.raises(Corrupt, match="is gone"):
        store.blob(digest)
    opened.object("a")["spec"]["packed"] = "AAAA"
    with pytest.raises(Corrupt, match="record k/a"):
        opened()


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_what_is_deleted_keeps_its_name_for_an_hour_and_then_goes(opened: Opened) -> None:
    store = opened()
    store.put("k", "a", b"1")
    store.delete("k", "a")
    assert content(opened()) == {}
    assert opened.object("a")["spec"].get("text") is None
    opened.wall_s += objects.GRAVE_S + 1
    assert content(opened()) == {}
    assert f"{RECORDS}/{objects.name('k', 'a')}" not in opened.server.objects


def test_an_upload_that_came_to_no_end_leaves_nothing(opened: Opened) -> None:
    async def meets(method: str, path: str) -> Trouble:
        if method == "POST" and path.endswith("/configmaps") and len(pieces()) == 1:
            raise DiedError
        return ""

    def pieces() -> list[str]:
        return [path for path in opened.server.objects if "/configmaps/blob" in path]

    store = opened(meets)
    with pytest.raises(DiedError):
        store.put_blob(bytes(1_000_000))
    assert (store.blobs(), len(pieces())) == ({}, 1)
    again = opened()
    assert (again.blobs(), pieces()) == ({}, [])
    digest = again.put_blob(bytes(1_000_000))
    assert again.blob(digest) == bytes(1_000_000)


def test_events_are_bounded_and_so_are_their_pages(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upcall.kubernetes.records.events.PAGE_EVENTS_MAX", 4)
    store = opened(events_max=10)
    for n in range(1, 26):
        store.commit([Append("c", n, str(n).encode())])
    assert store.events_bounds("c") == (16, 25)
    assert events(store) == list(range(16, 26))
    pages = [path for path in opened.server.objects if "/configmaps/events" in path]
    assert len(pages) <= 5
    again = opened(events_max=10)
    assert (again.events_bounds("c"), events(again)) == ((16, 25), list(range(16, 26)))


def test_many_starts_that_say_little_leave_few_pages_and_a_short_head(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "STARTS_MAX", 5)
    versions = {}
    for n in range(1, 31):
        store = opened()
        versions[f"{n}"] = store.put("k", f"{n}", b"")
        store.commit([Append("c", n, b"")])
        store.close()
    last = opened()
    assert {r.key: r.version for r in last.load("k")} == versions
    assert events(last) == list(range(1, 31))
    pages = [path for path in opened.server.objects if "/configmaps/events" in path]
    assert len(pages) <= 3
    assert len(opened.server.objects[f"{RECORDS}/{heads.NAME}"]["spec"]["ended"]) <= 8


def test_records_of_a_newer_release_are_left_alone_by_an_older_one_that_names_both(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(identity="first")
    first.put("k", "a", b"1")
    first.close()
    monkeypatch.setattr(writing, "__version__", "7.10.0")
    newer = opened(identity="newer")
    assert newer.put("k", "a", b"2", newer.load("k")[0].version)
    newer.close()
    monkeypatch.undo()
    monkeypatch.setattr(heads, "__version__", "7.9.0")
    before, lease = list(opened.server.written), f"{LEASES}/upcall-master"
    held = opened.server.objects[lease]
    with pytest.raises(
        FutureVersion, match=r"are upcall 7\.10\.0's, and this is upcall 7\.9\.0.*expected upcall 7\.10"
    ):
        opened(identity="older")
    assert (opened.server.written, opened.server.objects[lease]) == (before, held), "nor did it lead"
    monkeypatch.setattr(heads, "__version__", "7.10.0")
    assert [one.value for one in opened(identity="same").load("k")] == [b"2"]


def test_one_that_stood_by_when_a_newer_release_led_does_not_take_its_records(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks once more when its turn has come."""
    store = opened()
    path = f"{RECORDS}/{heads.NAME}"
    head = opened.server.objects[path]
    opened.server.objects[path] = head | {"metadata": head["metadata"] | {"annotations": {heads.RELEASE: "7.9.0"}}}
    before = list(opened.server.written)
    with pytest.raises(FutureVersion, match=r"upcall 7\.9\.0"):
        store.begin()
    assert opened.server.written == before


def test_a_kind_of_which_a_newer_release_has_said_more_stays_as_it_is(opened: Opened) -> None:
    opened().close()
    path = next(path for path in opened.server.objects if path.endswith("/records.upcall.dev"))
    there = opened.server.objects[path]
    newer = there | {"metadata": there["metadata"] | {"annotations": {DEFINED: "7"}}, "spec": {"more": "of it"}}
    opened.server.objects[path] = newer
    opened()
    assert opened.server.objects[path] == newer
