"""What the command line has of a cluster on Kubernetes: :class:`upcall.cli.elsewhere.Elsewhere`.

The data folder of who uses it says which cluster is meant, by names alone: a kubeconfig, the context in it (that one,
whichever is the current one tomorrow), the namespace.
"""

import asyncio
import atexit
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from upcall import __version__
from upcall.cluster.control_plane import Reached, Wanted
from upcall.cluster.folder import Cluster, DataFolder, write_private
from upcall.kubernetes.control_plane import identity
from upcall.kubernetes.control_plane.folder import NO_ADDRESSES
from upcall.kubernetes.control_plane.leading import LEADS
from upcall.kubernetes.installing import chart, deleted
from upcall.kubernetes.installing.installing import MANAGER, Installing, in_words
from upcall.kubernetes.installing.objects import API_PORT, BOUND, NOT_BOUND, REPLICAS_MAX, Wish
from upcall.kubernetes.installing.tunnel import Tunnel
from upcall.kubernetes.settings import FILE, Settings, load
from upcall.protocol.errors import Conflict, Invalid
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.errors import ApiError
from upcall.substrate.kubernetes.client.kinds import POD
from upcall.substrate.kubernetes.client.login import LoginError, current_context, namespace_of, usual_files
from upcall.substrate.kubernetes.speaking import OURS

T = TypeVar("T")

NAME: Final = "kubernetes"
NAMESPACE: Final = "upcall"
FATAL: Final = ("cannot be had", "ended with")
"""What waiting does not mend, of what keeps a control plane from coming up."""


class OnKubernetes:
    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    def chart(self, folder: Path) -> list[Path]:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Conflict(f"{folder} is not empty", where="--chart", expected="a folder that is not there yet")
        return chart.write(folder)

    def chart_files(self) -> dict[str, str]:
        return chart.files()

    # -- up ---------------------------------------------------------------------------------------------------------

    def up(self, wanted: Wanted, note: Callable[[str], None]) -> None:
        """What is to be there is there, and this folder says where. That it works is another matter."""
        if wanted.replicas is not None and not 1 <= wanted.replicas <= REPLICAS_MAX:
            raise Invalid(f"{wanted.replicas} replicas", where="--replicas", expected=f"1 to {REPLICAS_MAX}")
        settings, cluster = self._chosen(wanted.context, wanted.namespace)

        async def install(api: Api) -> str:
            installing = Installing(api, settings.namespace)
            wish = as_said(wanted, await installing.standing(), settings)
            if not wish.image:
                raise Invalid(
                    "it is not said what pods run",
                    where="--image",
                    expected="an image that `upcall image build PACKAGE... --push` has pushed",
                )
            await installing.check(wish, cluster)
            await installing.apply(wish, note)
            # Made by us where there is none, so that this folder says whose it is.
            known = (await identity.made(api, settings.namespace)).cluster
            self._remember(
                known,
                msgspec.structs.replace(
                    settings,
                    image=wish.image,
                    storage_class=wish.storage_class,
                    volumes_bound_to_node=wish.volumes_bound_to_node == BOUND,
                ),
            )
            return wish.image

        self._do(settings, install)

    def _chosen(self, context: str, namespace: str) -> tuple[Settings, str]:
        """What this folder says, or what a person does; and the cluster's id, where it is known."""
        if self._folder.cluster_file.exists():
            cluster = self._folder.load_cluster()
            if cluster.control_plane != NAME:
                raise Conflict(
                    "this data folder is of a cluster on this machine",
                    where=str(self._folder.root),
                    expected="another one (--data), and `upcall export` here, `upcall apply` there",
                )
            known = load(self._folder)
            for what, said, stands in (
                ("--context", context, known.context),
                ("--namespace", namespace, known.namespace),
            ):
                if said not in ("", stands):
                    raise Conflict(
                        f"this data folder is of a cluster with {what} {stands}, not {said}",
                        where=str(self._folder.root),
                        expected="another data folder (--data)",
                    )
            return known, cluster.cluster
        return _meant("", context, namespace or NAMESPACE), ""

    def join(self, kubeconfig: str, context: str, namespace: str) -> None:
        self._remember("", _meant(kubeconfig, context, namespace))

    def _remember(self, known: str, settings: Settings) -> None:
        self._folder.make_private()
        write_private(self._folder.root / FILE, msgspec.json.encode(settings))
        cluster = Cluster(
            upcall=__version__,
            cluster=known,
            prefix=NO_ADDRESSES,
            url=f"https://localhost:{API_PORT}",
            substrate=NAME,
            records=NAME,
            control_plane=NAME,
        )
        self._folder.save_cluster(cluster)

    def settled(self) -> bool:
        async def ask(api: Api) -> bool:
            return await Installing(api, settings.namespace).settled()

        settings = load(self._folder)
        return self._do(settings, ask)

    def why_not(self) -> tuple[str, bool]:
        """What keeps it from coming up, and whether that is nothing to be waited for."""

        async def ask(api: Api) -> str:
            return await Installing(api, settings.namespace).why_not()

        settings = load(self._folder)
        words = self._do(settings, ask)
        return words, any(each in words for each in FATAL)

    # -- while it is there ------------------------------------------------------------------------------------------

    def reach(self) -> Reached:
        settings = load(self._folder)
        try:
            tunnel = Tunnel(settings.login(), settings.namespace, self._folder.root / "run")
        except ApiError as error:
            raise in_words(error, settings.context) from None
        atexit.register(tunnel.close)
        return Reached(tunnel.socket, tunnel.tokens, tunnel.relay)

    def reached(self) -> str:
        space = load(self._folder).namespace
        return (
            f"for https://localhost:{API_PORT} behind `kubectl -n {space} port-forward POD {API_PORT}`, where POD is"
            f" the one with the label {LEADS}; its certificate is `{identity.TRUSTED}` of the Secret {identity.NAME}"
        )

    def members(self) -> int:
        """How many pods of services there are."""

        async def ask(api: Api) -> int:
            return len((await api.list(POD, settings.namespace, labels=OURS)).objects)

        settings = load(self._folder)
        return self._do(settings, ask)

    def let_go(self) -> str:
        async def ask(api: Api) -> str:
            if not await deleted.is_being(api, settings.namespace):
                return ""
            await deleted.let_go(api, settings.namespace)
            return f"namespace {settings.namespace} is being deleted, and all in it; nothing of ours keeps it any more"

        settings = load(self._folder)
        return self._do(settings, ask)

    def down(self) -> None:
        settings = load(self._folder)

        async def remove(api: Api) -> None:
            await Installing(api, settings.namespace).remove()

        self._do(settings, remove)

    def _do(self, settings: Settings, work: Callable[[Api], Awaitable[T]]) -> T:
        async def connected() -> T:
            async with Connection(settings.login()) as connection:
                return await work(Api(connection, manager=MANAGER))

        try:
            return asyncio.run(connected())
        except ApiError as error:
            raise in_words(error, settings.context) from None


