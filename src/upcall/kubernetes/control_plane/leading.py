"""The label by which the one that leads is found, and that nobody else has.

No promise hangs on it: who follows it to a master that leads no more is refused there, and looks again.
"""

from typing import Final

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD
from upcall.substrate.kubernetes.names import PREFIX

LEADS: Final = PREFIX + "leads"


async def say(api: Api, namespace: str, pod: str) -> None:
    """This one leads, and nobody beside it."""
    await api.merge(POD, pod, {"metadata": {"labels": {LEADS: "true"}}}, namespace)
    for each in (await api.list(POD, namespace, labels=f"{LEADS}=true")).objects:
        if (name := each["metadata"]["name"]) != pod:
            await take_back(api, namespace, name)


async def take_back(api: Api, namespace: str, pod: str) -> None:
    try:
        await api.merge(POD, pod, {"metadata": {"labels": {LEADS: None}}}, namespace)
    except NotFound:
        return
