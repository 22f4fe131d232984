"""The small fault run: the whole path for a minute, while its parts are killed one after the other.

With a quarter of its readings, beside other tests; for two minutes at full rate by `make faults`. What must be in the
store is computed from the run and the wall clock; every block of every second is compared. The aircraft is the outside
world: it flies on, and forgets what was acknowledged, so a loss is a loss.
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import psutil
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from real_cluster import Cluster, last_lines

from browser import launched
from served_page import visitors
from upcall.cli import keeping
from upcall.cli.figures import Report
from upcall.cli.opening import login_url
from upcall.cli.session import Session
from upcall.cluster.folder import DataFolder
from upcall.fastdata import verify
from upcall.fastdata.flights import load_flight
from upcall.fastdata.frames import inspect
from upcall.fastdata.kafka_log import KafkaSettings
from upcall.fastdata.login import Login, kafka_client
from upcall.fastdata.queries import Queries
from upcall.fastdata.recordings import fetch_recording
from upcall.fastdata.runs import Run

pytestmark = [pytest.mark.real, pytest.mark.root]

FULL = bool(os.environ.get("UPCALL_FULL_RATE"))
SECONDS, BETWEEN_S = (120, 12.0) if FULL else (60, 7.0)
SIZE = ("rate_hz: 128, blocks: 20", "rate_hz: 128, blocks: 20" if FULL else "rate_hz: 64, blocks: 10")
CATCH_UP_S = 900.0
BUFFER_S = 120 if FULL else 1200
"""What the aircraft keeps of what nobody acknowledged. Its usual two minutes are over before all is up on a machine
without time, and what it drops then was never taken by anybody."""
NODE_MIB = 2560 if FULL else 3072
MEMBERS = 11
"""Three brokers, three nodes of the store, Spark's master and worker, driver, ingest, aircraft."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("demo") / "data", memory_mib_per_node=NODE_MIB)
    cluster.up()
    try:
        composition = (files("upcall.fastdata") / "demo.yaml").read_text()
        assert composition.count(SIZE[0]) == 1
        file = cluster.data.with_name("demo.yaml")
        file.write_text(composition.replace(*SIZE).replace(SIZE[1], f"{SIZE[1]}, buffer_s: {BUFFER_S}"))
        cluster.upcall("apply", "-f", str(file), timeout_s=900.0)
        yield cluster
    except BaseException:
        print(last_lines(sorted((cluster.data / "logs").glob("*.log"))))
        raise
    finally:
        if keeping.running(DataFolder(cluster.data)):
            cluster.upcall("down", check=False)
        if keeping.running(DataFolder(cluster.data)):
            keeping.end(DataFolder(cluster.data))


def process_of(cluster: Cluster, member: str) -> psutil.Process | None:
    """The Java process below a task's command where there is one, else the command; None while it is not running."""
    task = cluster.task(member)
    record = cluster.data / "nodes" / task.node / "tasks" / task.task / "running.json"
    try:
        command = psutil.Process(int(json.loads(record.read_bytes())["task"]["pid"]))
        below = [child for child in command.children(recursive=True) if child.name() == "java"]
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return (below or [command])[0]


def kill_task(cluster: Cluster, member: str) -> None:
    """As a crash of the system itself would be. What was killed before may have taken it along: then it comes back."""
    cluster.until(f"{member} runs", lambda: process_of(cluster, member), CATCH_UP_S).kill()


def kill_everything_of_ours(cluster: Cluster) -> None:
    """Keeper, master, agents with their launchers, host and page in one instant. Tasks are not ours, and live on, each
    with its shim: that owns the task's output and end, and its death is the task's."""
    what = "keeper; master, host, page and three agents; a launcher for each agent"
    for pid in cluster.until(what, lambda: ours(cluster), CATCH_UP_S):
        os.kill(pid, signal.SIGKILL)
    # One that stands by for the keeper may have started another one before its own turn came.
    done = cluster.upcall("up", check=False, timeout_s=900.0)
    assert done.returncode == 0 or "this cluster is up already" in done.stderr, done.stderr


def ours(cluster: Cluster) -> list[int]:
    """All of them, once those that were killed before run again; else none."""
    found = [cluster.keeper_pid(), *cluster.processes().values(), *launchers(cluster)]
    return found if len(found) == 1 + 6 + 3 else []


def launchers(cluster: Cluster) -> list[int]:
    """By the name that each gives itself, and what it forks gives up."""
    return [pid for pid in cluster.all_processes() if name_of(pid) == "upcall-launcher"]


