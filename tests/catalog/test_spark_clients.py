"""How drivers of one's own connect to a Spark: where and as whom stands in a file, and on no command line."""

import re
from pathlib import Path

import pytest

from upcall.catalog.spark import config, shell
from upcall.catalog.spark.clients import CLIENTS, FILE
from upcall.catalog.spark.service import Spark
from upcall.cli.clients import rendered

NAMES = {
    "addresses": "127.9.9.1:7077", "hosts": '["127.9.9.1"]', "host": "127.9.9.1", "port": "7077", "user": "spark",
    "password": "of-all", "login": "", "folder": "/data/clients/spark", "python": "/usr/bin/python", "version": "4.1.1",
}  # fmt: skip


def test_the_secret_stands_in_the_file_alone() -> None:
    for client in CLIENTS:
        settings = rendered(client.files[FILE], NAMES).splitlines()
        assert {"spark.master=spark://127.9.9.1:7077", "spark.authenticate.secret=of-all"} <= set(settings)
        shown = [client.text, *client.shell]
        assert not any("password" in text for text in shown)
        assert f"/data/clients/spark/{FILE}" in rendered(client.text, NAMES)


def test_no_name_is_left_that_nobody_fills_in() -> None:
    for client in CLIENTS:
        for text in (client.text, *client.files.values()):
            assert "{{" not in rendered(text, NAMES)
        left = [name for word in client.shell for name in re.findall(r"\{\{([^}]*)\}\}", rendered(word, NAMES))]
        assert all(name.split(".")[1] in {one.name for one in Spark.artifacts()} for name in left)


def test_the_printed_program_is_python() -> None:
    compile(rendered(CLIENTS[0].text, NAMES), "snippet", "exec")


def test_the_shell_runs_in_what_the_clusters_own_drivers_run_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    found = shell.Runtime(
        python="/s/python", site="/s", jars="/s/a.jar:/s/b.jar:/c.jar", java="/j/bin/java", options="@/a/options"
    )
    made = shell.environment(found, tmp_path / FILE)
    assert "PYTHONPATH" not in made, "libraries of ours are not the shell's"
    assert made["SPARK_CLASSPATH_LIST"] == "/s/a.jar:/s/b.jar:/c.jar"
    assert made["PYSPARK_SUBMIT_ARGS"] == f'--properties-file "{tmp_path / FILE}" pyspark-shell'
    java = Path(made["JAVA_HOME"]) / "bin" / "java"
    assert java.read_text() == config.source("java_launcher.sh")
    assert java.stat().st_mode & 0o777 == 0o700
