"""The check of names can fail: it finds a hosted system in any text of the core, and passes over what is about them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_names.py"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_names", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("master/core.py", 'if service == "kafka":'),
        ("master/core.py", 'label = "#1 of kafka"'),
        ("master/core.py", "from pyspark import sql"),
        ("master/core.py", "class SparkDriver:"),
        ("master/core.py", '"""As Cassandra does."""'),
        ("agent/task.py", "wait_s = 5  # zookeeper is slow"),
        ("web/assets/page.js", "const topic = kafka.topic;"),
        ("web/assets/page.css", ".cassandra { color: red }"),
        ("web/assets/page.html", "<h1>Spark</h1>"),
        ("service/defaults.yaml", "package: redis"),
    ],
)
def test_a_systems_name_in_the_core_is_found_in_whatever_text(check: ModuleType, file: str, text: str) -> None:
    found = list(check.in_text(f"src/upcall/{file}", f"first line\n{text}\n"))
    assert len(found) == 1
    assert found[0].startswith(f"src/upcall/{file}:2: the name of a hosted system")


@pytest.mark.parametrize("file", ["cli/demo/command.py", "web/tabs.py", "catalog/spark/config.py"])
def test_the_name_of_what_entry_points_offer_is_found_in_every_other_part(check: ModuleType, file: str) -> None:
    line = 'OWN = ("upcall.fastdata.tab:register",)'
    assert len(list(check.in_text(f"src/upcall/{file}", line))) == 1
    assert list(check.in_text("src/upcall/fastdata/services/windows.py", line)) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("src/upcall/catalog/kafka/service.py", "class Kafka(Service):"),
        ("src/upcall/fastdata/job.py", "import pyspark"),
        ("docs/service.md", "As Kafka does"),
        ("tests/operations/test_table.py", 'made.install("kafka")'),
        ("src/upcall/web/assets/page.js", "drawSparkline(points); redistribute(points)"),
    ],
)
def test_what_is_about_systems_may_name_them(check: ModuleType, file: str, text: str) -> None:
    assert list(check.in_text(file, text)) == []


def test_an_address_of_a_registry_and_a_path_of_a_machine_are_found_anywhere(check: ModuleType) -> None:
    registry, machine = "https://" + "pypi.org/simple", "/ho" + "me/ann/.cache"
    for file in ("docs/service.md", "src/upcall/catalog/jvm.py", "Makefile"):
        assert [f.partition(": ")[2] for f in check.in_text(file, f"{registry}\n{machine}\n")] == [
            "the address of a registry",
            "a path of a particular machine",
        ]


def test_every_tracked_text_is_looked_at_and_a_binary_is_not_passed_over(
    check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = tmp_path / "src" / "upcall"
    core.mkdir(parents=True)
    (core / "page.js").write_text("kafka")
    (core / "picture").write_bytes(b"\xff\xfe\x00")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "tracked", lambda: [p.relative_to(tmp_path) for p in sorted(core.iterdir())])
    assert check.findings() == [
        "src/upcall/page.js:1: the name of a hosted system (kafka) in the core",
        "src/upcall/picture: a binary file",
    ]
