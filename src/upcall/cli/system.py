"""``upcall up``: prepares the data folder, starts the keeper detached, and waits until the master answers and all nodes
have registered. What it began the cluster finishes by itself (:mod:`upcall.master.startup`).
"""

from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import typer

from upcall import __version__
from upcall.cli import cluster as birth
from upcall.cli import keeping, machine
from upcall.cli.coming_up import KeeperEnded, until_up
from upcall.cli.session import Session, command, commands
from upcall.cli.shutting_down import SHUT_DOWN, start_up
from upcall.client.folder import check_private, cluster_of
from upcall.cluster.control_plane import Wanted
from upcall.cluster.folder import Cluster, DataFolder, write_private
from upcall.cluster.processes import has_page
from upcall.keeper.lock import Lock
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.numbers import counted
from upcall.protocol.operator import Status

up_app = commands()
APPS = {"up": up_app}

OVERTAKEN_MAX: Final = 3


@command(up_app, "up")
def up(
    session: Session,
    nodes: Annotated[
        int | None, typer.Option("--nodes", help="Virtual nodes, at the first `up`.", show_default="3")
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option("--memory-mib-per-node", help="Default: equal parts of this machine's, one kept for `node add`."),
    ] = None,
    isolation: Annotated[
        bool | None,
        typer.Option(
            "--isolation/--no-isolation",
            help="Without it every task may read and change whatever you may: tokens, others' volumes, your home.",
            show_default="isolated",
        ),
    ] = None,
    share: Annotated[
        list[Path] | None,
        typer.Option("--share", metavar="FOLDER", help="A folder of yours that every task may read and change."),
    ] = None,
    on: Annotated[
        str, typer.Option("--on", metavar="WHERE", help="kubernetes: the control plane is put into a cluster.")
    ] = "",
    context: Annotated[str, typer.Option("--context", help="Of the kubeconfig; default: the current one.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", help="Default: upcall; made where it is not there.")] = "",
    image: Annotated[
        str, typer.Option("--image", help="What pods run there: `upcall image build ... --push` makes it.")
    ] = "",
    replicas: Annotated[
        int | None,
        typer.Option(
            "--replicas", help="Of the control plane; one of them leads.", show_default="as it is, at first 2"
        ),
    ] = None,
    storage_class: Annotated[
        str | None,
        typer.Option(
            "--storage-class",
            metavar="NAME",
            help="Of volumes that are made from now on; '': the cluster's default.",
            show_default="as it is",
        ),
    ] = None,
    bound: Annotated[
        bool | None,
        typer.Option(
            "--volumes-bound-to-node/--volumes-not-bound-to-node",
            help="Whether storage there is on the nodes.",
            show_default="as it is, at first not",
        ),
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option("--chart", metavar="FOLDER", help="Only write the Helm chart of the same objects there."),
    ] = None,
) -> None:
    """Start the cluster on this machine, detached, and wait until it answers. One that an older upcall keeps is taken
    over by this one: tasks run on."""
    if on:
        if (nodes, memory, isolation, share) != (None, None, None, None):
            raise Invalid(
                "virtual nodes are of this machine", where=f"--on {on}", expected="--context, --namespace, --image ..."
            )
        wanted = Wanted(
            context=context,
            namespace=namespace,
            image=image,
            replicas=replicas,
            storage_class=storage_class,
            volumes_bound_to_node=bound,
        )
        _elsewhere(session, on, wanted, chart)
        return
    if said := [
        f"--{word}"
        for word, value in (
            *(("context", context), ("namespace", namespace), ("image", image), ("chart", chart)),
            *(("replicas", replicas), ("storage-class", storage_class), ("volumes-bound-to-node", bound)),
        )
        if value not in ("", None)
    ]:
        raise Invalid(f"{', '.join(said)} without --on", where="upcall up", expected="--on kubernetes")
    if where := session.control_plane:
        raise Conflict(
            f"this data folder is of a cluster on {where}",
            where=str(session.folder.root),
            expected=f"`upcall up --on {where}`, or another data folder (--data)",
        )
    for folder in share or ():
        if not folder.is_dir():
            raise Invalid(f"{folder} is no folder", where="--share", expected="a folder of yours that is there")
    before = kept_by(session.folder)
    status = start(session, nodes, memory, Seclusion(isolation, share))
    found = cluster_of(session.folder)
    upgraded = f", upgraded from upcall {before} to {__version__}" if before not in ("", __version__) else ""
    kept = f", {counted(len(status.services), 'service')}" if status.services else ""
    session.out.say(
        status,
        f"cluster {status.cluster} is up: {counted(len(status.nodes), 'node')}{kept}{upgraded}\n"
        f"  API   {found.url}  (for other tools: `--cacert {session.folder.certificate}`)\n"
        f"  page  {_page_words(found)}\n"
        f"  data  {session.folder.root}",
    )


