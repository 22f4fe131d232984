"""What every store promises, whatever it stands on (:mod:`upcall.store.interface`).

Who has a store derives from :class:`Promises` and says how one is opened, and how several on the same data.
"""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from upcall.store.interface import (
    Append,
    BlobMismatch,
    Change,
    Delete,
    Put,
    Store,
    StoreError,
    Superseded,
    TooLarge,
    VersionConflict,
)

Opened = Callable[[], Store]
"""Another one on the same data, whether or not the others are closed."""
Anew = Callable[[], Opened]
"""On data of their own, of which there are none yet."""

WRITES: dict[str, Callable[[Store], object]] = {
    "a record": lambda store: store.put("k", "new", b"1"),
    "a record whose version is right": lambda store: store.put("k", "a", b"2", expected_version=version_of(store)),
    "a record that nobody has": lambda store: store.put("k", "new", b"1", expected_version=0),
    "a deletion": lambda store: store.delete("k", "a"),
    "a deletion whose version is right": lambda store: store.delete("k", "a", expected_version=version_of(store)),
    "an event": lambda store: store.commit([Append("c", 9, b"")]),
    "a blob": lambda store: store.put_blob(b"lock"),
    "a blob's deletion": lambda store: store.delete_blob("0" * 64),
    "a new beginning": lambda store: store.begin(),
}
Step = tuple[str, int, str, bytes]
SHARED = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)
"""A fixture makes data of their own for each example; and one test is several stores'."""


def version_of(store: Store) -> int:
    found = store.get("k", "a")
    assert found is not None
    return found.version


