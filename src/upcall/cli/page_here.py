"""The page of a cluster whose master runs elsewhere: served on this machine, by the command that asked for it.

It is the page of every cluster, behind the same gate (:mod:`upcall.web.login`): on loopback, so that no certificate has
to be believed; a one-use code of the master's, for one user of this machine; the kernel is asked who is at the other
end. It reaches the master by the way that this command has there, and sees by the page's own token, which does nothing.
So the cluster serves no page, its network sees none of it, and nothing is left when the command ends.
"""

import contextlib
import hashlib
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from upcall.cli.cluster import PAGE_PORT, PORTS_TRIED, RANGE_OCTETS
from upcall.cli.session import Session
from upcall.client.folder import command_on
from upcall.cluster.listening import PAGE
from upcall.cluster.processes import has_page
from upcall.protocol.errors import Conflict, UpcallError
from upcall.transport import inherited

SERVED_S: Final = 180.0
"""Until it answers, on a machine that has other things to do."""
LOOK_S: Final = 0.2
CALL_S: Final = 5.0
END_S: Final = 10.0


class Served:
    def __init__(self, process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
        self._process, self._log = process, log
        self.url = url

    def until_answering(self) -> None:
        until_s = time.monotonic() + SERVED_S
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/login", timeout=CALL_S).close()
                return
            if self._process.poll() is not None or time.monotonic() > until_s:
                raise self._ended()
            time.sleep(LOOK_S)

    def until_left(self) -> None:
        """Until Ctrl-C, which is how it is meant to end."""
        try:
            self._process.wait()
        except KeyboardInterrupt:
            return
        raise self._ended()

    def end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ended(self) -> UpcallError:
        said = self._log.read_text(errors="replace").strip().splitlines()
        return Conflict(f"the page is not served: {said[-1] if said else 'it said nothing'}", where=self.url)


def must_be_installed() -> None:
    if not has_page():
        raise Conflict(
            "the page is not installed here",
            where="upcall open",
            expected="`pip install 'upcall[web]'`, then `upcall down` and `upcall up`; `upcall status` says the same",
        )


@contextmanager
def served(session: Session) -> Iterator[Served]:
    """As long as the block; it answers when that begins."""
    must_be_installed()
    master, tokens, relay = session.reached
    if "page" not in tokens:
        raise Conflict(
            "the control plane there was made by an upcall that has no token for a page",
            where=session.control_plane,
            expected=f"`upcall up --on {session.control_plane} --image ...`, with an image of this upcall",
        )
    run = session.folder.root / "run"
    log = run / f"page-{os.getpid()}.log"
    with _listening(session.client.status().cluster) as listener, log.open("xb") as said:
        address, port = listener.getsockname()
        url = f"http://{address}:{port}"
        words = ["-m", "upcall.web", "--data", str(session.folder.root), "--master", str(master)]
        words += ["--relay", str(relay), "--url", url, "--command", again(session)]
        process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            pass_fds=(listener.fileno(),),
            env={**os.environ, inherited.VARIABLE: f"{PAGE}={listener.fileno()}"},
            start_new_session=True,  # Ctrl-C is answered by this command.
        )
    page = Served(process, url, log)
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(tokens["page"].encode() + b"\n")
            process.stdin.flush()
        page.until_answering()
        yield page
    finally:
        page.end()
        log.unlink(missing_ok=True)


def again(session: Session) -> str:
    """What opens a page once more, as it is typed in any terminal."""
    if Path(sys.argv[0]).name == "kubectl-upcall":  # Its folder goes with it: which cluster, only what was typed says.
        return f"kubectl upcall {shlex.join(sys.argv[1:])}"
    return command_on(session.folder.root, "open")


def _listening(cluster: str) -> socket.socket:
    """On an address of the cluster's own: a browser keeps cookies by address, and one cluster's would end another's."""
    digest = hashlib.sha256(cluster.encode()).digest()
    first, after = RANGE_OCTETS
    address = f"127.{first + digest[0] % (after - first)}.{digest[1]}.1"
    for port in range(PAGE_PORT, PAGE_PORT + PORTS_TRIED):
        with contextlib.suppress(OSError):
            return inherited.bound(address, port)
    raise Conflict(
        f"ports {PAGE_PORT} to {PAGE_PORT + PORTS_TRIED - 1} of {address} are taken",
        where="upcall open",
        expected="one of them: other `upcall open`s may be running",
    )


def no_documentation(session: Session) -> UpcallError:
    from upcall.cli import elsewhere

    there = elsewhere.on(session.control_plane, session.folder)
    return Conflict(
        "the documentation is served by the control plane, and no port of it is open here",
        where=session.control_plane,
        expected=f"a program that reads it with a token, {there.reached()}",
    )