def _page_words(found: Cluster) -> str:
    if not has_page():
        return "not installed (`pip install 'upcall[web]'`)"
    return f"{found.page_url}  (`upcall open` logs a browser in)"


def _elsewhere(session: Session, where: str, wanted: Wanted, chart: Path | None) -> None:
    from upcall.cli import elsewhere

    if chart is not None:
        written = elsewhere.on(where, session.folder).chart(chart)
        session.out.say({"chart": str(chart), "files": len(written)}, f"{counted(len(written), 'file')} in {chart}")
        return
    status = elsewhere.start(session, where, wanted)
    session.out.say(
        status,
        f"cluster {status.cluster} is up on {where}: {counted(len(status.nodes), 'node')}\n"
        f"  data  {session.folder.root} (says where it is, and no secret)",
    )


class Seclusion(NamedTuple):
    """What a person says of how tasks are kept apart; None: as before."""

    isolation: bool | None = None
    shared: list[Path] | None = None

    def on(self, cluster: Cluster) -> Cluster:
        isolation = cluster.isolation if self.isolation is None else self.isolation
        shared = tuple(str(path.resolve()) for path in self.shared) if self.shared else cluster.shared
        return msgspec.structs.replace(cluster, isolation=isolation, shared=shared)


def start(
    session: Session, nodes: int | None = None, memory: int | None = None, seclusion: Seclusion | None = None
) -> Status:
    """``up`` without its words. What it began is taken back when it fails or is interrupted; when this process merely
    dies (a closed terminal, SIGKILL), the cluster finishes it by itself."""
    machine.check_platform()
    machine.check_folder(session.folder.root)
    if not session.folder.cluster_file.exists():
        _sizes(nodes, memory)  # what is refused leaves no folder behind
    with birth.only_one(session.folder):
        _up(session, nodes, memory, seclusion or Seclusion())
    return session.client.status()


def _up(
    session: Session, nodes: int | None, memory: int | None, seclusion: Seclusion, tries: int = OVERTAKEN_MAX
) -> None:
    """``tries``: so often the keeper that was found may be gone before all is up (killed, as was who stood by for it).
    Then this one begins."""
    keeping.until_ended(session.folder)
    # Nobody keeps it, and nobody begins to (in the place of a keeper that was killed) while it is prepared.
    lock = keeping.take(session.folder)
    if lock is not None:
        with lock:
            _begin(session, nodes, memory, seclusion, lock)
    elif keeping.release(session.folder) != __version__:
        _take_over(session, nodes, memory, seclusion)
    else:
        try:
            _go_on(session, nodes, memory, seclusion)
        except KeeperEnded:
            if not tries:
                raise
            session.as_renewed()
            _up(session, nodes, memory, seclusion, tries - 1)


def _begin(session: Session, nodes: int | None, memory: int | None, seclusion: Seclusion, lock: Lock) -> None:
    found = _prepared(session, nodes, memory)
    wanted = seclusion.on(found)
    if wanted != found:
        session.folder.save_cluster(found := wanted)
    if not found.isolation:
        session.out.note("tasks are not isolated: each may read and change whatever you may (`--isolation` ends that)")
    for path in sorted(session.folder.tokens.glob("*.token")):
        check_private(path)
    birth.check_ports(found)
    # Tasks of a life before (their keeper was killed, or was being exchanged) are not ended by what begins anew.
    take_back = keeping.let_go if keeping.left(session.folder) else keeping.end
    birth.renew(session.folder, found)
    write_private(session.folder.wanted_up, b"")
    try:
        _start_ours(session, found, lock)
    except BaseException:
        session.out.note("taking it down again" if take_back is keeping.end else "ending our own processes again")
        take_back(session.folder)
        raise


