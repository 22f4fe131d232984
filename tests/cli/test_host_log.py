"""``upcall logs --host``: what the code of one service said, and nobody else."""

from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from fake_master import FakeMaster

LOG = """\
2026-11-29 03:00:00,001 INFO    upcall.host: hello-two fell: KeyError: 1; tried again
2026-11-29 03:00:00,002 WARNING upcall.services.hello: hello cannot say what it wants: TypeError (hello.py:9 in task)
Traceback (most recent call last):
  File "/x/hello.py", line 9, in task
2026-11-29 03:00:00,003 WARNING upcall.services.other: after_ready(web-0): no
Traceback (most recent call last):
2026-11-29 03:00:00,004 WARNING upcall.host: hello fell: KeyError: 2; tried again
"""


def test_the_lines_of_a_service_come_with_their_tracebacks(
    run: Callable[..., Result], master: FakeMaster, folder: Path
) -> None:
    (folder / "logs").mkdir()
    (folder / "logs" / "host.log").write_text(LOG)
    lines = LOG.splitlines()
    assert run("logs --host hello").stdout.splitlines() == [*lines[1:4], lines[6]]
    assert run("logs --host hello -n 1").stdout.splitlines() == [lines[6]]
    master.add_service("quiet", 1)
    assert "the code of quiet has said nothing" in run("logs --host quiet").stderr
    for words in ("logs --host nobody", "logs --host nobody -f"):
        refused = run(words)
        assert refused.exit_code == 1
        assert "no service 'nobody'" in refused.stderr


def test_without_a_host_it_is_said(run: Callable[..., Result]) -> None:
    assert "no host has run here" in run("logs --host hello").stderr
