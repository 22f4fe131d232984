"""The systems of the catalog as fixtures. What each is to a test is in its own module, imported by the first test that
wants it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from upcall.pytest.plugin import Run, service_of

if TYPE_CHECKING:
    from upcall.pytest.systems.cassandra import Cassandra
    from upcall.pytest.systems.kafka import Kafka
    from upcall.pytest.systems.spark import Spark


SYSTEMS = {
    "kafka": f"{__name__}.kafka:Kafka",
    "cassandra": f"{__name__}.cassandra:Cassandra",
    "spark": f"{__name__}.spark:Spark",
}
"""Fixture -> where what it gives is."""


def pytest_upcall_systems() -> dict[str, str]:
    return SYSTEMS


def pytest_addoption(parser: pytest.Parser) -> None:
    for system in SYSTEMS:
        parser.addini(f"upcall_{system}", f"options of {system} in tests: NAME=VALUE, a line each", type="linelist")


@pytest.fixture
def kafka(request: pytest.FixtureRequest, upcall_run: Run) -> "Iterator[Kafka]":
    """A real Kafka, shared by all tests, with topics of this test's own."""
    yield from service_of(request, upcall_run, "kafka")


@pytest.fixture
def cassandra(request: pytest.FixtureRequest, upcall_run: Run) -> "Iterator[Cassandra]":
    """A real Cassandra, shared by all tests, with a keyspace of this test's own."""
    yield from service_of(request, upcall_run, "cassandra")


@pytest.fixture
def spark(request: pytest.FixtureRequest, upcall_run: Run) -> "Iterator[Spark]":
    """A real Spark, shared by all tests, with jobs of this test's own."""
    yield from service_of(request, upcall_run, "spark")
