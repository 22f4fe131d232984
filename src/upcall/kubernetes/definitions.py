"""Our kinds, as the API server knows them.

They are the whole cluster's, and several releases of upcall may be in it: what a newer one has said of a kind an older
one leaves as it is.
"""

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEFINITION, Object
from upcall.substrate.kubernetes.evictions.objects import DEFINED


def said_by(definition: Object) -> str:
    """The how many-th version of what it is."""
    return str((definition["metadata"].get("annotations") or {}).get(DEFINED, "0"))


def is_newer(there: Object, ours: Object) -> bool:
    said = said_by(there)
    return not said.isdigit() or int(said) > int(said_by(ours))


async def define(api: Api, ours: Object) -> bool:
    """Whether it is as we say it now; not where a newer upcall has said it."""
    try:
        there = await api.get(DEFINITION, ours["metadata"]["name"])
    except NotFound:
        there = None
    if there is not None and is_newer(there, ours):
        return False
    await api.apply(DEFINITION, ours, force=True)
    return True
