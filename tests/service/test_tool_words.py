"""How a tool that failed is named, and an error in a person's own file."""

from pathlib import Path

import pytest

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.service import ToolFailed, package


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (("nodetool", "status"), "nodetool"),
        (("{{artifact.tools}}/bin/nodetool", "status"), "nodetool"),
        (("{{artifact.tool}}",), "tool"),
        (
            ("{{java}}", "{{archive}}", "-Xmx96m", "-cp", "{{jars}}", "org.example.AdminCommand", "status"),
            "AdminCommand",
        ),
        (("{{java}}", "-version"), "java"),
        (("{{python}}", "-m", "http.server"), "http.server"),
        (("{{python}}", "-u", "{{sandbox}}/check.py", "x"), "check.py"),
        (("{{python}}", "-c", "print(1)"), "python"),
        (("/bin/sh", "-c", "exit 3"), "sh"),
    ],
)
def test_a_tool_that_failed_is_called_by_its_program(command: tuple[str, ...], program: str) -> None:
    failed = ToolFailed("web-0", command, wire.ToolResult(code=3, error="no such topic\n"))
    assert str(failed) == f"{program} ended with 3: no such topic; at web-0"


def test_why_a_tool_failed_is_the_line_that_says_so_and_not_the_last_frame_of_its_trace() -> None:
    said = (
        "error: Repair job has failed with the error message: Repair command #3 failed with error Endpoint not alive\n"
        "-- StackTrace --\n"
        "java.lang.RuntimeException: Repair job has failed: Endpoint not alive: /127.0.0.2:7000\n"
        "\tat org.apache.cassandra.tools.RepairRunner.progress(RepairRunner.java:105)\n"
        "\tat java.base/java.lang.Thread.run(Unknown Source)\n"
    )
    words = "java.lang.RuntimeException: Repair job has failed: Endpoint not alive: /127.0.0.2:7000"
    assert str(ToolFailed("node-0", ("nodetool", "repair"), wire.ToolResult(code=2, error=said))) == (
        f"nodetool ended with 2: {words}; at node-0"
    )
    assert str(ToolFailed("node-0", ("nodetool",), wire.ToolResult(code=2))) == "nodetool ended with 2; at node-0"


def _raised(file: Path) -> Exception:
    with pytest.raises(Exception) as caught:
        package.build(file)
    return caught.value


def test_an_error_in_an_own_file_names_the_file_and_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from upcall.service import Service\n\nclass A(Service):\n    count = undefined\n")
    words, where = package.in_file_words(_raised(file), file)
    assert words == "NameError: name 'undefined' is not defined"
    assert where == f"{file}, line 4"


def test_an_error_in_a_module_of_an_own_folder_names_that_module(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "sizes.py").write_text("\nraise ValueError('no sizes')\n")
    (folder / "service.py").write_text("from . import sizes\n")
    words, where = package.in_file_words(_raised(folder), folder)
    assert words == "ValueError: no sizes"
    assert where == f"{folder / 'sizes.py'}, line 2"


def test_nobody_reads_the_name_that_a_source_is_imported_under(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "sizes.py").write_text("")
    (folder / "service.py").write_text("from .sizes import large\n")
    words, _ = package.in_file_words(_raised(folder), folder)
    assert words.startswith("ImportError: cannot import name 'large' from 'mine.sizes'")


def test_a_file_without_a_service_is_named_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("")
    with pytest.raises(Invalid) as refused:
        package.build(file)
    assert str(refused.value) == f"mine has not one service but: none; at {file}; expected one subclass of Service"
