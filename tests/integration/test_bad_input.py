"""Bad input: each one clear error, with nothing half-done left behind; on a real cluster."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from real_cluster import WAIT_S, Cluster, interrupt, pids_of

from live_files import files
from upcall.cli import keeping, machine
from upcall.cli.session import Session
from upcall.cli.upload import upload
from upcall.cluster.folder import DataFolder
from upcall.protocol.operator import Install

PACKAGES = Path(__file__).parent / "packages"
GREEDY = str(PACKAGES / "greedy.py")
HELLO = str(Path(__file__).parents[2] / "examples" / "hello.py")
SIZED = """
import upcall.service as up


class Large(up.Service):
    class Options(up.ServiceOptions):
        memory_mib: up.Annotated[int, up.amount("memory")] = 32

    options: Options

    def pods(self) -> list[up.Pod]:
        return [up.Pod("web", count=1)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(
            command=("sleep", "1000000"), resources=up.Resources(memory_mib=self.options.memory_mib)
        )
"""
PORT = 18347
NOBODY = 65534


class Registry(ThreadingHTTPServer):
    """A Python registry with one wheel; or a network that is cut."""

    def __init__(self, folder: Path) -> None:
        self.cut = False
        self.stalled: threading.Event | None = None
        """While it is not set, nobody gets an answer."""
        self.asked = threading.Event()
        self.wheel = folder / "written-1.0-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("written.py", "")
            archive.writestr("written-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: written\nVersion: 1.0\n")
            archive.writestr(
                "written-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr("written-1.0.dist-info/RECORD", "")
        super().__init__(("127.0.0.1", 0), _Handler)
        self.index = f"http://127.0.0.1:{self.server_address[1]}/simple"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.set()
        if self.server.stalled is not None:
            self.server.stalled.wait(WAIT_S)
        if self.server.cut:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        name = self.server.wheel.name
        if self.path.rstrip("/") == "/simple/written":
            body, kind = f'<a href="/{name}">{name}</a>'.encode(), "text/html"
        elif self.path == f"/{name}":
            body, kind = self.server.wheel.read_bytes(), "application/octet-stream"
        else:
            body, kind = b"", ""
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):  # who asked has gone
                self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    server = Registry(tmp_path_factory.mktemp("registry"))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def cluster_env(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = str(tmp_path_factory.mktemp("cache"))
    return {
        "UV_DEFAULT_INDEX": registry.index, "UV_INDEX_URL": registry.index, "UV_FIND_LINKS": "", "UV_HTTP_RETRIES": "0",
        "UPCALL_CACHE": cache,
    }  # fmt: skip


def nothing_left(cluster: Cluster) -> None:
    """No service, no member, nothing reserved, no process of a task."""
    assert cluster.client.services() == []
    assert cluster.client.tasks() == []
    assert [node.memory_reserved_mib for node in cluster.client.nodes()] == [0, 0, 0]
    assert cluster.client.operations() == []


def artifact_package(tmp_path: Path, name: str) -> str:
    path = tmp_path / f"{name}.py"
    path.write_text((PACKAGES / "artifact.py").read_text().replace("NAME", name))
    return str(path)


# -- what does not exist, or is out of range ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nosuch"], ["no package 'nosuch'", "expected: one of"]),
        (["kafkaa"], ["no package 'kafkaa', did you mean 'kafka'?"]),
        (["kafka", "--version", "0.1"], ["package kafka has no version '0.1'", "where:    --version"]),
        ([HELLO, "--version", "9"], ["package hello has no version '9'", "expected: 0.1.0"]),
        ([HELLO, "--set", "cuont=1"], ["unknown option 'cuont' of package hello, did you mean 'count'?"]),
        ([HELLO, "--set", "count=99"], ["99 is greater than the maximum of 9", "expected: a whole number from 1 to 9"]),
        ([HELLO, "--set", "count=many"], ["'many' is not a whole number", "where:    --set count"]),
        ([HELLO, "--set", "count"], ["--set"]),
        ([HELLO, "--name", "Not_A_Name"], ["not a name of a service: 'Not_A_Name'"]),
        ([HELLO, "--bind", "kafka=x"], ["has no need 'kafka'"]),
        (["/no/such/file.py"], ["file.py"]),
    ],
)
def test_what_does_not_exist_is_named_with_what_would_be_right(
    cluster: Cluster, words: list[str], says: list[str]
) -> None:
    cluster.until("the packages are registered", lambda: any(one.name == "kafka" for one in cluster.client.packages()))
    refused = cluster.refused("install", *words)
    assert all(each in refused for each in says), refused
    nothing_left(cluster)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["uninstall", "nosuch"], "no service 'nosuch'"),
        (["node", "drain", "node-9"], "no node 'node-9'"),
        (["node", "add", "node-1"], "there is a node 'node-1' already"),
        (["task", "restart", "nosuch.web-0"], "no member 'nosuch.web-0'"),
        (["why", "op-999"], "no operation 'op-999'"),
        (["logs", "nosuch.web-0"], "no member 'nosuch.web-0'"),
    ],
)
def test_what_is_not_there_cannot_be_acted_on(cluster: Cluster, words: list[str], says: str) -> None:
    assert says in cluster.refused(*words)


# -- what does not fit ----------------------------------------------------------------------------------------------


def test_an_install_that_does_not_fit_fails_and_leaves_nothing_behind(cluster: Cluster) -> None:
    refused = cluster.refused("install", GREEDY, "--set", "memory_mib=4096")
    says = ("needs a node with 4 GiB memory free", "node-1 has 512 MiB memory free", "would fit: 512 MiB memory")
    assert all(each in refused for each in says), refused
    assert "greedy is taken away again" in refused
    nothing_left(cluster)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("cpus", 4000, ["needs a node with 4000 cpus free", "would fit: "]),
        ("disk_mib", 999_999_999, ["disk free for member-0", "would fit: "]),
        ("count", 5, ["needs 5 nodes", "each on another node", "would fit: 3 of 5"]),
    ],
)
def test_what_does_not_fit_says_what_is_missing_and_what_would(
    cluster: Cluster, option: str, value: int, says: list[str]
) -> None:
    upload(Session(cluster.data), Path(GREEDY))
    cluster.client.post("/v1/services", Install(package="greedy", options={option: value}))
    reason = cluster.until("it is blocked", lambda: blocked_reason(cluster, "greedy"))
    assert all(each in reason for each in says), reason
    cluster.upcall("uninstall", "greedy")
    nothing_left(cluster)


def blocked_reason(cluster: Cluster, service: str) -> str:
    view = cluster.client.service(service)
    return view.reason if view.state == "blocked" else ""


def test_a_mistake_in_the_code_of_a_service_is_said_with_its_line_and_it_does_not_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "mistaken.py"
    file.write_text(Path(GREEDY).read_text().replace("class Greedy", "class Mistaken").replace("command=", "comand="))
    lines = enumerate(file.read_text().splitlines(), 1)
    line = next(number for number, each in lines if "return Declaration(" in each)
    cluster.upcall("install", str(file), "--no-wait")
    reason = cluster.until("it is blocked", lambda: blocked_reason(cluster, "mistaken"))
    assert "keyword argument 'comand'; it takes command, " in reason
    assert f"(mistaken.py:{line} in task)" in cluster.upcall("why", "mistaken").stdout
    cluster.upcall("uninstall", "mistaken")
    cluster.upcall("catalog", "remove", "mistaken")
    nothing_left(cluster)


def test_a_composition_of_which_one_part_does_not_fit_leaves_none(cluster: Cluster, tmp_path: Path) -> None:
    for path in (HELLO, GREEDY):  # a composition names packages
        upload(Session(cluster.data), Path(path))
    file = tmp_path / "two.yaml"
    file.write_text("services: [{package: hello}, {package: greedy, options: {memory_mib: 9999}}]\n")
    refused = cluster.refused("apply", "-f", str(file))
    assert "greedy is blocked: needs a node with" in refused
    nothing_left(cluster)


def test_an_own_package_whose_install_is_taken_back_leaves_the_catalog_as_it_was(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "fleeting.py"
    file.write_text(Path(GREEDY).read_text().replace("class Greedy", "class Fleeting"))
    own = str(file)

    def known() -> set[str]:
        return {one.name for one in cluster.client.packages()}

    # Refused at once; begun and taken back.
    assert "unknown option 'nosuch'" in cluster.refused("install", own, "--set", "nosuch=1")
    assert "fleeting" not in known()
    assert "fleeting is blocked: needs a node with" in cluster.refused("install", own, "--set", "memory_mib=999999")
    assert "fleeting" not in known()
    nothing_left(cluster)
    # One that was there before stays, and so does one that is in use.
    upload(Session(cluster.data), file)
    cluster.refused("install", own, "--set", "memory_mib=999999")
    assert "fleeting" in known()
    cluster.upcall("install", own, "--no-wait")
    assert "package fleeting 0.1.0 is used by fleeting" in cluster.refused("catalog", "remove", "fleeting")
    assert "is part of this installation" in cluster.refused("catalog", "remove", "ingest")
    cluster.upcall("uninstall", "fleeting", "--force", "--reason", "over")
    cluster.upcall("catalog", "remove", "fleeting")
    assert "fleeting" not in known()
    nothing_left(cluster)


def test_a_port_in_use_is_named_with_who_uses_it(cluster: Cluster) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", PORT))
        other.listen()
        refused = cluster.refused("install", GREEDY)
    assert f":{PORT} (main) is in use by process {os.getpid()}" in refused
    nothing_left(cluster)


def test_a_process_that_ends_again_and_again_stays_for_a_look_and_can_be_uninstalled(cluster: Cluster) -> None:
    refused = cluster.refused("install", GREEDY, "--set", "command=echo no such topic; exit 3")
    assert "greedy is recovering: member-0 ended" in refused
    assert "last: no such topic" in refused
    assert cluster.client.service("greedy").state == "recovering"
    assert "no such topic" in cluster.upcall("logs", "greedy.member-0").stdout
    cluster.upcall("uninstall", "greedy")
    nothing_left(cluster)


# -- artifacts ------------------------------------------------------------------------------------------------------


def test_an_artifact_that_does_not_match_its_hash_is_refused(
    cluster: Cluster, registry: Registry, tmp_path: Path
) -> None:
    got = hashlib.sha256(registry.wheel.read_bytes()).hexdigest()
    refused = cluster.refused("install", artifact_package(tmp_path, "written"))
    assert "artifact written: written==1.0 does not match its lock" in refused, refused
    assert got in refused
    nothing_left(cluster)
    cache = Path(cluster.env["UPCALL_CACHE"])
    assert not list((cache / "trees").iterdir())
    assert not list((cache / "partial").iterdir())


def test_no_network_on_a_cold_cache_says_what_to_do(cluster: Cluster, registry: Registry, tmp_path: Path) -> None:
    registry.cut = True
    shutil.rmtree(Path(cluster.env["UPCALL_CACHE"]) / "uv", ignore_errors=True)
    try:
        refused = cluster.refused("install", artifact_package(tmp_path, "written"))
    finally:
        registry.cut = False
    assert "artifact written is not in the cache" in refused, refused
    assert "upcall fetch" in refused
    nothing_left(cluster)


def test_an_interrupted_fetch_ends_and_leaves_nothing_half_done(registry: Registry, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    fetching = Cluster(
        tmp_path / "data",
        env={"UV_DEFAULT_INDEX": registry.index, "UV_INDEX_URL": registry.index, "UPCALL_CACHE": str(cache)},
    )
    registry.asked.clear()
    registry.stalled = threading.Event()
    try:
        process = fetching.begin("fetch", artifact_package(tmp_path, "written"))
        assert registry.asked.wait(WAIT_S), "it never came to the network"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_S)
    finally:
        registry.stalled.set()
        registry.stalled = None
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list((cache / "trees").glob("*"))
    assert not fetching.data.exists(), "a fetch needs no cluster, and makes none"
    end = time.monotonic() + WAIT_S
    while left := pids_of(str(cache)):
        assert time.monotonic() < end, left
        time.sleep(0.1)


# -- at a bad moment ------------------------------------------------------------------------------------------------


def test_uninstall_during_a_deploy_leaves_nothing(cluster: Cluster) -> None:
    cluster.upcall("install", GREEDY, "--no-wait")
    cluster.until("it is under way", lambda: [task for task in cluster.client.tasks() if task.state == "running"])
    following = cluster.begin("uninstall", "greedy")
    cluster.refused("install", GREEDY)  # the name is not free before all of it is gone, or is deployed anew
    following.communicate(timeout=WAIT_S)
    assert following.returncode == 0
    for service in cluster.client.services():
        cluster.upcall("uninstall", service.name)
    nothing_left(cluster)


@pytest.mark.parametrize("after_s", [0.5, 1.0, 2.0])
def test_an_interrupted_install_is_whole_or_not_there(cluster: Cluster, after_s: float) -> None:
    process = cluster.begin("install", HELLO, "--set", "count=3")
    time.sleep(after_s)
    interrupt(process)
    if services := cluster.client.services():
        assert [one.name for one in services] == ["hello"]
        cluster.until("it goes on to its end", lambda: cluster.client.service("hello").state == "running")
        cluster.upcall("uninstall", "hello")
    nothing_left(cluster)


def test_a_second_up_on_the_same_folder_is_refused_and_harms_nothing(cluster: Cluster) -> None:
    before = cluster.processes()
    assert "this cluster is up already" in cluster.refused("up")
    assert cluster.processes() == before


def test_two_ups_at_once_make_one_cluster(own_cluster: Cluster) -> None:
    words = ("up", "--nodes", "1", "--memory-mib-per-node", "256")
    both = [own_cluster.begin(*words) for _ in range(2)]
    said = [process.communicate(timeout=WAIT_S) for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 1], said
    assert "another `up`" in said[0][1] + said[1][1] or "is up already" in said[0][1] + said[1][1]
    assert len(own_cluster.client.nodes()) == 1
    own_cluster.down()
    own_cluster.until_no_process()


@pytest.mark.parametrize("command", ["up", "down"])
def test_an_interrupt_at_any_moment_leaves_all_or_nothing(own_cluster: Cluster, command: str) -> None:
    up = ("up", "--nodes", "1", "--memory-mib-per-node", "256")
    for after_s in (0.05, 0.3, 0.9, 1.8) if command == "up" else (0.8,):
        if command == "down":
            own_cluster.upcall(*up)
        process = own_cluster.begin(*(up if command == "up" else ["down"]))
        time.sleep(after_s)
        interrupt(process)
        # An interrupt in the last moment of a command that has done its work tells by its code alone.
        if keeping.running(DataFolder(own_cluster.data)):
            own_cluster.upcall("status")
            own_cluster.down()
        own_cluster.until_no_process()
    own_cluster.upcall(*up)
    own_cluster.down()
    own_cluster.until_no_process()


# -- changes and backups of what runs -------------------------------------------------------------------------------


def test_a_change_that_makes_no_sense_leaves_no_revision_and_no_operation(cluster: Cluster, tmp_path: Path) -> None:
    cluster.upcall("install", HELLO, "--set", "count=3")
    before, packages = cluster.client.operations(ended=True), cluster.client.packages()
    edited = tmp_path / "hello.py"
    edited.write_text(Path(HELLO).read_text() + "# edited\n")

    def of_packages() -> list[str]:
        return [line for line in cluster.upcall("events").stdout.splitlines() if " package " in line]

    happened = of_packages()
    would = cluster.upcall("install", str(edited), "--set", "count=2", "--dry-run").stdout
    assert "hello: update, would be revision 2" in would
    assert "web-2   leaves" in would
    assert "restarts" not in would, "the edited file tells nobody something else"
    edited.write_text(Path(HELLO).read_text().replace("count=self.options.count", "count=self.options.count // 0"))
    raises = (
        "its code cannot say what it wants: ZeroDivisionError: integer division or modulo by zero (hello.py:16 in pods)"
    )
    assert f"it would be declined: {raises}" in cluster.upcall("install", str(edited), "--dry-run", check=False).stdout
    assert "nothing that it would change" in cluster.refused("install", "shelf", "--dry-run")
    platform = tmp_path / "platform.yaml"
    platform.write_text("services: [{package: ./hello.py, name: hello}, {package: ./hello.py, name: other}]\n")
    edited.write_text(Path(HELLO).read_text().replace("hello, world", "good day"))
    whole = cluster.upcall("apply", "-f", str(platform), "--dry-run").stdout
    assert "leaves" in whole
    assert "install" in whole
    assert cluster.client.packages() == packages, "a dry run registers nothing"
    assert of_packages() == happened
    for words, says in (
        (["rollback", "hello"], "hello has no earlier revision to go back to"),
        (["rollback", "hello", "--to", "7"], "hello has no revision 7"),
        (["config", "diff", "hello", "7"], "hello has no revision 7"),
        (["update", "hello", "--set", "count=3"], "revision 1 of hello, which stands, says that already"),
        (["update", "hello"], "nothing is to change"),
        (["upgrade", "hello", "--to", "9"], "package hello has no version '9'"),
        (["finalize", "hello"], "there is nothing to finalize"),
        (["window", "hello", "feb 30 02:00-04:00"], "never comes"),
        (["update", "hello", "--set", "schedules.sweep=feb 30"], "does nothing named 'sweep' by a schedule"),
    ):
        assert says in cluster.refused(*words), words
    assert cluster.client.operations(ended=True) == before
    too_many = cluster.refused("scale", "hello", "4")
    assert "was declined by the system" in too_many
    assert "no place for web-3: needs a node with 0.1 cpus, 64 MiB memory free" in too_many
    large = tmp_path / "large.py"
    large.write_text(SIZED)
    cluster.upcall("install", str(large))
    assert "no place for web-0: needs a node with" in cluster.refused("update", "large", "--set", "memory_mib=99999")
    assert cluster.client.service("large").revision == 1, "it does not wait for a machine that nobody has"
    cluster.upcall("uninstall", "large")
    assert (cluster.client.service("hello").revision, len(cluster.client.tasks())) == (1, 3)
    cluster.upcall("uninstall", "hello")
    nothing_left(cluster)


def test_a_backup_that_is_no_good_is_refused_before_anything_is_installed_or_deleted(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.upcall("install", str(PACKAGES / "shelf.py"))
    for name in "ab":
        cluster.upcall("service", "do", "shelf", "put", f"name={name}", f"text=all of {name}")
    made = json.loads(cluster.upcall("backup", "shelf", "--to", str(tmp_path / "kept"), "-o", "json").stdout)["backup"]
    bad = made.replace("/kept/", "/damaged/")
    shutil.copytree(tmp_path / "kept", tmp_path / "damaged")
    (chunk,) = (tmp_path / "damaged").rglob(hashlib.sha256(b"all of b").hexdigest())
    chunk.write_bytes(b"nothing!")
    (tmp_path / "file").touch()
    for words, says in (
        (["restore", made], "shelf has a, b already"),
        (["restore", made, "--over", "a"], "shelf has b already"),
        (["restore", made, "--over", "a,b,c"], "c does not stand in its way"),
        (["restore", bad, "--over", "a,b"], "b of shelf-"),
        (["restore", bad, "--to", "fresh"], "b of shelf-"),
        (["restore", made.replace("/kept/", "/gone/"), "--to", "fresh"], "no folder"),
        (["restore", made, "--to", "fresh", "--package", "kafka"], "is a backup of shelf"),
        (["restore", made, "--to", "fresh", "--set", "shelfs=2"], "unknown option 'shelfs' of package shelf"),
        (["backup", "shelf", "--to", str(tmp_path / "file" / "kept")], "cannot be made: Not a directory"),
        (["backup", "verify", bad], "is damaged"),
    ):
        assert says in cluster.refused(*words), words
    books = json.loads(cluster.upcall("service", "do", "shelf", "books", "-o", "json").stdout)
    assert books == {"a": "all of a", "b": "all of b"}
    assert [one.name for one in cluster.client.services()] == ["shelf"]
    cluster.upcall("uninstall", "shelf")
    nothing_left(cluster)


# -- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    for parent in (tmp_path, *tmp_path.parents):
        if "pytest" in str(parent):
            parent.chmod(0o755)
    closed.chmod(0o555)
    try:
        said = as_nobody(lambda: machine.check_folder(closed / "data"))
    finally:
        closed.chmod(0o755)
    assert f"{closed} cannot be written" in said
    assert "a folder of your own, by --data or UPCALL_DATA" in said
    assert list(closed.iterdir()) == []


def as_nobody(work: Callable[[], object]) -> str:
    """What ``work`` refuses to somebody who is not root: root may write everywhere."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            work()
        except BaseException as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def test_a_path_with_spaces_is_refused_with_nothing_written(tmp_path: Path) -> None:
    refused = Cluster(tmp_path / "my data").refused("up")
    assert "a space" in refused
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_of_a_newer_version_is_refused(own_cluster: Cluster) -> None:
    own_cluster.data.mkdir()
    record = {"version": 999, "cluster": "upcall-x", "prefix": "127.99.1", "url": "http://127.99.1.1:5050"}
    (own_cluster.data / "cluster.json").write_text(json.dumps(record))
    assert "data folder of version 999" in own_cluster.refused("up")
    own_cluster.until_no_process()


def test_records_that_are_damaged_are_named_at_once_and_left_as_they_are(own_cluster: Cluster) -> None:
    up = ("up", "--nodes", "1", "--memory-mib-per-node", "256")
    own_cluster.upcall(*up)
    own_cluster.down()
    database = DataFolder(own_cluster.data).database
    kept = {path: path.read_bytes() for path in database.parent.glob(f"{database.name}*")}
    for path in kept:
        path.write_bytes(b"nothing that anybody could read\n" * 1000)
    refused = own_cluster.refused("up")
    assert "the master cannot use this data folder" in refused
    assert str(database) in refused
    assert refused.count("upcall.master: ") == 1, "said once, however often it was tried"
    own_cluster.until_no_process()
    for path, data in kept.items():
        path.write_bytes(data)
    own_cluster.upcall(*up)
    own_cluster.down()


# -- nodes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a/b"], "not a node's name: 'a/b'"),
        (["../../evil"], "not a node's name: '../../evil'"),
        (["--zone", "x y"], "not a zone: 'x y'"),
        (["--memory-mib", "99999999"], "a node of 99999999 MiB does not fit: 3 nodes have 1536 MiB"),
        (["--memory-mib", "1"], "1 MiB for a node"),
    ],
)
def test_a_node_that_cannot_be_is_refused_with_nothing_written(cluster: Cluster, words: list[str], says: str) -> None:
    def written() -> dict[str, bytes]:
        found = [cluster.data / "cluster.json", cluster.data / "keeper" / "spec.json"]
        found += [*files(cluster.data, "*.token"), *cluster.data.parent.glob("*.token")]
        return {str(path): path.read_bytes() for path in found}

    before = written()
    assert says in cluster.refused("node", "add", *words)
    assert written() == before