def name_of(pid: int) -> str:
    """Empty when it has ended since it was listed."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def log_repeats(cluster: Cluster) -> int:
    """Frames that stand more than once in the log, of what it still keeps: allowed, and reported."""
    ends = [each for each in cluster.client.endpoints() if (each.service, each.name) == ("kafka", "client")]
    said = cluster.client.credentials("kafka", "client")
    login = kafka_client(Login(said.user, said.password))
    settings = KafkaSettings(bootstrap_servers=",".join(ends[0].addresses), client=login)
    consumer = Consumer(settings.consumer("log-repeats"))
    numbers = consumer.list_topics("frames", timeout=60).topics["frames"].partitions
    left = {number: consumer.get_watermark_offsets(TopicPartition("frames", number), 60)[1] for number in numbers}
    consumer.assign([TopicPartition("frames", number, OFFSET_BEGINNING) for number in numbers])
    seen: Counter[tuple[str, int, int]] = Counter()
    while left:
        for message in consumer.consume(200, timeout=5.0):
            if message.error() is None:
                header = inspect(message.value())  # type: ignore[arg-type]
                seen[header.run_id, header.block, header.first_sample] += 1
            if message.partition() in left and message.offset() + 1 >= left[message.partition()]:  # type: ignore[operator]
                del left[message.partition()]
    consumer.close()
    return sum(count - 1 for count in seen.values())


def store(cluster: Cluster) -> Queries:
    (endpoint,) = [each for each in cluster.client.endpoints() if (each.service, each.name) == ("cassandra", "cql")]
    said = cluster.client.credentials("cassandra", "cql")
    hosts = [address.partition(":")[0] for address in endpoint.addresses]
    return Queries.connect(hosts, login=Login(said.user, said.password), patience_s=CATCH_UP_S)


async def latest_run(queries: Queries) -> Run | None:
    runs = await queries.runs(limit=1)
    return runs[0] if runs else None


def test_nothing_is_lost_twice_or_wrong_while_its_parts_are_killed(demo: Cluster) -> None:
    measured = Report("fault-run")
    queries = store(demo)
    demo.until("the first second is stored", lambda: asyncio.run(_stored_until(queries)) >= 0, CATCH_UP_S)
    began = time.monotonic()
    kills: list[tuple[str, Callable[[], object]]] = [
        ("a broker", lambda: kill_task(demo, "kafka.broker-1")),
        ("the stream job's driver", lambda: kill_task(demo, "windows.driver-0")),
        ("ingest", lambda: kill_task(demo, "ingest.receiver-0")),
        ("an agent", lambda: demo.kill("agent-node-2")),
        ("the service host", lambda: demo.kill("host")),
        ("the master", lambda: demo.kill("master")),
        ("everything of ours", lambda: kill_everything_of_ours(demo)),
    ]
    for number, (what, kill) in enumerate(kills):
        time.sleep(max(0.0, began + number * BETWEEN_S - time.monotonic()))
        print(f"{time.monotonic() - began:.0f} s: SIGKILL of {what}")
        kill()
    time.sleep(max(0.0, began + SECONDS - time.monotonic()))
    demo.until("all members are ready", lambda: _all_ready(demo), CATCH_UP_S)
    run = asyncio.run(latest_run(queries))
    assert run is not None
    until = run.seconds_due(time.time_ns() // 1_000) - 1
    demo.until(f"second {until} is stored", lambda: asyncio.run(_stored_until(queries)) >= until, CATCH_UP_S)
    flight = load_flight(fetch_recording(run.flight))
    report = asyncio.run(verify.verify(queries, run, flight, until=until, catch_up_s=0))
    queries.close()
    measured.seed = run.seed
    measured.figures = {
        "run": run.run_id,
        "size": SIZE[1],
        "kills": [what for what, _ in kills],
        "seconds_compared": report.seconds,
        "readings_due": report.readings_due,
        "readings_lost": report.readings_lost,
        "readings_twice": report.readings_twice,
        "readings_wrong": report.readings_wrong,
        "log_repeats": log_repeats(demo),
    }
    print(measured.judge().figures)
    assert report.seconds >= SECONDS
    assert report.is_right, asdict(report)
    assert asyncio.run(_runs(demo)) == 1, "the aircraft was never restarted"


def _all_ready(cluster: Cluster) -> bool:
    tasks = cluster.client.tasks()
    return len(tasks) == MEMBERS and all(task.state == "ready" for task in tasks)


async def _stored_until(queries: Queries) -> int:
    runs = await queries.runs(limit=1)
    if not runs:
        return -1
    return (await queries.latest(runs[0].run_id)).complete_until


async def _runs(cluster: Cluster) -> int:
    queries = store(cluster)
    try:
        return len(await queries.runs())
    finally:
        queries.close()


@pytest.mark.browser
def test_after_all_of_it_the_page_shows_the_flight_that_is_stored(demo: Cluster) -> None:
    class Visited:
        url = demo.client.status().page_url

        def login_url(self) -> str:
            return login_url(Session(demo.data))

    with launched() as browser, visitors(browser, Visited()) as opened:
        page = opened()
        page.get_by_role("tab", name="Flight").click()
        page.locator(".f-head h2", has_text="AIB232E").wait_for()
        page.locator(".f-wings", has_text=f"{20_000 if FULL else 10_000:,} sensors").wait_for()
        page.locator(".f-found li[data-kind]").first.wait_for()
        assert page.locator(".u-flight .u-reason").count() == 0
