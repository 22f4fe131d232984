"""What is installed is built by another process, and nothing of it stays in this one."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from upcall.service import offering, package
from upcall.service.offering import Refused, built_aside, built_here

BUILDS_ASIDE = """
import sys
from upcall.service.offering import Refused, built_aside

offers = list(built_aside())
assert offers and not any(isinstance(offer, Refused) for offer in offers), offers
print(*sorted({offer.package.name for offer in offers}))
print(*sorted(name for name in sys.modules if name.startswith(("numpy", "cassandra", "upcall.catalog."))))
"""

ENDS_AT_ONCE = """
import os
from upcall.service.offering import built_aside

built_aside()
os._exit(0)
"""


def test_the_packages_are_built_and_their_libraries_are_not_loaded_here() -> None:
    done = subprocess.run([sys.executable, "-c", BUILDS_ASIDE], capture_output=True, text=True, check=True)
    names, loaded = done.stdout.split("\n")[:2]
    assert {"cassandra", "kafka", "spark"} <= set(names.split())
    assert loaded == ""


def test_what_is_built_aside_is_what_would_be_built_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed() -> Iterator[str]:
        yield "upcall.catalog.spark.service"
        yield "upcall.catalog.not_there"

    monkeypatch.setattr(package, "installed", installed)
    aside = list(built_aside())
    assert aside == list(built_here())
    assert [type(offer) for offer in aside[-2:]] == [package.Built, Refused]


def test_a_package_whose_import_ends_its_process_is_said_and_keeps_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering, "built_here", lambda: os._exit(7))
    (refused,) = built_aside()
    assert isinstance(refused, Refused)
    assert "code 7" in refused.why


def test_who_builds_ends_with_the_host() -> None:
    # Until both have ended, their common output stays open.
    subprocess.run([sys.executable, "-c", ENDS_AT_ONCE], capture_output=True, check=True)
