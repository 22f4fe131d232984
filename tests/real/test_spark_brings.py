"""Real Spark with a person's own jobs: what they bring is there in drivers and executors, an edited one runs again, its
exception is the reason, and what is wrong leaves nothing behind."""

import json
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from real_cluster import Cluster
from real_members import WAIT_S, Begin

sys.path.insert(0, str(Path(__file__).parents[1] / "artifacts"))

from made_distributions import wheel_of

pytestmark = [pytest.mark.real, pytest.mark.long]

Submit = Callable[..., None]
THING = {"thing/__init__.py": b"import os\ndef about(number):\n    return f'{number} at most {LIMIT}'\nLIMIT = 9\n"}
JOB = """
import sys
import numpy, pandas, pyarrow, thing
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

spark = SparkSession.builder.appName("mine").getOrCreate()
rows = pandas.read_csv("data.csv")
about = udf(lambda number: thing.about(number) + " of " + open("data.csv").readline().strip(), "string")
print("told", [row[0] for row in spark.createDataFrame(rows).select(about("amount")).collect()], sys.argv[1:])
archives = udf(lambda _: str([path for path in sys.path if path.endswith("pyspark.zip")]), "string")
print("archives of Spark's on the path:", spark.range(1).select(archives("id")).collect()[0][0])
reader = spark.read.format("jdbc").option("driver", "org.h2.Driver").option("url", "jdbc:h2:mem:x")
print("jdbc", reader.option("query", "select 41 + 1 as x").load().collect()[0][0])
spark.stop()
"""
FAILS = """
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

spark = SparkSession.builder.appName("fails").getOrCreate()
print("so far", spark.range(3).count())
raise ValueError("the price of 7 is missing")
"""
NO_COLUMN = """
from pyspark.sql import SparkSession
SparkSession.builder.getOrCreate().sql("select price from range(3)").show()
"""
NO_DRIVER = """
from pyspark.sql import SparkSession
reader = SparkSession.builder.getOrCreate().read.format("jdbc").option("driver", "no.such.Driver")
reader.option("url", "jdbc:x:y").option("query", "select 1").load().show()
"""
NO_DIVISION = """
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
print(SparkSession.builder.getOrCreate().range(3).select(udf(lambda n: 1 // (n - n), "long")("id")).collect())
"""
IN_FOLDER = """
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
from rules import price

spark = SparkSession.builder.appName("folder").getOrCreate()
print("priced", [row[0] for row in spark.range(3).select(udf(price, "long")("id")).collect()])
spark.stop()
"""
RULES = "def price(number):\n    return number * 7\n"


