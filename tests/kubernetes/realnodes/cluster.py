"""A control plane and real nodes, for as long as a test wants them."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.building import built
from lab.control_plane import ControlPlane, control_plane

from debian import NotThere, unpacked
from realnodes import groups, images
from realnodes.network import Network
from realnodes.settings import Settings
from upcall.keeper import linux

PACKAGES: Final = ("containerd", "runc", "containernetworking-plugins", "busybox-static")
SILENT_AFTER_S: Final = 120
"""When a node is not ready any more. Kubernetes' own 50 s are too few where the tests have idle cycles alone."""
READY_S: Final = 900.0
AGAIN_S: Final = 0.5


def missing() -> str:
    """Why real nodes cannot be had; empty: they can, as far as is known before anything is fetched."""
    if os.getuid() != 0:
        return "real nodes need root, who makes their namespaces, links and control groups"
    lacking = [name for name in ("unshare", "nsenter", "ip", "mount") if shutil.which(name) is None]
    if lacking:
        return f"real nodes need {', '.join(lacking)}"
    if "memory" not in groups.hierarchies():
        return "real nodes know control groups of version 1 alone, and this machine has others"
    return ""


def programs() -> Path:
    """Debian's, unpacked. Raises :class:`NotThere`."""
    return unpacked("nodes", *PACKAGES)


@dataclass
class RealNodes:
    folder: Path
    count: int
    debian: Path
    keeper: "subprocess.Popen[str]"
    network: Network = field(init=False)
    plane: ControlPlane = field(init=False)
    settings: dict[str, Settings] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    """The first process of each, as this machine numbers it."""

    @property
    def names(self) -> list[str]:
        return [f"node-{number}" for number in range(1, self.count + 1)]

    @property
    def busybox(self) -> Path:
        return self.debian / "bin" / "busybox"

    def prepare(self) -> None:
        images.pause(self.busybox, self.folder / "pause.tar")
        for number, name in enumerate(self.names, 1):
            kubeconfig = self.plane.user(name, f"system:node:{name}", "system:nodes")
            one = Settings(
                folder=self.folder / name, network=self.network, number=number, kubernetes=built(), debian=self.debian,
                kubeconfig=kubeconfig, authority=self.plane.authority.certificate,
                snapshotter="overlayfs" if "overlay" in Path("/proc/filesystems").read_text() else "native",
            )  # fmt: skip
            one.write()
            self.settings[name] = one

    def start(self, name: str) -> None:
        """Power on."""
        self.first[name] = int(self.ask(f"start {name}"))
        self.begin(name, "containerd")
        until_s = time.monotonic() + READY_S
        while self.inside(name, *self.settings[name].ctr("version")).returncode:
            assert time.monotonic() < until_s, self.log(name, "containerd")
            time.sleep(AGAIN_S)
        self.load(name, self.folder / "pause.tar")
        self.begin(name, "kubelet")

    def power_cut(self, name: str) -> None:
        """All that runs there is no more, at once."""
        assert self.ask(f"cut {name}") == "done"
        del self.first[name]

    def begin(self, name: str, program: str) -> None:
        assert self.ask(f"tell {name} start {program}") == "done"

    def kill(self, name: str, program: str) -> None:
        assert self.ask(f"tell {name} stop {program}") == "done"

    def load(self, name: str, archive: Path) -> None:
        """An image, for its pods."""
        snapshotter = self.settings[name].snapshotter
        told = self.inside(
            name, *self.settings[name].ctr("images", "import", "--snapshotter", snapshotter, str(archive))
        )
        assert told.returncode == 0, f"{told.stdout}{told.stderr}\n{self.log(name, 'containerd')}"

    def forget(self, name: str, image: str) -> None:
        told = self.inside(name, *self.settings[name].ctr("images", "rm", "--sync", image))
        assert told.returncode == 0, told.stderr

    def inside(self, name: str, *command: str) -> "subprocess.CompletedProcess[str]":
        into = ("nsenter", f"--target={self.first[name]}", "--mount", "--net", "--pid")
        environment = {**os.environ, **self.settings[name].environment}
        return subprocess.run([*into, *command], env=environment, capture_output=True, text=True, check=False)

    def log(self, name: str, program: str) -> str:
        lines = (self.folder / name / f"{program}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def ask(self, line: str) -> str:
        assert self.keeper.stdin is not None
        assert self.keeper.stdout is not None
        self.keeper.stdin.write(f"{line}\n")
        self.keeper.stdin.flush()
        said = self.keeper.stdout.readline().strip()
        assert said, f"{line}: the keeper ended: {(self.folder / 'keeper.log').read_text()}"
        return said

    def until_ready(self) -> None:
        until_s = time.monotonic() + READY_S
        while self._ready() < self.count:
            logs = "\n".join(self.log(name, "kubelet") for name in self.first)
            assert time.monotonic() < until_s, f"not all are ready after {READY_S:.0f} s:\n{logs}"
            time.sleep(AGAIN_S)

    def _ready(self) -> int:
        said = subprocess.run(self.plane.kubectl("get", "nodes", "-o", "json"), capture_output=True, check=True).stdout
        conditions = [each for node in json.loads(said)["items"] for each in node["status"].get("conditions", ())]
        return sum(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@contextmanager
def real_nodes(folder: Path, count: int = 3) -> Iterator[RealNodes]:
    """Ready. Raises :class:`debian.NotThere`, :class:`lab.building.Missing`."""
    built()
    debian = programs()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (folder / "keeper.log").open("w") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "realnodes.keeper", str(folder), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
            start_new_session=True,
        )  # fmt: skip
    nodes = RealNodes(folder, count, debian, keeper)
    plane = folder / "plane"
    plane.mkdir()
    pki = plane / "pki"
    try:
        assert keeper.stdout is not None
        # A third one on this machine waits here until another has ended.
        said = keeper.stdout.readline()
        assert said, (folder / "keeper.log").read_text()
        nodes.network = Network(int(said))
        with (
            control_plane(
                plane,
                nodes.network.host,
                kube_apiserver=(
                    f"--kubelet-client-certificate={pki / 'admin.crt'}",
                    f"--kubelet-client-key={pki / 'admin.key'}",
                    "--kubelet-preferred-address-types=InternalIP",
                ),
                kube_controller_manager=(f"--node-monitor-grace-period={SILENT_AFTER_S}s",),
            ) as nodes.plane,
            _beside(nodes, environment),
        ):
            nodes.prepare()
            for name in nodes.names:
                nodes.start(name)
            nodes.until_ready()
            yield nodes
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        assert keeper.wait() == 0, (folder / "keeper.log").read_text()


@contextmanager
def _beside(nodes: RealNodes, environment: dict[str, str]) -> Iterator[None]:
    words = (str(nodes.plane.kubeconfig()), str(nodes.folder), nodes.network.host)
    with (nodes.folder / "beside.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "realnodes.beside", *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            preexec_fn=functools.partial(linux.die_with_parent, signal.SIGKILL),
        )  # fmt: skip
    try:
        yield
    finally:
        process.kill()
        process.wait()


__all__ = ["NotThere", "RealNodes", "missing", "programs", "real_nodes"]
