"""``upcall doctor``: where everything lies, what this machine has and lacks, what is weaker for it, and what to do.

Exit codes: 0, a cluster runs here, or could; 1, something that it needs is missing. What is weaker is no error.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import typer

from upcall import __version__
from upcall.artifacts import reaching
from upcall.artifacts.cache import default_root
from upcall.cli import cluster as birth
from upcall.cli import features, keeping, machine
from upcall.cli.output import mib
from upcall.cli.session import Session, command, commands
from upcall.client.folder import cluster_of
from upcall.cluster.processes import has_page
from upcall.protocol.errors import NotNow, UpcallError
from upcall.protocol.numbers import counted

doctor_app = commands()
APPS = {"doctor": doctor_app}

State = Literal["good", "weaker", "missing"]
DISK_MIB_WELL: Final = 5 * 1024
"""A few stores with a little data, and what they are made of."""
LOOK_S: Final = 120.0


class Finding(NamedTuple):
    what: str
    state: State
    found: str
    weaker: str = ""
    """What is weaker, or does not work, for it."""
    do: str = ""


@command(doctor_app, "doctor")
def doctor(
    session: Session,
    registries: Annotated[
        bool, typer.Option("--registries", help="Ask the registries too, from which all that runs is downloaded.")
    ] = False,
) -> None:
    """Where data, cache and configuration lie, what this machine has and lacks, and what to do. Exit code 1: something
    that a cluster needs is missing."""
    places = _places(session)
    found = list(_findings(session, registries=registries))
    if session.out.as_json:
        rows = [{key: value for key, value in one._asdict().items() if value} for one in found]
        session.out.json({**places, "findings": rows})
    else:
        width = max(map(len, places))
        for name, words in places.items():
            session.out.line(f"{name:<{width}}  {words}")
        session.out.line("")
        rank = {"missing": 0, "weaker": 1, "good": 2}
        ordered = sorted(found, key=lambda one: rank[one.state])
        session.out.table(("what", "state", "found"), [one[:3] for one in ordered], empty="")
        for one in ordered:
            if one.state != "good":
                session.out.line(f"\n{one.what}: {one.weaker}\n  do: {one.do}")
    missing = [one for one in found if one.state == "missing"]
    if missing:
        session.out.note(
            f"{counted(len(missing), 'thing')} that a cluster needs: {', '.join(one.what for one in missing)}"
        )
        raise typer.Exit(1)


def _places(session: Session) -> dict[str, str]:
    return {
        "upcall": f"{__version__} in {Path(__file__).resolve().parents[1]}",
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()} on {platform.machine()}",
        "data": f"{session.folder.root} ({_cluster_words(session)})",
        "cache": str(default_root()),
        "configuration": f"none but what the data folder holds ({session.folder.cluster_file.name})",
    }


def _is_elsewhere(session: Session) -> bool:
    try:
        return bool(session.control_plane)
    except UpcallError:
        return False  # What cannot be read is said of the data folder.


def _cluster_words(session: Session) -> str:
    try:
        if not session.folder.cluster_file.exists():
            return "no cluster yet"
        found = cluster_of(session.folder)
    except (UpcallError, OSError) as error:
        return str(error)
    if found.control_plane:
        return f"cluster {found.cluster}, whose control plane runs on {found.control_plane}"
    return f"cluster {found.cluster}, {'up' if keeping.running(session.folder) else 'down'}"


# -- what is found ----------------------------------------------------------------------------------------------------


def _findings(session: Session, *, registries: bool) -> Iterator[Finding]:
    yield from _refused("platform", f"{platform.system()} on {platform.machine()}", machine.check_platform)
    yield from _refused("data folder", str(session.folder.root), lambda: _usable(session))
    yield _cache()
    yield _disk("disk of the data folder", session.folder.root, "--data or UPCALL_DATA on another disk")
    yield _disk("disk of the cache", default_root(), "UPCALL_CACHE on another disk")
    if not _is_elsewhere(session):
        yield _memory()
        yield from _ports(session)
        yield from _features(session)
    yield from _installed()
    if registries:
        for one in reaching.all_of():
            state: State = "weaker" if one.why_not else "good"
            lost = "what was not downloaded before cannot be installed"
            do = "the network, or a mirror (UV_DEFAULT_INDEX; jgo's own settings); what is in the cache needs none"
            found = one.why_not or f"answers{f' ({one.where})' if one.where else ''}"
            yield Finding(one.registry, state, found, lost if one.why_not else "", do if one.why_not else "")


def _usable(session: Session) -> None:
    machine.check_folder(session.folder.root)
    if session.folder.cluster_file.exists():
        cluster_of(session.folder)


def _refused(what: str, found: str, check: Callable[[], Any], do: str = "") -> Iterator[Finding]:
    """As the command that needs it would refuse it."""
    try:
        check()
    except UpcallError as error:
        problem = error.problem
        yield Finding(what, "missing", problem.where or found, problem.message, do or problem.expected)
    else:
        yield Finding(what, "good", found)


def _cache() -> Finding:
    root = default_root()
    home = next(one for one in (root, *root.parents) if one.exists())
    if home.is_dir() and os.access(home, os.W_OK | os.X_OK):
        return Finding("cache folder", "good", str(root))
    return Finding(
        "cache folder", "missing", str(root), f"{home} cannot be written, so nothing can be downloaded",
        "a folder of your own, by UPCALL_CACHE",
    )  # fmt: skip


def _disk(what: str, path: Path, do: str) -> Finding:
    free = machine.free_disk_mib(path)
    found = f"{mib(free)} free"
    if free >= DISK_MIB_WELL:
        return Finding(what, "good", found)
    state: State = "weaker" if free >= machine.FREE_DISK_MIB_MIN else "missing"
    return Finding(what, state, found, f"less than {mib(DISK_MIB_WELL)} are soon used up", do)


def _memory() -> Finding:
    total, cores = machine.memory_mib(), machine.cores()
    found = f"{mib(total)}, {cores:g} cores"
    try:
        part = machine.memory_per_node_mib(total, birth.NODES_DEFAULT)
    except UpcallError as error:
        return Finding("memory", "missing", found, error.problem.message, error.problem.expected)
    return Finding("memory", "good", f"{found}: {birth.NODES_DEFAULT} nodes of {mib(part)} each")


def _ports(session: Session) -> Iterator[Finding]:
    """Those of this folder's cluster while it is down; while it is up they are its own. Else whether some are free."""
    what = "ports"
    try:
        known = session.folder.cluster_file.exists() and cluster_of(session.folder)
    except (UpcallError, OSError):
        return  # The finding of the data folder says so.
    if not known:
        chosen: Callable[[], Any] = lambda: birth.choose(1, machine.STEP_MIB, 1.0)  # noqa: E731
        yield from _refused(what, "some on a loopback range of its own", chosen)
    elif not keeping.running(session.folder):
        yield from _refused(what, f"{known.url}, {known.page_url}", lambda: birth.check_ports(known))
    else:
        yield Finding(what, "good", f"{known.url}, {known.page_url}")


