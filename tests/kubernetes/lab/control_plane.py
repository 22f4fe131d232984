"""A control plane of unmodified parts, on loopback where nothing else is said, for as long as a test wants it.

All its ports are free ones, all that it writes is in one folder. Its processes are ours alone: they are ended by their
number, and by the kernel when the process that started them is no more, however that came.
"""

import contextlib
import functools
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from lab.building import built
from lab.certificates import Authority
from upcall.keeper import linux

HOST: Final = "127.0.0.1"
SERVICES: Final = "10.96.0.0/16"
START_S: Final = 300.0
"""Four seconds on an idle machine; tests may have the idle cycles of a busy one."""
END_S: Final = 20.0
QUIET: Final = "--profiling=false"


@dataclass
class ControlPlane:
    folder: Path
    parts: Path
    """Where the programs lie."""
    api_port: int
    store_port: int
    settings: dict[str, tuple[str, ...]]
    host: str = HOST
    """On which its API server listens."""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    authority: Authority = field(init=False)

    @property
    def server(self) -> str:
        return f"https://{self.host}:{self.api_port}"

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.folder / f"{user}.kubeconfig"

    def user(self, name: str, common_name: str, *groups: str) -> Path:
        """Somebody who may log in; gives the kubeconfig."""
        self.authority.issue(name, common_name, *groups)
        certificates = self.authority.folder
        cluster = {"server": self.server, "certificate-authority": str(certificates / "ca.crt")}
        login = {
            "client-certificate": str(certificates / f"{name}.crt"),
            "client-key": str(certificates / f"{name}.key"),
        }
        self.kubeconfig(name).write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": name, "user": login}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
                    "current-context": "test",
                }
            )
        )
        return self.kubeconfig(name)

    def kubectl(self, *arguments: str) -> list[str]:
        """The command, as the administrator."""
        # Its cache of what the server knows is this cluster's own, and goes with it.
        return [
            str(self.parts / "kubectl"), f"--kubeconfig={self.kubeconfig()}", f"--cache-dir={self.folder / 'kubectl'}",
            *arguments,
        ]  # fmt: skip

    # -- its parts --------------------------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """All, in order, or some of them again."""
        commands = self._commands()
        for name in names or commands:
            log = (self.folder / f"{name}.log").open("ab")
            with log:
                self.running[name] = subprocess.Popen(
                    [str(self.parts / name), *commands[name], *self.settings.get(name, ())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    # The kernel ends it with us, also when nobody is left to do it.
                    preexec_fn=functools.partial(linux.die_with_parent, signal.SIGKILL),
                    start_new_session=True,
                )
            if name == "kube-apiserver":
                self.until_ready()

    def kill(self, *names: str) -> None:
        for name in names:
            process = self.running.pop(name)
            process.kill()
            process.wait()

    def until_ready(self, path: str = "/readyz") -> None:
        until_s = time.monotonic() + START_S
        while not self.answers(path):
            assert time.monotonic() < until_s, f"{path} of the API server, after {START_S:.0f} s:\n{self.last_words()}"
            for name, process in self.running.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.last_words(name)}"
            time.sleep(0.1)

    def answers(self, path: str) -> bool:
        trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        trust.load_cert_chain(self.authority.folder / "admin.crt", self.authority.folder / "admin.key")
        try:
            with urllib.request.urlopen(f"{self.server}{path}", timeout=5, context=trust):
                return True
        except OSError:
            return False

    def last_words(self, name: str = "kube-apiserver") -> str:
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-12:])

    def end(self) -> None:
        """The store last: what writes to it would wait for it."""
        for name in reversed(tuple(self.running)):
            process = self.running.pop(name)
            process.terminate()
            try:
                process.wait(END_S if name != "kube-apiserver" else 1.0)
            except subprocess.TimeoutExpired:
                # An API server waits for its watches, a minute long.
                process.kill()
                process.wait()

    def _commands(self) -> dict[str, tuple[str, ...]]:
        pki, store = self.authority.folder, f"http://{HOST}:{self.store_port}"
        peer = f"http://{HOST}:{free_port()}"
        own = {
            name: self.user(name, f"system:{name}") for name in ("kube-controller-manager", "kube-scheduler")
        }  # fmt: skip
        return {
            "etcd": (
                "--name=test", f"--data-dir={self.folder / 'store'}", "--unsafe-no-fsync",
                f"--listen-client-urls={store}", f"--advertise-client-urls={store}",
                f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}",
            ),
            "kube-apiserver": (
                f"--etcd-servers={store}", f"--bind-address={self.host}", f"--secure-port={self.api_port}",
                f"--tls-cert-file={pki / 'api.crt'}", f"--tls-private-key-file={pki / 'api.key'}",
                f"--client-ca-file={pki / 'ca.crt'}", "--authorization-mode=Node,RBAC", "--allow-privileged=true",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki / 'accounts.pub'}",
                f"--service-account-signing-key-file={pki / 'accounts.key'}",
                f"--service-cluster-ip-range={SERVICES}", "--enable-admission-plugins=NodeRestriction",
                # An address on loopback is no endpoint of a service, and it says so for ever.
                f"--advertise-address={self.host}", "--endpoint-reconciler-type=none", QUIET,
            ),
            "kube-controller-manager": (
                f"--kubeconfig={own['kube-controller-manager']}", "--secure-port=0", "--leader-elect=false",
                "--use-service-account-credentials=true", f"--root-ca-file={pki / 'ca.crt'}",
                f"--service-account-private-key-file={pki / 'accounts.key'}", QUIET,
            ),
            "kube-scheduler": (
                f"--kubeconfig={own['kube-scheduler']}", "--secure-port=0", "--leader-elect=false", QUIET,
            ),
        }  # fmt: skip


@contextmanager
def control_plane(folder: Path, host: str = HOST, **settings: tuple[str, ...]) -> Iterator[ControlPlane]:
    """``settings``: more of them for a part, ``kube_apiserver=("--goaway-chance=0.02",)``. It is ready when the default
    service account is there: before, no pod is taken."""
    named = {name.replace("_", "-"): value for name, value in settings.items()}
    plane = ControlPlane(folder, built(), free_port(), free_port(), named, host)
    pki = folder / "pki"
    pki.mkdir()
    plane.authority = Authority(pki)
    plane.authority.key_pair("accounts")
    plane.authority.issue("api", "kube-apiserver", hosts=(host, "localhost", "kubernetes.default.svc"))
    plane.user("admin", "admin", "system:masters")
    try:
        plane.start()
        plane.until_ready("/api/v1/namespaces/default/serviceaccounts/default")
        yield plane
    finally:
        plane.end()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
        return port


def processes(folder: Path) -> list[int]:
    """Those that still run with a file of this folder on their command line."""
    found: list[int] = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and int(each.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(folder).encode() in (each / "cmdline").read_bytes():
                    found.append(int(each.name))
    return found
