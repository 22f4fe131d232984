"""The controllers' quorum: what the tool says, and a replaced broker's way back into it."""

import pytest

from upcall.catalog.kafka import quorum
from upcall.catalog.kafka.quorum import Standing, parse_directory, parse_voters
from upcall.protocol import service as wire
from upcall.service.member import Member, ToolFailed

STATUS = """\
ClusterId:              b25lYnJva2VyZm9ydGVzdA
LeaderId:               2
LeaderEpoch:            3
HighWatermark:          420
MaxFollowerLag:         0
MaxFollowerLagTimeMs:   12
CurrentVoters:          [{"id": 1, "directoryId": "%s", "endpoints": ["CONTROLLER://127.1.2.11:9093"]}, \
{"id": 2, "directoryId": "two", "endpoints": ["CONTROLLER://127.1.2.12:9093"]}]
CurrentObservers:       [{"id": 3, "directoryId": "three"}]
"""
META = "#\n#Tue Nov 24 21:00:00 UTC 2026\nnode.id=1\ndirectory.id={}\nversion=1\ncluster.id=x\n"


class Tools:
    """Plays the quorum: what its tool prints, and what adding and removing does to it."""

    def __init__(self, voter_of_1: str, directory: str) -> None:
        self.voter_of_1, self.directory = voter_of_1, directory
        self.changes: list[tuple[str, str]] = []

    async def run(self, tool: wire.RunTool) -> wire.ToolResult:
        words = tool.command
        if words[0] == "cat":
            return wire.ToolResult(code=0, output=META.format(self.directory))
        if "describe" in words:
            return wire.ToolResult(code=0, output=STATUS % self.voter_of_1)
        if "remove-controller" in words:
            assert words[words.index("--controller-id") + 1] == "1"
            self.changes.append(("remove", words[words.index("--controller-directory-id") + 1]))
            return wire.ToolResult(code=0)
        if "add-controller" in words:
            self.changes.append(("add", tool.member))
            if self.changes[0][0] == "add":
                return wire.ToolResult(code=1, error="DuplicateVoterException: the voter is already there")
            return wire.ToolResult(code=0)
        raise AssertionError(words)

    def member(self, name: str, index: int) -> Member:
        seen = wire.Member(name=name, state="ready", address=f"127.1.2.{index + 11}", ports={"controller": 9093})
        return Member(name, "broker", index, seen, _runner=self.run)


def test_voters_are_read_with_their_directories_and_observers_are_not_voters() -> None:
    assert parse_voters(STATUS % "one") == [Standing(1, "one"), Standing(2, "two")]


def test_output_without_voters_is_named_not_guessed() -> None:
    with pytest.raises(ValueError, match="no line of voters in: 'Exception"):
        parse_voters("Exception in thread main")


def test_the_directory_stands_in_meta_properties() -> None:
    assert parse_directory(META.format("newDir-_1")) == "newDir-_1"
    with pytest.raises(ValueError, match=r"names no directory\.id"):
        parse_directory("version=1\n")


async def test_the_old_vote_goes_before_the_new_one_comes() -> None:
    tools = Tools(voter_of_1="old", directory="new")
    said = await quorum.join(tools.member("broker-0", 0), 1, tools.member("broker-1", 1))
    assert tools.changes == [("remove", "old"), ("add", "broker-0")]
    assert said == "1 old vote taken away, one given"


async def test_a_broker_that_votes_already_is_left_alone() -> None:
    tools = Tools(voter_of_1="same", directory="same")
    assert await quorum.join(tools.member("broker-0", 0), 1, tools.member("broker-1", 1)) == "it votes already"
    assert tools.changes == []


async def test_one_whose_old_vote_went_in_an_earlier_attempt_is_only_added() -> None:
    tools = Tools(voter_of_1="old", directory="new")
    tools.changes.append(("remove", "of an earlier attempt"))
    await quorum.join(tools.member("broker-2", 2), 3, tools.member("broker-1", 1))
    assert tools.changes[1:] == [("add", "broker-2")]


async def test_a_tool_that_fails_says_so() -> None:
    async def fails(_tool: wire.RunTool) -> wire.ToolResult:
        return wire.ToolResult(code=1, error="timed out waiting for a node")

    beside = Member("broker-1", "broker", 1, wire.Member(name="broker-1", state="ready"), _runner=fails)
    with pytest.raises(ToolFailed, match="timed out waiting for a node"):
        await quorum.voters(beside)
