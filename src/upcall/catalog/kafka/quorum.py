"""The controllers' quorum: who votes, and how a replaced broker gets its vote back.

A voter is known by node id *and* directory id (of its metadata log's folder). A broker that was replaced under its
node id has a new directory, so it must be added as a voter, and adding fails while the old one still stands ("duplicate
voter"): first out, then in. Clients have no calls for voters; Kafka's own tool runs beside a member.
"""

import json
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from upcall.catalog.kafka.config import PROPERTIES, tool_command
from upcall.protocol.errors import NotNow
from upcall.service import Member

TOOL = "org.apache.kafka.tools.MetadataQuorumCommand"
CONFIG = ("--command-config", PROPERTIES)
"""How to log in; to add a controller, also which one."""
TOOL_TIMEOUT_S = 60.0
LAGS_TIMEOUT_S = 20.0
"""Without a quorum nobody answers; a look at the service's health has 30 s in all."""
LAGS_S = 10
"""Followers ask several times a second; who has not read all for so long is behind."""
_VOTERS = re.compile(r"^CurrentVoters:\s*(\[.*\])\s*$", re.MULTILINE)
_DIRECTORY = re.compile(r"^directory\.id=(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Standing:
    """A voter as the quorum lists it."""

    node_id: int
    directory_id: str


def short_of_majority(voters: Iterable[int], alive: Set[int], without: Set[int]) -> str:
    """Why the controllers would decide nothing without these; empty: they would, or these have no say now."""
    voting = set(voters)
    left = len(voting & alive - without)
    majority = len(voting) // 2 + 1
    if not without & voting & alive or left >= majority:
        return ""
    return f"{left} of {len(voting - without)} other controllers ready, a majority needs {majority}"


def seats(brokers: int) -> int:
    """How many vote, the first ones: an odd number. One more would have to agree, and no more could be away."""
    return brokers if brokers % 2 else brokers - 1


def parse_voters(text: str) -> list[Standing]:
    """From ``describe --status``."""
    found = _VOTERS.search(text)
    if found is None:
        raise ValueError(f"no line of voters in: {text[:200]!r}")
    return [Standing(int(each["id"]), str(each.get("directoryId", ""))) for each in json.loads(found.group(1))]


def parse_directory(meta_properties: str) -> str:
    found = _DIRECTORY.search(meta_properties)
    if found is None:
        raise ValueError("meta.properties names no directory.id")
    return found.group(1)


async def voters(beside: Member) -> list[Standing]:
    result = await beside.run(_tool("describe", "--status"), timeout_s=TOOL_TIMEOUT_S)
    try:
        return parse_voters(result.output)
    except ValueError as error:
        raise NotNow(str(error), where=beside.name) from error


async def lags(beside: Member) -> dict[int, int]:
    """Node id -> seconds since it had read all that was agreed on, of voters for whom that is long ago."""
    return parse_lags((await beside.run(_tool("describe", "--replication"), timeout_s=LAGS_TIMEOUT_S)).output)


def parse_lags(text: str) -> dict[int, int]:
    """From ``describe --replication``: a table whose last columns are two times in milliseconds and a status."""
    found, leader_ms = {}, 0
    for line in text.splitlines():
        words = line.split()
        if len(words) < 6 or words[-1] not in ("Leader", "Follower") or not words[0].isdigit():
            continue
        caught_up_ms = int(words[-2])
        if words[-1] == "Leader":
            leader_ms = caught_up_ms
        else:
            found[int(words[0])] = caught_up_ms
    late = {node: (leader_ms - caught_up_ms) // 1000 for node, caught_up_ms in found.items() if caught_up_ms > 0}
    return {node: lag for node, lag in late.items() if lag >= LAGS_S}


async def join(member: Member, node_id: int, beside: Member) -> str:
    """Makes the member's present directory the voter of its node id. What was done already is not done again.

    ``beside`` is another member, on which the tool runs while the new one does not vote yet. Says what was done.
    """
    meta = await member.run(("cat", "{{volume.data}}/logs/meta.properties"))
    directory = parse_directory(meta.output)
    standing = [each for each in await voters(beside) if each.node_id == node_id]
    if any(each.directory_id == directory for each in standing):
        return "it votes already"
    for old in standing:
        await part(old, beside)
    add = tool_command(TOOL, *CONFIG, "--bootstrap-controller", _controllers(beside), "add-controller")
    await member.run(add, timeout_s=TOOL_TIMEOUT_S)
    return f"{len(standing)} old vote taken away, one given"


async def part(voter: Standing, beside: Member) -> None:
    """Takes a vote away. Who had it may run on: it hears what is agreed on, like any other."""
    which = ("--controller-id", str(voter.node_id), "--controller-directory-id", voter.directory_id)
    await beside.run(_tool("remove-controller", *which), timeout_s=TOOL_TIMEOUT_S)


def _tool(*words: str) -> tuple[str, ...]:
    return tool_command(TOOL, *CONFIG, "--bootstrap-server", "{{address}}:{{port.client}}", *words)


def _controllers(member: Member) -> str:
    return member.at("controller")