class Promises:
    bounds: tuple[int, ...] = ()
    """Sizes of a value that is refused."""

    def test_puts_loads_deletes(self, opened: Opened) -> None:
        store = opened()
        store.put("node", "b", b"2")
        store.put("node", "a", b"1")
        store.put("service", "a", b"3")
        assert [(r.key, r.value) for r in store.load("node")] == [("a", b"1"), ("b", b"2")]
        assert store.kinds() == ["node", "service"]
        store.delete("node", "a")
        store.delete("node", "never there")
        store.delete("service", "a")
        assert store.kinds() == ["node"]
        assert store.get("node", "a") is None
        assert [r.key for r in store.load("node")] == ["b"]

    def test_survives_closing(self, opened: Opened) -> None:
        first = opened()
        version = first.put("node", "a", b"1")
        first.close()
        record = opened().get("node", "a")
        assert record is not None
        assert (record.value, record.version) == (b"1", version)

    @pytest.mark.parametrize("value", [b"", b"{}", b"\x00\xff", "\u00e4\x00\u2028".encode(), b"x" * 300_000])
    def test_any_bytes_come_back_under_any_name(self, opened: Opened, value: bytes) -> None:
        store = opened()
        names = [("k", "a.b"), ("k.a", "b"), ("K", "A.b"), ("k", "a/b"), ("k", ""), ("\u00e4", "x" * 500), ("k/a", "b")]
        for kind, key in names:
            store.put(kind, key, value + kind.encode() + key.encode())
        again = opened()
        for kind, key in names:
            found = again.get(kind, key)
            assert found is not None
            assert found.value == value + kind.encode() + key.encode()

    def test_refuses_a_write_about_an_older_version(self, opened: Opened) -> None:
        store = opened()
        first = store.put("k", "a", b"1", expected_version=0)
        second = store.put("k", "a", b"2", expected_version=first)
        assert second > first
        with pytest.raises(VersionConflict, match=f"version {second}; expected {first}"):
            store.put("k", "a", b"3", expected_version=first)
        with pytest.raises(VersionConflict):
            store.put("k", "a", b"3", expected_version=0)
        with pytest.raises(VersionConflict):
            store.delete("k", "a", expected_version=first)
        with pytest.raises(VersionConflict, match="version 0"):
            store.put("k", "b", b"3", expected_version=first)
        assert store.get("k", "a").value == b"2"  # type: ignore[union-attr]

    def test_a_version_never_comes_back_after_a_deletion(self, opened: Opened) -> None:
        store = opened()
        first = store.put("k", "a", b"1")
        store.delete("k", "a", expected_version=first)
        second = store.put("k", "a", b"1", expected_version=0)
        assert second > first
        store.delete("k", "a")
        assert opened().put("k", "a", b"1", expected_version=0) > second

    def test_what_a_commit_changes_twice_is_compared_once_with_what_stood_there_before(self, opened: Opened) -> None:
        store = opened()
        version = store.put("k", "a", b"1")
        twice: list[Change] = [Delete("k", "a", version), Put("k", "a", b"2", version), Put("k", "a", b"3", version)]
        versions = store.commit(twice)
        assert versions[0] == 0
        assert [(r.value, r.version) for r in store.load("k")] == [(b"3", versions[-1])]
        with pytest.raises(VersionConflict, match=f"expected {version}"):
            store.commit(twice)

    def test_of_a_commit_that_fails_nothing_is_there_that_comes_after_what_failed(self, opened: Opened) -> None:
        store = opened()
        version = store.put("k", "a", b"1")
        changes: list[Change] = [
            Put("k", "b", b"2", 0),
            Put("k", "a", b"3", version + 1),
            Put("k", "c", b"4", 0),
            Append("c", 1, b""),
        ]
        with pytest.raises(VersionConflict):
            store.commit(changes)
        assert {r.key for r in store.load("k")} in ({"a"}, {"a", "b"})
        assert store.events_bounds("c") == (0, 0)
        again = opened()
        assert again.load("k") == store.load("k")
        assert again.put("k", "c", b"") > version

    def test_refuses_an_oversized_record(self, opened: Opened) -> None:
        store = opened()
        for size in self.bounds:
            with pytest.raises(TooLarge, match="record k/a"):
                store.commit([Put("k", "b", b""), Put("k", "a", hashlib.shake_128(b"").digest(size))])
        assert store.load("k") == []

    def test_events_are_in_order(self, opened: Opened) -> None:
        store = opened()
        assert store.events_bounds("c") == (0, 0)
        store.commit([Append("c", n, str(n).encode()) for n in range(1, 26)])
        store.commit([Append("other", 1, b"x"), Append("c", 27, b"a gap before it")])
        for one in (store, opened()):
            assert one.events_bounds("c") == (1, 27)
            assert [e.sequence for e in one.events_after("c", 22)] == [23, 24, 25, 27]
            assert [e.value for e in one.events_after("c", 0, limit=3)] == [b"1", b"2", b"3"]
            assert one.events_after("c", 27) == []
            assert one.events_bounds("other") == (1, 1)
            with pytest.raises((VersionConflict, Superseded)):
                one.commit([Append("c", 27, b"again")])

    def test_events_of_one_number_are_one(self, opened: Opened) -> None:
        store = opened()
        store.commit([Append("c", 25, b"")])
        with pytest.raises(VersionConflict, match="event 25 of c"):
            store.commit([Append("c", 25, b"again"), Put("k", "a", b"1")])
        assert store.load("k") == []
        assert [e.value for e in store.events_after("c", 0)] == [b""]

    def test_blobs_are_verified(self, opened: Opened) -> None:
        store = opened()
        digest = hashlib.sha256(b"lock").hexdigest()
        assert store.put_blob(b"lock") == digest
        assert store.put_blob(b"lock", digest) == digest
        assert store.has_blob(digest)
        with pytest.raises(BlobMismatch, match=digest):
            store.put_blob(b"other", digest)
        large = hashlib.shake_128(b"").digest(2_000_000)
        store.put_blob(large)
        store = opened()
        assert store.blob(digest) == b"lock"
        assert store.blob(hashlib.sha256(large).hexdigest()) == large
        assert store.blobs() == {digest: 4, hashlib.sha256(large).hexdigest(): len(large)}
        store.delete_blob(digest)
        assert store.blob(digest) is None
        assert not store.has_blob(digest)
        assert store.put_blob(b"lock") == digest
        assert store.blob(digest) == b"lock"
        assert store.load("k") == []
        assert store.kinds() == []

    # -- starts -----------------------------------------------------------------------------------------------------

    def test_each_opening_and_each_new_beginning_takes_the_next_number(self, opened: Opened) -> None:
        store = opened()
        assert (store.start, store.newest_start()) == (1, 1)
        assert (store.begin(), store.start) == (2, 2)
        store.put("k", "a", b"1")
        store.close()
        assert opened().start == 3

    @pytest.mark.parametrize("write", WRITES)
    def test_nothing_is_written_by_an_older_start(self, opened: Opened, write: str) -> None:
        older = opened()
        older.put("k", "a", b"1")
        newer = opened()
        before = (newer.load("k"), newer.blobs(), newer.events_bounds("c"), newer.newest_start())
        with pytest.raises(Superseded, match="was opened by start 2, and start 1 writes to it no more"):
            WRITES[write](older)
        assert (newer.load("k"), newer.blobs(), newer.events_bounds("c"), newer.newest_start()) == before
        assert older.newest_start() > older.start, "and it can see that"
        third = opened()
        assert (third.load("k"), third.blobs(), third.events_bounds("c")) == before[:3], "nor does it show later"
        third.put("k", "a", b"3", expected_version=before[0][0].version)
        third.put("k", "new", b"3", expected_version=0)
        third.commit([Append("c", 9, b"")])
        assert [(r.key, r.value) for r in third.load("k")] == [("a", b"3"), ("new", b"3")]

    @settings(max_examples=25, deadline=None, suppress_health_check=SHARED)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["put", "delete", "open", "read"]),
                st.integers(0, 3),
                st.sampled_from("ab"),
                st.binary(),
            ),
            max_size=40,
        )
    )
    def test_of_many_writers_the_newest_alone_writes_and_over_nothing_that_it_has_not_seen(
        self, anew: Anew, steps: list[Step]
    ) -> None:
        """Each writer names the version that it knows. What stands in the end is what the accepted writes came to."""
        unlocked = anew()
        stores, known = [unlocked()], [dict[str, int]()]
        model: dict[str, tuple[bytes, int]] = {}
        for action, which, key, value in steps:
            who = which % len(stores)
            expected = known[who].get(key, 0)
            newest, current = who == len(stores) - 1, model[key][1] if key in model else 0
            if action == "open" and len(stores) < 4:
                stores.append(unlocked())
                known.append({})
            elif action == "read":
                known[who] = {record.key: record.version for record in stores[who].load("k")}
            elif action in ("put", "delete"):
                change = Put("k", key, value, expected) if action == "put" else Delete("k", key, expected)
                if not newest or expected != current:
                    with pytest.raises(VersionConflict if newest else Superseded):
                        stores[who].commit([change])
                    continue
                (version,) = stores[who].commit([change])
                model.pop(key, None)
                known[who].pop(key, None)
                if action == "put":
                    model[key] = value, version
                    known[who][key] = version
        for store in (stores[-1], unlocked()):
            assert {each.key: (each.value, each.version) for each in store.load("k")} == model
            store.close()

    @settings(max_examples=15, deadline=None, suppress_health_check=SHARED)
    @given(st.lists(st.tuples(st.sampled_from("pdcr"), st.sampled_from("abc"), st.binary(max_size=8)), max_size=30))
    def test_behaves_as_a_dictionary(self, anew: Anew, steps: list[tuple[str, str, bytes]]) -> None:
        opened = anew()
        store, model, versions = opened(), dict[str, bytes](), dict[str, int]()
        for action, key, value in steps:
            if action == "p":
                model[key], versions[key] = value, store.put("k", key, value)
            elif action == "c":
                try:
                    versions[key] = store.put("k", key, value, versions.get(key, 0))
                    model[key] = value
                except StoreError:
                    raise AssertionError("the version that was read last is the right one") from None
            elif action == "d":
                store.delete("k", key)
                model.pop(key, None)
                versions.pop(key, None)
            else:
                store.close()
                store = opened()
            there = {r.key: (r.value, r.version) for r in store.load("k")}
            assert there == {k: (v, versions[k]) for k, v in model.items()}
        store.close()
