"""Fixtures of tests that use a cluster as somebody at a laptop does: a control plane of their own, nodes whose pods
run, and the laptop."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from lab.control_plane import ControlPlane
from lab.running import RunningNodes
from laptop import Laptop, left_clean, machines, plane_with_a_way_out

from upcall.substrate.kubernetes.client.api import Api

SMALL: Final = Path(__file__).with_name("small.py")
"""A service of a few lines."""


@pytest.fixture(scope="module")
def plane(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One of the module's own."""
    with plane_with_a_way_out(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture
async def running(api: Api, plane: ControlPlane, tmp_path: Path) -> AsyncIterator[RunningNodes]:
    async with machines(api, plane, tmp_path) as nodes:
        yield nodes


@pytest.fixture
async def laptop(
    api: Api, plane: ControlPlane, namespace: str, running: RunningNodes, tmp_path: Path
) -> AsyncIterator[Laptop]:
    async with left_clean(Laptop(tmp_path / "data", plane.kubeconfig(), namespace, running), api) as one:
        yield one
