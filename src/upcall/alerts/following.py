"""The journal, read for all channels at once from what the slowest of them has seen, whenever the master is there."""

from collections.abc import Sequence

from upcall.alerts.telling import Teller
from upcall.client.streaming import AsyncClient, backoff
from upcall.protocol.errors import NotNow


async def follow(client: AsyncClient, tellers: Sequence[Teller]) -> None:
    """Until it is cancelled. Raises what no waiting mends: a token that does not hold."""
    attempt = 0
    while True:
        try:
            await _begin(client, tellers)
            async for event in client.follow(min(one.state.seen for one in tellers)):
                attempt = 0
                for one in tellers:
                    one.take(event)
        except NotNow:
            await backoff(attempt)
            attempt += 1


async def _begin(client: AsyncClient, tellers: Sequence[Teller]) -> None:
    if any(one.state.seen < 0 for one in tellers):
        newest = (await client.status()).event_sequence
        for one in tellers:
            one.begin_at(newest)
