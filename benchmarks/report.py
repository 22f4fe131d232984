"""One form for every measured figure: ``build/<target>.json``, the same as a table, and an exit code.

Correctness binds on every machine. Absolute limits in seconds, MiB and per cent bind on the reference machine (2
cores, 24 GiB) while a fixed loop of three million additions takes at most 0.2 s before and after; elsewhere they are
reported. Ratios are taken within one run.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import psutil

from upcall.cli.demo import calibrate

CALIBRATION_LIMIT_S: Final = 0.2
REFERENCE_CPUS: Final = 2
BUILD: Final = Path("build")

Binds = Literal["everywhere", "reference"]


def commit() -> str:
    """The full hash, with ``-dirty`` where the tree is not what the commit says."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("-dirty" if changed.strip() else "")


def pss_mib(pids: list[int]) -> float:
    """Proportional set size of whole process trees: shared pages are counted once, divided."""
    total = 0
    for pid in pids:
        try:
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
        except psutil.Error:
            continue
    return total / (1 << 20)


@dataclass(frozen=True)
class Promise:
    """``holds(value)`` is what was promised of the figure ``name``."""

    name: str
    words: str
    holds: Callable[[Any], bool]
    binds: Binds = "everywhere"


@dataclass
class Report:
    target: str
    promises: tuple[Promise, ...] = ()
    seed: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _calibration_before_s: float = field(default_factory=calibrate)

    def finish(self) -> int:
        """Writes the report, prints it, and gives the exit code: 0 when every promise that binds here holds."""
        after_s = calibrate()
        memory_gib = round(psutil.virtual_memory().total / (1 << 30), 1)
        conditions = {
            "commit": commit(),
            "cpus": len(os.sched_getaffinity(0)),
            "memory_gib": memory_gib,
            "seed": self.seed,
            "seconds": round(time.monotonic() - self._began, 1),
            "calibration_before_s": round(self._calibration_before_s, 3),
            "calibration_s": round(after_s, 3),
        }
        reference = (
            conditions["cpus"] == REFERENCE_CPUS and max(self._calibration_before_s, after_s) <= CALIBRATION_LIMIT_S
        )
        BUILD.mkdir(exist_ok=True)
        (BUILD / f"{self.target}.json").write_text(json.dumps({**conditions, **self.figures}, indent=2) + "\n")
        broken = 0
        for name, value in {**conditions, **self.figures}.items():
            promise = next((each for each in self.promises if each.name == name), None)
            verdict = ""
            if promise:
                binds = promise.binds == "everywhere" or reference
                good = value is not None and promise.holds(value)
                broken += binds and not good
                verdict = f"{'holds' if good else 'BROKEN' if binds else 'reported only'}: {promise.words}"
            print(f"{name:28} {_text(value):>24}  {verdict}", file=sys.stderr)
        print(f"written to {BUILD / self.target}.json", file=sys.stderr)
        return 1 if broken else 0


def _text(value: Any) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
