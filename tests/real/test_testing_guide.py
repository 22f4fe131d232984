"""What `docs/testing.md` shows, as it stands there, in one run of pytest: all systems, their faults, a service of one's
own; and that what a test did to a service is undone before the next."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from upcall.cli import footprint
from upcall.pytest import end, use

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.real, pytest.mark.long]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "testing.md").read_text()
HOME = os.environ.get("HOME", "")
WAIT_S = 3000.0
"""A condition, not a speed: three systems start, one of them with three members, and may have to be fetched first."""

BESIDE = {
    "test_refusals": r"""
        import pytest
        from upcall.protocol.errors import UpcallError

        def test_who_has_none_to_spare_says_how_to_ask_for_more(kafka):
            for call in (kafka.kill, kafka.drain):
                with pytest.raises(UpcallError, match=r'none to spare.*mark\.upcall\(kafka={"brokers": 3}\) at this'):
                    call(0)

        def test_a_member_that_is_not_there_is_said_with_those_that_are(kafka):
            with pytest.raises(UpcallError, match="has no member 7; at kafka.*; expected 0"):
                kafka.freeze(7)

        def test_nobody_can_be_cut_from_the_network(kafka):
            with pytest.raises(UpcallError, match=r"cannot be cut from the network.*freeze\(0\)"):
                kafka.partition(0)

        @pytest.mark.upcall(kafka={"brokrs": 3})
        def test_an_unknown_option(kafka):
            raise AssertionError("never begun")
    """,
    "test_undone": r"""
        import pytest

        pytestmark = pytest.mark.upcall(kafka={"brokers": 3})

        def test_it_leaves_one_drained_and_another_frozen(kafka):
            kafka.drain(2)
            kafka.freeze(0)

        def test_the_next_one_finds_all_of_them(kafka):
            assert [one.state for one in kafka.members()] == ["ready"] * 3
            kafka.kill(0)
            kafka.until_ready()
    """,
}


@pytest.fixture(autouse=True)
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOME", HOME)
    (pytester.path / "clusters").mkdir()
    found = use.base(str(pytester.path / "clusters"))
    yield found
    if found.exists():
        assert end.end_all(found) == []


def shown(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_what_the_guide_shows_works_as_it_stands_there(pytester: pytest.Pytester, folder: Path) -> None:
    (settings,) = shown("ini")
    more = "upcall_folder = clusters\nasyncio_default_fixture_loop_scope = function\n"
    pytester.makefile(".ini", pytest=f"{settings.rstrip()}\n{more}")
    programs = {f"test_shown_{number}": program for number, program in enumerate(shown("python"))}
    pytester.makepyfile(**programs, **BESIDE)
    shutil.copy(ROOT / "examples" / "hello.py", pytester.path / "hello.py")
    said = pytester.runpytest_subprocess(timeout=WAIT_S)
    said.assert_outcomes(passed=len(programs) + 5, errors=1)
    said.stdout.fnmatch_lines(["*brokrs*did you mean 'brokers'*"])
    assert footprint.processes(folder), "it is kept, as the settings say"
    assert end.end_all(folder) == []
    assert not footprint.processes(folder)
