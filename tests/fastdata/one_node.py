"""One real Cassandra node for tests of this folder, from the locked artifacts, on an address of its own."""

import os
import signal
import subprocess
import time
from pathlib import Path

from cassandra.cluster import Cluster, NoHostAvailable

from upcall.artifacts.cache import Cache
from upcall.artifacts.fetch import fetch
from upcall.catalog.cassandra import config
from upcall.catalog.cassandra.releases import release
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.cassandra.sizing import size_node
from upcall.fastdata.schema import connect

START_S = 600.0


class OneNode:
    """Started by `start`, killed by `kill`, started again on the same data."""

    def __init__(self, host: str, folder: Path) -> None:
        self.host, self.folder = host, folder
        artifacts = [Cassandra.artifact(name) for name in ("java", "cassandra")]
        ready = fetch(artifacts, Cache(), Cassandra.blobs().__getitem__)
        folder.mkdir(parents=True, exist_ok=True)
        sizing = size_node(768, 2.0, 4_096)
        yaml = config.cassandra_yaml(
            cluster="test", seeds=("me",), sizing=sizing, tokens=config.even_tokens(0, 1), logins=False
        )
        for template, value in (
            ("address", host), ("address.me", host), ("port.storage", "7000"), ("volume.data", str(folder)),
        ):  # fmt: skip
            yaml = yaml.replace("{{" + template + "}}", value)
        (folder / "cassandra.yaml").write_text(yaml)
        (folder / "rackdc.properties").write_text("dc=dc1\nrack=rack1\n")
        (folder / "logback.xml").write_text(config.LOGBACK)
        (folder / "tmp").mkdir(exist_ok=True)
        flags = (
            flag.replace("{{sandbox}}", str(folder))
            for flag in config.jvm_flags(sizing, release(Cassandra.version).java)
        )
        self._command = [
            ready["java"].properties["java"], *flags, "-Dcassandra.ring_delay_ms=1000",
            "-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.memtable_row_overhead_computation_step=2000",
            f"-Dcassandra.config=file://{folder}/cassandra.yaml",
            f"-Dcassandra-rackdc.properties=file://{folder}/rackdc.properties",
            f"-Dcassandra.storagedir={folder}", f"-Dlogback.configurationFile={folder}/logback.xml",
            "-Dcassandra-foreground=yes", "-cp", ready["cassandra"].properties["classpath"],
            "org.apache.cassandra.service.CassandraDaemon",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> Cluster:
        """Until it serves; the cluster is connected."""
        deadline = time.monotonic() + START_S
        while True:
            cluster = connect([self.host])
            try:
                cluster.connect()
                return cluster
            except NoHostAvailable:
                cluster.shutdown()
                assert self._process is not None
                assert self._process.poll() is None, (self.folder / "node.log").read_text()[-3_000:]
                assert time.monotonic() < deadline, "the node did not come up"
                time.sleep(0.5)

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
