"""What a member wrote is read after its end, also after its service was taken away."""

import pytest
from real_cluster import Cluster

from upcall.protocol import last_words

LINES = 2 * last_words.LINES_MAX
TEXT = f'''"""A service whose volumes cannot be prepared."""

import upcall.service as up


class Banana(up.Service):
    """It is told a number that is none."""

    def pods(self) -> list[up.Pod]:
        return [up.Pod("member", count=1)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(
            command=("true",),
            volumes=(up.Volume(name="data", size_mib=1),),
            prepare=(("{{{{python}}}}", "-u", "-c", "for n in range({LINES}): print('line', n)\\nint('banana')"),),
        )
'''
REASON = "ValueError: invalid literal for int() with base 10: 'banana'"


@pytest.fixture(scope="module")
def taken_back(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """An install that failed has taken its service away again."""
    own = tmp_path_factory.mktemp("own") / "banana.py"
    own.write_text(TEXT)
    said = cluster.refused("install", str(own))
    assert "banana is taken away again" in said
    assert "`upcall logs banana.member-0`" in said
    assert (cluster.client.services(), cluster.client.tasks()) == ([], [])
    return cluster


def test_an_install_that_was_taken_back_has_left_all_that_its_preparation_wrote(taken_back: Cluster) -> None:
    lines = taken_back.upcall("logs", "banana.member-0").stdout.splitlines()
    assert f"line {LINES - 1}" in lines
    assert f"line {LINES // 4}" in lines, "more than the member's record keeps"
    assert lines[-1] == REASON


def test_an_install_that_was_taken_back_says_why_its_member_ended(taken_back: Cluster) -> None:
    why = taken_back.upcall("why", "banana.member-0").stdout
    assert why.splitlines()[0].startswith("banana.member-0 is gone")
    assert f"preparation 1 of 1 ended with code 1: {REASON}" in why
    assert f"line {LINES - 1}" in why
    assert REASON in taken_back.upcall("task", "show", "banana.member-0").stdout


def test_what_has_left_is_remembered_by_the_next_master_too(taken_back: Cluster) -> None:
    pid = taken_back.kill("master")
    taken_back.until_restarted("master", pid)
    taken_back.until("the agents are back", lambda: all(node.state == "up" for node in taken_back.client.nodes()))
    assert taken_back.upcall("logs", "banana.member-0", "-n", "1", "--stream", "stderr").stdout.strip() == REASON


def test_logs_that_nobody_has_are_refused_with_how_long_they_are_kept(taken_back: Cluster) -> None:
    said = taken_back.refused("logs", "never.was-0")
    assert "no member 'never.was-0'" in said
    assert "remembered for 7 days" in said
