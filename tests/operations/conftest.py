"""Every test of a world asks for ``kind``: it runs on a cluster that we place on, and on one that others place on."""

import pytest

from upcall.testing import KINDS
from upcall.testing.simulated import SimulatedKind


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> SimulatedKind:
    found: SimulatedKind = request.param
    return found
