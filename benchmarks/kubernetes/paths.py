"""The ways in which a task is disturbed: of how many what the core claims is what was observed, by package."""

from collections import defaultdict
from pathlib import Path

from benchmarks.cells import Figures
from benchmarks.kubernetes import suites

FILE = "tests/kubernetes/test_paths.py"


def measure(sabotage: Path | None) -> Figures:
    """The least of all packages; and which way of which package was not as it was claimed."""
    seen: dict[str, dict[str, bool]] = defaultdict(dict)
    for case in suites.cases([FILE], sabotage=sabotage):
        package, way = case.noted.get("package"), case.noted.get("path")
        if package and way:
            seen[package][way] = seen[package].get(way, True) and case.passed
    found: Figures = {"paths_claimed_equals_observed": min((sum(ways.values()) for ways in seen.values()), default=0)}
    found |= {f"paths_{package}": f"{sum(ways.values())} of {len(ways)}" for package, ways in sorted(seen.items())}
    otherwise = [
        f"{package}: {way}" for package, ways in sorted(seen.items()) for way, same in ways.items() if not same
    ]
    return found | ({"paths_otherwise": ", ".join(otherwise)} if otherwise else {})
