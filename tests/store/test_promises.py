"""Each store holds what all promise."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from promises import Anew, Opened, Promises

from upcall.kubernetes.records.objects import PACKED_BYTES_MAX, VALUE_BYTES_MAX
from upcall.kubernetes.records.store import KubernetesStore
from upcall.store.interface import Store
from upcall.store.sqlite import RECORD_BYTES_MAX, SqliteStore
from upcall.testing.kubernetes.records import KeptObjects


@pytest.fixture
def closing() -> Iterator[Callable[[Store], Store]]:
    """Each is closed in the end."""
    stores: list[Store] = []

    def note(store: Store) -> Store:
        stores.append(store)
        return store

    yield note
    for store in stores:
        store.close()


@pytest.fixture
def opened(anew: Anew) -> Opened:
    return anew()


class TestSqlite(Promises):
    bounds = (RECORD_BYTES_MAX + 1,)

    @pytest.fixture
    def anew(self, tmp_path: Path, closing: Callable[[Store], Store]) -> Anew:
        numbers = itertools.count()

        def anew() -> Opened:
            path = tmp_path / f"{next(numbers)}" / "records.db"

            def unlocked() -> Store:
                """As where the lock does not keep a second one out: its file was deleted."""
                path.with_name(path.name + ".lock").unlink(missing_ok=True)
                return closing(SqliteStore(path))

            return unlocked

        return anew


class TestKubernetes(Promises):
    bounds = (VALUE_BYTES_MAX + 1, PACKED_BYTES_MAX + 1000)

    @pytest.fixture
    def anew(self, closing: Callable[[Store], Store]) -> Anew:
        def anew() -> Opened:
            server = KeptObjects()
            return lambda: closing(KubernetesStore(server.connect, "data"))

        return anew
