"""The first minutes of somebody who has nothing but the wheel: an own folder, an own message, an own job.

    make newcomer            as a user without root; writes build/newcomer.json (COLD=1: with empty caches)

Each command is one that a person types, in a home of its own; what is counted is the time since the first one. Warm:
the caches hold what a first run has fetched, which is not measured; nothing else of that run is left. Cold: they are
empty, and what lies in them afterwards was fetched, or made of that.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from upcall.artifacts.cache import default_root
from upcall.cli import footprint
from upcall.cli.figures import Promise, Report

MINUTES_3_S: Final = 180.0
COMMANDS_MAX: Final = 12
WEDGED_S: Final = 1800.0
COLD: Final = bool(os.environ.get("COLD"))
WHEEL: Final = Path(__file__).resolve().parents[1] / "dist"
MESSAGE: Final = "one book"
JOB: Final = """\
from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("mine").getOrCreate()
words = spark.createDataFrame([(word,) for word in "a book is a book".split()], ["word"])
print("books:", words.where("word = 'book'").count())
spark.stop()
"""
RESULT: Final = "books: 2"
STEPS: Final = ("install_s", "kafka_ready_s", "own_message_s", "own_job_result_s")
PROMISES: Final = (
    *(
        Promise(step, f"at most {MINUTES_3_S:g} s", lambda v: v <= MINUTES_3_S, "reference")
        for step in STEPS
        if not COLD
    ),
    Promise("commands", f"at most {COMMANDS_MAX}", lambda v: v <= COMMANDS_MAX),
    Promise("left_processes", "0", lambda v: v == 0),
)


class Newcomer:
    """A home with nothing in it, and what is typed there."""

    def __init__(self, ground: Path, caches: Path) -> None:
        self.home = ground / "home"
        self.work = ground / "work"
        self.home.mkdir()
        self.work.mkdir()
        self.commands: list[str] = []
        self.data = self.home / ".local" / "share" / "upcall"
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith(("UPCALL_", "XDG_", "VIRTUAL"))
        }
        self.environment = {
            **ours,
            "HOME": str(self.home),
            "PATH": f"{self.home}/.local/bin:{os.environ['PATH']}",
            "UPCALL_CACHE": str(caches / "upcall"),
            "UV_CACHE_DIR": str(caches / "uv"),
            "NO_COLOR": "1",
        }

    def types(self, *words: str) -> str:
        """A command to its end; what it printed. One that fails ends the measurement with its own words."""
        self.commands.append(" ".join(words))
        done = subprocess.run(
            words, cwd=self.work, env=self.environment, capture_output=True, text=True, timeout=WEDGED_S, check=False
        )
        if done.returncode:
            raise SystemExit(f"`{self.commands[-1]}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def play(newcomer: Newcomer, wheel: Path) -> dict[str, float]:
    """Seconds since the first command, by step."""
    began, reached = time.monotonic(), dict[str, float]()

    def here(step: str) -> None:
        reached[step] = round(time.monotonic() - began, 1)

    newcomer.types("uv", "tool", "install", "--quiet", str(wheel))
    here("install_s")
    newcomer.types("upcall", "up")
    newcomer.types("upcall", "install", "kafka", "--set", "brokers=1")
    here("kafka_ready_s")
    newcomer.types("upcall", "kafka", "topic", "create", "orders")
    newcomer.types("upcall", "kafka", "produce", "orders", MESSAGE)
    said = newcomer.types("upcall", "kafka", "consume", "orders", "--start", "first", "--count", "1")
    if MESSAGE not in said:
        raise SystemExit(f"the message is not what was read: {said}")
    here("own_message_s")
    newcomer.types("upcall", "install", "spark")
    (newcomer.work / "my_job.py").write_text(JOB)
    newcomer.types("upcall", "spark", "submit", "my_job.py", "--name", "mine", "--restart", "never")
    said = newcomer.types("upcall", "spark", "logs", "mine", "--follow")
    if RESULT not in said:
        raise SystemExit(f"the job's result is not in its log: {said}")
    here("own_job_result_s")
    newcomer.types("upcall", "down")
    return reached


def whole(ground: Path, caches: Path, wheel: Path) -> tuple[dict[str, float], Newcomer]:
    ground.mkdir()
    newcomer = Newcomer(ground, caches)
    try:
        return play(newcomer, wheel), newcomer
    finally:
        if newcomer.data.exists():
            subprocess.run(["upcall", "down"], env=newcomer.environment, capture_output=True, check=False)


def fetched_mib(caches: Path) -> int:
    return round(sum(one.lstat().st_size for one in caches.rglob("*") if not one.is_dir()) / 2**20)


def main() -> int:
    if os.geteuid() == 0:
        raise SystemExit("a newcomer is not root: `scripts/as_user.sh make newcomer`")
    (wheel,) = WHEEL.glob("upcall-*.whl")
    report = Report("newcomer", PROMISES, seed=None)
    with tempfile.TemporaryDirectory(prefix="upcall-") as name:
        ground = Path(name)
        own = ground / "caches"
        own.mkdir()
        if COLD:
            caches = own
        else:
            caches = default_root().parent
            whole(ground / "first", caches, wheel)
        reached, newcomer = whole(ground / "measured", caches, wheel)
        report.figures.update(reached)
        report.figures.update(
            commands=len(newcomer.commands),
            lines_written=len(JOB.splitlines()),
            wheel_kib=round(wheel.stat().st_size / 1024),
            left_processes=len(footprint.processes(newcomer.data)),
        )
        if COLD:
            report.figures["in_caches_mib"] = fetched_mib(caches)
        shutil.rmtree(newcomer.home)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
