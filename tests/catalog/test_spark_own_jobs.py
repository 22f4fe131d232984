"""Jobs that bring more than their program: as parts of their drivers' tasks, submitted again, in a backup."""

import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from upcall.catalog.spark import config, parts
from upcall.catalog.spark.backup import without_secrets
from upcall.catalog.spark.options import PARTS, Job
from upcall.catalog.spark.service import Spark
from upcall.protocol import last_words
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.service import Member
from upcall.protocol.templates import validate
from upcall.service.actions import action_named
from upcall.service.context import Context
from upcall.testing import Scenario

PROGRAM = "print('hello')\n"
ONE, OTHER = "a" * 64, "b" * 64
WHOLE = {"program": PROGRAM, "requirements": ONE, "packages": OTHER, "files": {"data.csv": ONE}}


async def started() -> Spark:
    service = Spark(Context(name="spark"))
    await service.on_start()
    return service


def driver_of(**job: Any) -> Declaration:
    memory = {"jobs": {"mine": Job(**job).model_dump()}}
    return Scenario(Spark, {}, memory=memory, fresh=True).run().task("job-mine")


def settings_of(driver: Declaration) -> dict[str, str]:
    words = driver.command
    return dict(each.split("=", 1) for word, each in pairwise(words) if word == "--conf")


def test_a_job_that_brings_nothing_has_nothing_more() -> None:
    plain = parts.of(Job(program=PROGRAM))
    assert (plain.settings, plain.artifacts) == ({}, ())
    assert [file.path for file in plain.files] == ["program.py", "hooks/sitecustomize.py"]


def test_what_a_job_brings_reaches_its_driver_and_its_executors() -> None:
    driver = driver_of(**WHOLE)
    validate("job-mine", driver)
    found = {artifact.name: (artifact.kind, artifact.lock) for artifact in driver.artifacts}
    assert (found["requirements"], found["packages"]) == (("libraries", ONE), ("maven", OTHER))
    settings = settings_of(driver)
    assert settings["spark.archives"] == "{{artifact.requirements.archive}}#job-libraries"
    assert settings["spark.executorEnv.PYTHONPATH"].split(":") == ["job-libraries", "../../../python"]
    assert driver.env["PYTHONPATH"].split(":")[-1] == "{{artifact.requirements.site}}"
    assert settings["spark.jars"] == "{{artifact.packages.jars}}"
    assert settings["spark.files"] == "{{sandbox}}/data.csv"
    assert {file.path: file.blob for file in driver.files}["data.csv"] == ONE


def test_a_persons_own_settings_win_over_those_of_what_a_job_brings() -> None:
    driver = driver_of(**WHOLE, settings={"spark.files": "s3a://there/data.csv"})
    assert settings_of(driver)["spark.files"] == "s3a://there/data.csv"


def test_a_bundle_is_started_by_a_program_of_ours() -> None:
    driver = driver_of(bundle=ONE)
    files = {file.path: file for file in driver.files}
    assert files["job.zip"].blob == ONE
    assert files["program.py"].text == config.source("job_start.py")
    assert settings_of(driver)["spark.submit.pyFiles"] == "{{sandbox}}/job.zip"


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({}, "program"),
        ({"program": PROGRAM, "bundle": ONE}, "one of the two"),
        ({"bundle": "x"}, "bundle"),
        ({"program": PROGRAM, "requirements": "pandas"}, "requirements"),
        ({"program": PROGRAM, "files": {"data.csv": "x"}}, "files"),
        ({"program": PROGRAM, "files": {"program.py": ONE}}, "cannot be the name of a file of a job"),
        ({"program": PROGRAM, "files": {"../data.csv": ONE}}, "cannot be the name of a file of a job"),
        ({"program": PROGRAM, "files": {".hidden": ONE}}, "cannot be the name of a file of a job"),
    ],
)
async def test_a_job_that_is_none_is_refused(job: dict[str, Any], said: str) -> None:
    service = await started()
    with pytest.raises(Invalid, match=said):
        await action_named(Spark, "submit-job").call(service, {"name": "x", **job})
    assert service.jobs == {}


@pytest.mark.parametrize("state", ["finished", "failed"])
async def test_one_that_is_over_runs_again_with_what_is_given_now(state: str) -> None:
    service = await started()
    submit = action_named(Spark, "submit-job")
    await submit.call(service, {"name": "x", "program": PROGRAM, "restart": "never", "files": {"a": ONE}})
    service._context.members = {"job-x": Member(name="job-x", state=state, incarnation=1)}
    before = service.driver(service.jobs["x"])
    told = await submit.call(service, {"name": "x", "program": PROGRAM, "restart": "never"})
    assert told["run"] == 2
    assert service.jobs["x"].files == {}, "what is not given this time is not there"
    await submit.call(service, {"name": "x", "program": PROGRAM, "restart": "never"})
    assert service.driver(service.jobs["x"]) != before, "nothing of it is another, and it runs again"


async def test_one_that_runs_is_replaced_only_where_that_is_said() -> None:
    service = await started()
    submit = action_named(Spark, "submit-job")
    proposed: list[Any] = []

    async def propose(proposal: Any) -> str:
        proposed.append(proposal)
        return "op-1"

    service._context.propose = propose
    await submit.call(service, {"name": "x", "program": PROGRAM})
    running = Member(name="job-x", state="ready", incarnation=1, starts=1, node="node-1")
    service._context.members = {"job-x": running}
    with pytest.raises(Conflict, match="there already") as caught:
        await submit.call(service, {"name": "x", "program": "print(2)\n"})
    assert "--replace" in caught.value.problem.expected
    assert service.jobs["x"].program == PROGRAM
    with pytest.raises(Conflict, match="never changed"):
        await submit.call(service, {"name": "x", "program": PROGRAM, "disk_mib": 0, "replace": True})
    await submit.call(service, {"name": "x", "program": "print(2)\n", "replace": True})
    assert service.jobs["x"].program == "print(2)\n"
    assert [one.kind for one in proposed] == ["restart"]


