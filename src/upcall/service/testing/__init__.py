"""Tests of a service without machines: one question and its answer, as a pure function.

A whole life on a cluster, of either kind of placement, is in :mod:`upcall.testing`.
"""

from upcall.service.testing.scenario import Outcome, Scenario, operation
from upcall.service.testing.virtual import VirtualLoop, run

__all__ = ["Outcome", "Scenario", "VirtualLoop", "operation", "run"]
