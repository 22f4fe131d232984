"""The longest files first, so that all workers have something to do until the end.

What a file takes stands in ``long_files.txt``; files that it does not name come after those that it does, in their
usual order. ``UPCALL_WRITE_LONG_FILES=1 make test`` writes it anew. A wrong figure costs time, and nothing else.

No test depends on how fast the machine is, so no example of a property has a time of its own.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from in_order import pytest_runtest_makereport, pytest_runtest_setup

__all__ = ["pytest_runtest_makereport", "pytest_runtest_setup"]

settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

LONG_FILES: Final = Path(__file__).with_name("long_files.txt")
LONG_S: Final = 5.0
"""What takes less is not worth a line."""
ON_KUBERNETES_TOO: Final = (
    "tests/operations/",
    "tests/testing/test_one_driver.py",
    "tests/testing/test_service_kit.py",
    "tests/service/test_cluster_life.py",
    "tests/service/test_scaling.py",
    "tests/service/test_given_in_place.py",
    "tests/master/test_both_kinds.py",
)

_took_s: Counter[str] = Counter()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        # Workers take files in the order below, not by the number of their tests.
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get("UPCALL_LONG_TESTS"):
        for item in items:
            if item.get_closest_marker("long") or _is_of_the_wide_set(item):
                item.add_marker(pytest.mark.skip(reason="takes minutes; `make long` runs it"))
    known = long_files()
    items.sort(key=lambda item: -known.get(_file(item.nodeid), 0.0))


def _is_of_the_wide_set(item: pytest.Item) -> bool:
    """What every kind of cluster lives is lived on Kubernetes by the ledger's tests, the kit's and some files of a
    service's life; by all others in the long run."""
    kind = getattr(getattr(item, "callspec", None), "params", {}).get("kind")
    return kind == "kubernetes" and not _file(item.nodeid).startswith(ON_KUBERNETES_TOO)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _took_s[_file(report.nodeid)] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")
    if os.environ.get("UPCALL_WRITE_LONG_FILES") and not is_worker:
        lines = [f"{seconds:5.0f} {file}\n" for file, seconds in _took_s.most_common() if seconds >= LONG_S]
        LONG_FILES.write_text("".join(lines))


def long_files() -> dict[str, float]:
    """File -> seconds."""
    lines = LONG_FILES.read_text().splitlines() if LONG_FILES.exists() else []
    return {file: float(seconds) for seconds, file in (line.split(maxsplit=1) for line in lines)}


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
