"""The plug-in in a person's run of pytest in which no cluster comes up: what it imports, how it says what is wrong."""

import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

MODULES = """
    import sys

    def test_nothing(request):
        ours = sorted(name for name in sys.modules if name.partition(".")[0] == "upcall")
        assert ours == ["upcall", "upcall.pytest", "upcall.pytest.plugin", "upcall.pytest.systems"]
"""


@pytest.fixture(autouse=True)
def place(pytester: pytest.Pytester) -> Path:
    """Where the clusters of these runs would lie."""
    pytester.makeini("[pytest]\nupcall_folder = clusters\nasyncio_default_fixture_loop_scope = function\n")
    return pytester.path / "clusters"


def test_a_run_that_wants_no_service_imports_next_to_nothing(pytester: pytest.Pytester, place: Path) -> None:
    pytester.makepyfile(MODULES)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    assert not place.exists()


def test_the_core_does_not_import_pytest(pytester: pytest.Pytester) -> None:
    program = (
        "import sys, upcall.cli.main, upcall.pytest.guardian, upcall.pytest.use; sys.exit('pytest' in sys.modules)"
    )
    assert pytester.run(sys.executable, "-c", program).ret == 0


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("kafak={}", "unknown service 'kafak', did you mean 'kafka'?"),
        ("kafka=3", "kafka is 3; at mark.upcall; expected its options: {name: value}"),
    ],
)
def test_a_mistake_in_a_marker_is_one_error_before_anything_starts(
    pytester: pytest.Pytester, place: Path, marker: str, words: str
) -> None:
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.upcall({marker})
        def test_it(kafka):
            pass
    """)
    said = pytester.runpytest_subprocess()
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    assert next(line for line in said.errlines if line.startswith("ERROR")).startswith(f"ERROR: {words}")
    assert not place.exists()


def test_a_mistake_in_a_marker_is_each_tests_error_where_workers_run_them(
    pytester: pytest.Pytester, place: Path
) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.upcall(kafak={})
        def test_it(kafka):
            pass
    """)
    said = pytester.runpytest_subprocess("-n", "1")
    said.assert_outcomes(errors=1)
    said.stdout.fnmatch_lines(["*unknown service 'kafak', did you mean 'kafka'?*"])
    assert not place.exists()


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_a_time_that_is_none_is_one_error(pytester: pytest.Pytester, workers: list[str], place: Path) -> None:
    pytester.makepyfile("def test_it(kafka): pass")
    said = pytester.runpytest_subprocess("--upcall-keep=soon", *workers)
    assert said.ret == pytest.ExitCode.USAGE_ERROR
    text = "\n".join([*said.outlines, *said.errlines])
    assert "'soon' is no time; at --upcall-keep; expected 90s, 15m, 2h, at most 7d; 0: not kept" in text
    assert "Traceback" not in text
    assert not place.exists()


def test_a_folder_that_cannot_be_is_one_error_for_each_test(pytester: pytest.Pytester, place: Path) -> None:
    place.write_text("")
    pytester.makepyfile("def test_it(kafka): pass\ndef test_other(kafka): pass")
    said = pytester.runpytest_subprocess()
    said.assert_outcomes(errors=2)
    text = "\n".join(said.outlines)
    assert len([line for line in said.outlines if line.startswith("clusters of tests cannot lie here")]) == 2
    assert "Traceback" not in text


def test_a_persons_own_fixture_of_that_name_is_his(pytester: pytest.Pytester, place: Path) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def kafka():
            return "mine"

        def test_it(kafka):
            assert kafka == "mine"
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    assert not place.exists()


def test_another_versions_cluster_that_is_kept_is_one_error(pytester: pytest.Pytester, place: Path) -> None:
    from upcall.pytest import end, use

    place.mkdir()
    base = use.base(str(place))
    held = use.enter(base, "", 600)
    held.place.about.write_text('{"upcall": "9.9.9", "python": "python9"}')
    pytester.makepyfile("def test_it(kafka): pass")
    try:
        said = pytester.runpytest_subprocess("--upcall-keep", "10m")
    finally:
        held.leave()
        end.end_all(base)
    said.assert_outcomes(errors=1)
    said.stdout.fnmatch_lines(["*the cluster that is kept warm for tests is upcall 9.9.9's of python9*"])
    assert not list(base.iterdir())
