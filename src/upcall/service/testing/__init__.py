"""Tests of a service without machines: a scenario as a pure function, and a whole life in virtual time."""

from upcall.service.testing.master import PlayedMaster
from upcall.service.testing.scenario import Outcome, Scenario, operation
from upcall.service.testing.virtual import VirtualLoop, run

__all__ = ["Outcome", "PlayedMaster", "Scenario", "VirtualLoop", "operation", "run"]
