"""``upcall demo``: a composition like any other, watched until Ctrl-C, then put away.

Nothing here is private to the demo: the cluster is started as by ``up``, the composition installed as by
``install -f``, and taken down as by ``down``. What is found in the data comes from a plug-in beside the composition
(``demo.watch``), which asks the services that were installed.
"""

import json
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, cast

import typer

from upcall.cli import cluster as birth
from upcall.cli import composition as compositions
from upcall.cli import footprint, keeping, machine, system
from upcall.cli.fetch import fetch_all
from upcall.cli.here import Here, command, commands
from upcall.cli.install import apply
from upcall.cli.output import duration
from upcall.client.blocking import Client
from upcall.protocol.errors import Conflict, NotFound

if TYPE_CHECKING:
    from rich.console import RenderableType

demo_app = commands()
APPS = {"demo": demo_app}

PLUG_IN: Final = "upcall.fastdata"
FOUND_SHOWN: Final = 12
MEMORY_STEP_MIB: Final = 64
LINE_EVERY_S: Final = 10.0
REPORT: Final = Path("build") / "demo.json"
CALIBRATION_ADDITIONS: Final = 3_000_000
FIRST_ANOMALY_TIMEOUT_S: Final = 900.0


class Seen(Protocol):
    """One look at the data, about once a second."""

    text: str
    """Flight, throughput, lag: one line."""
    found: Sequence[str]
    """Anomalies since the last look, in words."""
    matched: Mapping[str, Any] | None
    """The first anomaly that matches a labelled fault, once there is one (sensor, kind, seconds, seed ...)."""


class Watch(Protocol):
    def __call__(self, client: Client) -> Iterator[Seen]: ...


@command(demo_app, "demo")
def demo(
    here: Here,
    once: Annotated[bool, typer.Option("--once", help="End after the first anomaly; write build/demo.json.")] = False,
) -> None:
    """A recorded flight of an A380 with its 20,000 modelled sensors, found faulty live, until Ctrl-C; data is kept."""
    began = time.monotonic() - _made_for_s()
    calibration_s = calibrate()
    composition, watch = _plugged()
    here.out.note(f"the demo needs {composition.requires.words()}")
    # Without class archives the Java systems take three times as long to start: they are made here, once.
    fetched_mib = sum(
        float(one["fetched_mib"]) for one in fetch_all(here, [one.package for one in composition.services])
    )
    ours = not keeping.running(here.folder)
    if ours:
        system.start(here, memory=_memory_mib(composition.requires))
    matched: Mapping[str, Any] | None = None
    try:
        with footprint.watched(here.folder.root) as peak:
            apply(here, composition, quiet=True)
            here.out.note(f"page: {system.login_url(here)}")
            matched = _watch(here, watch(here.client), once=once)
    except KeyboardInterrupt:
        here.out.note("\ntaking it down; the data is kept")
    finally:
        first_s = time.monotonic() - began
        if ours:
            system.stop(here)
    left = footprint.processes(here.folder.root) if ours else []
    if not once:
        here.out.say(
            {"data": str(here.folder.root)}, f"down; data is kept in {here.folder.root}, `upcall demo` goes on"
        )
        return
    figures = {
        **_machine(),
        "seconds": round(time.monotonic() - began, 1),
        "seed": (matched or {}).get("seed"),
        "calibration_s": round(max(calibration_s, calibrate()), 3),
        "to_first_anomaly_s": round(first_s, 1) if matched else None,
        "first_anomaly": dict(matched) if matched else None,
        "peak_memory_mib": round(peak.mib),
        "left_processes": len(left),
        "fetched_mib": round(fetched_mib, 1),
        "cold_s": round(first_s, 1) if matched and fetched_mib >= 1 else None,
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(figures, indent=2) + "\n")
    here.out.show(figures, ("figure", "value"), list(figures.items()), empty="")
    if matched is None or left:
        raise Conflict(
            "no anomaly matched a labelled fault" if matched is None else f"{len(left)} processes are left",
            where=str(REPORT),
            expected="one found fault, and nothing left behind",
        )


def _made_for_s() -> float:
    """Seconds since ``make`` began, where it was make that called: what was set up before counts too."""
    import psutil

    for ancestor in psutil.Process().parents():
        if ancestor.name() == "make":
            return max(0.0, time.time() - ancestor.create_time())
    return 0.0


def _memory_mib(requires: compositions.Requires) -> int | None:
    """Of each node, where the usual parts are too small because one of them is kept for ``node add``: then the demo
    gets that one too."""
    total, nodes = machine.memory_mib(), birth.NODES_DEFAULT
    room = total - machine.SPARE_MIB
    if room // (nodes + 1) * nodes >= requires.memory_mib or room < requires.memory_mib:
        return None
    return room // nodes // MEMORY_STEP_MIB * MEMORY_STEP_MIB


def _plugged() -> tuple[compositions.Composition, Watch]:
    """The composition file and the watch of the demo's package."""
    try:
        text = (resources.files(PLUG_IN) / "demo.yaml").read_text()
        watch = cast(Watch, import_module(f"{PLUG_IN}.demo").watch)
    except (ImportError, FileNotFoundError) as missing:
        raise NotFound(
            f"the demo is not installed whole: {missing}",
            where=PLUG_IN,
            expected="pip install 'upcall[all]', or `make demo`",
        ) from None
    return compositions.parse(text, "demo.yaml"), watch


def _watch(here: Here, looks: Iterator[Seen], *, once: bool) -> Mapping[str, Any] | None:
    """Show what is seen; with ``once`` until an anomaly matches, else until Ctrl-C."""
    found: deque[str] = deque(maxlen=FOUND_SHOWN)
    began = said_at = time.monotonic()
    with here.out.progress() as progress:
        for seen in looks:
            if not keeping.running(here.folder):
                raise Conflict(
                    "the cluster went down meanwhile", where=str(here.folder.root), expected="`upcall demo` goes on"
                )
            found.extend(seen.found)
            now = time.monotonic()
            if progress.live:
                progress.show(lambda seen=seen, now=now: _picture(seen, found, now - began), ())  # type: ignore[misc]
            else:
                for line in seen.found:
                    here.out.note(line)
                if now - said_at >= LINE_EVERY_S:
                    said_at = now
                    here.out.note(seen.text)
            if once and seen.matched is not None:
                return seen.matched
            if once and now - began > FIRST_ANOMALY_TIMEOUT_S:
                return None
    return None


def _picture(seen: Seen, found: Sequence[str], seconds: float) -> "RenderableType":
    from rich.console import Group
    from rich.spinner import Spinner
    from rich.text import Text

    head = Spinner(
        "dots", text=Text.assemble((f" {seen.text}", "bold"), (f"  {duration(seconds)}", "dim")), style="green"
    )
    return Group(head, *(Text(f"  {line}", "yellow") for line in reversed(found)), Text("  Ctrl-C ends it", "dim"))


# -- figures --------------------------------------------------------------------------------------------------------


def calibrate() -> float:
    """Seconds of a fixed loop: how fast this machine is just now."""
    began = time.perf_counter()
    total = 0
    for number in range(CALIBRATION_ADDITIONS):
        total += number
    return time.perf_counter() - began


def _machine() -> dict[str, Any]:
    return {
        "commit": _commit(),
        "cpus": machine.cores(),
        "memory_gib": round(machine.memory_mib() / 1024, 1),
    }


def _commit() -> str:
    """The full hash of a clean tree; empty where there is none."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else "?"

    try:
        commit, dirty = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except OSError:
        return ""
    return "" if commit == "?" or dirty == "?" else commit + ("" if not dirty else "-dirty")