def as_said(wanted: Wanted, standing: Wish | None, remembered: Settings) -> Wish:
    """What a person says; what he does not say as it is there, whoever put it there; and where nothing is, as this
    folder remembers it."""
    before = standing or Wish(
        namespace=remembered.namespace,
        image=remembered.image.removeprefix(UNKNOWN),
        storage_class=remembered.storage_class,
        volumes_bound_to_node=BOUND if remembered.volumes_bound_to_node else NOT_BOUND,
    )
    bound = wanted.volumes_bound_to_node
    return Wish(
        namespace=remembered.namespace,
        image=wanted.image or before.image,
        replicas=before.replicas if wanted.replicas is None else wanted.replicas,
        storage_class=before.storage_class if wanted.storage_class is None else wanted.storage_class,
        volumes_bound_to_node=before.volumes_bound_to_node if bound is None else BOUND if bound else NOT_BOUND,
    )


def _meant(kubeconfig: str, context: str, namespace: str) -> Settings:
    """``kubeconfig``: a file; empty: those that ``kubectl`` would take. ``namespace``: empty: the context's own."""
    files = (Path(kubeconfig),) if kubeconfig else usual_files()
    try:
        context = context or current_context(files)
        namespace = namespace or namespace_of(files, context) or NAMESPACE
    except LoginError as error:
        raise Invalid(str(error), where="--context", expected="a context of your kubeconfig") from None
    named = os.pathsep.join(str(file.absolute()) for file in files)
    return Settings(kubeconfig=named, context=context, namespace=namespace, image=UNKNOWN)


UNKNOWN: Final = "-"
"""In the place of an image that nobody has named yet."""
