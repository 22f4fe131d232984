"""Members that have left: how each ended, what it said last, and where its log lies.

A person asks why an install was taken back when the service is gone already. So what is known of a member's end stays
when its place is released, bounded in number and in time, until a service of that name begins anew. Its log stays with
its node, which keeps it as long (:mod:`upcall.agent.retention`).
"""

from collections.abc import Iterable
from typing import Final

from upcall.master import records as r
from upcall.master.open_turn import OpenTurn
from upcall.protocol.agent import ENDED_KEPT_S

MEMBERS_MAX: Final = 200
"""The newest of all services; each with at most 16 KiB of lines."""


def remember(tx: OpenTurn, member_id: str, seen: r.SeenRecord) -> None:
    past = tx.core.state.past
    past.pop(member_id, None)  # The newest stand last.
    past[member_id] = r.PastRecord(
        task=f"{member_id}.{seen.incarnation}",
        node=seen.node,
        ended_at=seen.since,
        left_at=tx.wall_s,
        exit_code=seen.exit_code,
        exit_reason=seen.exit_reason,
        last_lines=seen.last_lines,
    )
    tx.put(r.PAST, member_id, past[member_id])
    _forget(tx, list(past)[:-MEMBERS_MAX])


def forget_service(tx: OpenTurn, name: str) -> None:
    """A service of this name begins anew."""
    _forget(tx, [member_id for member_id in tx.core.state.past if member_id.partition(".")[0] == name])


def forget_old(tx: OpenTurn) -> None:
    past = tx.core.state.past
    _forget(tx, [member_id for member_id, one in past.items() if one.left_at + ENDED_KEPT_S < tx.wall_s])


def _forget(tx: OpenTurn, member_ids: Iterable[str]) -> None:
    for member_id in member_ids:
        del tx.core.state.past[member_id]
        tx.delete(r.PAST, member_id)
