"""Tests that follow each other on one cluster: after one that failed, the others of its module say so and are not run.

Each would wait long for what the failed one has left undone.
"""

import pytest

MARKER = "in_order"
_broke = pytest.StashKey[str]()
"""Of a module: the first of its tests that failed."""


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    module = item.getparent(pytest.Module)
    if module is None or call.excinfo is None or item.get_closest_marker(MARKER) is None:
        return
    if not call.excinfo.errisinstance(pytest.skip.Exception):
        module.stash.setdefault(_broke, item.name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    module = item.getparent(pytest.Module)
    if module is not None and (first := module.stash.get(_broke, "")):
        pytest.skip(f"it follows {first}, which failed")
