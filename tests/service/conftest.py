"""Every life of a service is lived twice: on a cluster that we place on, and on one that somebody else places on."""

from collections.abc import Callable
from typing import Any

import pytest

from upcall.service import Service
from upcall.testing import KINDS, Script, SimulatedKind, live


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> SimulatedKind:
    found: SimulatedKind = request.param
    return found


@pytest.fixture(name="live")
def lived(kind: SimulatedKind) -> Callable[..., None]:
    """``live(Store, script, count=3, cluster={"nodes": 4})``: the script with a running service."""

    def start(service: type[Service], script: Script, *, cluster: dict[str, Any] | None = None, **options: Any) -> None:
        live(service, script, kind=kind, options=options, **(cluster or {}))

    return start
