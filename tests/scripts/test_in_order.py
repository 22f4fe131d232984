"""After a test that failed, the others of a module that is marked so are skipped; those of other modules are not."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
MODULE = """
import pytest
pytestmark = pytest.mark.{marker}
def test_first(): pass
def test_that_fails(): assert not "as it should"
def test_after_it(): pass
"""


def test_what_follows_a_failed_test_is_skipped(tmp_path: Path) -> None:
    for marker in ("in_order", "any_order"):
        (tmp_path / f"test_{marker}.py").write_text(MODULE.format(marker=marker))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    in_order\n    any_order\n")
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "in_order", "-p", "no:cacheprovider", "-rs", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "it follows test_that_fails, which failed" in said
    assert "2 failed, 3 passed, 1 skipped" in said
