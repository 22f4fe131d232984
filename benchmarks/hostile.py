"""A hostile service: its task looks for what belongs to others, and says what it got. And the service whose it is.

The task is told nothing but its own sandbox; it walks up from there. What a node says it cannot hold apart (a feature
that it lacks) is not promised there; the attack runs as root, where everything can be.
"""

from typing import Final

FOUND: Final = "found: "
DONE: Final = "nothing else is left to try"

VICTIM: Final = '''\
"""Has a volume and a secret of its own."""

from upcall.protocol.declaration import Check, Declaration, Secret, Volume
from upcall.service import Member, Pod, Service


class Victim(Service):
    package = "victim"

    def pods(self) -> list[Pod]:
        return [Pod("keeper", count=1)]

    def task(self, member: Member) -> Declaration:
        return Declaration(
            command=("sh", "-c", "echo private > vault/diary; echo kept; exec sleep 100000"),
            volumes=(Volume(name="vault", size_mib=16),),
            secrets=(Secret(name="pin", ref=self.own_secret("pin")),),
            ready=Check(log="kept"),
        )
'''

PROGRAM: Final = """\
import json, os, socket, sys, time
from pathlib import Path

tried = 0
got = []

def attempt(what, does):
    global tried
    tried += 1
    try:
        found = does()
    except Exception:
        return
    if found:
        got.append(f"{what}: {found}")

here = Path.cwd().resolve()
root = next((one for one in here.parents if (one / "nodes").name and os.path.basename(one) == "data"), here.parents[-2])
own = [here, *(Path(one).resolve() for one in here.iterdir())]

def mine(path):
    found = Path(path).resolve()
    return any(found == one or one in found.parents or found in one.parents for one in own)

def connects(path, says=b""):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(3)
        client.connect(str(path))
        client.sendall(says)
        return client.recv(200)[:60].decode("latin-1") or "" if says else "connected"

for name in ("operator", "page", "host", "agent-node-1", "agent-node-2"):
    attempt(f"token of {name}", lambda: bool((root / "secrets" / f"{name}.token").read_text()))
attempt("the tokens' names", lambda: os.listdir(root / "secrets"))
attempt("the key of the certificate", lambda: bool((root / "secrets" / "api.key").read_bytes()))
attempt("values of secrets", lambda: [bool(one.read_bytes()) for one in (root / "secrets" / "values").iterdir()])
attempt("the database", lambda: len((root / "master" / "upcall.sqlite").read_bytes()))
attempt("logs of ours", lambda: os.listdir(root / "logs"))
attempt("what the keeper keeps", lambda: bool((root / "keeper" / "spec.json").read_bytes()))
attempt("a change of what the keeper keeps", lambda: bool(open(root / "keeper" / "spec.json", "r+")))
attempt("a file in the data folder", lambda: bool(open(root / "planted", "w")))
attempt("the master's socket", lambda: connects(root / "run" / "master.sock"))
attempt("the keeper's socket", lambda: connects(root / "keeper" / "keeper.sock", b'{"do": "status"}\\n'))
for node in ("node-1", "node-2", "node-3"):
    for socket_name in ("launcher.sock",):
        attempt(f"the launcher of {node}", lambda: connects(root / "nodes" / node / socket_name))
    attempt(f"the checkpoint of {node}", lambda: bool((root / "nodes" / node / "checkpoint.json").read_bytes()))
def others_files():
    found = []
    for folder, _, files in os.walk(root):
        for one in files:
            path = Path(folder, one)
            if not mine(path) and "villain" not in str(path):
                try:
                    path.read_bytes()
                    found.append(str(path.relative_to(root)))
                except OSError:
                    pass
    return found[:5]
attempt("files of others", others_files)
def diaries():
    return [one for one in Path("/").glob(str(root)[1:] + "/nodes/*/volumes/**/diary")][:3]
attempt("a volume of another service", diaries)

def processes(look):
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        if one.name == str(os.getpid()) or one.name == str(os.getppid()):
            continue
        try:
            words = (one / "cmdline").read_bytes().replace(b"\\0", b" ").decode("latin-1")
            if "villain" in words:
                continue
            if look(one, words):
                found.append(one.name + " " + words[:50])
        except OSError:
            pass
    return found[:3]
attempt("environments of others", lambda: processes(lambda one, words: (one / "environ").read_bytes()))
attempt("open files of others", lambda: processes(lambda one, words: os.listdir(one / "fd")))
attempt("memory of others", lambda: processes(lambda one, words: open(one / "mem", "rb")))
attempt("working folders of others", lambda: processes(lambda one, words: os.listdir(one / "cwd")))
def signalled(one, words):
    os.kill(int(one.name), 0)
    return "upcall" in words or "sleep 100000" in words
attempt("signals to others", lambda: processes(signalled))
attempt("becoming root", lambda: os.setuid(0) or os.geteuid() == 0)
attempt("becoming root by sudo", lambda: os.system("sudo -n true 2>/dev/null") == 0)
attempt("a file of root", lambda: bool(open(os.path.expanduser("~root/.profile")).read() or True))
attempt("a write beside the sandbox", lambda: bool(open(here.parent / "planted", "w")))
attempt("a token in its own environment", lambda: [k for k, v in os.environ.items() if "TOKEN" in k.upper()])
for what in got:
    print("found: " + what, flush=True)
print(f"tried {tried}", flush=True)
print("nothing else is left to try", flush=True)
time.sleep(100000)
"""

VILLAIN: Final = f'''\
"""Looks for what belongs to others."""

from upcall.protocol.declaration import Check, Declaration, File
from upcall.service import Member, Pod, Service

PROGRAM = {PROGRAM!r}


class Villain(Service):
    package = "villain"

    def pods(self) -> list[Pod]:
        return [Pod("thief", count=1)]

    def task(self, member: Member) -> Declaration:
        return Declaration(
            command=("{{{{python}}}}", "villain.py"),
            files=(File(path="villain.py", text=PROGRAM),),
            ready=Check(log="{DONE}"),
        )
'''

NAMES: Final = ("../../../escaped", "/tmp/escaped", "a/../../b", "..", "a\\u0000b", "\\ud800")
"""Of volumes, each in a service that is refused, or whose task never makes the folder."""


def with_volume(name: str) -> str:
    return (
        VICTIM.replace('"victim"', '"escape"')
        .replace("class Victim", "class Escape")
        .replace('name="vault"', f'name="{name}"')
        .replace("echo private > vault/diary; ", "")
        .replace('            secrets=(Secret(name="pin", ref=self.own_secret("pin")),),\n', "")
    )
