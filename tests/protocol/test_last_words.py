"""The line that says why, found in what real systems print."""

import time

import pytest

from upcall.protocol import last_words
from upcall.protocol.last_words import cause, kept

PYTHON = """\
Traceback (most recent call last):
  File "/job/program.py", line 3, in <module>
    import pandas_of_mine
ModuleNotFoundError: No module named 'pandas_of_mine'
"""
CHAINED = """\
Traceback (most recent call last):
  File "a.py", line 2, in load
    return config["port"]
           ~~~~~~^^^^^^^^
KeyError: 'port'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "a.py", line 6, in <module>
    load({})
  File "a.py", line 4, in load
    raise RuntimeError("no port is set") from error
RuntimeError: no port is set
"""
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "a.py", line 3, in <module>
  |     raise ExceptionGroup("several", [ValueError("x")])
  | ExceptionGroup: several (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: x
    +------------------------------------
"""
SYNTAX = """\
  File "/job/program.py", line 1
    def (:
        ^
SyntaxError: invalid syntax
"""
KAFKA_LOG = """\
[2026-11-29 01:02:03,004] INFO starting (kafka.server.KafkaRaftServer)
[2026-11-29 01:02:03,104] ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)
org.apache.kafka.common.config.ConfigException: Invalid value banana of log.segment.bytes: Not an INT
\tat org.apache.kafka.common.config.ConfigDef.parseType(ConfigDef.java:772)
\tat org.apache.kafka.common.config.ConfigDef.parseValue(ConfigDef.java:525)
\tat kafka.Kafka.main(Kafka.scala)
"""
STORAGE_TOOL = """\
Exception in thread "main" org.apache.kafka.common.config.ConfigException: Invalid value banana of log.segment.bytes
\tat org.apache.kafka.common.config.ConfigDef.parseType(ConfigDef.java:772)
\tat kafka.tools.StorageTool$.main(StorageTool.scala:51)
\tat kafka.tools.StorageTool.main(StorageTool.scala)
"""
CASSANDRA = """\
ERROR [main] 2026-11-29 01:02:03,004 CassandraDaemon.java:900 - Exception encountered during startup
java.lang.RuntimeException: Unable to start
\tat org.apache.cassandra.service.CassandraDaemon.setup(CassandraDaemon.java:1)
Caused by: java.lang.IllegalStateException: could not open the commit log
\tat org.apache.cassandra.db.Keyspace.open(Keyspace.java:2)
\t... 3 more
Caused by: java.nio.file.NoSuchFileException: /data/commitlog/CommitLog-7.log
\tat java.base/sun.nio.fs.UnixException.translateToIOException(UnixException.java:92)
\t... 12 common frames omitted
"""
SUPPRESSED = """\
java.io.IOException: first
\tat a.B.c(B.java:1)
\tSuppressed: java.lang.RuntimeException: while closing
\t\tat a.B.close(B.java:2)
\t\t... 1 more
"""
LOGGED = """\
01:02:03.001 INFO KafkaConfig values:
\tlog.dir.failure.timeout.ms = 30000
\tunknown.things = 3
01:02:03.002 WARN NetworkClient Connection to node 2 is gone
01:02:03.003 ERROR BrokerServer the metadata of this broker is of another cluster
01:02:03.004 INFO BrokerServer shutting down, since the start failed
\tcontroller.failed = 1
01:02:03.005 INFO KafkaRaftServer ended
"""
TOLD = """\
01:02:03.002 INFO NetworkClient Disconnecting from node 1
java.io.IOException: Connection to 1 was disconnected before the response was read
\tat org.apache.kafka.clients.NetworkClientUtils.sendAndReceive(NetworkClientUtils.java:99)
"""
SPARK = """\
26/11/29 01:02:03 ERROR TaskSetManager: Task 0 in stage 0.0 failed 1 times; aborting job
Traceback (most recent call last):
  File "/job/program.py", line 9, in <module>
    rows.count()
pyspark.errors.exceptions.captured.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] The table `flights` cannot be found.
26/11/29 01:02:04 INFO SparkContext: SparkContext is stopping with exitCode 0.
26/11/29 01:02:04 INFO ShutdownHookManager: Shutdown hook called
"""


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (PYTHON, "ModuleNotFoundError: No module named 'pandas_of_mine'"),
        (CHAINED, "RuntimeError: no port is set"),
        (GROUP, "ExceptionGroup: several (1 sub-exception)"),
        (SYNTAX, "SyntaxError: invalid syntax"),
        (KAFKA_LOG, "org.apache.kafka.common.config.ConfigException: Invalid value banana of log.segment.bytes: "
                    "Not an INT"),
        (STORAGE_TOOL, "org.apache.kafka.common.config.ConfigException: Invalid value banana of log.segment.bytes"),
        (CASSANDRA, "java.nio.file.NoSuchFileException: /data/commitlog/CommitLog-7.log"),
        (SUPPRESSED, "java.io.IOException: first"),
        (SPARK, "pyspark.errors.exceptions.captured.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] The table `flights` "
                "cannot be found."),
        (PYTHON + STORAGE_TOOL,
         "org.apache.kafka.common.config.ConfigException: Invalid value banana of log.segment.bytes"),
        (STORAGE_TOOL + PYTHON, "ModuleNotFoundError: No module named 'pandas_of_mine'"),
        (PYTHON.replace("ModuleNotFoundError: No module named 'pandas_of_mine'", "SystemError"), "SystemError"),
        ("opening\nredis: Can't open the log file\nbye\n", "redis: Can't open the log file"),
        ("all is well\nthe end\n", "the end"),
        (LOGGED, "01:02:03.003 ERROR BrokerServer the metadata of this broker is of another cluster"),
        (LOGGED.replace("ERROR", "DEBUG"), "01:02:03.002 WARN NetworkClient Connection to node 2 is gone"),
        (LOGGED.replace("ERROR", "DEBUG").replace("WARN", "INFO"),
         "01:02:03.004 INFO BrokerServer shutting down, since the start failed"),
        (LOGGED + TOLD, "01:02:03.003 ERROR BrokerServer the metadata of this broker is of another cluster"),
        (TOLD, "java.io.IOException: Connection to 1 was disconnected before the response was read"),
        (TOLD.replace("INFO", "ERROR") + LOGGED,
         "java.io.IOException: Connection to 1 was disconnected before the response was read"),
        ("WARNING: A terminally deprecated method in sun.misc.Unsafe has been called\nINFO x\nthe end\n", "the end"),
        ('{"level":"info","msg":"failed over"}\n{"level":"error","msg":"no room"}\n{"level":"info","msg":"bye"}\n',
         '{"level":"error","msg":"no room"}'),
        ("WARNING:root:low on memory\nINFO:root:an error was counted\n", "WARNING:root:low on memory"),
        ("sh: 1: nonsense: not found\n", "sh: 1: nonsense: not found"),
        ("\x1b[31mfatal: \x1b]0;title\x07no room\x1b[0m\n", "fatal: ]0;titleno room"),
        ("", ""),
        ("\n \n", ""),
    ],
)  # fmt: skip
def test_the_line_that_says_why(output: str, why: str) -> None:
    assert cause([output.splitlines()]) == why


def test_the_stream_that_tells_more_is_taken_whichever_it_is() -> None:
    assert cause([["warming up"], KAFKA_LOG.splitlines()]).startswith("org.apache.kafka.common.config.ConfigException")
    assert cause([PYTHON.splitlines(), ["an error, perhaps"]]).startswith("ModuleNotFoundError")
    assert cause([[], ["the only word"]]) == "the only word"


def test_a_package_knows_better() -> None:
    lines = [*PYTHON.splitlines(), "E001 disk 3 is gone (reported by store)", "exiting"]
    assert cause([lines], [r"^E\d+ (.*?) \("]) == "disk 3 is gone"
    assert cause([lines], [r"^E\d+"]) == "E001 disk 3 is gone (reported by store)"
    assert cause([lines], ["nothing of this"]).startswith("ModuleNotFoundError")


def test_a_trace_whose_head_was_rotated_away_still_names_its_root() -> None:
    assert cause([CASSANDRA.splitlines()[4:]]) == "java.nio.file.NoSuchFileException: /data/commitlog/CommitLog-7.log"


def test_what_is_kept_is_bounded() -> None:
    lines = [f"{number} " + "x" * 2000 for number in range(1000)]
    found = kept([lines, lines])
    assert len(found) <= last_words.LINES_MAX
    assert sum(len(line) + 1 for line in found) <= last_words.BYTES_MAX
    assert found[-1].startswith("999 ")
    assert len(kept([["a"] * 100, ["b"] * 100])) == last_words.LINES_MAX


def test_no_line_takes_long() -> None:
    """A task writes what it likes, also at its end."""
    for line in (
        "Caused by: " * 6000,
        " at " * 16_000,
        "a." * 30_000 + "(",
        "x" * 65_000,
        "|+-" * 20_000,
        'Exception in thread "' * 3000,
    ):
        began = time.process_time()
        cause([[line] * 50])
        assert time.process_time() - began < 2.0
