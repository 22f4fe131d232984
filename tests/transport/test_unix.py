"""Who is at the other end of a Unix socket: the kernel's word, before anything is said."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from strangers import STRANGER, stranger

from upcall.keeper import sockets
from upcall.transport import tasks, unix
from upcall.transport.tasks import below_a_shim

pytestmark = pytest.mark.root

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a second user for a moment")


def open_to_all(folder: Path) -> Path:
    for one in (folder, *folder.parents):
        if os.access(one, os.W_OK) and one != Path("/"):
            one.chmod(one.stat().st_mode | 0o055)
    return folder


def test_what_is_ours_is_spoken_to_whatever_the_length_of_its_path(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30) / ("longer" * 30) / "run" / "master.sock"
    with unix.listen(path) as listener:
        said = []

        def serve() -> None:
            listener.setblocking(True)
            with listener.accept()[0] as client:
                unix.check_client(client)
                said.append(client.recv(10))

        thread = threading.Thread(target=serve)
        thread.start()
        with unix.connect(path, 10.0) as client:
            assert unix.peer_user(client) == os.geteuid()
            client.sendall(b"hello")
        thread.join(180)
        assert said == [b"hello"]
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_could_enter_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    unix.listen(tmp_path / "run" / "master.sock").close()
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


@AS_ROOT
def test_a_folder_of_another_user_is_not_listened_in(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", STRANGER, STRANGER)
    with pytest.raises(unix.Stranger, match=f"belongs to user {STRANGER}"):
        unix.listen(tmp_path / "run" / "master.sock")


@AS_ROOT
def test_nothing_is_said_to_a_listener_of_another_user(tmp_path: Path) -> None:
    """Even where he got his socket into our own folder."""
    trap = open_to_all(tmp_path) / "trap"
    trap.mkdir()
    trap.chmod(0o777)

    def listens(say: Callable[[bytes], None]) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(trap / "master.sock"))
            listener.listen()
            say(b"ready")
            say(repr(listener.accept()[0].recv(100)).encode())

    with stranger(listens) as said:
        assert said.readline() == b"ready\n"
        with pytest.raises(unix.Stranger, match=f"user {STRANGER} listens there"):
            unix.connect(trap / "master.sock", 10.0)
        assert said.readline() == b"b''\n"


@AS_ROOT
def test_a_client_of_another_user_is_seen(tmp_path: Path) -> None:
    listener = unix.listen(tmp_path / "run" / "master.sock")
    for one in (tmp_path / "run" / "master.sock", tmp_path / "run"):
        one.chmod(0o777)
    open_to_all(tmp_path)

    def connects(say: Callable[[bytes], None]) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "run" / "master.sock"))
            say(b"connected")
            client.recv(1)

    listener.setblocking(True)
    with stranger(connects) as said:
        assert said.readline() == b"connected\n"
        with listener, listener.accept()[0] as client, pytest.raises(unix.Stranger, match=f"user {STRANGER} is not"):
            unix.check_client(client)


def test_a_listener_that_is_too_busy_is_an_error_at_once_and_not_a_connection_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with unix.connect(path, 0), pytest.raises(BlockingIOError):
            unix.connect(path, 0)


def test_a_task_is_told_from_us_by_its_shim(tmp_path: Path) -> None:
    """Also what a task forked and left: a shim is a subreaper."""
    script = (
        "import ctypes, subprocess, sys\n"
        "ctypes.CDLL(None).prctl(15, b'upcall-shim', 0, 0, 0)\n"
        "child = subprocess.Popen(['sh', '-c', 'sleep 1000 & echo $!; wait'], stdout=subprocess.PIPE)\n"
        "print(child.stdout.readline().decode().strip(), flush=True); sys.stdin.read(); child.kill()\n"
    )
    shim = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert shim.stdout is not None
        grandchild = int(shim.stdout.readline())
        assert below_a_shim(grandchild)
        assert sockets.below_a_shim(grandchild)
        assert not below_a_shim(os.getpid())
        assert not sockets.below_a_shim(os.getpid())
    finally:
        os.kill(grandchild, 9)
        shim.communicate()
    assert below_a_shim(shim.pid)


@pytest.mark.parametrize(("module", "look"), [(tasks, "_name_and_parent"), (sockets, "stat_of")])
def test_whose_parent_ends_while_it_is_looked_at_is_no_task(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, look: str
) -> None:
    """It is asked who the parent is, the parent ends, and then nothing is known of the parent any more."""
    parent = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    looks = getattr(module, look)

    def looked(process: int) -> object:
        found = looks(process)
        if parent.poll() is None:
            parent.kill()
            parent.wait()
        return found

    monkeypatch.setattr(module, look, looked)
    try:
        assert not module.below_a_shim(child)
    finally:
        os.kill(child, 9)
