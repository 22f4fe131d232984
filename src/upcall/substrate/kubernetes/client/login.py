"""As whom we speak, and to which server: from inside a pod, or from a kubeconfig."""

import base64
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from upcall.substrate.kubernetes.client.tokens import FileToken, FixedToken, NoToken, ProgramToken, Token

POD_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account."""


class LoginError(Exception):
    """It cannot be said who we are; the message names the file and what is missing in it."""


@dataclass(frozen=True)
class Login:
    server: str
    trust: ssl.SSLContext | None
    """None: plain HTTP."""
    token: Token
    namespace: str = "default"
    server_name: str | None = None
    """What the server's certificate is made out to, where that is not its address."""
    proxy: str | None = None


def find(context: str = "") -> Login:
    """In a pod, its service account; else the kubeconfig that ``kubectl`` would take."""
    if not context and not os.environ.get("KUBECONFIG") and (POD_FOLDER / "token").exists():
        return in_cluster()
    return from_kubeconfig(context=context)


def in_cluster(folder: Path = POD_FOLDER, environment: Mapping[str, str] = os.environ) -> Login:
    try:
        host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    except KeyError as missing:
        raise LoginError(f"not in a pod: {missing.args[0]} is not set") from None
    try:
        trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        namespace = (folder / "namespace").read_text().strip()
    except OSError as error:
        raise LoginError(f"the service account of this pod cannot be read: {error}") from None
    host = f"[{host}]" if ":" in host else host
    return Login(f"https://{host}:{port}", trust, FileToken(folder / "token"), namespace)


def usual_files() -> tuple[Path, ...]:
    """Those that ``kubectl`` would take."""
    named = [Path(name).expanduser() for name in os.environ.get("KUBECONFIG", "").split(":") if name]
    return tuple(named) or (Path.home() / ".kube" / "config",)


def current_context(files: tuple[Path, ...]) -> str:
    """The one that is meant where none is named: another one tomorrow, perhaps."""
    if not (context := _Merged.read(files).current):
        raise LoginError(f"{_named(files)}: no current context")
    return context


def namespace_of(files: tuple[Path, ...], context: str) -> str:
    """Which one a context is about; empty: it does not say."""
    chosen, _ = _Merged.read(files).find("contexts", "context", context, _named(files))
    return str(chosen.get("namespace") or "")


def from_kubeconfig(files: tuple[Path, ...] = (), context: str = "") -> Login:
    """``files``: of several, the first that names something counts, as ``KUBECONFIG`` has it."""
    files = files or usual_files()
    context = context or current_context(files)
    merged = _Merged.read(files)
    where = _named(files)
    chosen, _ = merged.find("contexts", "context", context, where)
    cluster, beside = merged.find("clusters", "cluster", str(chosen.get("cluster", "")), where)
    user, user_beside = merged.find("users", "user", str(chosen["user"]), where) if chosen.get("user") else ({}, beside)
    server = str(cluster.get("server", "")).rstrip("/")
    if not server:
        raise LoginError(f"{where}: the cluster of context {context} has no server")
    return Login(
        server,
        _trust(cluster, beside, user, user_beside) if server.startswith("https://") else None,
        _token(user, user_beside, cluster, where),
        str(chosen.get("namespace") or "default"),
        cluster.get("tls-server-name"),
        cluster.get("proxy-url"),
    )


def _named(files: tuple[Path, ...]) -> str:
    return " and ".join(map(str, files))


class _Merged:
    """Several files as one."""

    def __init__(self) -> None:
        self.current = ""
        self.known: dict[tuple[str, str], tuple[dict[str, Any], Path]] = {}

    @classmethod
    def read(cls, files: tuple[Path, ...]) -> "_Merged":
        merged = cls()
        for file in files:
            try:
                said = yaml.safe_load(file.read_text())
            except FileNotFoundError:
                continue
            except (OSError, yaml.YAMLError) as error:
                raise LoginError(f"{file} cannot be read: {error}") from None
            if not isinstance(said, dict):
                raise LoginError(f"{file} is no kubeconfig")
            merged.current = merged.current or str(said.get("current-context") or "")
            for section in ("contexts", "clusters", "users"):
                for entry in said.get(section) or ():
                    merged.known.setdefault((section, str(entry.get("name"))), (entry, file.parent))
        return merged

    def find(self, section: str, inner: str, name: str, where: str) -> tuple[dict[str, Any], Path]:
        if (found := self.known.get((section, name))) is None:
            there = ", ".join(sorted(known for part, known in self.known if part == section)) or "none"
            raise LoginError(f"{where}: there is no {inner} {name}; there are: {there}")
        entry, folder = found
        return entry.get(inner) or {}, folder


def _token(user: dict[str, Any], beside: Path, cluster: dict[str, Any], where: str) -> Token:
    if file := user.get("tokenFile"):
        return FileToken(beside / file)
    if token := user.get("token"):
        return FixedToken(str(token))
    if program := user.get("exec"):
        return ProgramToken(program, beside, cluster)
    for old in ("auth-provider", "username"):
        if old in user:
            raise LoginError(f"{where}: Kubernetes knows no {old} any more; a token, a certificate or exec is expected")
    return NoToken()


def _trust(cluster: dict[str, Any], beside: Path, user: dict[str, Any], user_beside: Path) -> ssl.SSLContext:
    try:
        if file := cluster.get("certificate-authority"):
            trust = ssl.create_default_context(cafile=str(beside / file))
        elif data := cluster.get("certificate-authority-data"):
            trust = ssl.create_default_context(cadata=base64.b64decode(data).decode())
        else:
            trust = ssl.create_default_context()
        if cluster.get("insecure-skip-tls-verify"):
            trust.check_hostname = False
            trust.verify_mode = ssl.CERT_NONE
        if data := user.get("client-certificate-data"):
            certify(trust, base64.b64decode(data) + b"\n" + base64.b64decode(user.get("client-key-data", "")))
        elif file := user.get("client-certificate"):
            trust.load_cert_chain(user_beside / file, user_beside / str(user.get("client-key", "")))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise LoginError(f"the certificates of {cluster.get('server')} cannot be read: {error}") from None
    return trust


def certify(trust: ssl.SSLContext, pem: bytes) -> None:
    """From a file that has no name: a private key is not to lie on a disk."""
    number = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(number, pem)
        trust.load_cert_chain(f"/proc/self/fd/{number}")
    finally:
        os.close(number)