def _features(session: Session) -> Iterator[Finding]:
    """Of the nodes that run; else what an agent would find here."""
    try:
        known = features.lacking(_of_nodes(session) or _tried(session.folder.root))
    except (subprocess.SubprocessError, ValueError) as error:
        yield Finding(
            "isolation", "weaker", "not known", f"what tasks have cannot be found out: {error}", "`upcall up`"
        )
        return
    for name, had in known.items():
        words = features.FEATURES[name]
        if had:
            yield Finding(name, "good", words.has)
        else:
            yield Finding(name, "weaker", f"no-{name}", words.weaker, words.do)


def _of_nodes(session: Session) -> list[str]:
    try:
        if not keeping.running(session.folder):
            return []
        return sorted({feature for node in session.client.nodes() for feature in node.features})
    except (UpcallError, NotNow, OSError):
        return []


def _tried(data: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "upcall.agent.features", str(data)],
        capture_output=True, text=True, timeout=LOOK_S, check=True,
    )  # fmt: skip
    found: list[str] = json.loads(done.stdout)
    return found


def _installed() -> Iterator[Finding]:
    for what, module, lost, extra in (
        ("download tools", "uv", "nothing that is not in the cache can be downloaded", "uv jgo"),
        ("page", "nicegui", "there is no page; everything else is there", "'upcall[web]'"),
        ("object stores", "s3fs", "backups go to folders alone, not to s3://", "'upcall[s3]'"),
    ):
        has = has_page() if what == "page" else importlib.util.find_spec(module) is not None
        if has:
            yield Finding(what, "good", "installed")
        else:
            state: State = "missing" if what == "download tools" else "weaker"
            yield Finding(what, state, "not installed", lost, f"`pip install {extra}`, where upcall is installed")