@pytest.fixture(scope="module")
def spark(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    cluster = begin("spark", nodes=2, memory_mib_per_node=3200)
    cluster.until_ready("spark.master-0", "spark.worker-0", wait_s=WAIT_S)
    links = tmp_path_factory.mktemp("links")
    (links / "thing-1.0-py3-none-any.whl").write_bytes(wheel_of("thing", THING))
    cluster.env |= {"UV_FIND_LINKS": str(links), "UV_NO_INDEX": "1"}
    return cluster


@pytest.fixture
def submit(spark: Cluster) -> Submit:
    def do(name: str, *words: str) -> None:
        spark.upcall("spark", "submit", *words, "--name", name, "--disk-mib", "0", "--restart", "never")
        task = spark.task(f"spark.job-{name}")
        spark.until(f"{name} is over", lambda: spark.task(task.member).state in ("finished", "failed"), WAIT_S)

    return do


def said(cluster: Cluster, job: str, *more: str) -> str:
    return cluster.upcall("spark", "logs", job, *more).stdout


def test_what_a_job_brings_is_there_in_its_driver_and_its_executors_and_it_runs_again_edited(
    spark: Cluster, submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "my_job.py").write_text(JOB)
    (tmp_path / "requirements.txt").write_text("thing\n")
    (tmp_path / "data.csv").write_text("amount\n7\n8\n")
    brings = ["--requirements", str(tmp_path / "requirements.txt"), "--file", str(tmp_path / "data.csv")]
    submit("my-job", str(tmp_path / "my_job.py"), "a", *brings, "--package", "com.h2database:h2:2.2.224")
    assert said(spark, "my-job").splitlines() == [
        "told ['7 at most 9 of amount', '8 at most 9 of amount'] ['a']",
        "archives of Spark's on the path: []",
        "jdbc 42",
    ]
    assert "INFO SparkContext" in said(spark, "my-job", "--all"), "Spark's own log is kept beside it"

    (tmp_path / "my_job.py").write_text("print('edited')\n")
    spark.upcall("spark", "submit", str(tmp_path / "my_job.py"), "--disk-mib", "0", "--restart", "never")
    spark.until("it ran again", lambda: "edited" in said(spark, "my-job"), WAIT_S)


def test_the_exception_of_a_job_is_why_it_failed(spark: Cluster, submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS)
    submit("fails", str(tmp_path / "fails.py"))
    assert spark.task("spark.job-fails").exit_reason == "ValueError: the price of 7 is missing"
    assert "ValueError: the price of 7 is missing" in spark.upcall("why", "spark.job-fails").stdout
    assert said(spark, "fails").splitlines()[0] == "so far 3"


@pytest.mark.parametrize(
    ("name", "program", "reason"),
    [
        (
            "no-column",
            NO_COLUMN,
            "AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function",
        ),
        ("no-driver", NO_DRIVER, "java.lang.ClassNotFoundException: no.such.Driver"),
        ("no-division", NO_DIVISION, "ZeroDivisionError: integer division or modulo by zero"),
    ],
)
def test_also_what_spark_says_in_many_lines(
    spark: Cluster, submit: Submit, tmp_path: Path, name: str, program: str, reason: str
) -> None:
    (tmp_path / "job.py").write_text(program)
    submit(name, str(tmp_path / "job.py"))
    assert spark.task(f"spark.job-{name}").exit_reason.startswith(reason)


def test_a_folder_and_a_wheel_run_with_their_own_modules(spark: Cluster, submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text(IN_FOLDER)
    (tmp_path / "folder" / "rules.py").write_text(RULES)
    submit("folder", str(tmp_path / "folder"))
    assert said(spark, "folder").split() == ["priced", "[0,", "7,", "14]"]

    wheel = tmp_path / "pricing-1.0-py3-none-any.whl"
    main = IN_FOLDER.replace("from rules", "from pricing.rules").encode()
    files = {"pricing/__init__.py": b"", "pricing/__main__.py": main, "pricing/rules.py": RULES.encode()}
    wheel.write_bytes(wheel_of("pricing", files))
    submit("pricing", str(wheel))
    assert said(spark, "pricing").split() == ["priced", "[0,", "7,", "14]"]


def test_what_is_wrong_and_an_interrupt_leave_no_job_behind(spark: Cluster, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("print(1)\n")
    (tmp_path / "requirements.txt").write_text("nobody-has-this\n")
    words = ["spark", "submit", str(tmp_path / "job.py"), "--name", "wrong", "--requirements"]
    assert "nobody-has-this" in spark.refused(*words, str(tmp_path / "requirements.txt"))
    assert "No such file" in spark.refused(*words, str(tmp_path / "gone.txt"))

    with socket.create_server(("127.0.0.1", 0)) as never_answers:
        was = dict(spark.env)
        del spark.env["UV_NO_INDEX"]
        spark.env["UV_DEFAULT_INDEX"] = f"http://127.0.0.1:{never_answers.getsockname()[1]}/simple"
        begun = spark.begin(*words, str(tmp_path / "requirements.txt"))
        never_answers.settimeout(WAIT_S)
        asked, _ = never_answers.accept()
        begun.send_signal(signal.SIGINT)
        begun.communicate(timeout=WAIT_S)
        asked.close()
        spark.env.clear()
        spark.env.update(was)
    assert begun.returncode == 130
    jobs = json.loads(spark.upcall("spark", "jobs", "-o", "json").stdout)
    assert "wrong" not in [one["job"] for one in jobs]
