"""What a master outside the cluster leaves in it."""

import contextlib

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD, WEBHOOK
from upcall.substrate.kubernetes.evictions.objects import NAME


async def left(api: Api, namespace: str) -> None:
    """Taken away: a webhook that nobody serves, and pods that nobody would let go."""
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for each in (await api.list(POD, namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)
