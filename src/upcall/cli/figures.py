"""One form for every measured figure: ``build/<target>.json``, the same as a table, and what was promised of it.

Correctness binds on every machine. Absolute limits in seconds, MiB and per cent bind on the reference machine (2
cores) while a fixed loop of three million additions takes at most 0.2 s before and after; elsewhere they are reported.
Ratios are taken within one run.
"""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from upcall.cli import machine

CALIBRATION_LIMIT_S: Final = 0.2
CALIBRATION_ADDITIONS: Final = 3_000_000
REFERENCE_CPUS: Final = 2
BUILD: Final = Path("build")
COMMIT_CHARS: Final = 12
"""Shown of it; the file has it whole."""

Binds = Literal["everywhere", "reference"]


def calibrate() -> float:
    """Seconds of a fixed loop: how fast this machine is just now."""
    began = time.perf_counter()
    total = 0
    for number in range(CALIBRATION_ADDITIONS):
        total += number
    return time.perf_counter() - began


def commit() -> str:
    """The full hash, with ``-dirty`` where the tree is not what the commit says."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        tracked = ["git", "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(tracked, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("-dirty" if changed.strip() else "")


@dataclass(frozen=True)
class Promise:
    """``holds(value)`` is what was promised of the figure ``name``."""

    name: str
    words: str
    holds: Callable[[Any], bool]
    binds: Binds = "everywhere"


@dataclass(frozen=True)
class Judged:
    figures: dict[str, Any]
    verdicts: dict[str, str]
    """By figure, of those that something was promised of."""
    broken: list[str]
    """What binds here and does not hold: the figure, its value, what was promised."""
    path: Path

    def rows(self) -> list[tuple[str, str, str]]:
        return [
            (name, _text(value)[:COMMIT_CHARS] if name == "commit" else _text(value), self.verdicts.get(name, ""))
            for name, value in self.figures.items()
            if name in self.verdicts or (value not in (None, []) and not isinstance(value, dict))
        ]


@dataclass
class Report:
    target: str
    promises: tuple[Promise, ...] = ()
    seed: int | None = 0
    figures: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    _calibration_before_s: float = field(default_factory=calibrate)

    def judge(self) -> Judged:
        """Writes the report, and holds every figure against what was promised of it."""
        after_s = calibrate()
        cpus = machine.cores()
        figures = {
            "commit": commit(),
            "cpus": cpus,
            "memory_gib": round(machine.memory_mib() / 1024, 1),
            "seed": self.seed,
            "seconds": round(time.monotonic() - self.began, 1),
            "calibration_before_s": round(self._calibration_before_s, 3),
            "calibration_s": round(after_s, 3),
            **self.figures,
        }
        reference = cpus == REFERENCE_CPUS and max(self._calibration_before_s, after_s) <= CALIBRATION_LIMIT_S
        verdicts, broken = {}, []
        for promise in self.promises:
            value = figures.get(promise.name)
            good = value is not None and promise.holds(value)
            binds = promise.binds == "everywhere" or reference
            verdicts[promise.name] = f"{'holds' if good else 'BROKEN' if binds else 'reported only'}: {promise.words}"
            if binds and not good:
                broken.append(f"{promise.name} is {_text(value)}, promised: {promise.words}")
        BUILD.mkdir(exist_ok=True)
        path = BUILD / f"{self.target}.json"
        path.write_text(json.dumps(figures, indent=2) + "\n")
        return Judged(figures, verdicts, broken, path)

    def finish(self) -> int:
        """Judges, prints the table, and gives the exit code: 0 when every promise that binds here holds."""
        judged = self.judge()
        for name, value, verdict in judged.rows():
            print(f"{name:28} {value:>24}  {verdict}")
        print(f"written to {judged.path}")
        return 1 if judged.broken else 0


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{len(value)} values, in the file"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