async def test_a_change_from_a_program_to_a_bundle_and_back_leaves_one_of_the_two() -> None:
    service = await started()
    change = action_named(Spark, "change-job")
    await action_named(Spark, "submit-job").call(service, {"name": "x", "program": PROGRAM})
    await change.call(service, {"name": "x", "bundle": ONE})
    assert (service.jobs["x"].program, service.jobs["x"].bundle) == ("", ONE)
    await change.call(service, {"name": "x", "program": PROGRAM})
    assert (service.jobs["x"].program, service.jobs["x"].bundle) == (PROGRAM, "")


def test_a_backup_has_not_what_lies_in_blobs_and_says_what_it_lacks() -> None:
    kept, left_out = without_secrets(Job(bundle=ONE, **{**WHOLE, "program": ""}))
    assert set(PARTS) <= set(left_out)
    assert (kept.bundle, kept.requirements, kept.packages, kept.files) == ("", "", "", {})
    Job.model_validate(kept.model_dump())  # It is a job still.


def run_start(folder: Path, contents: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    (folder / "program.py").write_text(config.source("job_start.py"))
    with zipfile.ZipFile(folder / "job.zip", "w") as packed:
        for name, text in contents.items():
            packed.writestr(name, text)
    command = [sys.executable, str(folder / "program.py"), "one"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_a_folder_is_run_with_its_modules_its_data_and_its_arguments(tmp_path: Path) -> None:
    main = """
import sys
from pathlib import Path
from rules import PRICE
print(__name__, PRICE, Path(__file__).with_name("table.txt").read_text(), sys.argv[1:])
"""
    done = run_start(tmp_path, {"__main__.py": main, "rules.py": "PRICE = 7\n", "table.txt": "data"})
    assert done.stdout == "__main__ 7 data ['one']\n", done.stderr


@pytest.mark.parametrize(
    "more",
    [
        {"mine-1.dist-info/entry_points.txt": "[console_scripts]\nmine = mine.run:main [more]\n"},
        {"mine/__main__.py": "from mine.run import main\nmain()\n"},
    ],
)
def test_a_wheels_script_or_its_package_is_run(tmp_path: Path, more: dict[str, str]) -> None:
    code = "import sys\ndef main():\n    print('ran', sys.argv[1:])\n"
    done = run_start(tmp_path, {"mine/__init__.py": "", "mine/run.py": code, **more})
    assert done.stdout == "ran ['one']\n", done.stderr


OF_JAVA = """An error occurred while calling o35.load.
: java.lang.ClassNotFoundException: no.such.Driver
\tat java.base/java.lang.ClassLoader.loadClass(Unknown Source)
\t... 72 more
"""
OF_A_WORKER = """
  An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "program.py", line 4, in <lambda>
ZeroDivisionError: integer division or modulo by zero
"""


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("raise ValueError('the price of 7 is missing')", "ValueError: the price of 7 is missing"),
        ("raise LookupError", "LookupError"),
        ("raise ValueError('[NO_COLUMN] none; line 1\\n\\'Project [x]\\n+- Range (0, 3)\\n')",
         "ValueError: [NO_COLUMN] none; line 1"),
        (f"raise OSError({OF_JAVA!r})", "java.lang.ClassNotFoundException: no.such.Driver"),
        (f"raise OSError({OF_JAVA!r} + 'Caused by: java.io.IOException: disk\\n\\tat x')", "java.io.IOException: disk"),
        (f"raise OSError({OF_A_WORKER!r})", "ZeroDivisionError: integer division or modulo by zero"),
        ("print('x'", "SyntaxError: '(' was never closed (program.py, line 1)"),
    ],
)  # fmt: skip
def test_what_a_job_raises_is_why_it_ended_whatever_spark_says_while_it_ends(
    tmp_path: Path, raised: str, said: str
) -> None:
    for folder, text in (("hooks", "job_hooks.py"), ("python", "python_start.py")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sitecustomize.py").write_text(config.source(text))
    (tmp_path / "program.py").write_text(raised)
    path = {"PYTHONPATH": f"{tmp_path / 'hooks'}:{tmp_path / 'python'}"}
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, cwd=tmp_path, env=path)
    assert done.returncode == 1
    log = [
        "12:00:00.000 ERROR Inbox Ignoring error", "org.apache.spark.SparkException: Could not find Scheduler.",
        "\tat org.apache.spark.rpc.netty.Dispatcher.postMessage(Dispatcher.scala:181)",
    ]  # fmt: skip
    assert last_words.cause([log, done.stderr.splitlines()], driver_of(program=PROGRAM).fatal) == said


def test_what_spark_does_at_the_start_of_each_python_is_done_in_a_job_too(tmp_path: Path) -> None:
    for folder, text in (("hooks", config.source("job_hooks.py")), ("python", "print('begun')")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sitecustomize.py").write_text(text)
    path = {"PYTHONPATH": f"{tmp_path / 'hooks'}:{tmp_path / 'python'}"}
    done = subprocess.run([sys.executable, "-c", "print('ran')"], capture_output=True, text=True, env=path)
    assert done.stdout.split() == ["begun", "ran"], done.stderr
