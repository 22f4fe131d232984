"""The detector and the job never see the labels, nor what makes the readings."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["upcall.fastdata.detect.detector", "upcall.fastdata.judging", "upcall.fastdata.job"]
)
def test_who_detects_imports_neither_generator_nor_labels(module: str) -> None:
    program = f"import sys, {module}; print([m for m in sys.modules if m.startswith('upcall.')])"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    for hidden in ("generator", "faults", "physics", "matching"):
        assert f"upcall.fastdata.{hidden}'" not in loaded
    assert "upcall.fastdata.detect" in loaded
