"""The fast-data path is there by entry points alone: a distribution of its own would offer the same."""

from importlib.metadata import entry_points

import pytest

from upcall.cli.demo.command import _plugged
from upcall.protocol.errors import NotFound
from upcall.service.package import installed
from upcall.web.tabs import Tabs


def test_its_demo_its_tab_and_its_services_are_offered_by_entry_points() -> None:
    composition, watch = _plugged("flight")
    assert {one.package for one in composition.services} > {"aircraft", "ingest", "windows"}
    assert watch.__module__ == entry_points(group="upcall.demos")["flight"].value
    assert "flight" in [tab.name for tab in Tabs.load().found]
    assert {f"upcall.fastdata.services.{name}" for name in ("aircraft", "ingest", "windows")} <= set(installed())


def test_a_demo_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(NotFound) as said:
        _plugged("fligth")
    assert said.value.problem.expected == "flight"
