"""A file that waits for something when it is imported: no silence, not for ever, and never the end of the command."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from fake_master import FakeMaster
from upcall.service import importing

Run = Callable[..., Result]

WAITS = """\
import upcall.service as up
from pathlib import Path
from time import sleep

while not Path(__file__).with_name("go").exists():
    sleep(0.05)


class Late(up.Service):
    def pods(self):
        return []
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "TOLD_S", 0.2)
    monkeypatch.setattr(importing, "IMPORT_S", 0.6)
    monkeypatch.setattr(importing, "LOOK_S", 0.1)


@pytest.mark.parametrize("words", ["install", "install --dry-run"])
def test_an_import_that_hangs_is_told_with_its_line_and_refused(
    run: Run, master: FakeMaster, tmp_path: Path, words: str
) -> None:
    file = tmp_path / "late.py"
    file.write_text(f"# {words}: files of the same words are imported once\n{WAITS}")
    refused = run(words, str(file))
    assert refused.exit_code == 1
    lines = refused.stderr.splitlines()
    assert lines[0].startswith("importing late.py:")
    assert lines[0].endswith(": has taken 0.2 s so far, and may take 0.6 s")
    assert lines[1].startswith("error: late.py cannot be imported: importing late.py:")
    assert lines[1].endswith("has taken longer than 0.6 s")
    assert lines[2] == f"  where:    {file}"
    assert not [call for call in master.calls if call[0] != "GET"], "nothing was registered"
    (tmp_path / "go").touch()


def test_a_file_that_ends_the_program_is_told_so(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    file = tmp_path / "ends.py"
    file.write_text("import sys\n\nsys.exit(3)\n")
    refused = run("install", str(file))
    assert refused.exit_code == 1
    assert "ends.py cannot be imported: RuntimeError: it calls sys.exit(3)" in refused.stderr
    assert f"{file}, line 3" in refused.stderr