def _take_over(session: Session, nodes: int | None, memory: int | None, seclusion: Seclusion) -> None:
    """Ours end and start anew, from the files of this release; tasks run on. Whatever dies in the middle of it, the
    next ``up`` goes on: a keeper of the old release is let go, and where none runs the new one begins."""
    found = _prepared(session, nodes, memory)
    if seclusion.on(found) != found:
        raise Conflict(
            "this cluster runs, and how its tasks are kept apart is chosen before",
            where=str(session.folder.root),
            expected="`upcall down` first",
        )
    session.out.note(
        f"upcall {keeping.release(session.folder)} keeps it, and this is {__version__}: taking it over, tasks run on"
    )
    keeping.let_go(session.folder)
    lock = keeping.take(session.folder)
    if lock is None:
        raise Conflict("another keeper has begun", where=str(session.folder.root), expected="`upcall up` again")
    with lock:
        birth.renew(session.folder, found)
        _start_ours(session, found, lock)


def _start_ours(session: Session, found: Cluster, lock: Lock) -> None:
    """From now on it is this release's: an older one leaves it alone."""
    if found.upcall != __version__:
        session.folder.save_cluster(msgspec.structs.replace(found, upcall=__version__))
    keeping.begin(session.folder, found, lock)
    until_up(session, found)


def kept_by(folder: DataFolder) -> str:
    """The release that keeps this cluster, or kept it last; empty: there is none."""
    if not folder.cluster_file.exists():
        return ""
    return keeping.release(folder) if keeping.running(folder) else cluster_of(folder).upcall


def _go_on(session: Session, nodes: int | None, memory: int | None, seclusion: Seclusion) -> None:
    """An `up` whose process died is waited for; a `down` that died before its end is taken back."""
    found = cluster_of(session.folder)
    if _whole(session, found):
        raise Conflict(
            "this cluster is up already",
            where=str(session.folder.root),
            expected="`upcall status`, or `upcall down` first",
        )
    _prepared(session, nodes, memory)
    if seclusion.on(found) != found:
        raise Conflict(
            "this cluster runs, and how its tasks are kept apart is chosen before",
            where=str(session.folder.root),
            expected="`upcall down` first",
        )
    session.out.note("it runs in part; going on with it")
    keeping.wanted_up(session.folder)
    until_up(session, found)
    start_up(session, session.client.services())


def _whole(session: Session, found: Cluster) -> bool:
    """Whether there is nothing left for an ``up`` to do. A node that is silent has been up."""
    try:
        status = Status.model_validate(session.client.call("GET", "/v1/status"))
    except NotNow:
        return False
    there = {one.name for one in found.nodes} <= {one.name for one in status.nodes}
    return there and status.packages_registered and all(one.desired != SHUT_DOWN for one in status.services)


def _prepared(session: Session, nodes: int | None, memory: int | None) -> Cluster:
    """The folder's cluster, made now or before."""
    if session.folder.cluster_file.exists():
        found = cluster_of(session.folder)
        for what, wanted, is_now in (
            ("--nodes", nodes, len(found.nodes)),
            ("--memory-mib-per-node", memory, found.memory_mib_per_node),
        ):
            if wanted not in (None, is_now):
                raise Conflict(
                    f"this cluster was made with {what} {is_now}, not {wanted}",
                    where=str(session.folder.cluster_file),
                    expected="`upcall node add` and `node remove`, or another data folder",
                )
        return found
    count, part = _sizes(nodes, memory)
    # As with memory, one part is kept for `node add`.
    disk = machine.free_disk_mib(session.folder.root) // (count + 1)
    found = birth.choose(count, part, machine.cores(), disk)
    birth.prepare(session.folder, found)
    return found


def _sizes(nodes: int | None, memory: int | None) -> tuple[int, int]:
    """How many nodes a new cluster gets, and the memory of each."""
    count = birth.NODES_DEFAULT if nodes is None else nodes
    birth.check_count(count)
    total = machine.memory_mib()
    if memory is None:
        return count, machine.memory_per_node_mib(total, count)
    machine.check_parts(memory, count, total, "--memory-mib-per-node")
    return count, memory
